"""The file of `medseg pack`: a zip of run folders. It may come from anywhere, so nothing in it is trusted.

medseg-pack.json              what the file is; `copies`: path -> path in the zip that holds the same bytes
<experiment>/<run>/...        the files of a run, as `medseg.runs.folder` lists them, without checkpoints and logs
<experiment>/sweep.json       the jobs; names.yaml and benchmarks/*.json, where there are any
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from medseg.errors import UserError
from medseg.system.files import MAX_BYTES, damaged
from medseg.system.process import is_gone, process_mark

MANIFEST = "medseg-pack.json"
"""Entry of the zip that describes it."""

FORMAT = 1
"""Of the file, in the manifest; files of a later one are refused."""

ENDINGS = (".json", ".yaml", ".csv", ".npz", ".png")
"""What the names of files of a run end in."""

OF_EXPERIMENTS = ("sweep.json", "names.yaml", "benchmarks/*.json")
"""Files beside runs that a report reads."""

MOST_BYTES = 8 * 2**30
"""Unpacked bytes above which a file is refused; 1,000 runs with 1,000 test images have about 1 GB."""

MOST_FILES = 500_000
"""Number of files above which it is refused; a run has about 15, and 8 for each evaluation."""


@dataclass(frozen=True)
class Content:
    """What a file of `medseg pack` holds.

    Args:
        file: its path.
        entries: path -> entry of the zip; several paths may have one entry.
    """

    file: Path
    entries: Mapping[str, zipfile.ZipInfo]

    @property
    def runs(self) -> list[str]:
        """The paths of the run folders in it."""
        return [path.removesuffix("/run.json") for path in self.entries if path.endswith("/run.json")]

    @cached_property
    def beside_runs(self) -> list[str]:
        """The paths of the files in it that are of experiments."""
        runs = {*self.runs}
        return [path for path in self.entries if runs.isdisjoint(folders_above(path))]


def runs_in_words(count: int) -> str:
    """Return a number of runs: 1 run, 2 runs."""
    return "1 run" if count == 1 else f"{count} runs"


def is_packed(path: Path) -> bool:
    """Tell whether a path is a file of `medseg pack`, by its content."""
    try:
        with zipfile.ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def read_content(file: Path) -> Content:
    """Read what a file of `medseg pack` holds, without unpacking it.

    Raises `UserError` for any other file, and for one that is damaged or unsafe to unpack.
    """
    with opened(file) as archive:
        return content_of(archive, file)


def extract(file: Path, folder: Path) -> Content:
    """Unpack a file of `medseg pack` into an empty folder, and return what is in it.

    Raises `UserError` as `read_content`; what was unpacked until then is left in the folder.
    """
    with opened(file) as archive:
        content = content_of(archive, file)
        for path, entry in content.entries.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("xb") as stream:
                shutil.copyfileobj(source, stream)
        return content


@contextmanager
def opened(file: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; whatever is wrong with it, also while it is read, is a `UserError`."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except OSError as error:
        if error.filename not in (None, str(file), file):  # what is written, not what is read
            raise
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{file}: damaged or not a file of medseg pack ({error})") from None
    except (zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise damaged(file, error) from None


def content_of(archive: zipfile.ZipFile, file: Path) -> Content:
    """Check the entries of a zip, before anything of it is unpacked.

    Raises `UserError`.
    """
    files = [entry for entry in archive.infolist() if not entry.is_dir()]  # tools that zip a folder add its folders
    entries = {entry.filename: entry for entry in files}
    if MANIFEST not in entries:
        raise UserError(f"{file}: not a file of medseg pack")
    if len(entries) < len(files):
        raise damaged(file, "two entries of one name")
    for name, entry in entries.items():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_safe(name) or kind not in (0, stat.S_IFREG) or entry.flag_bits & 1:
            raise damaged(file, f"{name[:80]!r} is no file of a run")
        if entry.file_size > MAX_BYTES.get(PurePosixPath(name).suffix, MOST_BYTES):
            raise damaged(file, f"{name[:80]!r} has {entry.file_size:,} bytes")
    copies = read_copies(archive.read(MANIFEST), file)
    del entries[MANIFEST]
    if not all(is_safe(path) and path not in entries and entries.get(of) for path, of in copies.items()):
        raise damaged(file, f"{MANIFEST} names copies that cannot be")
    entries |= {path: entries[of] for path, of in copies.items()}
    size = sum(entry.file_size for entry in entries.values())
    if size > MOST_BYTES or len(entries) > MOST_FILES:
        raise UserError(
            f"{file}: {len(entries):,} files of {size / 1e9:,.1f} GB in it; {MOST_FILES:,} of "
            f"{MOST_BYTES / 1e9:.1f} GB are allowed"
        )
    folders = {folder for path in entries for folder in folders_above(path)}
    both = next((path for path in entries if path in folders), None)
    if both is not None:
        raise damaged(file, f"{both[:80]!r} is a file and a folder")
    content = Content(file, dict(sorted(entries.items())))
    odd = misplaced(content)
    if odd is not None:
        raise damaged(file, f"{odd[:80]!r} is no file of a run in it, nor of an experiment with one")
    return content


def folders_above(path: str) -> list[str]:
    """Return the folders that a path in the file lies in, the innermost first."""
    return [path[:end] for end, letter in enumerate(path) if letter == "/"][::-1]


def misplaced(content: Content) -> str | None:
    """Return the path of a file that is neither of a run nor of an experiment with runs; None where there is none."""
    experiments = {folder for run in content.runs for folder in folders_above(run)}
    within = next((run for run in content.runs if run in experiments), None)
    if within is not None:
        return next(f"{run}/run.json" for run in content.runs if within in folders_above(run))
    for path in content.beside_runs:
        patterns = [pattern for pattern in OF_EXPERIMENTS if PurePosixPath(path).match(pattern)]
        if experiments.isdisjoint(str(PurePosixPath(path).parents[pattern.count("/")]) for pattern in patterns):
            return path
    return None


def is_safe(name: str) -> bool:
    """Tell whether an entry's name is that of a file that stays below the folder it is unpacked to."""
    parts = name.split("/")
    plain = all(part and not part.startswith(".") and len(part.encode()) < 256 for part in parts)
    return plain and not set("\\\0:") & set(name) and len(name) < 2000 and name.endswith(ENDINGS)


