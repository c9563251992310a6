"""Score a saved checkpoint on any dataset and split, with the settings in the checkpoint."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
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
from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder, find_run
from medseg.runs.naming import flatten
from medseg.system.files import read_json, read_yaml, write_csv
from medseg.system.locks import held
from medseg.system.os_errors import check_writable
from medseg.system.process import is_first_process
from medseg.trained.checkpoint import DATA_KEYS, Checkpoint
from medseg.trained.network import TrainedNetwork
from medseg.training.build import build_trainer, check_network, quiet_libraries
from medseg.training.data_record import image_rows
from medseg.training.label_agreement import compare_labels, trained_labels
from medseg.training.scoring import Options, draw_test_examples, score_split, write_scores
from medseg.training.task import SegmentationTask

log = logging.getLogger(__name__)

NETWORK_KEYS = ("image_size", "patches", "in_channels", "batch_size")
"""Keys of `data` that describe what the network was trained to see."""


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
    check_classes(datamodule, metadata.class_names, file)
    check_pixels(datamodule, metadata.pixels, file, stated="intensity_range" in given)
    same_data = datamodule.prepared.identity == metadata.data_identity
    if not same_data and metadata.data_identity is not None:
        compare_labels(datamodule.prepared, metadata)
    if "dataset" in given and not {"split", "fold"} & given:
        choose_split(datamodule, checkpoint, run)
    check_part(datamodule, cfg.split)
    if not same_data and metadata.data_identity is not None and "dataset" not in given:
        log.warning("%s: not the very data that the run was trained on", datamodule.prepared.folder)
    name = evaluation_name(datamodule, file, cfg.split, same_data=same_data, tta=cfg.tta)
    folder = Path(cfg.output).expanduser() if cfg.output else run.evaluations / name
    check_writable(folder)
    record = {
        "data_name": data_name(datamodule),
        "checkpoint_sha256": sha256_of(file),
        "options": options_of(cfg),
        "words": [word for word in overrides if word.partition("=")[0] not in NO_OPTIONS],
    }
    with held_alone(folder):
        stored = {} if cfg.force is not False else stored_summary(folder)
        if is_done(stored, record, datamodule):
            log.info("evaluated already, so not repeated: %s", folder)
            return folder, stored
        return folder, score_checkpoint(checkpoint, datamodule, cfg, folder, record)


def score_checkpoint(
    checkpoint: Checkpoint, datamodule: SegmentationDataModule, cfg: DictConfig, folder: Path, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Score a checkpoint on a data module's test split, and write it to a folder; return the summary.

    `facts`: further entries of the summary. That is written last: without it, an evaluation is none.
    """
    file, metadata = checkpoint.file, checkpoint.metadata
    options = Options.from_config(cfg)
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


NO_OPTIONS = ("checkpoint", "output", "data_dir", "force", "trust", "trainer", "data.source", "data.download")
"""Keys that make no other evaluation, whatever else is the same."""


def options_of(cfg: DictConfig) -> dict[str, Any]:
    """Return the options of an evaluation that can change its scores, by their keys with dots."""
    chosen: dict[str, Any] = flatten(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    left_out = tuple(f"{key}." for key in (*NO_OPTIONS, "data.num_workers", "data.batch_size"))
    options = {key: value for key, value in chosen.items() if not f"{key}.".startswith(left_out)}
    root = options.get("data.root")
    return options if root is None else {**options, "data.root": str(absolute(root))}


def data_name(datamodule: SegmentationDataModule) -> str:
    """Name the data for a report: a folder of the user's own images by its name."""
    own = isinstance(datamodule.dataset, Folder)
    return Path(datamodule.prepared.fingerprint["source"]).stem if own else datamodule.dataset.name


def stored_summary(folder: Path) -> dict[str, Any]:
    """Return the summary of an evaluation; empty where there is none, or a damaged one."""
    try:
        return read_json(folder / "summary.json", optional=True)
    except UserError:
        return {}


def is_done(stored: Mapping[str, Any], record: Mapping[str, Any], datamodule: SegmentationDataModule) -> bool:
    """Tell whether a stored evaluation is of the same checkpoint, data and options; `record`: of the new one."""
    wanted = {key: record[key] for key in ("checkpoint_sha256", "options")}
    wanted["data_identity"] = datamodule.prepared.identity
    return all(stored.get(key) == value for key, value in wanted.items())


@contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """Hold the folder of an evaluation; raises `BusyError` where another process writes to it.

    The further processes of a distributed evaluation belong to the one that holds it.
    """
    if not is_first_process():
        yield
        return
    lock = folder / ".lock"
    try:
        with held(lock, "is evaluating into this folder"):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    finally:
        with suppress(OSError):  # one that was made for the lock alone
            folder.rmdir()


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
    the run's own `data_dir` are read; what has to be prepared goes to the `data_dir` of the command. Images are
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
        new_images = bool({"source", "root"} & set(given))
        if new_images:
            arguments.pop("metadata", None)  # it is of the images of the training
        arguments |= {key: chosen[key] for key in given}
        if "root" in given:
            arguments["source"] = arguments["root"]
        arguments["prepared_in"] = paths.get("data_dir")
    if isinstance(dataset, Folder):
        dataset.given = replace(dataset.given, trained=trained_labels(checkpoint.metadata))
        if "intensity_range" in given:
            dataset.intensity_range = chosen["intensity_range"]
        elif new_images and own_range:
            dataset.intensity_range, dataset.range_stated = own_range, False
        arguments["intensity_range"] = None  # the dataset has it
    arguments |= {"data_dir": cfg.data_dir, "dataset": dataset, "normalisation": checkpoint.metadata.normalisation}
    arguments["test_split"] = cfg.split
    return SegmentationDataModule(**{key: value for key, value in arguments.items() if key != "_target_"})


def choose_split(datamodule: SegmentationDataModule, checkpoint: Checkpoint, run: RunFolder) -> None:
    """Choose what is scored of a dataset that the user named without naming a split.

    The folder of the training keeps the split of the training. Of another folder without a split of its own,
    everything is scored.
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
            "scored on all %d images: the folder has no split of its own (data.split=random draws one)",
            len(prepared.ids),
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
        others = " or ".join(f"split={split} ({count} images)" for split, count in counts.items() if count)
        raise ConfigError(
            f"{datamodule.dataset.title}: the {part} split has no images; give {others}, or data.split=all to score "
            "every image" + ("" if part == "test" else " with split=test")
        )


def data_paths(run: RunFolder) -> dict[str, str]:
    """Return where the data of a run were read from, `source`, and prepared, `data_dir`, its `groups` and `metadata`.

    Only what exists is returned; it is read, and never written to.
    """
    try:
        data = read_yaml(run.config, optional=True).get("data")
    except UserError:
        return {}
    if not isinstance(data, dict):
        return {}
    paths = {"source": data.get("source") or data.get("root"), "data_dir": data.get("data_dir")}
    paths |= {"metadata": data.get("metadata")}
    found = {key: path for key, path in paths.items() if isinstance(path, str) and Path(path).expanduser().exists()}
    table = groups_table(str(data.get("groups")))
    return found | {"groups": ":".join(table)} if table and Path(table[0]).exists() else found


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

    Raises `ConfigError`.
    """
    names = datamodule.prepared.class_names
    if len(names) != len(class_names):
        raise ConfigError(
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

    Data and split; the key of the prepared data where they are not the run's own; the fold; the way to split; the
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
