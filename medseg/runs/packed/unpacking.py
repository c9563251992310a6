"""A file of `medseg pack` -> run folders. What is there stays as it is: runs are added, never replaced."""

from __future__ import annotations

import glob
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.jobs import add_jobs
from medseg.runs.packed.archive import Content, extract, folders_above
from medseg.runs.packed.private import is_public_form
from medseg.runs.run import is_run
from medseg.runs.schema import SWEEP, read_checked
from medseg.system.files import read_json, read_yaml, replacing
from medseg.system.process import is_alive

log = logging.getLogger("medseg")


@dataclass
class Unpacked:
    """What became of the runs of a file.

    Args:
        added: folders that were made.
        completed: that were there and lacked files, such as those of a later evaluation.
        same: that were there.
        differing: that were there, are of another training or hold something else, and are left as they are.
    """

    added: list[Path] = field(default_factory=list)
    completed: list[Path] = field(default_factory=list)
    same: list[Path] = field(default_factory=list)
    differing: list[Path] = field(default_factory=list)


def unpack(file: Path, target: Path) -> Unpacked:
    """Unpack the runs of a file below a folder, each whole or not at all.

    Raises `UserError` for a file that cannot be unpacked, and `BusyError` where another process works on a run that
    lacks files.
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
    remove_leftovers(target)
    folder = Path(tempfile.mkdtemp(prefix=f"{temporary_name(os.getpid())}-", dir=target))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            if not any(parent.iterdir()):
                parent.rmdir()


def temporary_name(pid: int | str) -> str:
    """Return the beginning of the name of a process's temporary folder; several machines may share the folder."""
    return f".unpacking-{socket.gethostname()}-{pid}"


def remove_leftovers(target: Path) -> None:
    """Remove the temporary folders of processes of this machine that were killed."""
    for folder in target.glob(f"{glob.escape(temporary_name(''))}*"):
        pid = folder.name.removeprefix(temporary_name("")).partition("-")[0]
        if pid.isdecimal() and not is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def put_back(unpacked: Path, folder: Path, result: Unpacked) -> None:
    """Put a run to its folder, or what that lacks of it."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        unpacked.rename(folder)
        result.added.append(folder)
        return
    files = [file.relative_to(unpacked) for file in sorted(unpacked.rglob("*")) if file.is_file()]
    lacking = [file for file in files if not (folder / file).exists()]
    if not is_run(folder) or not holds(folder, unpacked, [file for file in files if file not in lacking]):
        result.differing.append(folder)
        return
    if not lacking:
        result.same.append(folder)
        return
    with RunFolder(folder).locked():
        for file in lacking:
            copy(unpacked / file, folder / file)
    result.completed.append(folder)


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
