"""The main job: prepare, build, train, select, test once, leave a run folder."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import lightning
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from medseg.config.instantiate import instantiate
from medseg.config.targets import check_targets, reserved_options, with_sizes_taken
from medseg.config.tuning import is_trial
from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.errors import ConfigError, UserError
from medseg.models.facts import record
from medseg.runs.environment import describe_environment
from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan, new_id, settings_of, stored_id
from medseg.system.files import read_csv, replacing_text, write_json
from medseg.system.process import is_first_process
from medseg.trained.checkpoint import Checkpoint, checkpoint_metadata
from medseg.training.build import (
    build_network,
    build_trainer,
    check_limits,
    check_weights,
    quiet_libraries,
)
from medseg.training.callbacks import core_callbacks
from medseg.training.class_weights import balance_classes
from medseg.training.continuing import check_same_data, copy_training, earlier_run
from medseg.training.data_record import (
    check_parts,
    check_same_split,
    warn_of_cut_groups,
    warn_of_unseen_classes,
    write_data,
)
from medseg.training.freezing import frozen_encoder, unfused
from medseg.training.hardware import check_compiler, describe_device, pick_accelerator
from medseg.training.initial_weights import InitialWeights
from medseg.training.loggers.build import RunInfo, build_loggers, check_loggers
from medseg.training.loggers.mirror import Mirror
from medseg.training.panels import draw_curves
from medseg.training.parameter_groups import layers_of
from medseg.training.pretrained import find_pretrained
from medseg.training.recording import record_run_status
from medseg.training.resuming import checkpoint_to_resume, choose_precision
from medseg.training.scoring import Options, Scores, draw_test_examples, score_split, write_scores
from medseg.training.task import STOPPED, DivergedError, SegmentationTask
from medseg.training.temperature import fit_on_validation
from medseg.training.trials import end_trial, trial_callbacks

log = logging.getLogger(__name__)


def run_job(cfg: DictConfig, plan: RunPlan) -> None:
    """Train and test what `cfg` describes, or resume it, and leave the run's folder.

    Nothing is written to the folder before data, network and trainer are known to fit.
    Raises `UserError` for what the user can put right.
    """
    folder = plan.folder
    cfg = cfg.copy()  # the model's options that fit are chosen below; the plan has the configuration as given
    quiet_libraries()
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    # What can be wrong is reported before the data are prepared, which may take a while.
    accelerator = pick_accelerator(cfg.trainer.accelerator)
    if cfg.compile:
        check_compiler(accelerator, activation_checkpointing=cfg.activation_checkpointing)
    check_loggers(cfg.logger)
    check_targets(cfg)
    of_model, of_optimizer = (reserved_options(key, cfg[key]) for key in ("model", "optimizer"))
    cfg.model = with_sizes_taken(cfg.model)
    earlier = earlier_run(plan)
    if earlier is not None and not cfg.force and folder.last_checkpoint.exists():
        earlier = None  # the run has gone on from it already
    if earlier is not None:
        resume = checkpoint_to_resume(earlier)  # which every process can read at once
    else:
        resume = None if cfg.force else checkpoint_to_resume(folder)
    # A run that goes on has its weights and its normalisation in its checkpoint.
    begins = cfg.initial_weights is not None and resume is None
    weights = InitialWeights.read(cfg.initial_weights) if begins else None
    pretrained = find_pretrained(cfg, resume)
    normalisation = pretrained.normalisation
    if weights is not None:
        normalisation = weights.normalisation(cfg.data.in_channels)
    elif resume is not None:
        normalisation = resume.metadata.normalisation

    augmentation = instantiate(cfg.augmentation)
    datamodule = build_datamodule(cfg.data, augmentation=augmentation, seed=cfg.seed, normalisation=normalisation)
    loss = instantiate(cfg.loss)
    options = Options.from_config(cfg)
    check_weights(loss, datamodule)
    check_parts(datamodule)
    check_limits(cfg.trainer, datamodule)
    freeze = of_model.get("freeze_encoder", False)
    optimizer, scheduler = unfused(instantiate(cfg.optimizer), freeze), instantiate(cfg.scheduler)
    check_optimizer(optimizer, scheduler)
    prepared = datamodule.prepared
    if earlier is not None:
        check_same_data(earlier, prepared.identity, cfg.continue_from)
    _ = datamodule.border, datamodule.columns  # made by every process, before the folder is written
    data_ready = time.monotonic()
    data_settings = OmegaConf.to_container(cfg.data, resolve=True)
    cfg = OmegaConf.merge(cfg, {"data": {"num_classes": prepared.num_classes}})  # type: ignore[assignment]
    counts = {split: len(indices) for split, indices in datamodule.indices.items()}
    log.info("data: %s, %s images (train/val/test)", datamodule.dataset.title, "/".join(map(str, counts.values())))
    warn_of_cut_groups(datamodule)
    warn_of_unseen_classes(datamodule)

    network = build_network(cfg.model, datamodule, activation_checkpointing=cfg.activation_checkpointing)
    loaded = pretrained.load_into(network)
    if weights is not None:
        weights.load_into(network, cfg, datamodule, str(plan.record["choices"].get("model")))
    layers = layers_of(network, of_optimizer)
    freezing = frozen_encoder(network, freeze)
    settings = settings_of(cfg, plan.root)
    extra_callbacks = [instantiate(node) for node in cfg.callbacks.values()]

    trained = folder.finished  # with test=false
    if resume is not None:
        check_same_split(folder if earlier is None else earlier, datamodule)
    precision = choose_precision(str(cfg.trainer.precision), accelerator, resume)
    # An older version had an id for W&B alone; the run goes on under it.
    begun = resume is not None and earlier is None
    run_id = (stored_id(folder) or new_id(str(folder.status.get("wandb_id", "")))) if begun else new_id()
    first_step = 0 if resume is None else int(resume.content["global_step"])
    info = RunInfo(folder.path, plan.record, run_id, settings, resumed=begun, first_step=first_step)
    mirrors = build_loggers(cfg.logger, info) if is_first_process() else []
    trainer = build_trainer(
        cfg.trainer,
        precision,
        logger=mirrors or False,
        callbacks=[
            *freezing,
            *core_callbacks(folder, loggers=bool(mirrors)),
            *extra_callbacks,
            *trial_callbacks(cfg.tuning, folder),
        ],
        default_root_dir=folder.path,
        enable_progress_bar=sys.stderr.isatty(),
    )

    # As given: what the data decide is read from them again where the checkpoint is used.
    metadata = checkpoint_metadata(
        {**settings, "data": data_settings},
        datamodule.normalisation,
        prepared.pixels,
        class_names=list(prepared.class_names),
        labels=prepared.labels,
        data_identity=prepared.identity,
        precision=str(trainer.precision),
        device=trainer.strategy.root_device.type,
    )
    task = SegmentationTask(
        network,
        loss=loss,
        optimizer=optimizer,
        scheduler=scheduler,
        class_names=prepared.class_names,
        sample_ids=prepared.ids,
        channels_last=cfg.channels_last,
        compile=cfg.compile,
        seed=cfg.seed,
        checkpoint_metadata=metadata,
        window=datamodule.window,
        window_batch=datamodule.batch_size,
        layers=layers,
    )

    if trainer.is_global_zero:
        if cfg.force:
            # Not before everything new is known to fit: a wrong option must not cost the old run.
            folder.clear()
        write_opening(plan, run_id, settings, datamodule, trainer, reason=precision[1])
        if loaded is not None:
            write_json(folder.pretrained, loaded.to_dict())
    with record_run_status(folder, trainer, mirrors):
        balance_classes(loss, datamodule)  # here, where train.log has the weights
        if earlier is not None:
            log.info("going on from %s", earlier.path)
            if trainer.is_global_zero:
                copy_training(earlier, folder)
        elif resume is not None:
            log.info("%s: %s", "going on with the test" if trained else "resuming after an interruption", resume.file)
        for mirror in mirrors:
            mirror.begin()
        try:
            fit(trainer, task, datamodule, resume)
        except DivergedError as error:
            if not is_trial(cfg.tuning):
                raise
            if trainer.is_global_zero:
                end_trial(folder, diverged=str(error))
            return
        if is_trial(cfg.tuning):
            if trainer.is_global_zero:
                end_trial(folder)
            return
        best = Checkpoint.read(folder.best_checkpoint)
        best.load_into(task.network)
        temperature = fit_on_validation(trainer, task, datamodule)
        if trainer.is_global_zero and temperature is not None:
            write_json(folder.temperature, asdict(temperature))
        if not cfg.test or not len(datamodule.indices["test"]):
            reason = "test=false" if not cfg.test else "the data have no test split"
            if trainer.is_global_zero:
                draw_curves(folder.images / "curves.png", read_csv(folder.metrics))
                folder.set_state(
                    "trained",
                    untested=not cfg.test,
                    remark=f"no test scores: {reason}",
                    other_seconds=seconds_beside_epochs(folder, resume, data_ready),
                )
            log.info("no test scores: %s", reason)
            return
        scores = score_split(
            trainer, task, datamodule, options, None if temperature is None else temperature.temperature
        )
        if trainer.is_global_zero:
            epochs = read_csv(folder.metrics)
            scores = scores.with_facts(
                best_epoch=best.content["epoch"] + 1,
                epochs=len(epochs),
                # Of all epochs, those before an interruption included.
                training_seconds=round(sum(float(row["seconds"]) for row in epochs), 1),
                parameters=sum(parameter.numel() for parameter in task.network.parameters()),
                macs=macs_of(task.network, datamodule),
                network=record(task.network, plan.record["model"]),
            )
            write_results(folder, datamodule, scores, mirrors)
            folder.set_state(
                "finished",
                scores={name: values["mean"] for name, values in scores.summary["headline"].items()},
                other_seconds=seconds_beside_epochs(folder, resume, data_ready),
            )


def seconds_beside_epochs(folder: RunFolder, resume: Checkpoint | None, start: float) -> float:
    """Return the seconds since `start` that were no epochs: the start, the test, the pictures.

    Args:
        folder: of the run.
        resume: the checkpoint that this process went on from, whose epochs were before `start`.
        start: of this process's work, on the monotonic clock.
    """
    begun = 0 if resume is None else resume.content["epoch"] + 1
    epochs = sum(float(row["seconds"]) for row in read_csv(folder.metrics)[begun:])
    return round(time.monotonic() - start - epochs, 1)


def macs_of(network: torch.nn.Module, datamodule: SegmentationDataModule) -> int | None:
    """Return the multiply-accumulates for one test image, or one patch; None where they cannot be counted."""
    from medseg.measure.cost import count_macs  # not above: it takes a while to import

    try:
        return count_macs(network, in_channels=datamodule.prepared.in_channels, size=datamodule.input_size)
    except UserError as error:
        log.warning("multiply-accumulates are not counted: %s", error)
        return None


def check_optimizer(make_optimizer: Callable[..., Any], make_scheduler: Callable[..., Any]) -> None:
    """Build the optimizer and the schedule once, for nothing but their arguments.

    Raises `ConfigError`.
    """
    try:
        optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"optimizer: {error}") from error
    try:
        make_scheduler(optimizer, total_steps=10, steps_per_epoch=5)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"scheduler: {error}") from error


def fit(
    trainer: lightning.Trainer, task: SegmentationTask, datamodule: SegmentationDataModule, resume: Checkpoint | None
) -> None:
    """Train to the end, from the last checkpoint of an interrupted run where there is one.

    Raises `UserError` when that was trained on other data, and `KeyboardInterrupt` when training is interrupted.
    """
    if resume is not None:
        if resume.metadata.data_identity != datamodule.prepared.identity:
            raise UserError(
                f"{resume.file}: the interrupted run was trained on other data than {datamodule.prepared.folder}; "
                "give it those again, or begin anew with force=true"
            )
        if resume.content.get(STOPPED) and resume.content["epoch"] + 1 >= (trainer.min_epochs or 0):
            log.info("training had ended by early stopping")
            return
    trainer.fit(task, datamodule=datamodule, ckpt_path=None if resume is None else resume.file, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt


def write_opening(
    plan: RunPlan,
    run_id: str,
    settings: Mapping[str, Any],
    datamodule: SegmentationDataModule,
    trainer: lightning.Trainer,
    *,
    reason: str,
) -> None:
    """Write what is known before the first step; `reason`: why the trainer has its precision."""
    folder = plan.folder
    folder.path.mkdir(parents=True, exist_ok=True)
    plan.write_record(run_id)
    folder.set_state("running", max_epochs=trainer.max_epochs, seed=settings["seed"])
    with replacing_text(folder.config) as stream:
        yaml.safe_dump(dict(settings), stream, sort_keys=False)
    write_data(folder, datamodule)
    write_json(
        folder.environment,
        {
            **describe_environment(),
            "device": describe_device("gpu" if trainer.strategy.root_device.type == "cuda" else "cpu"),
            "precision": trainer.precision,
            "precision_reason": reason,
            "processes": trainer.world_size,
        },
    )


def write_results(
    folder: RunFolder, datamodule: SegmentationDataModule, scores: Scores, mirrors: Sequence[Mirror]
) -> None:
    """Write the scores and pictures of the tested run."""
    write_scores(folder.test, scores)
    draw_test_examples(folder.images, datamodule, scores)
    draw_curves(folder.images / "curves.png", read_csv(folder.metrics))
    for mirror in mirrors:
        mirror.log_test(scores)
