"""Build all that a training needs of its configuration, and check that the parts fit each other."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from omegaconf import DictConfig, OmegaConf

from medseg.config.instantiate import instantiate
from medseg.config.targets import check_targets, reserved_options, with_sizes_taken
from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.errors import ConfigError
from medseg.pretrained import Loaded
from medseg.runs.plan import RunPlan, new_id, settings_of, stored_id
from medseg.system.process import is_first_process
from medseg.trained.checkpoint import checkpoint_metadata
from medseg.training.build import build_network, build_trainer, check_limits, check_weights
from medseg.training.callbacks import core_callbacks
from medseg.training.data_record import check_parts, warn_of_cut_groups, warn_of_unseen_classes
from medseg.training.freezing import frozen_encoder, unfused
from medseg.training.hardware import check_compiler, pick_accelerator
from medseg.training.loggers.build import RunInfo, build_loggers, check_loggers
from medseg.training.loggers.mirror import Mirror
from medseg.training.parameter_groups import layers_of
from medseg.training.resuming import choose_precision
from medseg.training.scoring import Options
from medseg.training.starting_point import StartingPoint, find_starting_point
from medseg.training.task import SegmentationTask
from medseg.training.trials import trial_callbacks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A training that is ready to begin.

    Args:
        cfg: the configuration, with the number of classes of the data.
        plan: the folder of the run and its record.
        id: of the run; where it is resumed, as before.
        settings: the configuration as `config.yaml` has it.
        begins_with: weights, or a checkpoint.
        pretrained: which weights of an encoder were loaded; None for none.
        datamodule: of the prepared data.
        data_ready: when they were prepared, on the monotonic clock.
        loss: of the task.
        options: of the scores of the test.
        task: network, loss, optimizer and schedule.
        trainer: of Lightning.
        precision_reason: why the trainer has its precision.
        mirrors: the loggers; none in the further processes of a distributed run.
    """

    cfg: DictConfig
    plan: RunPlan
    id: str
    settings: Mapping[str, Any]
    begins_with: StartingPoint
    pretrained: Loaded | None
    datamodule: SegmentationDataModule
    data_ready: float
    loss: torch.nn.Module
    options: Options
    task: SegmentationTask
    trainer: lightning.Trainer
    precision_reason: str
    mirrors: Sequence[Mirror]


def assemble(cfg: DictConfig, plan: RunPlan) -> Job:
    """Prepare the data, build the rest, and check that all of it fits; nothing is written to the folder of the run.

    Raises `UserError` for what the user can put right.
    """
    cfg = cfg.copy()  # the model's options that fit are chosen below; the plan has the configuration as given
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    # What can be wrong is reported before the data are prepared, which may take a while.
    accelerator = pick_accelerator(cfg.trainer.accelerator)
    if cfg.compile:
        check_compiler(accelerator, activation_checkpointing=cfg.activation_checkpointing)
    check_loggers(cfg.logger)
    check_targets(cfg)
    of_model, of_optimizer = (reserved_options(key, cfg[key]) for key in ("model", "optimizer"))
    cfg.model = with_sizes_taken(cfg.model)
    begins_with = find_starting_point(cfg, plan)

    datamodule = build_datamodule(
        cfg.data,
        augmentation=instantiate(cfg.augmentation),
        seed=cfg.seed,
        normalisation=begins_with.normalisation(cfg.data.in_channels),
    )
    loss = instantiate(cfg.loss)
    options = Options.from_config(cfg)
    check_weights(loss, datamodule)
    check_parts(datamodule)
    check_limits(cfg.trainer, datamodule)
    freeze = of_model.get("freeze_encoder", False)
    optimizer, scheduler = unfused(instantiate(cfg.optimizer), freeze), instantiate(cfg.scheduler)
    check_optimizer(optimizer, scheduler)
    begins_with.check_data(datamodule, cfg.continue_from)
    data_ready = prepare_data(datamodule)
    data_settings = OmegaConf.to_container(cfg.data, resolve=True)
    prepared = datamodule.prepared
    cfg = OmegaConf.merge(cfg, {"data": {"num_classes": prepared.num_classes}})  # type: ignore[assignment]

    network = build_network(cfg.model, datamodule, activation_checkpointing=cfg.activation_checkpointing)
    pretrained = begins_with.load_into(network, cfg, datamodule, str(plan.record["choices"].get("model")))
    layers = layers_of(network, of_optimizer)
    freezing = frozen_encoder(network, freeze)
    extra_callbacks = [instantiate(node) for node in cfg.callbacks.values()]
    settings = settings_of(cfg, plan.root)

    run_id = id_of_run(plan, begins_with)
    info = RunInfo(
        plan.folder.path, plan.record, run_id, settings, resumed=begins_with.is_resumed, first_step=begins_with.step
    )
    mirrors = build_loggers(cfg.logger, info) if is_first_process() else []
    precision = choose_precision(str(cfg.trainer.precision), accelerator, begins_with.checkpoint)
    trainer = build_trainer(
        cfg.trainer,
        precision,
        logger=mirrors or False,
        callbacks=[
            *freezing,
            *core_callbacks(plan.folder, loggers=bool(mirrors)),
            *extra_callbacks,
            *trial_callbacks(cfg.tuning, plan.folder),
        ],
        default_root_dir=plan.folder.path,
        enable_progress_bar=sys.stderr.isatty(),
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
        checkpoint_metadata=checkpoint_metadata(
            # As given: what the data decide is read from them again where the checkpoint is used.
            {**settings, "data": data_settings},
            datamodule.normalisation,
            prepared.pixels,
            class_names=list(prepared.class_names),
            labels=prepared.labels,
            data_identity=prepared.identity,
            precision=str(trainer.precision),
            device=trainer.strategy.root_device.type,
        ),
        window=datamodule.window,
        window_batch=datamodule.batch_size,
        layers=layers,
    )
    return Job(
        cfg=cfg,
        plan=plan,
        id=run_id,
        settings=settings,
        begins_with=begins_with,
        pretrained=pretrained,
        datamodule=datamodule,
        data_ready=data_ready,
        loss=loss,
        options=options,
        task=task,
        trainer=trainer,
        precision_reason=precision[1],
        mirrors=mirrors,
    )


def prepare_data(datamodule: SegmentationDataModule) -> float:
    """Prepare the data, in every process, and log what they are; return when they were ready (monotonic clock)."""
    _ = datamodule.prepared, datamodule.border, datamodule.columns
    ready = time.monotonic()
    counts = {split: len(indices) for split, indices in datamodule.indices.items()}
    log.info("data: %s, %s images (train/val/test)", datamodule.dataset.title, "/".join(map(str, counts.values())))
    warn_of_cut_groups(datamodule)
    warn_of_unseen_classes(datamodule)
    return ready


def id_of_run(plan: RunPlan, begins_with: StartingPoint) -> str:
    """Return the id of the run; a new one, unless it is resumed."""
    if not begins_with.is_resumed:
        return new_id()
    # An older version had an id for W&B alone; the run goes on under it.
    return stored_id(plan.folder) or new_id(str(plan.folder.status.get("wandb_id", "")))


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
