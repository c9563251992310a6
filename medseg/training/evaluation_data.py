"""The data that a checkpoint is scored on: those of its training, or what the user chose; and whether they fit it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from medseg.config.checks.data import groups_table
from medseg.config.instantiate import instantiate
from medseg.data.datasets import Folder
from medseg.data.module import SegmentationDataModule
from medseg.data.pixel_format import PixelFormat
from medseg.data.sources.problems import DARK, read_problems
from medseg.errors import ConfigError, DataError, UserError, count
from medseg.runs.folder import RunFolder
from medseg.system.files import read_yaml
from medseg.trained.checkpoint import DATA_KEYS, Checkpoint
from medseg.training.label_agreement import trained_labels

log = logging.getLogger(__name__)

NETWORK_KEYS = ("image_size", "patches", "in_channels", "batch_size")
"""Keys of `data` that describe what the network was trained to see."""


SAME_IMAGES = ("split", "fold", "groups", "metadata", "fraction", "spacing", "batch_size", "num_workers", "download")
"""Keys of `data` that leave the prepared images as they are."""


class OtherClassesError(ConfigError):
    """The data have another number of classes than the network."""


def data_name(datamodule: SegmentationDataModule) -> str:
    """Name the data for a report: a folder of the user's images by its name."""
    own = isinstance(datamodule.dataset, Folder)
    return Path(datamodule.prepared.fingerprint["source"]).stem if own else datamodule.dataset.name


def given_keys(cfg: DictConfig, overrides: Collection[str]) -> set[str]:
    """Name the keys of `data` that the command line gives; `dataset` where another dataset is chosen."""
    words = {override.partition("=")[0].lstrip("+") for override in overrides}
    keys = {key.partition(".")[2] for key in words if key.startswith("data.")}
    return keys | {"dataset"} if cfg.data.get("dataset") is not None else keys


def data_to_score(
    checkpoint: Checkpoint, run: RunFolder, cfg: DictConfig, given: Collection[str]
) -> SegmentationDataModule:
    """Return the data of the training with what the user changed, or the data that the user chose.

    Another dataset keeps the network's image size, channels and batch size unless these are given too. Prepared data in
    the `data_dir` of the run are read; what has to be prepared goes to the `data_dir` of the command. Images are
    normalised as those of the training, whatever data they are from, and files of more than 8 bits are on its scale.

    Raises `ConfigError` for a checkpoint of no data without other data.
    """
    chosen: dict[str, Any] = OmegaConf.to_container(cfg.data, resolve=True)  # type: ignore[assignment]
    before, pixels = checkpoint.metadata.configuration.data, checkpoint.metadata.pixels
    own_range = None if pixels.plain else [pixels.low, pixels.high]
    if "dataset" in given:
        arguments = {**chosen, **{key: before[key] for key in NETWORK_KEYS if key in before and key not in given}}
        dataset = instantiate(cfg.data.dataset)
        new_images = True
    else:
        dataset = checkpoint.dataset(trust=cfg.trust)
        if dataset is None:
            raise ConfigError(
                f"{checkpoint.file} was imported and is of no data: choose what to score it on with data=..."
            )
        paths = data_paths(run)
        arguments = {key: before[key] for key in DATA_KEYS if key in before}
        arguments |= {key: paths.get(key) for key in ("source", "groups", "metadata") if key in paths}
        arguments["spacing"] = configured_data(run).get("spacing")
        new_images = bool({"source", "root"} & set(given))
        if new_images:  # these are of the images of the training
            arguments |= {"metadata": None, "spacing": None}
        arguments |= {key: chosen[key] for key in given}
        if "root" in given:
            arguments["source"] = arguments["root"]
        if isinstance(dataset, Folder) and arguments.get("source") is None:
            was = stored_source(configured_data(run))
            gone = f"its images were in {was}, which is not there" if was else "it is not known where its images were"
            raise DataError(f"{checkpoint.file}: {gone}; give data.root=FOLDER, where they are")
        arguments["prepared_in"] = paths.get("data_dir")
    if isinstance(dataset, Folder):
        dataset.given = replace(dataset.given, trained=trained_labels(checkpoint.metadata))
        if "intensity_range" in given:
            dataset.intensity_range = chosen["intensity_range"]
        elif new_images and own_range:
            dataset.intensity_range, dataset.range_stated = own_range, False
        arguments["intensity_range"] = None  # the dataset has it
    if bool(arguments.get("patches")) != bool(before.get("patches")):
        seen = ["images resized to its size", "windows of images at native size"]
        trained, tested = seen if arguments.get("patches") else reversed(seen)
        log.warning("the network was trained on %s and is given %s", trained, tested)
    arguments |= {"data_dir": cfg.data_dir, "dataset": dataset, "normalisation": checkpoint.metadata.normalisation}
    arguments["test_split"] = cfg.split
    return SegmentationDataModule(**{key: value for key, value in arguments.items() if key != "_target_"})


