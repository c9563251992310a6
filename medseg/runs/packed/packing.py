"""Run folders -> one file: what of them is packed, and how the same runs always give the same bytes."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import medseg
from medseg.errors import UserError
from medseg.runs.packed.archive import FORMAT, MANIFEST, OF_EXPERIMENTS, is_packed, read_content, runs_in_words
from medseg.runs.packed.private import Paths, parsed, without_private
from medseg.runs.reading import read_runs
from medseg.runs.run import DAMAGED, Run, is_run
from medseg.runs.schema import SWEEP, read_checked
from medseg.runs.tuning import FOLDER as TRIALS
from medseg.system.files import replacing

PACKED = ("finished", "trained", "failed")
"""States of runs that are packed: nothing works on them, and a failed one is a line of the report."""

RECORDS = (
    "run.json", "status.json", "config.yaml", "environment.json", "data.json", "images.csv", "pretrained.json",
    "metrics.csv", "tuning.json", "temperature.json",
)  # fmt: skip
SCORES = ("*.csv", "summary.json")
PREDICTIONS = ("predictions.npz", "prepared_size.npz")

DATE = (1980, 1, 1, 0, 0, 0)
"""Of every entry, so that the same runs give the same bytes; the earliest that a zip can have."""


@dataclass
class Selection:
    """What is packed.

    Args:
        runs: whose files are packed, trials of tunings among them.
        experiments: whose lists of jobs and other files beside the runs are packed.
        root: folder that the paths in the file are relative to.
        left_out: a line for each run that is not packed, but for jobs that have not begun.
        predictions: whether the class maps of the test images are packed.
        images: whether the pictures are packed.
    """

    runs: list[Run]
    experiments: list[Path]
    root: Path
    left_out: list[str] = field(default_factory=list)
    predictions: bool = False
    images: bool = False

    @cached_property
    def names(self) -> list[str]:
        """Paths of the run folders in the file."""
        return sorted(run.folder.resolve().relative_to(self.root).as_posix() for run in self.runs)

    @cached_property
    def paths(self) -> Paths:
        """What shortens the paths of these runs."""
        values = (parsed(file, file.read_bytes()) for file in self.files() if file.suffix in (".json", ".yaml"))
        return Paths.of((run.config for run in self.runs), values)

    def files(self) -> Iterator[Path]:
        """Yield the files that are packed."""
        for run in self.runs:
            folder = run.folder.resolve()
            yield from (folder / name for name in RECORDS if (folder / name).is_file())
            pictures = ("images/*.png",) if self.images else ()
            wanted = (*SCORES, *(PREDICTIONS if self.predictions else ()), *pictures)
            # An evaluation without its summary was cut short.
            tested = [folder / "test", *(file.parent for file in folder.glob("evaluations/*/summary.json"))]
            for parent, patterns in [(folder, pictures), *((one, wanted) for one in tested)]:
                yield from (file for pattern in patterns for file in parent.glob(pattern) if file.is_file())
        for experiment in self.experiments:
            yield from (file for pattern in OF_EXPERIMENTS for file in experiment.glob(pattern) if file.is_file())


def select(folders: Sequence[Path], *, predictions: bool = False, images: bool = False) -> Selection:
    """Choose what is packed of some folders: every run that has ended.

    Raises `UserError` where there is none, and where the jobs of an experiment cannot be read.
    """
    for folder in folders:
        if folder.is_file():
            raise UserError(f"{folder}: a file, no folder of runs; medseg unpack unpacks it")
    tree = read_runs(folders, trials_alone=True)
    left_out = [*tree.copies, *tree.problems]
    runs = []
    for run in (run.checked for run in (*tree.runs, *tree.trials) if is_run(run.folder)):
        if run.state in PACKED:
            runs.append(run)
        else:
            left_out.append(run.error or "" if run.state == DAMAGED else f"{run.folder}: {run.state}")
    given = ", ".join(map(str, folders))
    if not runs:
        raise UserError(f"{given}: no run in it has ended, so there is nothing to pack (medseg status {folders[0]})")
    given_folders = [folder.resolve() for folder in folders]
    parents = {run.folder.resolve().parent for run in runs}
    parents |= {parent.parent for parent in parents if parent.name == TRIALS}
    experiments = [parent for parent in sorted(parents) if any(map(parent.is_relative_to, given_folders))]
    for experiment in experiments:
        read_checked(experiment / "sweep.json", SWEEP)
    return Selection(runs, experiments, root_of(runs, folders), left_out, predictions, images)


def root_of(runs: Sequence[Run], folders: Sequence[Path]) -> Path:
    """Return the folder that runs are packed relative to: that of all runs, `runs/`, where they lie as they were made.

    A folder that was renamed or copied elsewhere is packed under its present name. Raises `UserError` where several
    folders have no such folder in common.
    """
    roots = set()
    for run in runs:
        parent, parts = run.folder.resolve().parent, Path(run.experiment).parts
        roots.add(parent.parents[len(parts) - 1] if parent.parts[-len(parts) :] == parts else None)
    given = [folder.resolve() for folder in folders]
    common = roots.pop() if len(roots) == 1 else None
    if common is not None and all(folder.is_relative_to(common) for folder in given):
        return common
    parents = {folder.parent for folder in given}
    if len(parents) > 1:
        raise UserError(f"{', '.join(map(str, folders))}: not of one folder of runs; pack each of them by itself")
    return parents.pop()


def default_file(folder: Path) -> Path:
    """Return the file that the runs of a folder are packed to: in it, beside it where it is a run's."""
    name = folder.resolve().name
    return (folder.parent if is_run(folder) else folder) / f"{name}.zip"


def write_packed(selection: Selection, file: Path) -> int:
    """Write the file, whole or not at all; return its bytes.

    Raises `UserError` where that would replace a file of something else, or one with runs that are not packed now.
    """
    check_replaced(selection, file)
    stored: dict[str, str] = {}
    copies: dict[str, str] = {}
    with replacing(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted({*selection.files()}):
            name = path.relative_to(selection.root).as_posix()
            content = without_private(path, path.read_bytes(), selection.paths)
            first = stored.setdefault(hashlib.sha256(content).hexdigest(), name)
            if first == name:
                archive.writestr(entry(name), content)
            else:
                copies[name] = first
        manifest = {"format": FORMAT, "medseg": medseg.__version__, "copies": copies}
        archive.writestr(entry(MANIFEST), json.dumps(manifest, indent=1))
    return file.stat().st_size


def entry(name: str) -> zipfile.ZipInfo:
    """Return an entry of the zip that depends on nothing but its name."""
    made = zipfile.ZipInfo(name, DATE)
    made.compress_type, made.create_system, made.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
    return made


def check_replaced(selection: Selection, file: Path) -> None:
    """Raise `UserError` where a file is there that must not be lost."""
    if file.is_dir():
        raise UserError(f"output={file} is a folder; name a file in it, such as {file / 'runs.zip'}")
    if not file.exists():
        return
    if not is_packed(file):
        raise UserError(f"{file}: there already, and no file of medseg pack; choose another one with output=FILE.zip")
    gone = sorted({*read_content(file).runs} - {*selection.names})
    if gone:
        raise UserError(
            f"{file}: holds {runs_in_words(len(gone))} that would be lost, such as {gone[0]}; medseg unpack {file} "
            "puts them back first, or choose another file with output=FILE.zip"
        )
