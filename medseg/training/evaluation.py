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
from medseg.training.build import build_network, build_trainer, quiet_libraries
from medseg.training.checkpoints import load_network, read_checkpoint
from medseg.training.scoring import draw_test_examples, score_split, write_scores
from medseg.training.task import CHECKPOINT_KEY, SegmentationTask

log = logging.getLogger(__name__)

OF_THE_NETWORK = ("image_size", "in_channels", "num_classes", "batch_size")
"""Keys of `data` that describe what the network was trained to see."""


def evaluate_checkpoint(cfg: DictConfig) -> Path:
    """Score the checkpoint that `cfg.checkpoint` names, and return the folder the scores were written to.

    Raises `UserError` for what the user can put right.
    """
    quiet_libraries()
    run, file = find_run(cfg.checkpoint)
    checkpoint = read_checkpoint(file)
    travels = checkpoint[CHECKPOINT_KEY]
    settings = OmegaConf.create(travels["config"])
    assert isinstance(settings, DictConfig)
    data = data_to_score(settings.data, cfg)

    datamodule = build_datamodule(data)
    check_classes(datamodule, travels["class_names"], file)
    # The network expects images as its own training split was normalised, whatever data it now sees.
    datamodule.normalisation = (tuple(travels["mean"]), tuple(travels["std"]))
    network = build_network(settings.model, datamodule)
    load_network(network, checkpoint, file)
    task = SegmentationTask(network, class_names=travels["class_names"], channels_last=settings.channels_last)
    trainer = build_trainer(
        OmegaConf.merge({"precision": settings.trainer.precision}, cfg.trainer),  # type: ignore[arg-type]
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=run.path,
    )
    rows, summary = score_split(trainer, task, datamodule, cfg.split)
    summary["checkpoint"] = str(file)
    folder = Path(cfg.output).expanduser() if cfg.output else run.path / "evaluations" / label(datamodule, file, cfg)
    if trainer.is_global_zero:
        write_scores(folder, rows, summary)
        draw_test_examples(folder / "images", trainer, task, datamodule, rows)
        print_scores(summary, run.path.name)
        print(f"scores: {folder}")
    return folder


def data_to_score(trained_on: DictConfig, cfg: DictConfig) -> DictConfig:
    """Return the run's data configuration with what the user changed.

    Another dataset keeps the run's image size, channels and batch size unless these are given too.
    Raises `ConfigError` for an unknown split.
    """
    if cfg.split not in ("train", "val", "test"):
        raise ConfigError(f"split is {cfg.split!r}; it must be train, val or test (data.split names a way to split)")
    chosen: dict[str, Any] = OmegaConf.to_container(cfg.data, resolve=True)  # type: ignore[assignment]
    before: dict[str, Any] = OmegaConf.to_container(trained_on)  # type: ignore[assignment]
    if chosen.get("dataset") is not None:
        explicit = {override.partition("=")[0] for override in HydraConfig.get().overrides.task}
        merged = {**chosen, **{key: before[key] for key in OF_THE_NETWORK if f"data.{key}" not in explicit}}
    else:
        merged = {**before, **{key: value for key, value in chosen.items() if value is not None}}
        merged["source"] = chosen.get("root") or merged["source"]
    merged["data_dir"] = cfg.data_dir
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


def label(datamodule: SegmentationDataModule, file: Path, cfg: DictConfig) -> str:
    """Name an evaluation by what was scored: data, split, fold, and the checkpoint where it is not the best one."""
    parts = [datamodule.dataset.name, str(datamodule.split or ""), cfg.split]
    if datamodule.fold is not None:
        parts.insert(1, f"fold{datamodule.fold}")
    if file.stem != "best":
        parts.append(file.stem)
    return "-".join(part for part in parts if part)