def choose_split(datamodule: SegmentationDataModule, checkpoint: Checkpoint, run: RunFolder) -> None:
    """Choose what is scored of a dataset that the user named without naming a split.

    The folder of the training keeps the split of the training. Of another folder without a split, everything is scored.
    """
    prepared, paths, before = datamodule.prepared, data_paths(run), checkpoint.metadata.configuration.data
    same_images = prepared.identity == checkpoint.metadata.data_identity
    archives = datamodule.dataset.archives
    if same_images and (archives or absolute(datamodule.source) == absolute(paths.get("source"))):
        datamodule.split, datamodule.fold = before.get("split"), before.get("fold")
        datamodule.grouping = datamodule.grouping or paths.get("groups") or before.get("groups")
    elif isinstance(datamodule.dataset, Folder) and not any(row.split for row in prepared.samples):
        datamodule.split = "all"
        log.info(
            "scored on everything, %s: the folder has no split (data.split=random draws one)",
            count(len(prepared.ids), "image"),
        )
        if same_images:
            log.warning("they are the images that the run was trained on; without data=folder, its split is kept")


def absolute(path: str | Path | None) -> Path | None:
    """Return a path without links and relative parts."""
    return None if path is None else Path(path).expanduser().resolve()


def check_part(datamodule: SegmentationDataModule, part: str) -> None:
    """Raise `ConfigError` where the part of the data that is to be scored has no images."""
    counts = {split: len(indices) for split, indices in datamodule.indices.items()}
    if not counts[part]:
        others = " or ".join(f"split={split} ({count(images, 'image')})" for split, images in counts.items() if images)
        raise ConfigError(
            f"{datamodule.dataset.title}: the {part} split has no images; give {others}, or data.split=all to score "
            "every image" + ("" if part == "test" else " with split=test")
        )


def data_paths(run: RunFolder) -> dict[str, str]:
    """Return where the data of a run were read from, `source`, and prepared, `data_dir`, its `groups` and `metadata`.

    Only what exists is returned; it is read, and never written to.
    """
    data = configured_data(run)
    paths = {"source": stored_source(data), "data_dir": data.get("data_dir"), "metadata": data.get("metadata")}
    found = {key: path for key, path in paths.items() if isinstance(path, str) and Path(path).expanduser().exists()}
    table = groups_table(str(data.get("groups")))
    return found | {"groups": ":".join(table)} if table and Path(table[0]).exists() else found


def stored_source(data: Mapping[str, Any]) -> str | None:
    """Return where the images of a run were, of the group `data` of its configuration; None where it is not known.

    An absolute path comes first: in older runs `source` is as it was given, and `root` alone is absolute.
    """
    given = [path for path in (data.get("source"), data.get("root")) if isinstance(path, str) and path]
    return next((path for path in given if Path(path).expanduser().is_absolute()), given[0] if given else None)


