"""Score a saved checkpoint on any dataset and split, with the settings in the checkpoint."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.config.instantiate import instantiate
from medseg.data.module import SegmentationDataModule
from medseg.errors import ConfigError, UserError
from medseg.runs.files import read_yaml
from medseg.runs.folder import RunFolder, find_run
from medseg.runs.show import print_scores
from medseg.system.os_errors import check_writable
from medseg.trained.settings import OF_THE_DATA, Checkpoint
from medseg.training.build import build_metrics, build_trainer, check_network, quiet_libraries
from medseg.training.scoring import draw_test_examples, score_split, write_scores
from medseg.training.task import SegmentationTask

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
    checkpoint = Checkpoint.read(file)
    settings = checkpoint.settings
    datamodule = data_to_score(checkpoint, run, cfg)
    check_classes(datamodule, settings.class_names, file)
    if settings.mean is not None and settings.std is not None:
        # The network expects images as its own training split was normalised, whatever data it now sees.
        datamodule.normalisation = (tuple(settings.mean), tuple(settings.std))
    own = datamodule.prepared.identity == settings.data_identity
    if not own and settings.data_identity is not None and "dataset" not in changed(cfg):
        log.warning("%s: not the very data that the run was trained on", datamodule.prepared.folder)
    name = label(datamodule, file, cfg.split, own=own)
    folder = Path(cfg.output).expanduser() if cfg.output else run.path / "evaluations" / name
    check_writable(folder)
    network = checkpoint.build(trust=cfg.trust)
    check_network(network, datamodule)
    # The outputs of an imported network have no names of their own.
    class_names = settings.class_names if settings.data_identity else datamodule.prepared.class_names
    task = SegmentationTask(network, class_names=class_names, channels_last=settings.configuration.channels_last)
    trainer = build_trainer(
        OmegaConf.merge({"precision": settings.precision}, cfg.trainer),  # type: ignore[arg-type]
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        default_root_dir=run.path,
    )
    if settings.device not in (None, trainer.strategy.root_device.type):
        log.warning(
            "scored on %s, trained on %s: scores can differ in the last digits",
            trainer.strategy.root_device.type,
            settings.device,
        )
    scores = score_split(trainer, task, datamodule, metrics).with_facts(checkpoint=str(file))
    if trainer.is_global_zero:
        write_scores(folder, scores)
        draw_test_examples(folder / "images", datamodule, scores)
        print_scores(scores.summary, run.path.name)
        print(f"scores: {folder}")
    return folder


def changed(cfg: DictConfig) -> set[str]:
    """Name the keys of `data` that the command line gives; `dataset` where another dataset is chosen."""
    given = {override.partition("=")[0].lstrip("+") for override in HydraConfig.get().overrides.task}
    keys = {key.partition(".")[2] for key in given if key.startswith("data.")}
    return keys | {"dataset"} if cfg.data.get("dataset") is not None else keys


def data_to_score(checkpoint: Checkpoint, run: RunFolder, cfg: DictConfig) -> SegmentationDataModule:
    """Return the data of the training with what the user changed, or the data that the user chose.

    Another dataset keeps the network's image size, channels and batch size unless these are given too. Prepared data in
    the run's own `data_dir` are read; what has to be prepared goes to the `data_dir` of the command.

    Raises `ConfigError` for a checkpoint of no data without other data.
    """
    chosen: dict[str, Any] = OmegaConf.to_container(cfg.data, resolve=True)  # type: ignore[assignment]
    before = checkpoint.settings.configuration.data
    given = changed(cfg)
    if "dataset" in given:
        arguments = {**chosen, **{key: before[key] for key in OF_THE_NETWORK if key in before and key not in given}}
        dataset = instantiate(cfg.data.dataset)
        arguments["data_dir"] = cfg.data_dir
    else:
        dataset = checkpoint.dataset(trust=cfg.trust)
        if dataset is None:
            raise ConfigError(
                f"{checkpoint.file} was imported and is of no data: choose what to score it on with data=..."
            )
        there = where_data_are(run)
        arguments = {key: before[key] for key in OF_THE_DATA if key in before}
        arguments |= {"source": there.get("source"), **{key: chosen[key] for key in given}}
        if "root" in given:
            arguments["source"] = arguments["root"]
        arguments |= {"data_dir": cfg.data_dir, "prepared_in": there.get("data_dir")}
    arguments |= {"dataset": dataset, "test_split": cfg.split}
    return SegmentationDataModule(**{key: value for key, value in arguments.items() if key != "_target_"})


def where_data_are(run: RunFolder) -> dict[str, str]:
    """Return where the data of a run were read from, `source`, and prepared, `data_dir`, as its folder says.

    Only what exists is returned; it is read, and never written to.
    """
    try:
        data = read_yaml(run.config, optional=True).get("data")
    except UserError:
        return {}
    if not isinstance(data, dict):
        return {}
    there = {"source": data.get("source") or data.get("root"), "data_dir": data.get("data_dir")}
    return {key: path for key, path in there.items() if isinstance(path, str) and Path(path).expanduser().exists()}


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