def read_copies(manifest: bytes, file: Path) -> dict[str, str]:
    """Return `copies` of the manifest. Raises `UserError`."""
    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError) as error:
        raise damaged(file, error) from None
    copies = content.get("copies") if isinstance(content, dict) else None
    if not isinstance(copies, dict) or not all(isinstance(of, str) for of in copies.values()):
        raise damaged(file, f"{MANIFEST} has no 'copies'")
    if content.get("format") != FORMAT:
        raise UserError(f"{file}: written by a later version of medseg ({str(content.get('medseg'))[:20]}); update it")
    return copies


def lacking_files(folder: Path) -> str | None:
    """Return a line where a file of `medseg pack` was extracted into a folder by another tool, which drops files.

    What several runs hold alike is stored once, and only `medseg unpack` writes it to each of them.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        return None
    copies = read_copies(manifest.read_bytes(), manifest)
    lacking = sum(is_safe(path) and not (folder / path).exists() for path in copies)
    if not lacking:
        return None
    return (
        f"{folder}: was not unpacked by medseg unpack, so {lacking} files of its runs are missing; "
        "unpack the file again, with medseg unpack FILE.zip"
    )


# Read as a folder: unpacked for as long as the process runs.

_unpacked: dict[Path, Path] = {}
"""Temporary folder -> file that is unpacked there."""

_current: dict[tuple[Path, int, int], Path] = {}
"""Path, time of the last change and bytes of a file -> its temporary folder; a file that was replaced has another."""

PREFIX = "medseg-runs-"
"""Start of the name of a temporary folder; the mark of its process follows."""


def unpacked(file: Path) -> Path:
    """Return a temporary folder with the content of a file of `medseg pack`; it is there until the process ends.

    Raises `UserError` as `read_content`.
    """
    status = file.stat()
    key = file.resolve(), status.st_mtime_ns, status.st_size
    if key in _current:
        return _current[key]
    remove_leftovers(Path(tempfile.gettempdir()), PREFIX)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{process_mark()}-")).resolve()
    atexit.register(_remove, folder, os.getpid())
    try:
        extract(file, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _unpacked[folder], _current[key] = file, folder
    return folder


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Remove the temporary folders of killed processes of this machine: `<prefix><mark of the process>-<letters>`."""
    for folder in parent.glob(f"{prefix}*"):
        if is_gone(folder.name.removeprefix(prefix).rpartition("-")[0]):
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not at the end of a process that was forked from it
        shutil.rmtree(folder, ignore_errors=True)


def home_of(folder: Path) -> Path:
    """Return the folder that what belongs beside some runs is written to: of packed runs, that of their file."""
    return next((file.parent for root, file in _unpacked.items() if folder.is_relative_to(root)), folder)


def shown(folder: Path) -> Path:
    """Return the folder of some runs as a command names it: of packed runs, as `medseg unpack FILE.zip` makes it."""
    return next((Path("runs", folder.relative_to(root)) for root in _unpacked if folder.is_relative_to(root)), folder)


def with_files(text: str) -> str:
    """Return a message that names the file instead of the temporary folder."""
    for root, file in _unpacked.items():
        text = text.replace(str(root), str(file))
    return text
