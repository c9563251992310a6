"""The runs of a report, as they lie in their folders. A file is read when it is needed; nothing is computed."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from medseg.errors import UserError
from medseg.runs.files import read_csv
from medseg.runs.folder import RunFolder
from medseg.runs.state import present_state

COUNTS = ("tp", "fp", "fn", "tn")

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where that is there: a run's configuration takes 2 ms instead of 20."""

GROUPS = ("model", "data", "augmentation", "loss", "optimizer", "scheduler", "trainer", "logger", "callbacks")
"""Groups of the configuration of runs that were made before `run.json` told their choices."""


@dataclass(frozen=True)
class PerImage:
    """The scores of a run's test images.

    Args:
        ids: of the N images, in the order of the file.
        classes: the C foreground classes.
        counts: N x C x 4: tp, fp, fn, tn.
        background: N x 4, the same of the background; NaN where the file does not tell them.
        scores: score -> N: mean over the foreground classes that have a value, NaN where none has.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    background: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Run:
    """One run. What costs time to read is read when it is asked for.

    Args:
        folder: where it lies, or would lie.
        name: of the folder.
        state: finished, running, interrupted, failed or waiting; as it is now (`medseg.runs.state`).
        error: what ended a failed run; its last line is the shortest account of it. Of a killed one, that it was.
        experiment: the folder of `runs/` that it belongs to.
        model: name of the network.
        data: name of the dataset.
        seed: of weights and order.
        fold: of cross-validation; None without.
        setting: what the runs of all seeds share.
        choices: group -> option.
        overrides: `key=value` as given on the command line.
        status: content of `status.json`.
        position: of the job in its sweep, in the order of the command line; 0 for a run of no sweep.
    """

    folder: Path
    name: str
    state: str
    error: str | None
    experiment: str
    model: str
    data: str
    seed: int
    fold: int | None
    setting: str
    choices: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    position: int = 0

    @property
    def finished(self) -> bool:
        return self.state == "finished"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The composed configuration; empty where the run left none."""
        return read_yaml(self.folder / "config.yaml")

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, command; empty where the run left none."""
        return read_json(self.folder / "environment.json")

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Content of `test/summary.json`; empty before the test."""
        return read_json(RunFolder(self.folder).summary)

    @cached_property
    def per_image(self) -> PerImage:
        """The scores of the test images.

        Raises `UserError` where the file is missing or damaged.
        """
        return read_per_image(RunFolder(self.folder).per_image)

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """One row per epoch: epoch, step, lr, train/loss, val/loss, val/dice, val/iou, seconds; NaN where empty."""
        rows = read_csv(RunFolder(self.folder).metrics)
        return [{key: float(value) if value else np.nan for key, value in row.items()} for row in rows]

    @property
    def parameters(self) -> int | None:
        """Trained and fixed parameters of the network; None before the test."""
        return self.summary.get("parameters")

    @property
    def training_seconds(self) -> float | None:
        """Seconds of all epochs; None before the test."""
        return self.summary.get("training_seconds")


def read_runs(paths: Sequence[str | Path]) -> list[Run]:
    """Read the runs in the given folders: run folders, experiment folders, or folders of those. Sorted by name.

    Jobs of a `sweep.json` that have not begun are runs in state `waiting`.
    Raises `UserError` for a folder that is not there or that holds no run.
    """
    runs: dict[Path, Run] = {}
    for given in paths:
        path = Path(given).expanduser()
        if not path.exists():
            raise UserError(f"{path}: no such folder; give a folder below runs/, such as runs/main")
        found = {run.folder.resolve(): run for run in read_below(path)}
        if not found:
            raise UserError(f"{path}: no runs in it; give a run folder, or the folder of a sweep, such as runs/main")
        runs = {**found, **runs}
    return sorted(runs.values(), key=lambda run: (run.name, run.experiment, str(run.folder)))


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run's."""
    return any((folder / name).exists() for name in ("status.json", "run.json"))


def read_below(path: Path, jobs: Mapping[str, Any] | None = None) -> Iterator[Run]:
    """Yield the runs at and below a folder, and the jobs that have no folder yet; `jobs`: of the sweep around it."""
    if is_run(path):
        yield read_run(path, jobs if jobs is not None else read_jobs(path.parent))
    elif path.is_dir():
        jobs = read_jobs(path)
        for name, job in jobs.items():
            if not is_run(path / name):
                yield from_record(path / name, {"experiment": path.name, **job}, {})
        for child in sorted(path.iterdir()):
            if child.is_dir() and not child.name.startswith("."):
                yield from read_below(child, jobs)