def check_same_images(datamodule: SegmentationDataModule, file: Path, run: RunFolder, given: Collection[str]) -> None:
    """Check data that are not those of the training: somebody must have chosen them.

    Raises `ConfigError` where no option in `given` asks for other images, or for the same ones in another form.
    """
    folder, source = datamodule.prepared.folder, stored_source(configured_data(run))
    if not {key.partition(".")[0] for key in given} - {*SAME_IMAGES}:
        were = "" if source is None else f" (those were in {source})"
        raise ConfigError(
            f"{folder}: not the images that {file} was trained on{were}; to score these or others, name them: "
            "data.root=FOLDER, data.source=DIR or data=NAME"
        )
    if "dataset" not in given:
        log.warning("%s: not the very data that the run was trained on", folder)


def configured_data(run: RunFolder) -> dict[str, Any]:
    """Return the group `data` of a run's configuration; empty where it cannot be read."""
    try:
        data = read_yaml(run.config, optional=True).get("data")
    except UserError:
        return {}
    return data if isinstance(data, dict) else {}


def check_pixels(datamodule: SegmentationDataModule, pixels: PixelFormat, file: Path, *, stated: bool) -> None:
    """Check that the images are on the scale of the training's, unless the user states theirs.

    Raises `ConfigError`; warns where all of them use a small part of its range.
    """
    here = datamodule.prepared.pixels
    same = (here.low, here.high) == (pixels.low, pixels.high) and all(pixels.takes(np.dtype(t)) for t in here.stored)
    if not same and not stated:
        option = "percentiles" if here.range == pixels.range else here.range
        option = "[0,255]" if here.stored == ("uint8",) else option
        advice = f"; state which values are black and white here, such as data.intensity_range={option}"
        if not isinstance(datamodule.dataset, Folder):
            advice = "; use them as data=folder with data.intensity_range=[0,255]"
        raise ConfigError(
            f"{file} was trained on {pixels.describe()}, the files of {datamodule.dataset.title} are {here.describe()}"
            f"{advice}"
        )
    if stated:
        return
    for each in read_problems(datamodule.prepared.folder / "problems.csv"):
        if each.kind == DARK:
            log.warning(
                "nearly black to the network: the values of all images are in %s, a small part of %s, the range of its "
                "training; where that is another scale, give data.intensity_range=%s",
                each.detail,
                pixels.range,
                each.detail,
            )


def check_classes(datamodule: SegmentationDataModule, class_names: list[str], file: Path) -> None:
    """Check that the data have as many classes as the checkpoint's network.

    Raises `OtherClassesError`.
    """
    names = datamodule.prepared.class_names
    if len(names) != len(class_names):
        raise OtherClassesError(
            f"{file} predicts {len(class_names)} classes ({', '.join(class_names)}), {datamodule.dataset.title} has "
            f"{len(names)} ({', '.join(names)}){advice_on_classes(datamodule, len(class_names))}"
        )


def advice_on_classes(datamodule: SegmentationDataModule, wanted: int) -> str:
    """Return what to do about data with another number of classes; empty where nothing helps."""
    if not isinstance(datamodule.dataset, Folder):
        return ""
    if datamodule.prepared.num_classes > wanted:
        return "; join classes with data.labels, such as 'data.labels={background: 0, one: [1, 2]}'"
    return f"; where the masks are class indices and lack a class, give data.num_classes={wanted}"


def evaluation_name(
    datamodule: SegmentationDataModule, file: Path, split: str, *, same_data: bool, tta: bool = False
) -> str:
    """Name an evaluation by what was scored, so that no other evaluation has its name.

    Data and split; the key of the prepared data where they are not those of the run; the fold; the way to split; the
    checkpoint where it is not the best one; `tta` where the flips are averaged.
    """
    parts = [datamodule.dataset.name if same_data else datamodule.prepared.folder.name]
    if datamodule.fold is not None:
        parts.append(f"fold{datamodule.fold}")
    elif datamodule.split is not None:
        parts.append(datamodule.split)
    parts.append(split)
    if file.stem != "best":
        parts.append(file.stem)
    return "-".join([*parts, "tta"] if tta else parts)
