"""The same run under another test: an evaluation on other data or with flips, or its scores at the prepared size.

A view is a run like any other, but for its scores, its test images and their groups. What compares, prints and draws
runs takes views as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.errors import UserError
from medseg.runs.folder import PER_IMAGE, PREPARED_SIZE
from medseg.runs.run import Run
from medseg.runs.schema import EVALUATION, SUMMARY, read_checked
from medseg.system.files import read_csv

if TYPE_CHECKING:
    from medseg.runs.scores import PerImage

OF_TRAINING = ("parameters", "macs", "epochs", "best_epoch", "training_seconds", "network")
"""Entries of the summary of a run's test that are of its training, whatever it is tested on."""

DONE_BEFORE = "evaluated already, so not repeated"
"""What `medseg evaluate` reports of an evaluation that is there already."""

OTHER_CLASSES = "not of these classes, so skipped"
"""What it reports of one of many runs whose network has another number of classes than the data."""

STATES = ("finished", "trained")
"""Of runs that can have been evaluated."""


@dataclass(frozen=True, eq=False, repr=False)
class View(Run):
    """A run seen through another test than `test/` at native size.

    Args:
        scores_in: folder of the scores: `test/`, or that of an evaluation.
        at_prepared_size: whether they are those of the prepared size.
    """

    scores_in: Path = Path()
    at_prepared_size: bool = False

    @property
    def evaluation(self) -> bool:
        """Whether the scores are those of an evaluation."""
        return self.scores_in != self.files.test

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What is known of the training, and of this test."""
        own = read_checked(self.files.summary, SUMMARY)
        if self.evaluation:
            known = {key: own[key] for key in OF_TRAINING if key in own}
            own = known | read_checked(self.scores_in / "summary.json", EVALUATION)
        return own | own.get(PREPARED_SIZE, {}) if self.at_prepared_size else own

    @cached_property
    def per_image(self) -> PerImage:
        """The scores of the images."""
        from medseg.runs.scores import read_per_image

        # Runs of older versions were scored at that size alone.
        name = PREPARED_SIZE if self.at_prepared_size and PREPARED_SIZE in self.summary else PER_IMAGE
        return read_per_image(self.scores_in / f"{name}.csv")

    @cached_property
    def images(self) -> list[dict[str, str]]:
        """Rows of `images.csv`, of an evaluation those of the images that it tested."""
        folder = self.scores_in if self.evaluation else self.folder
        return read_csv(folder / "images.csv", ("id", "split", "group"))

    @cached_property
    def groups(self) -> dict[str, str]:
        """Tested image -> its group; empty where there are none."""
        tested = [row for row in self.images if self.evaluation or row["split"] == "test"]
        return {row["id"]: row["group"] for row in tested if row["group"]}


def view_of(run: Run, scores_in: Path, *, at_prepared_size: bool = False) -> View:
    """Return a run seen through another test; what has been read of the run is not read again."""
    known: dict[str, Any] = {field.name: getattr(run, field.name) for field in fields(Run)}
    made = View(**known | {"state": "finished"}, scores_in=scores_in, at_prepared_size=at_prepared_size)
    shared = ("_configuration", "environment", "dataset", "epochs")
    made.__dict__.update({name: run.__dict__[name] for name in shared if name in run.__dict__})
    return made


def at_prepared_size(run: Run) -> Run:
    """Return a run with its scores at the prepared size; one that is not tested as it is."""
    if isinstance(run, View):
        return view_of(run, run.scores_in, at_prepared_size=True)
    return view_of(run, run.files.test, at_prepared_size=True) if run.finished else run


def read_evaluations(run: Run, problems: list[str]) -> list[View]:
    """Return the evaluations of a run, by the names of their folders; a damaged one is a line of `problems`.

    An evaluation without `summary.json` was cut short, and is none.
    """
    if run.state not in STATES:
        return []
    views = [view_of(run, file.parent) for file in sorted(run.files.evaluations.glob("*/summary.json"))]
    sound = []
    for view in views:
        try:
            _ = view.summary, view.per_image, view.groups
        except UserError as error:
            problems.append(f"{error}; medseg evaluate makes it again")
        else:
            sound.append(view)
    return sound


NO_SOURCE = hashlib.sha256().hexdigest()
"""Identity of the source of data that are made up, such as drawn images."""

MOST = 0.5
"""Part of the images of an evaluation above which, where the run's data hold them, it is of the run's data."""


def is_external(run: Run, evaluation: Mapping[str, Any]) -> bool:
    """Tell whether an evaluation, of which this is the summary, is of other images than those of the run's data.

    A copy of them elsewhere, another size or another split is not external. Told by the images themselves where these
    are known, else by where they are from, else by the name of the data.
    """
    known = run.summary if run.finished else run.dataset
    identity = known.get("data_identity")
    if identity is not None and identity == evaluation.get("data_identity"):
        return False
    if evaluation.get("known_images") is not None:
        return bool(evaluation["known_images"] <= MOST * evaluation.get("images", 0))
    for key in ("source_identity", "data_identity"):
        trained, tested = known.get(key), evaluation.get(key)
        if trained is not None and tested is not None and trained != NO_SOURCE:
            return bool(trained != tested)
    return bool(evaluation.get("data") != run.data)


def tests_as_trained(run: Run, view: View) -> bool:
    """Tell whether an evaluation tests a run on the test images of its training at their size, such as with flips."""
    if not run.finished or is_external(run, view.summary):
        return False
    sizes = [of.summary.get("evaluation_size") for of in (run, view)]
    return sizes[0] == sizes[1] and {*view.per_image.ids} == {*run.per_image.ids}


def repeats_own_images(run: Run, view: View) -> bool:
    """Tell whether an evaluation that was asked for as other data, or at another size, is of the images of the run."""
    own, summary = run.summary if run.finished else run.dataset, view.summary
    asked = ("data_identity", "split_name", "fold")
    return not is_external(run, summary) and any(own.get(key) != summary.get(key) for key in asked)
