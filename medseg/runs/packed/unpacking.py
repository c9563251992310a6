"""A file of `medseg pack` -> run folders. What is there stays as it is: runs are added, never replaced."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import UserError
from medseg.runs.folder import LOCK, RunFolder
from medseg.runs.jobs import add_jobs
from medseg.runs.packed.archive import Content, extract, folders_above, remove_leftovers
from medseg.runs.packed.private import is_public_form
from medseg.runs.run import DAMAGED, is_run, read_run
from medseg.runs.schema import SWEEP, read_checked
from medseg.system.files import read_json, read_yaml, replacing
from medseg.system.locks import BusyError, marker_of
from medseg.system.process import process_mark

log = logging.getLogger("medseg")


PREFIX = ".unpacking-"
"""Start of the name of a temporary folder; the mark of its process follows."""

NO_RUN = "no run"
"""What is in a folder that is no run's."""


@dataclass
class Unpacked:
    """What became of the runs of a file.

    Args:
        added: folders that were made.
        completed: that were there and lacked files, such as those of a later evaluation.
        same: that were there.
        running: that another process works on; they are left as they are.
        differing: that were there, are of another training or hold something else, and are left as they are, each with
            the state of the run there, or that it is `NO_RUN`.
    """

    added: list[Path] = field(default_factory=list)
    completed: list[Path] = field(default_factory=list)
    same: list[Path] = field(default_factory=list)
    running: list[Path] = field(default_factory=list)
    differing: dict[Path, str] = field(default_factory=dict)


def unpack(file: Path, target: Path) -> Unpacked:
    """Unpack the runs of a file below a folder, each whole or not at all.

    Raises `UserError` for a file that cannot be unpacked, before anything is written.
    """
    result = Unpacked()
    with temporary(target) as folder:
        content = extract(file, folder)
        check_beside_runs(content, folder)
        check_target(content, target)
        for name in content.runs:
            put_back(folder / name, target / name, result)
        for path in content.beside_runs:
            add_beside_runs(folder / path, target / path)
    return result


def check_beside_runs(content: Content, folder: Path) -> None:
    """Raise `UserError` where a file of an experiment cannot be read; `folder`: where the content was extracted."""
    try:
        for path in content.beside_runs:
            if path.endswith("/sweep.json"):
                read_checked(folder / path, SWEEP)
            else:
                (read_yaml if path.endswith(".yaml") else read_json)(folder / path)
    except UserError as error:
        raise UserError(str(error).replace(str(folder), str(content.file))) from None


def check_target(content: Content, target: Path) -> None:
    """Raise `UserError` where something would get into the folder of a run that is there."""
    paths = (*content.runs, *content.beside_runs)
    for folder in sorted({target, *(target / above for path in paths for above in folders_above(path))}):
        if is_run(folder):
            raise UserError(
                f"{folder}: the folder of a run, which {content.file} would put other files into; unpack it to another "
                f"folder, with medseg unpack {content.file} FOLDER"
            )


@contextmanager
def temporary(target: Path) -> Iterator[Path]:
    """Give a temporary folder on the file system of the target; what was made for it alone is removed."""
    made = [folder for folder in (target, *target.parents) if not folder.exists()]
    target.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target, PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{process_mark()}-", dir=target))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            if not any(parent.iterdir()):
                parent.rmdir()


def put_back(unpacked: Path, folder: Path, result: Unpacked) -> None:
    """Put a run to its folder, or what that lacks of it."""
    try:
        if put_whole(unpacked, folder):
            result.added.append(folder)
        else:
            complete(unpacked, folder, result)
    except BusyError:
        result.running.append(folder)


def put_whole(unpacked: Path, folder: Path) -> bool:
    """Move a run to its folder; False where something is there.

    An empty folder, or one with the lock of a process that was killed before it wrote anything, counts as none. Raises
    `BusyError` where the process that has the lock still runs.
    """
    if os.path.lexists(folder):
        if folder.is_symlink() or not RunFolder(folder).is_empty():
            return False
        with RunFolder(folder).locked():  # removes the lock and the folder at its end
            pass
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        unpacked.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False  # another process was faster
    return True


