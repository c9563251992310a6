"""Score a saved checkpoint on any dataset and split, with the settings in the checkpoint."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.fingerprint import sha256_file
from medseg.errors import UserError
from medseg.metrics.measures import CHOOSABLE
from medseg.runs.evaluations import DONE_BEFORE
from medseg.runs.folder import RunFolder, find_run
from medseg.runs.naming import flatten
from medseg.runs.schema import EVALUATION, read_checked
from medseg.system.files import write_csv
from medseg.system.locks import held
from medseg.system.os_errors import check_writable
from medseg.system.process import is_first_process
from medseg.trained.checkpoint import Checkpoint
from medseg.trained.network import TrainedNetwork
from medseg.training.build import build_trainer, check_network, quiet_libraries
from medseg.training.data_record import count_known, image_rows
from medseg.training.evaluation_data import (
    absolute,
    check_classes,
    check_part,
    check_pixels,
    check_same_images,
    choose_split,
    data_name,
    data_to_score,
    evaluation_name,
    given_keys,
)
from medseg.training.label_agreement import compare_labels
from medseg.training.scoring import Options, draw_test_examples, score_split, write_scores
from medseg.training.task import SegmentationTask

log = logging.getLogger(__name__)


def evaluate_checkpoint(cfg: DictConfig, overrides: Collection[str]) -> tuple[Path, dict[str, Any]]:
    """Score the checkpoint that `cfg.checkpoint` names and write the scores.

    Args:
        cfg: the configuration of the command.
        overrides: the words it was composed of: what they do not name is as in the training.

    What is evaluated already is not repeated where `cfg.force` is false.

    Returns the folder of the scores, and their summary. Raises `UserError` for what the user can put right.
    """
    quiet_libraries()
    Options.from_config(cfg)  # which a mistake in them must not wait for
    run, file = find_run(cfg.checkpoint)
    checkpoint = Checkpoint.read(file)
    metadata = checkpoint.metadata
    given = given_keys(cfg, overrides)
    datamodule = data_to_score(checkpoint, run, cfg, given)
    same_data = datamodule.prepared.identity == metadata.data_identity
    if not same_data and metadata.data_identity is not None:
        check_same_images(datamodule, file, run, given)
    check_classes(datamodule, metadata.class_names, file)
    check_pixels(datamodule, metadata.pixels, file, stated="intensity_range" in given)
    if not same_data and metadata.data_identity is not None:
        compare_labels(datamodule.prepared, metadata)
    if "dataset" in given and not {"split", "fold"} & given:
        choose_split(datamodule, checkpoint, run)
    check_part(datamodule, cfg.split)
    name = evaluation_name(datamodule, file, cfg.split, same_data=same_data, tta=cfg.tta)
    folder = Path(cfg.output).expanduser() if cfg.output else run.evaluations / name
    check_writable(folder)
    record = {
        "data_name": data_name(datamodule),
        "known_images": count_known(datamodule, run),
        "checkpoint_sha256": sha256_file(file),
        "options": options_of(cfg),
        "words": [word for word in overrides if not word.startswith(("checkpoint=", "output=", "force=", "trainer"))],
    }
    # Of many runs, what another process evaluates is waited for, and then done already.
    with held_alone(folder, wait=0 if cfg.force is None else float("inf")):
        stored = stored_summary(folder)
        if cfg.force is False and is_done(stored, record, datamodule):
            log.info("%s: %s", DONE_BEFORE, folder)
            return folder, stored
        options = as_in_the_test(Options.from_config(cfg), run, datamodule)
        if is_like(stored, record, datamodule):
            options = with_earlier(options, datamodule, stored, folder)
        summary = score_checkpoint(checkpoint, datamodule, cfg, folder, record, options)
        gone = sorted({*stored.get("headline", {})} - {*summary["headline"]})
        if gone:
            log.warning("%s: no longer there: %s, which an earlier evaluation had", folder, ", ".join(gone))
        return folder, summary


def score_checkpoint(
    checkpoint: Checkpoint,
    datamodule: SegmentationDataModule,
    cfg: DictConfig,
    folder: Path,
    facts: Mapping[str, Any],
    options: Options,
) -> dict[str, Any]:
    """Score a checkpoint on a data module's test split, and write it to a folder; return the summary.

    `facts`: further entries of the summary. That is written last: without it, an evaluation is none.
    """
    file, metadata = checkpoint.file, checkpoint.metadata
    trained = TrainedNetwork.load(checkpoint, trust=cfg.trust)
    check_network(trained.network, datamodule)
    # An imported network has no names for its outputs.
    class_names = trained.class_names if metadata.data_identity else datamodule.prepared.class_names
    task = SegmentationTask(
        trained.network,
        class_names=class_names,
        channels_last=metadata.configuration.channels_last,
        window=datamodule.window,
        window_batch=datamodule.batch_size,
    )
    trainer = build_trainer(
        cfg.trainer,
        None if "precision" in cfg.trainer else (metadata.precision, "as in the training"),
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=folder,
    )
    device = trainer.strategy.root_device.type
    if metadata.device not in (None, device):
        log.warning("scored on %s, trained on %s: scores can differ in the last digits", device, metadata.device)
    temperature = find_run(file)[0].temperature_of(file)
    scores = score_split(trainer, task, datamodule, options, temperature).with_facts(checkpoint=str(file), **facts)
    if trainer.is_global_zero:
        for name in ("summary.json", "probabilities.npz"):
            (folder / name).unlink(missing_ok=True)
        write_csv(folder / "images.csv", [row for row in image_rows(datamodule) if row["split"] == cfg.split])
        draw_test_examples(folder / "images", datamodule, scores)
        write_scores(folder, scores)
    return scores.summary


def as_in_the_test(options: Options, run: RunFolder, datamodule: SegmentationDataModule) -> Options:
    """Return options that measure what the test of a run has measured, where they do not choose themselves."""
    test = stored_summary(run.test)
    measured = [name for name in CHOOSABLE if name in (test.get("headline") or {})]
    names = tuple(dict.fromkeys([*measured, *datamodule.dataset.scores])) if options.names is None else options.names
    return replace(options, names=names, tolerance=options.tolerance or test.get("nsd_tolerance"))


NO_OPTIONS = ("checkpoint", "output", "data_dir", "force", "trust", "trainer", "data.source", "data.download")
"""Keys that make no other evaluation, whatever else is the same."""


def options_of(cfg: DictConfig) -> dict[str, Any]:
    """Return the options of an evaluation that can change its scores, by their keys with dots."""
    chosen: dict[str, Any] = flatten(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    left_out = tuple(f"{key}." for key in (*NO_OPTIONS, "data.num_workers", "data.batch_size"))
    options = {key: value for key, value in chosen.items() if not f"{key}.".startswith(left_out)}
    root = options.get("data.root")
    return options if root is None else {**options, "data.root": str(absolute(root))}


def stored_summary(folder: Path) -> dict[str, Any]:
    """Return the summary of an evaluation; empty where there is none, or a damaged one."""
    try:
        return read_checked(folder / "summary.json", EVALUATION)
    except UserError:
        return {}


def is_done(stored: Mapping[str, Any], record: Mapping[str, Any], datamodule: SegmentationDataModule) -> bool:
    """Tell whether a stored evaluation is of the same checkpoint, data and options; `record`: of the new one."""
    return is_like(stored, record, datamodule) and stored.get("options") == record["options"]


def is_like(stored: Mapping[str, Any], record: Mapping[str, Any], datamodule: SegmentationDataModule) -> bool:
    """Tell whether a stored evaluation is of the same checkpoint and data; `record`: of the new one."""
    identity = datamodule.prepared.identity
    return stored.get("checkpoint_sha256") == record["checkpoint_sha256"] and stored.get("data_identity") == identity


def with_earlier(
    options: Options, datamodule: SegmentationDataModule, stored: Mapping[str, Any], folder: Path
) -> Options:
    """Return options that measure and keep what a stored evaluation has as well, so that nothing of it is lost."""
    wanted = datamodule.dataset.scores if options.names is None else options.names
    names = [name for name in CHOOSABLE if name in stored.get("headline", {}) and name not in wanted]
    keep = not options.keep_probabilities and (folder / "probabilities.npz").exists()
    if names or keep:
        log.info("as in the earlier evaluation, also: %s", ", ".join([*names, *(["probabilities"] if keep else [])]))
    return replace(options, names=(*wanted, *names), keep_probabilities=options.keep_probabilities or keep)


@contextmanager
def held_alone(folder: Path, wait: float) -> Iterator[None]:
    """Hold the folder of an evaluation; raises `BusyError` where another process writes to it longer than `wait`, s.

    The further processes of a distributed evaluation belong to the one that holds it.
    """
    if not is_first_process():
        yield
        return
    lock = folder / ".lock"
    try:
        with held(lock, "is evaluating into this folder", wait):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # one that was made for the lock alone
            folder.rmdir()
