"""The runs below some folders, each counted once, and what could not be read."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.errors import UserError, count
from medseg.runs.folder import expand_home
from medseg.runs.packed.archive import lacking_files, unpacked, with_files
from medseg.runs.run import DAMAGED, Run, from_record, is_run, read_run
from medseg.runs.schema import RECORD, SWEEP, check, read_checked
from medseg.runs.state import WAITING
from medseg.system.files import damaged

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger("medseg")


@dataclass
class RunTree:
    """What lies below some folders: a collection of runs.

    Args:
        runs: each once, by name.
        trials: of tunings, by name; they are no runs of a comparison. Where a folder of trials is given itself, its
            trials are runs.
        copies: one line for each copy that is left out.
        problems: one line for each damaged file that belongs to no run of `runs`, or that a run can do without.
        folders: that were read.
    """

    runs: list[Run] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    trials: list[Run] = field(default_factory=list)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, number: int) -> Run:
        return self.runs[number]

    def to_frame(self) -> DataFrame:
        """Return a pandas DataFrame with one row for each run: settings, state, test scores, costs, folder.

        Columns: model, data, seed, fold where there is one, the settings that deviate from their default in any run
        (`optimizer`, `model.base_channels`), state, the mean of every score under every convention (`dice`, `hd95`,
        `pooled_dice`, ...), parameters, epochs, training_seconds, experiment, name, folder. What a run does not have
        is missing.

        Raises `UserError` where pandas is not installed.
        """
        from medseg.runs.frame import to_frame

        return to_frame(self.checked().runs)

    def _repr_html_(self) -> str:
        """The runs as a table, for a notebook."""
        from medseg.runs.frame import as_html

        return as_html(self.checked().runs)

    def warn(self) -> None:
        """Log a line for each copy and each damaged file."""
        damaged = [run.error or "" for run in self.runs if run.state == DAMAGED]
        for line in (*self.copies, *self.problems, *damaged):
            log.warning("%s", line)

    def checked(self) -> RunTree:
        """Return the same with every file read that a report needs; runs with a damaged one are `damaged`.

        Of a damaged file of epochs, these alone are lost.
        """
        runs, problems = [run.checked for run in self.runs], list(self.problems)
        for run in runs:
            if run.finished:
                problems += [f"{run.folder}: infinite values of {name} are left out" for name in run.per_image.infinite]
            try:
                _ = run.epochs
            except UserError as error:
                problems.append(str(error))
                run.__dict__["epochs"] = []
        problems = list(dict.fromkeys(map(with_files, problems)))
        return RunTree(runs, self.copies, problems, self.folders, self.trials)


def read_runs(paths: str | Path | Sequence[str | Path], *, trials_alone: bool = False) -> RunTree:
    """Read the runs in the given folder or folders: run folders, experiment folders, folders of those, or their file.

    Jobs of a `sweep.json` that have not begun are runs in the state `waiting`. A folder that is met twice, through a
    link or otherwise, counts once. So does a run that was copied: what a run holds tells what it is, not its name.

    Args:
        paths: the folder or folders; a file of `medseg pack` is read as the folder that it was made of.
        trials_alone: whether trials of a tuning are enough, while no run has begun.

    Raises `UserError` for a folder that does not exist or that holds no run, and for any other zip.
    """
    if isinstance(paths, str | Path):
        paths = [paths]
    if not paths:
        raise UserError("which runs? Give a folder, such as runs/main")
    tree = RunTree(folders=[Path(path) for path in paths])
    seen: set[Path] = set()
    for given in paths:
        path = expand_home(given)
        if path.suffix == ".zip" and path.is_file():
            path = unpacked(path)
        if not path.is_dir():
            raise UserError(f"{path}: no such folder; give a folder below runs/, such as runs/main")
        problems, again = len(tree.problems), path.resolve() in seen
        for parent in path.resolve().parents[:2]:  # of runs/main/RUN, runs/
            note_lacking_files(parent, tree.problems)
        found = list(find_runs(path, seen, tree.problems))
        for run in found:
            compared = run.trial is None or path.resolve() in (run.folder.resolve(), run.folder.parent.resolve())
            (tree.runs if compared else tree.trials).append(run)
        if not found and len(tree.problems) == problems and not again:
            what = f"{path}: no runs in it; give a run folder, or the folder of a sweep, such as runs/main"
            raise UserError(with_files(what))
    if not tree.runs and tree.trials and not trials_alone:
        raise UserError(
            f"{paths[0]}: no runs in it yet, but {count(len(tree.trials), 'trial')} of a tuning (medseg status)"
        )
    if not tree.runs and not tree.trials:
        raise UserError(with_files("; ".join(tree.problems)) or f"{paths[0]}: no runs in it")
    runs = without_copies(tree.runs, tree.copies)
    tree.copies, tree.problems = list(map(with_files, tree.copies)), list(map(with_files, tree.problems))
    tree.runs, tree.trials = (
        sorted(several, key=lambda run: (run.name, run.experiment, str(run.folder)))
        for several in (runs, without_copies(tree.trials, []))
    )
    return tree


def find_runs(
    path: Path, seen: set[Path], problems: list[str], positions: Mapping[str, int] | None = None
) -> Iterator[Run]:
    """Yield the runs at and below a folder, and the jobs that have no folder yet.

    Args:
        path: where to look.
        seen: folders that were visited; added to.
        problems: what could not be read; added to.
        positions: of the jobs of the sweep in the folder above, by their names.
    """
    try:
        real = path.resolve()
        if real in seen:
            return
        seen.add(real)
        note_lacking_files(path, problems)
        if is_run(path):
            given = positions if positions is not None else {job["name"]: n for n, job in jobs_of(path.parent, [])}
            yield read_run(path, given)
            return
        jobs = list(jobs_of(path, problems))
        positions = {job["name"]: number for number, job in jobs}
        yield from (from_record(path / job["name"], job, {}, number) for number, job in jobs)
        children = [child for child in sorted(path.iterdir()) if not child.name.startswith(".") and child.is_dir()]
    except UserError as error:
        problems.append(str(error))
        return
    except (OSError, RuntimeError) as error:  # a loop of links, no permission
        problems.append(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
        return
    for child in children:
        yield from find_runs(child, seen, problems, positions)


def note_lacking_files(folder: Path, problems: list[str]) -> None:
    """Add a line to `problems`, once, where the runs below a folder lack what only `medseg unpack` writes."""
    try:
        line = lacking_files(folder)
    except (UserError, OSError) as error:
        line = str(error)
    if line is not None and line not in problems:
        problems.append(line)


def jobs_of(folder: Path, problems: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and record of each job in a folder's `sweep.json`; a damaged file or job is a problem."""
    file = folder / "sweep.json"
    try:
        jobs = read_checked(file, SWEEP).get("jobs", [])
    except UserError as error:
        problems.append(str(error))
        return
    for number, job in enumerate(jobs):
        try:
            if not isinstance(job, dict):
                raise damaged(file, f"job {number + 1} is not a mapping")
            yield number, check({"experiment": folder.name, **job}, RECORD, file)
        except UserError as error:
            problems.append(str(error))


