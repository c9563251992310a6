"""A run as read from its folder: what it is, how it ended, its scores. Nothing but the folder is read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.config.tuning import tuned_keys
from medseg.errors import UserError
from medseg.runs.configuration import WHOLE_CONFIG, Configuration, read_config
from medseg.runs.folder import CALIBRATION, CONFIDENCE, RunFolder
from medseg.runs.naming import is_ignored
from medseg.runs.packed.archive import with_files
from medseg.runs.schema import DATA, ENVIRONMENT, RECORD, STATUS, SUMMARY, check, read_checked
from medseg.runs.state import WAITING, present_state
from medseg.system.files import damaged, numbers, read_csv, read_json, read_table

if TYPE_CHECKING:
    from medseg.metrics.measures import Measures
    from medseg.runs.calibration import Reliability
    from medseg.runs.scores import PerImage
    from medseg.runs.tuning import Tuning

DAMAGED = "damaged"
"""State of a run whose files cannot be read."""


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """One run. What takes time to read is read on first use; a damaged file then raises `UserError`.

    Args:
        folder: path of the run folder; of a job that has not begun, where it will be.
        name: as it was given when the run began; the folder may have been renamed.
        state: finished, trained, running, interrupted, failed, waiting or damaged, as it is now (`medseg.runs.state`).
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
        trial: of a trial of a tuning, what those that it is compared with share; None of any other run.
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
    trial: str | None = None

    def __repr__(self) -> str:
        return f"<Run {self.name}: {self.state}>"

    @property
    def finished(self) -> bool:
        """Whether it has test scores; without a test split, it ends in the state `trained`."""
        return self.state == "finished"

    @cached_property
    def files(self) -> RunFolder:
        """The paths of its files."""
        return RunFolder(self.folder)

    @cached_property
    def _configuration(self) -> Configuration:
        return read_config(self.files.config, self.seed, self.choices or WHOLE_CONFIG)

    @property
    def config(self) -> dict[str, Any]:
        """The composed configuration; empty before the run begins."""
        return self._configuration[0]

    @property
    def settings(self) -> dict[str, Any]:
        """The values that can change the result, by their keys with dots; one object for all seeds of a setting."""
        return self._configuration[1]

    @cached_property
    def tuning(self) -> Tuning | None:
        """How its settings were chosen; None where they were not tuned."""
        from medseg.runs.tuning import read_tuning  # not above: that module reads runs' files by this one's

        return read_tuning(self.files)

    @property
    def tuned_keys(self) -> tuple[str, ...]:
        """The keys whose values trials have chosen, those of the last tuning that chose them; none without."""
        try:
            return tuple(self.tuning.space) if self.tuning else tuned_keys(self.config)
        except UserError:  # a damaged file, which is told elsewhere
            return tuned_keys(self.config)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Versions, machine, command; empty before the run begins."""
        return read_checked(self.files.environment, ENVIRONMENT)

    @cached_property
    def dataset(self) -> dict[str, Any]:
        """Content of `data.json`; empty in runs of older versions."""
        return read_checked(self.files.data, DATA)

    @cached_property
    def images(self) -> list[dict[str, str]]:
        """Rows of `images.csv`: id, split, group, what else is known of the image; empty in runs of older versions."""
        return read_csv(self.files.splits, ("id", "split", "group"))

    @cached_property
    def groups(self) -> dict[str, str]:
        """Test image -> its group, such as a patient; empty where the dataset has no groups."""
        return {row["id"]: row["group"] for row in self.images if row["group"] and row["split"] == "test"}

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Content of `test/summary.json`; empty before the test."""
        return read_checked(self.files.summary, SUMMARY)

    @cached_property
    def per_image(self) -> PerImage:
        """The scores of the test images."""
        from medseg.runs.scores import read_per_image  # not above: numpy, which the state of a run needs not wait for

        return read_per_image(self.files.per_image)

    @property
    def predictions(self) -> Path:
        """The file of the class maps predicted for the test images."""
        return self.scores_in / "predictions.npz"

    @cached_property
    def epochs(self) -> list[dict[str, float]]:
        """One row per epoch: epoch, step, lr, train/loss, val/loss, val/dice, val/iou, seconds; NaN where empty."""
        try:
            header, rows = read_table(self.files.metrics)
            return [dict(zip(header, numbers(row), strict=True)) for row in rows]
        except ValueError as error:
            raise damaged(self.files.metrics, error) from None

    @property
    def scores_in(self) -> Path:
        """The folder of the scores."""
        return self.files.test

    @cached_property
    def reliability(self) -> Reliability:
        """Temperature -> the bins of `test/calibration.csv`; empty in runs of older versions."""
        from medseg.runs.calibration import read_reliability  # not above: numpy

        return read_reliability(self.scores_in / f"{CALIBRATION}.csv")

    @cached_property
    def confidence(self) -> dict[str, float]:
        """Test image -> confidence in its prediction, from 0 to 1; empty in runs of older versions."""
        from medseg.runs.calibration import read_confidence

        return read_confidence(self.scores_in / f"{CONFIDENCE}.csv")

    @property
    def measures(self) -> Measures:
        """The table of scores, as this run was scored by it, custom scores included."""
        from medseg.metrics.measures import MEASURES

        return MEASURES.as_measured(self.summary)

    @property
    def scores(self) -> dict[str, float | None]:
        """The mean of every score of the test under every convention, by the name of the measure; empty before it."""
        headline = {name: of["mean"] for name, of in (self.summary.get("headline") or {}).items()}
        return {**(self.summary.get("conventions") or {}), **headline} if self.finished else {}

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
        words = (word.lstrip("+~").partition("=")[0] for word in self.overrides)
        given = [key for key in words if key not in self.choices and not is_ignored(key)]
        keys = self.settings or given
        return frozenset(key for key in keys if any(f"{key}.".startswith(f"{name}.") for name in given))

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
    def training_key(self) -> tuple[str, int, int | None] | None:
        """What a finished run trained: digest of its settings, seed, fold. Copies share it, so do repeated trainings.

        None where it is not finished, or lacks its configuration or its scores.
        """
        try:
            whole = self.finished and self.settings and self.files.per_image.exists()
        except UserError:
            return None
        return (self._configuration[2], self.seed, self.fold) if whole else None

    @property
    def identifiers(self) -> set[Hashable]:
        """What a copy shares with it even where it is damaged: its id, and its name in its experiment."""
        job: Hashable = ("job", self.name, self.experiment)
        return {job, ("id", self.id)} if self.id else {job}

    @cached_property
    def checked(self) -> Run:
        """The same, in the state `damaged` where a file cannot be read that its state and its scores need."""
        try:
            if self.state != WAITING:
                _ = self.settings, self.environment, self.tuning
            if self.finished:
                _ = self.summary, self.dataset, self.groups, self.per_image
        except UserError as error:
            return self.damaged(str(error))
        return self

    def with_settings(self, settings: dict[str, Any]) -> Run:
        """Return the same run with these settings, for one whose configuration is not written yet."""
        run = replace(self)
        run.__dict__["_configuration"] = {}, settings, ""
        return run

    def damaged(self, reason: str) -> Run:
        """Return the same run in the state `damaged`, with what of its files can be read."""
        run = replace(self, state=DAMAGED, error=with_files(reason))
        for name, empty in EMPTY.items():
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
    record = check(read_json(folder / "run.json"), RECORD, folder / "run.json")
    position = (positions or {}).get(record["name"], 0)
    try:
        file = folder / "status.json"
        status = check(read_json(file, optional=True), STATUS, file)
    except UserError as error:
        return from_record(folder, record, {}, position).damaged(str(error))
    return from_record(folder, record, status, position)


def from_record(folder: Path, record: Mapping[str, Any], status: Mapping[str, Any], position: int = 0) -> Run:
    """Make a run of the content of `run.json`, or of an entry of `sweep.json`, and of `status.json`, both checked."""
    state, remark = present_state(status)
    return Run(
        folder=folder,
        state=state,
        error=remark or None,
        status=status,
        position=position,
        id=str(record.get("id") or status.get("wandb_id") or ""),
        fold=record.get("fold"),
        overrides=tuple(record.get("overrides", ())),
        **{key: record[key] for key in FACTS if key in record},
    )


FACTS = (
    "name", "experiment", "model", "data", "seed", "setting", "choices", "default_choices", "defaults", "trial",
)  # fmt: skip
"""What a run has as its record tells it."""

EMPTY: Mapping[str, Any] = {
    "_configuration": ({}, {}, ""), "environment": {}, "dataset": {}, "images": [], "summary": {},
    "tuning": None,
}  # fmt: skip
"""What a damaged run has where its files cannot be read."""
