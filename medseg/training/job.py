"""The main job: build, train, select, test once, leave a run folder."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict

import torch
import yaml
from omegaconf import DictConfig

from medseg.config.tuning import is_trial
from medseg.data.module import SegmentationDataModule
from medseg.errors import UserError
from medseg.models.facts import record
from medseg.runs.environment import describe_environment
from medseg.runs.plan import RunPlan
from medseg.system.files import read_csv, replacing_text, write_json
from medseg.trained.checkpoint import Checkpoint
from medseg.training.assembly import Job, assemble
from medseg.training.build import quiet_libraries
from medseg.training.class_weights import balance_classes
from medseg.training.continuing import copy_training
from medseg.training.data_record import write_data
from medseg.training.hardware import describe_device
from medseg.training.panels import draw_curves
from medseg.training.recording import record_run_status
from medseg.training.scoring import draw_test_examples, score_split, write_scores
from medseg.training.task import STOPPED, DivergedError
from medseg.training.temperature import fit_on_validation
from medseg.training.trials import end_trial

log = logging.getLogger(__name__)


def run_job(cfg: DictConfig, plan: RunPlan) -> None:
    """Train and test what `cfg` describes, or resume it, and leave the run's folder.

    Nothing is written to the folder before data, network and trainer are known to fit.
    Raises `UserError` for what the user can put right.
    """
    quiet_libraries()
    job = assemble(cfg, plan)
    trained = plan.folder.finished  # with test=false
    if job.trainer.is_global_zero:
        write_opening(job)
    with record_run_status(plan.folder, job.trainer, job.mirrors):
        balance_classes(job.loss, job.datamodule)  # here, where train.log has the weights
        take_up_checkpoint(job, trained=trained)
        for mirror in job.mirrors:
            mirror.begin()
        if is_trial(cfg.tuning):
            run_trial(job)
        else:
            fit(job)
            select_and_test(job)


def write_opening(job: Job) -> None:
    """Write what is known before the first step, in place of what `force=true` repeats."""
    folder, trainer = job.plan.folder, job.trainer
    if job.cfg.force:
        # Not before everything new is known to fit: a wrong option must not cost the old run.
        folder.clear()
    folder.path.mkdir(parents=True, exist_ok=True)
    job.plan.write_record(job.id)
    folder.set_state("running", max_epochs=trainer.max_epochs, seed=job.cfg.seed)
    with replacing_text(folder.config) as stream:
        yaml.safe_dump(dict(job.settings), stream, sort_keys=False)
    write_data(folder, job.datamodule)
    write_json(
        folder.environment,
        {
            **describe_environment(),
            "device": describe_device("gpu" if trainer.strategy.root_device.type == "cuda" else "cpu"),
            "precision": trainer.precision,
            "precision_reason": job.precision_reason,
            "processes": trainer.world_size,
        },
    )
    if job.pretrained is not None:
        write_json(folder.pretrained, job.pretrained.to_dict())


def take_up_checkpoint(job: Job, *, trained: bool) -> None:
    """Log which checkpoint the run goes on from; that of another run is copied, with its epochs, into the folder."""
    start = job.begins_with
    if start.earlier is not None:
        log.info("going on from %s", start.earlier.path)
        if job.trainer.is_global_zero:
            copy_training(start.earlier, job.plan.folder)
    elif start.checkpoint is not None:
        message = "going on with the test" if trained else "resuming after an interruption"
        log.info("%s: %s", message, start.checkpoint.file)


def fit(job: Job) -> None:
    """Train to the end, from the checkpoint where there is one; raise `KeyboardInterrupt` when interrupted."""
    trainer, checkpoint = job.trainer, job.begins_with.checkpoint
    stopped = checkpoint is not None and checkpoint.content.get(STOPPED)
    if checkpoint is not None and stopped and checkpoint.content["epoch"] + 1 >= (trainer.min_epochs or 0):
        log.info("training had ended by early stopping")
        return
    path = None if checkpoint is None else checkpoint.file
    trainer.fit(job.task, datamodule=job.datamodule, ckpt_path=path, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt


def run_trial(job: Job) -> None:
    """Train for a score on the validation split alone; a training that diverges ends the trial with the worst one."""
    diverged = ""
    try:
        fit(job)
    except DivergedError as error:
        diverged = str(error)
    if job.trainer.is_global_zero:
        end_trial(job.plan.folder, diverged=diverged)


def select_and_test(job: Job) -> None:
    """Take the weights of the best epoch, fit the temperature to the validation split, and test once."""
    folder, trainer, datamodule, task = job.plan.folder, job.trainer, job.datamodule, job.task
    best = Checkpoint.read(folder.best_checkpoint)
    best.load_into(task.network)
    temperature = fit_on_validation(trainer, task, datamodule)
    if trainer.is_global_zero and temperature is not None:
        write_json(folder.temperature, asdict(temperature))
    if not job.cfg.test or not len(datamodule.indices["test"]):
        end_untested(job)
        return
    scores = score_split(
        trainer, task, datamodule, job.options, None if temperature is None else temperature.temperature
    )
    if not trainer.is_global_zero:
        return
    epochs = read_csv(folder.metrics)
    scores = scores.with_facts(
        best_epoch=best.content["epoch"] + 1,
        epochs=len(epochs),
        # Of all epochs, those before an interruption included.
        training_seconds=round(sum(float(row["seconds"]) for row in epochs), 1),
        parameters=sum(parameter.numel() for parameter in task.network.parameters()),
        macs=macs_of(task.network, datamodule),
        network=record(task.network, job.plan.record["model"]),
    )
    write_scores(folder.test, scores)
    draw_test_examples(folder.images, datamodule, scores)
    draw_curves(folder.images / "curves.png", epochs)
    for mirror in job.mirrors:
        mirror.log_test(scores)
    folder.set_state(
        "finished",
        scores={name: values["mean"] for name, values in scores.summary["headline"].items()},
        untested=False,
        remark="",
        other_seconds=seconds_beside_epochs(job),
    )


def end_untested(job: Job) -> None:
    """End a run without test scores."""
    folder = job.plan.folder
    reason = "test=false" if not job.cfg.test else "the data have no test split"
    if job.trainer.is_global_zero:
        draw_curves(folder.images / "curves.png", read_csv(folder.metrics))
        folder.set_state(
            "trained",
            untested=not job.cfg.test,
            remark=f"no test scores: {reason}",
            other_seconds=seconds_beside_epochs(job),
        )
    log.info("no test scores: %s", reason)


def seconds_beside_epochs(job: Job) -> float:
    """Return the seconds since the data were ready that were no epochs: the start, the test, the pictures."""
    checkpoint = job.begins_with.checkpoint
    begun = 0 if checkpoint is None else checkpoint.content["epoch"] + 1  # epochs of an earlier process
    epochs = sum(float(row["seconds"]) for row in read_csv(job.plan.folder.metrics)[begun:])
    return round(time.monotonic() - job.data_ready - epochs, 1)


def macs_of(network: torch.nn.Module, datamodule: SegmentationDataModule) -> int | None:
    """Return the multiply-accumulates for one test image, or one patch; None where they cannot be counted."""
    from medseg.measure.cost import count_macs  # not above: it takes a while to import

    try:
        return count_macs(network, in_channels=datamodule.prepared.in_channels, size=datamodule.input_size)
    except UserError as error:
        log.warning("multiply-accumulates are not counted: %s", error)
        return None
