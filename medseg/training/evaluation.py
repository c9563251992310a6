"""Score a saved checkpoint on any dataset and split, from what travels in the checkpoint."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.errors import ConfigError
from medseg.runs.folder import find_run
from medseg.runs.show import print_scores
from medseg.training.build import build_metrics, build_network, build_trainer, quiet_libraries
from medseg.training.checkpoints import load_network, read_checkpoint, settings_of
from medseg.training.scoring import draw_test_examples, score_split, write_scores
from medseg.training.task import CHECKPOINT_KEY, SegmentationTask

log = logging.getLogger(__name__)

OF_THE_NETWORK = ("image_size", "in_channels", "batch_size")
"""Keys of `data` that describe what the network was trained to see."""


def evaluate_checkpoint(cfg: DictConfig) -> Path:
    """Score the checkpoint that `cfg.checkpoint` names, and return the folder the scores were written to.

    Raises `UserError` for what the user can put right.
    """
    quiet_libraries()
    metrics = build_metrics(cfg.metrics)
    run, file = find_run(cfg.checkpoint)
    checkpoint = read_checkpoint(file)
    travels = checkpoint[CHECKPOINT_KEY]
    settings = settings_of(checkpoint, file, trust=cfg.trust)
    if "dataset" not in settings.data and "dataset" not in changed(cfg):
        raise ConfigError(f"{file} was imported and is of no data: choose what to score it on with data=...")
    datamodule = build_datamodule(data_to_score(settings.data, cfg))
    check_classes(datamodule, travels["class_names"], file)
    if travels["mean"] is not None:
        # The network expects images as its own training split was normalised, whatever data it now sees.
        datamodule.normalisation = (tuple(travels["mean"]), tuple(travels["std"]))
    network = build_network(settings.model, datamodule)
    load_network(network, checkpoint, file)
    # The outputs of an imported network have no names of their own.
    class_names = travels["class_names"] if travels["data_identity"] else datamodule.prepared.class_names
    task = SegmentationTask(network, class_names=class_names, channels_last=settings.channels_last)
    trainer = build_trainer(
        OmegaConf.merge({"precision": travels["precision"]}, cfg.trainer),  # type: ignore[arg-type]
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=run.path,
    )
    if travels["device"] not in (None, trainer.strategy.root_device.type):
        log.warning(
            "scored on %s, trained on %s: scores can differ in the last digits",
            trainer.strategy.root_device.type,
            travels["device"],
        )
    scores = score_split(trainer, task, datamodule, cfg.split, metrics)
    scores.summary["checkpoint"] = str(file)
    own = datamodule.prepared.identity == travels["data_identity"]
    if not own and travels["data_identity"] is not None and "dataset" not in changed(cfg):
        log.warning("%s: not the very data that the run was trained on", datamodule.prepared.folder)
    name = label(datamodule, file, cfg.split, own=own)
    folder = Path(cfg.output).expanduser() if cfg.output else run.path / "evaluations" / name
    if trainer.is_global_zero:
        write_scores(folder, scores)
        draw_test_examples(folder / "images", trainer, task, datamodule, scores.rows)
        print_scores(scores.summary, run.path.name)
        print(f"scores: {folder}")
    return folder


def changed(cfg: DictConfig) -> set[str]:
    """Name the keys of `data` that the command line gives; `dataset` where another dataset is chosen."""
    given = {override.partition("=")[0].lstrip("+") for override in HydraConfig.get().overrides.task}
    keys = {key.partition(".")[2] for key in given if key.startswith("data.")}
    return keys | {"dataset"} if cfg.data.get("dataset") is not None else keys


def data_to_score(trained_on: DictConfig, cfg: DictConfig) -> DictConfig:
    """Return the run's data configuration with what the user changed.

    Another dataset keeps the run's image size, channels and batch size unless these are given too.
    Raises `ConfigError` for an unknown split.
    """
    if cfg.split not in ("train", "val", "test"):
        raise ConfigError(f"split is {cfg.split!r}; it must be train, val or test (data.split names a way to split)")
    chosen: dict[str, Any] = OmegaConf.to_container(cfg.data, resolve=True)  # type: ignore[assignment]
    before: dict[str, Any] = OmegaConf.to_container(trained_on)  # type: ignore[assignment]
    given = changed(cfg)
    if "dataset" in given:
        merged = {**chosen, **{key: before[key] for key in OF_THE_NETWORK if key not in given}}
    else:
        merged = {**before, **{key: chosen[key] for key in given}}
        if "root" in given:
            merged["source"] = merged["root"]
        elif "source" not in given and merged["source"] and not Path(merged["source"]).expanduser().exists():
            merged["source"] = None  # what was prepared from it may still be there
    merged["data_dir"] = cfg.data_dir or before["data_dir"]
    return OmegaConf.create(merged)


def check_classes(datamodule: SegmentationDataModule, class_names: list[str], file: Path) -> None:
    """Check that the data have as many classes as the checkpoint's network.

    Raises `ConfigError`.
    """
    ours = datamodule.prepared.class_names
    if len(ours) != len(class_names):
        raise ConfigError(
            f"{file} tells {len(class_names)} classes apart ({', '.join(class_names)}), {datamodule.dataset.title} has "
            f"{len(ours)} ({', '.join(ours)})"
        )


def label(datamodule: SegmentationDataModule, file: Path, split: str, *, own: bool) -> str:
    """Name an evaluation by what was scored, so that no other evaluation has its name.

    Data and split; the key of the prepared data where they are not the run's own; the fold; the way to split; the
    checkpoint where it is not the best one.
    """
    parts = [datamodule.dataset.name if own else datamodule.prepared.folder.name]
    if datamodule.fold is not None:
        parts.append(f"fold{datamodule.fold}")
    elif datamodule.split is not None:
        parts.append(datamodule.split)
    parts.append(split)
    if file.stem != "best":
        parts.append(file.stem)
    return "-".join(parts)
