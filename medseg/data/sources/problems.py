"""What can be wrong with the images of a dataset or of a prediction, by file name."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import DataError
from medseg.system.files import write_rows


@dataclass(frozen=True)
class Problem:
    """One finding of the integrity check.

    `kind` is one of `KINDS`. A `fatal` problem stops the preparation unless bad samples are skipped on request;
    the others are only reported.
    """

    kind: str
    file: str
    detail: str = ""
    sample: str = ""
    """Id of the sample concerned, empty where no sample could be made."""

    @property
    def fatal(self) -> bool:
        """Whether the sample cannot be used."""
        return KINDS[self.kind]


KINDS: dict[str, bool] = {
    "missing mask": True,
    "extra mask": False,
    "size mismatch": True,
    "unreadable": True,
    "unexpected label": True,
    "empty mask": False,
    "orientation tag applied": False,
    "alpha left out": False,
    "small part of the range": False,
    "range of few pixels": False,
    "opaque alpha left out": False,
    "duplicate image": False,
    "near-duplicate across splits": False,
    "background where the output of the network is not finite": False,
}
"""Kind of problem -> whether it is fatal."""


DARK = "small part of the range"
"""Noted of an image; only where all images are so, it is a sign of another scale."""

FEW = "range of few pixels"
"""Few pixels, or one image, are far brighter than all others, which become dark."""

NOT_FINITE = "background where the output of the network is not finite"
"""Noted of a prediction, without a file: the predictor gets pixels."""

OPAQUE = "opaque alpha left out"
"""So common that it is counted instead of listed."""


class SampleError(DataError):
    """One sample that cannot be used, raised by `Dataset.read`; the preparation collects these into its report.

    Args:
        kind: one of `KINDS`.
        file: name of the file at fault, as it is in the source.
        detail: a few words.
    """

    def __init__(self, kind: str, file: str, detail: str = "") -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown kind of problem {kind!r}; known: {', '.join(KINDS)}")
        super().__init__(kind, file, detail)
        self.kind = kind
        self.file = file
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}" + (f" ({self.detail})" if self.detail else "")


_notes: ContextVar[list[Problem] | None] = ContextVar("notes", default=None)


@contextmanager
def collected_notes() -> Iterator[list[Problem]]:
    """Collect what is noted of the files that are read meanwhile, in this thread: problems that are not fatal."""
    notes: list[Problem] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def note(kind: str, file: str, detail: str = "") -> None:
    """Note something about a file that is being read, where anybody collects it; see `Problem`."""
    notes = _notes.get()
    if notes is not None:
        notes.append(Problem(kind, file, detail))


def notes_of(kind: str, *files: str) -> list[Problem]:
    """Return what was noted of some files since the collecting began."""
    return [each for each in _notes.get() or () if each.kind == kind and each.file in files]


def summary(problems: Sequence[Problem]) -> str:
    """Count problems by kind, in words: `3 x empty mask, 1 x unreadable (left out)`."""
    kinds = Counter(problem.kind + (" (left out)" if problem.fatal else "") for problem in problems)
    return ", ".join(f"{number} x {kind}" for kind, number in kinds.items())


def write_problems(path: Path, problems: Sequence[Problem]) -> None:
    """Write problems as a table, the fatal ones first."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        ordered = sorted(problems, key=lambda problem: not problem.fatal)
        cells = [[each.kind, each.fatal, each.sample, each.file, each.detail] for each in ordered]
        write_rows(file, [["kind", "fatal", "sample", "file", "detail"], *cells])


def read_problems(path: Path) -> list[Problem]:
    """Read what `write_problems` has written."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Problem(row["kind"], row["file"], row["detail"], row["sample"]) for row in csv.DictReader(file)]


def bad_samples(problems: Sequence[Problem]) -> int:
    """Return the number of samples that cannot be used."""
    return len({problem.sample or problem.file for problem in problems if problem.fatal})


def refuse_fatal(problems: Sequence[Problem], title: str, path: Path, samples: int, *, skip_bad: bool = False) -> None:
    """Raise `DataError` where any problem is fatal, after writing all of them to `path`.

    Args:
        problems: of all samples.
        title: of the dataset.
        path: of the table to write.
        samples: number of all samples, those with fatal problems included.
        skip_bad: raise only where more than half of the samples have fatal problems: no dataset is left then.
    """
    fatal = [problem for problem in problems if problem.fatal]
    number = bad_samples(problems)
    most = 2 * number > samples
    if not fatal or (skip_bad and not most):
        return
    write_problems(path, problems)
    first = fatal[0]
    detail = f" ({first.detail})" if first.detail else ""
    leave = "leave them out with data.skip_bad=true"
    if most:
        leave = "that is most of them, so that none are left out by data.skip_bad=true"
    count = f"{number} of {samples} samples" if most else f"{number} sample{'s' * (number > 1)}"
    raise DataError(
        f"{title}: {count} cannot be used, first {first.file}: {first.kind}{detail}; all are listed in {path}; {leave}"
    )
