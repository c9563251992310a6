"""A run as read from its folder: what it is, how it ended, its scores. Nothing but the folder is read."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from medseg.errors import UserError
from medseg.runs.files import MAX_BYTES, parse_yaml, read_json, read_text
from medseg.runs.folder import RunFolder
from medseg.runs.naming import digest, flatten, is_ignored
from medseg.runs.schema import DATA, ENVIRONMENT, RECORD, STATUS, SUMMARY, check, read_checked
from medseg.runs.state import present_state

if TYPE_CHECKING:
    from medseg.metrics.measures import Measures
    from medseg.runs.scores import PerImage

WHOLE_CONFIG = ("model", "data", "loss", "optimizer", "trainer", "callbacks")
"""Keys of every configuration; the last one stands at its end."""

DAMAGED = "damaged"
"""State of a run whose files cannot be read."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run. What takes time to read is read on first use; a damaged file then raises `UserError`.

    Args:
        folder: path of the run folder; of a job that has not begun, where it will be.
        name: as it was given when the run began; the folder may have been renamed.
        state: finished, running, interrupted, failed, waiting or damaged, as it is now (`medseg.runs.state`).
        error: why a run failed, was killed or is damaged; the last line is the shortest form. None otherwise.
        experiment: folder of `runs/` that the run was made in.
        model, data: names of network and dataset.
        seed: of weights and order.
        fold: of cross-validation; None without.
        setting: what the runs of all seeds share.
        choices: group -> option.
        default_choices: group -> option where nothing is chosen; empty in runs of older versions.
        defaults: key with dots -> default value, for each key that has another value than the chosen options give
            it; None in runs of older versions.
        overrides: `key=value` as given on the command line.
        status: content of `status.json`.
        id: of this training; a copy has the same.
        position: of the job in its sweep, in the order of the command line.
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
    default_choices: Mapping[str, str | None] = field(default_factory=dict)
    defaults: Mapping[str, Any] | None = None
    overrides: tuple[str, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    position: int = 0

    @property
    def finished(self) -> bool:
        return self.state == "finished"

    @cached_property
    def _configuration(self) -> Configuration:
        return read_config(self.folder / "config.yaml", self.seed)

    @property
    def config(self) -> dict[str, Any]:
        """The composed configuration; empty before the run begins."""
        return self._configuration[0]

    @property
    def settings(self) -> dict[str, Any]:
        """The values that can change the result, by their keys with dots; one object for all seeds of a setting."""
        return self._configuration[1]

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, command; empty before the run begins."""
        return read_checked(self.folder / "environment.json", ENVIRONMENT)

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """Content of `data.json`; empty in runs of older versions."""
        return read_checked(self.folder / "data.json", DATA)

    @cached_property
    def images(self) -> list[dict[str, str]]:
        """Rows of `images.csv`: id, split, group; empty in runs of older versions."""
        return read_rows(self.folder / "images.csv", ("id", "split", "group"))

    @cached_property
    def groups(self) -> dict[str, str]:
        """Test image -> its group, such as a patient; empty where the dataset has no groups."""
        return {row["id"]: row["group"] for row in self.images if row["group"] and row["split"] == "test"}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Content of `test/summary.json`; empty before the test."""
        return read_checked(RunFolder(self.folder).summary, SUMMARY)

    @cached_property
    def per_image(self) -> PerImage:
        """The scores of the test images."""
        from medseg.runs.scores import read_per_image  # not above: numpy, which the state of a run needs not wait for

        return read_per_image(RunFolder(self.folder).per_image, self._scores)

    @cached_property
    def _scores(self) -> bytes:
        """Content of `test/per_image.csv`, which tells copies and has the scores; empty where it cannot be read."""
        try:
            return RunFolder(self.folder).per_image.read_bytes()
        except OSError:
            return b""

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """One row per epoch: epoch, step, lr, train/loss, val/loss, val/dice, val/iou, seconds; NaN where empty."""
        rows = read_rows(RunFolder(self.folder).metrics)
        try:
            return [{key: float(value) if value else math.nan for key, value in row.items()} for row in rows]
        except ValueError as error:
            raise UserError(f"{RunFolder(self.folder).metrics}: damaged ({error})") from None

    @property
    def measures(self) -> Measures:
        """The table of scores, with those of the user's own that this run was scored by."""
        from medseg.metrics.measures import MEASURES

        return MEASURES.with_own(self.summary.get("own_metrics", {}))

    @property
    def parameters(self) -> int | None:
        """Number of the network's parameters; None before the test."""
        return self.summary.get("parameters")

    @property
    def training_seconds(self) -> float | None:
        """Seconds of all epochs; None before the test."""
        return self.summary.get("training_seconds")

    @cached_property
    def changed(self) -> frozenset[str]:
        """The keys with another value than the chosen options give; in older runs, those of the command line."""
        if self.defaults is not None:
            return frozenset(self.defaults)
        given = {override.lstrip("+").partition("=")[0] for override in self.overrides}
        return frozenset(key for key in given if "." in key and not is_ignored(key))

    @cached_property
    def deviations(self) -> dict[str, Any]:
        """Group -> option where it is not the usual one, and key -> value for each key of `changed`."""
        options = {
            group: option
            for group, option in self.choices.items()
            if group in self.default_choices and option != self.default_choices[group] and not is_ignored(group)
        }
        return options | {key: self.settings[key] for key in sorted(self.changed) if key in self.settings}

    @cached_property
    def content(self) -> tuple[Any, ...]:
        """What a finished run holds: settings, seed, fold, scores. A copy holds the same, whatever its name.

        Raises `UserError` where it lacks its configuration or its scores.
        """
        if not (self.settings and self._scores):
            raise UserError(f"{self.folder}: without its configuration or its scores")
        return self._configuration[2], self.seed, self.fold, hashlib.sha256(self._scores).hexdigest()

    @property
    def whole(self) -> bool:
        """Whether a run has its `content`, as far as that can be told without parsing the scores."""
        try:
            return bool(self.content)
        except UserError:
            return False

    @property
    def marks(self) -> set[Hashable]:
        """What a copy shares with it even where it is damaged: its id, and its name in its experiment."""
        job: Hashable = ("job", self.name, self.experiment)
        return {job, ("id", self.id)} if self.id else {job}

    def damaged(self, reason: str) -> Run:
        """Return the same run in the state `damaged`."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        run = Run(**{**values, "state": DAMAGED, "error": reason})
        nothing: dict[str, Any] = {
            "_configuration": ({}, {}, ""),
            "environment": {},
            "dataset": {},
            "images": [],
            "summary": {},
        }
        for name, empty in nothing.items():
            try:
                getattr(run, name)
            except UserError:  # read once, so nothing fails on it later
                run.__dict__[name] = empty
        return run


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's."""
    return any((folder / name).exists() for name in ("status.json", "run.json"))


def read_run(folder: Path, positions: Mapping[str, int] | None = None) -> Run:
    """Read one run; `positions`: of the jobs of its sweep, by their names.

    Raises `UserError` where `run.json` is missing or damaged. A damaged `status.json` makes the run a damaged one.
    """
    record = read_json(folder / "run.json")
    check(record, RECORD, folder / "run.json")
    status: dict[str, Any] = {}
    reason = None
    try:
        status = read_json(folder / "status.json", optional=True)
        check(status, STATUS, folder / "status.json")
    except UserError as error:
        status, reason = {}, str(error)
    run = from_record(folder, record, status, (positions or {}).get(record["name"], 0))
    return run.damaged(reason) if reason else run


def from_record(folder: Path, record: Mapping[str, Any], status: Mapping[str, Any], position: int = 0) -> Run:
    """Make a run of the content of `run.json`, or of an entry of `sweep.json`, and of `status.json`."""
    state, remark = present_state(status)
    return Run(
        folder=folder,
        name=record["name"],
        state=state,
        error=remark or None,
        experiment=record["experiment"],
        model=record["model"],
        data=record["data"],
        seed=record["seed"],
        fold=record.get("fold"),
        setting=record["setting"],
        choices=record.get("choices") or {},
        default_choices=record.get("default_choices") or {},
        defaults=record.get("defaults"),
        overrides=tuple(record.get("overrides") or ()),
        status=status,
        id=str(record.get("id") or status.get("wandb_id") or ""),
        position=position,
    )


Configuration = tuple[dict[str, Any], dict[str, Any], str]
"""A configuration, its settings by their keys with dots, and a digest of these."""


def read_config(file: Path, seed: int) -> Configuration:
    """Read the configuration of a run; empty where there is none.

    Raises `UserError` for a damaged file.
    """
    try:
        text = read_text(file, MAX_BYTES[".yaml"], optional=True)
        if text is None:
            return {}, {}, ""
        if not text.endswith("\n"):  # what is left of half a file may well be YAML
            raise ValueError("cut short")
        # The runs of a setting differ in the line of the seed alone, and parsing is what takes the time.
        head, line, tail = text.partition(f"\nseed: {seed}\n")
        if not line:
            return parse_config(text)
        config, settings, code = parse_config(f"{head}\n{tail}")
        return {**config, "seed": seed}, settings, code
    except (ValueError, yaml.YAMLError, TypeError) as error:
        raise UserError(f"{file}: damaged ({' '.join(str(error).split())[:120]})") from None


@lru_cache(maxsize=4096)
def parse_config(text: str) -> Configuration:
    """Parse a configuration; what is returned must not be changed."""
    content = parse_yaml(text)
    lacking = [key for key in WHOLE_CONFIG if key not in content] if isinstance(content, dict) else WHOLE_CONFIG
    if lacking:  # of half a file, which an absent key must not be mistaken for
        raise ValueError(f"no {lacking[0]!r} in it")
    settings = {key: value for key, value in flatten(content).items() if not is_ignored(key)}
    return content, settings, digest(settings)


def read_rows(file: Path, needed: tuple[str, ...] = ()) -> list[dict[str, str]]:
    """Read the rows of a CSV file; empty where there is none.

    Raises `UserError` for a damaged file: a row of another length, a missing column.
    """
    try:
        text = file.read_bytes().decode("utf-8")
        if text and not text.endswith("\n"):  # the last number may lack its end
            raise ValueError("cut short")
        header, *rows = list(csv.reader(io.StringIO(text, newline=""))) or [[]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{file}: damaged ({error})") from None
    if not header or not set(needed) <= set(header):
        raise UserError(f"{file}: damaged (no header)")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise UserError(f"{file}: damaged (line {line} has {len(row)} of {len(header)} cells)")
    return [dict(zip(header, row, strict=True)) for row in rows]