def complete(unpacked: Path, folder: Path, result: Unpacked) -> None:
    """Add to a run what it lacks. Raises `BusyError` where another process works on it."""
    files = [file.relative_to(unpacked) for file in sorted(unpacked.rglob("*")) if file.is_file()]
    lacking = [file for file in files if not (folder / file).exists()]
    if not is_run(folder) or not holds(folder, unpacked, [file for file in files if file not in lacking]):
        if is_running(folder):
            result.running.append(folder)
        else:
            result.differing[folder] = state_of(folder)
    elif lacking:
        with RunFolder(folder).locked():
            for file in lacking:
                if not (folder / file).exists():  # written since, by the process that had the lock
                    copy(unpacked / file, folder / file)
        result.completed.append(folder)
    else:
        result.same.append(folder)


def is_running(folder: Path) -> bool:
    """Tell whether a process works on a run: by its state, or by its lock, which it has before it writes a state."""
    if state_of(folder) == "running":
        return True
    lock = folder / LOCK
    if not lock.exists() and not marker_of(lock).exists():
        return False
    try:
        with RunFolder(folder).locked():
            return False
    except BusyError:
        return True
    except OSError:  # no permission to write there
        return False


def state_of(folder: Path) -> str:
    """Return the state of the run in a folder; `NO_RUN` where there is none."""
    if not is_run(folder):
        return NO_RUN
    try:
        return read_run(folder).state
    except UserError:
        return DAMAGED


def holds(folder: Path, unpacked: Path, files: Sequence[Path]) -> bool:
    """Tell whether a run folder holds what these files do, but for what names a machine; a damaged one does not."""
    try:
        config = read_yaml(folder / "config.yaml", optional=True)
        return all(
            is_public_form(folder / file, (unpacked / file).read_bytes(), (folder / file).read_bytes(), config)
            for file in files
        )
    except (UserError, OSError):
        return False


def add_beside_runs(unpacked: Path, target: Path) -> None:
    """Add a file of an experiment: to its jobs those that it lacks, any other where there is none."""
    if unpacked.name == "sweep.json":
        jobs = [job for job in read_checked(unpacked, SWEEP).get("jobs", ()) if isinstance(job, dict)]
        add_jobs(target.parent, [job for job in jobs if isinstance(job.get("name"), str)], replace=False)
    elif not target.exists():
        copy(unpacked, target)
    elif unpacked.name == "names.yaml":
        add_names(unpacked, target)


def add_names(unpacked: Path, target: Path) -> None:
    """Add to the printed names those that are not there; where two differ, warn, in one line, and keep the first."""
    try:
        given, known = read_yaml(unpacked), read_yaml(target)
    except UserError as error:
        log.warning("%s; its names are not merged", error)
        return
    differing: list[str] = []
    added = False
    if is_by_kind(given) != is_by_kind(known):
        given, known = by_kind(given), by_kind(known)
    pairs = [(given.get(kind), known.setdefault(kind, {})) for kind in given] if is_by_kind(known) else [(given, known)]
    for new, old in pairs:
        if not isinstance(new, dict) or not isinstance(old, dict):
            continue
        differing += [str(key) for key in new if key in old and old[key] != new[key]]
        lacking = {key: text for key, text in new.items() if key not in old}
        added = added or bool(lacking)
        old |= lacking
    if added:
        with replacing(target) as partial:
            partial.write_text(yaml.safe_dump(known, sort_keys=False, allow_unicode=True), encoding="utf-8")
    if differing:
        several = ", ".join(dict.fromkeys(differing))
        log.warning("%s: other names of %s in the unpacked file; those there stay", target, several)


def is_by_kind(names: Mapping[str, Any]) -> bool:
    """Tell whether names are given for networks and datasets, not for both in one mapping."""
    return bool({"networks", "datasets"} & {*names})


def by_kind(names: Mapping[str, Any]) -> dict[str, Any]:
    """Return names as those of networks and those of datasets."""
    return dict(names) if is_by_kind(names) else {"networks": dict(names), "datasets": dict(names)}


def copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with replacing(target) as partial:
        shutil.copyfile(source, partial)