def read_jobs(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the jobs of a sweep by their names, each with its position; empty where there is no `sweep.json`."""
    jobs = read_json(folder / "sweep.json").get("jobs", [])
    return {job["name"]: {**job, "position": position} for position, job in enumerate(jobs)}


def read_run(folder: Path, jobs: Mapping[str, Any]) -> Run:
    """Read one run; `jobs` are those of its sweep."""
    record = read_json(folder / "run.json") or derived_record(folder)
    position = jobs.get(folder.name, {}).get("position", 0)
    return from_record(folder, {**record, "position": position}, read_json(folder / "status.json"))


def from_record(folder: Path, record: Mapping[str, Any], status: Mapping[str, Any]) -> Run:
    """Make a run of what `run.json` says of it, or `sweep.json`, and `status.json`."""
    name = record.get("name") or folder.name
    state, remark = present_state(status)
    return Run(
        folder=folder,
        name=name,
        state=state,
        error=remark or None,
        experiment=record.get("experiment") or folder.parent.name,
        model=record["model"],
        data=record["data"],
        seed=record["seed"],
        fold=record.get("fold"),
        setting=record.get("setting") or name,
        choices=record.get("choices") or {},
        overrides=tuple(record.get("overrides") or ()),
        status=status,
        position=record.get("position", 0),
    )


def derived_record(folder: Path) -> dict[str, Any]:
    """Tell from its name, configuration and command what a run is that was made before `run.json` was written."""
    config = read_yaml(folder / "config.yaml")
    setting, _, seed = folder.name.partition("-seed")
    parts = [*setting.split("-"), "", ""]
    fold = re.search(r"-fold(\d+)-", setting)
    command = read_json(folder / "environment.json").get("command", [])
    overrides = [word for word in command[1:] if "=" in word]
    given = dict(word.lstrip("+").split("=", 1) for word in overrides)
    choices = {"model": parts[0], "data": parts[1]} | {group: given[group] for group in GROUPS if group in given}
    return {
        "experiment": config.get("experiment"),
        "model": parts[0],
        "data": parts[1],
        "seed": config.get("seed", int(seed) if seed.isdigit() else 0),
        "fold": int(fold[1]) if fold else None,
        "setting": setting,
        "choices": choices,
        "overrides": overrides,
    }


def read_per_image(file: Path) -> PerImage:
    """Read `per_image.csv`.

    Raises `UserError` where it is missing, empty or damaged.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            header, *rows = csv.reader(stream)
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        ids, classes = tuple(dict.fromkeys(columns["id"])), tuple(dict.fromkeys(columns["class"]))
        shape = (len(ids), len(classes))
        # One row per image and class, the classes of an image together.
        if list(zip(columns["id"], columns["class"], strict=True)) != [(a, b) for a in ids for b in classes]:
            raise ValueError("not one row per image and class")
        values = {
            name: np.array([float(cell or "nan") for cell in cells]).reshape(shape)
            for name, cells in columns.items()
            if name not in ("id", "class")
        }
    except FileNotFoundError:
        raise UserError(f"{file}: missing, though the run is finished; repeat it with force=true") from None
    except (ValueError, KeyError) as error:
        raise UserError(f"{file}: damaged ({error}); repeat the run with force=true") from None
    counts = np.stack([values.pop(name) for name in COUNTS], axis=-1).astype(np.int64)
    if "background_tp" not in values:
        values["background_tp"] = np.full(shape, np.nan) if len(classes) > 1 else counts[..., 3].astype(np.float64)
    background = counts_of_background(counts, values.pop("background_tp")[:, 0])
    scores = {name: mean_over_classes(score) for name, score in values.items()}
    return PerImage(ids, classes, counts, background, scores)


def counts_of_background(counts: NDArray[np.int64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Make the counts of the background from those of the other classes. N x C x 4 -> N x 4.

    Args:
        counts: of the foreground classes.
        right: how many pixels of each image are background in truth and prediction, N.
    """
    pixels = counts[:, 0].sum(axis=-1)
    tp, fp, fn, _ = np.moveaxis(counts.sum(axis=1), -1, 0)
    too_much, missed = pixels - (tp + fp) - right, pixels - (tp + fn) - right
    return np.stack([right, too_much, missed, pixels - right - too_much - missed], axis=-1)


def mean_over_classes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes of each image that have a value, NaN where none has. N x C -> N."""
    present = ~np.isnan(values)
    total = np.where(present, values, 0.0).sum(axis=1)
    return np.divide(total, present.sum(axis=1), out=np.full(len(values), np.nan), where=present.any(axis=1))


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file; empty where there is none.

    Raises `UserError` where it is damaged.
    """
    if not file.exists():
        return {}
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: damaged ({error})") from None


def read_yaml(file: Path) -> dict[str, Any]:
    """Read a YAML file; empty where there is none."""
    if not file.exists():
        return {}
    return yaml.load(file.read_text(encoding="utf-8"), Loader=YAML_LOADER) or {}