def without_copies(runs: Sequence[Run], copies: list[str]) -> list[Run]:
    """Return the runs without copies; a line for each is added to `copies`.

    A copy has the settings, the seed and the scores of another run, or, while it is not finished, or lacks or has
    damaged files, its id or its name. The original is the one that still has its name and is in its experiment.
    """
    trained = Counter[Any](run.training_key for run in runs if run.training_key)
    # Runs that may be copies of each other are read to the end: a damaged one must not stand for a sound one.
    runs = [run.checked if trained[run.training_key] > 1 else run for run in runs]
    originals: dict[Hashable, Run] = {}
    unique: list[Run] = []
    lines: dict[Path, str] = {}

    def order(run: Run) -> tuple[Any, ...]:
        return (not run.finished, run.training_key is None, run.state == WAITING, *is_renamed(run), str(run.folder))

    for run in sorted(runs, key=order):
        scores = run.per_image.content if trained[run.training_key] > 1 else None
        alike = {(run.training_key, scores)} if run.training_key else run.identifiers
        original = next((originals[key] for key in alike if key in originals), None)
        if original is None:
            unique.append(run)
            for key in run.identifiers | alike:
                originals.setdefault(key, run)
        elif is_run(run.folder) and run.folder.resolve() != original.folder.resolve():  # no job of a sweep by itself
            damage = f"{run.error}; " if run.state == DAMAGED else f"{run.folder}: "
            # Once for a run and its job in a copied sweep.
            lines.setdefault(run.folder, f"{damage}a copy of {original.folder}, so it is not counted")
    copies += lines.values()
    return unique


def is_renamed(run: Run) -> tuple[bool, bool]:
    """Whether a run's folder has another name than it was given, or is not in the folder of its experiment."""
    return run.folder.name != run.name, run.folder.parent.name != Path(run.experiment).name
