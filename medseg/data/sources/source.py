"""What a dataset's files are read from: an archive, a folder, several of them, or nothing at all.

Images are decoded straight out of a zip archive; nothing is ever extracted to disk.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medseg.data.sources.problems import SampleError
from medseg.data.sources.zips import READ_ERRORS, check_members, is_junk
from medseg.errors import DataError


@dataclass(frozen=True)
class Archive:
    """One published archive: file name, address, SHA-256 or MD5 and size in bytes, None where nobody published them.

    Archives that are not `required` are used where they exist (ISIC's official validation and test sets). `top` is
    the folder that everything in an archive is under, where that has another name than the archive.
    """

    file: str
    url: str
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None
    required: bool = True
    top: str = ""

    @property
    def folder(self) -> str:
        """Name of the folder that the archive unpacks to: its name without `.zip` or `.rar`."""
        return self.file.removesuffix(".zip").removesuffix(".rar")

    @property
    def checksum(self) -> str | None:
        """`sha256:<hex>` or `md5:<hex>`, as published."""
        return f"sha256:{self.sha256}" if self.sha256 else f"md5:{self.md5}" if self.md5 else None


def checksum_name(checksum: str) -> str:
    """What the algorithm of a checksum is called: SHA-256 or MD5."""
    return {"sha256": "SHA-256", "md5": "MD5"}[checksum.partition(":")[0]]


class Source(ABC):
    """Files by name. Can be read from several threads at once."""

    names: list[str]
    """Sorted, '/'-separated, relative; without folders, hidden files and what an operating system left behind."""
    identity: str
    """SHA-256 over the list of contents. Of an archive: names, sizes and CRCs, so that its location does not matter; of
    a folder: names, sizes and times of change."""
    sizes: Mapping[str, int] | None = None
    """Bytes of each file of a folder or a zip archive, which copies have as well; None of any other source."""
    location: str
    """The path, for messages."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the bytes of one file; raises `DataError` for an unknown name and for a damaged file."""

    @property
    def archives(self) -> list[tuple[Path, str | None]]:
        """The archive files behind this source, each with its published checksum where there is one."""
        return []


class ZipSource(Source):
    """A zip archive whose list of members has been checked.

    Args:
        path: the archive.
        checksum: its published one, where there is one; see `Archive.checksum`.

    Raises `DataError` for a file that is no zip archive or is damaged, and for a member with an absolute path, `..`,
    a backslash or a drive in its name, a symbolic link or special file, an encrypted member, two members of one name,
    and sizes that no honest archive has.
    """

    def __init__(self, path: str | Path, checksum: str | None = None) -> None:
        self.path = Path(path)
        self.checksum = checksum
        self.location = str(path)
        self._lock = threading.Lock()
        try:
            self._archive = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (*READ_ERRORS, NotImplementedError) as error:
            raise DataError(not_a_zip(self.path, error)) from None
        try:
            self._members = check_members(self._archive.infolist(), self.path)
        except DataError:
            self._archive.close()
            raise
        self.names = sorted(self._members)
        self.sizes = {name: info.file_size for name, info in self._members.items()}
        self.identity = hash_lines([(name, info.file_size, info.CRC) for name, info in sorted(self._members.items())])

    def read(self, name: str) -> bytes:
        """Return the bytes of one member; raises `DataError` when it is damaged or not as long as declared."""
        info = self._members.get(name)
        if info is None:
            raise DataError(f"{self.path}: has no member '{name}'")
        try:
            # `open` and `close` count the users of one file handle and are not safe between threads; `read` is.
            with self._lock:
                member = self._archive.open(info)
            try:
                # With a limit no more than the declared size is ever unpacked, whatever the stream holds.
                content = member.read(info.file_size + 1)
            finally:
                with self._lock:
                    member.close()
        except OSError as error:
            raise DataError(f"{self.path}: '{name}' cannot be read ({error.strerror or error})") from None
        except (*READ_ERRORS, NotImplementedError, RuntimeError) as error:
            reason = str(error) or "it ends too early"
            raise DataError(f"{self.path}: '{name}' is damaged ({reason}); fetch the archive again") from None
        if len(content) != info.file_size:
            raise DataError(f"{self.path}: '{name}' has {len(content)} bytes where {info.file_size} are declared")
        return content

    @property
    def archives(self) -> list[tuple[Path, str | None]]:
        """The archive file with its published checksum."""
        return [(self.path, self.checksum)]


def not_a_zip(path: Path, error: Exception) -> str:
    """Say why a file is no zip archive and what to do; some datasets are published as RAR."""
    with path.open("rb") as file:
        is_rar = file.read(4) == b"Rar!"
    if is_rar:
        return f"{path}: a RAR archive, which is not read here; unpack it and give the folder with data.source=DIR"
    return f"{path}: not a zip archive, or cut short or damaged ({error}); fetch it again"


class FolderSource(Source):
    """A folder with all its subfolders.

    Args:
        root: the folder.
        follow: follow symbolic links, also to what is outside of the folder; else those that lead out are refused.
    """

    def __init__(self, root: str | Path, *, follow: bool = False) -> None:
        self.location = str(root)
        try:
            self.root = Path(root).resolve(strict=True)
            contents = sorted(walk(self.root, "", follow=follow))
        except OSError as error:
            raise DataError(f"{error.filename or root}: cannot be read ({error.strerror or error})") from None
        self.names = [name for name, _, _ in contents]
        self.sizes = {name: size for name, size, _ in contents}
        self.identity = hash_lines(contents)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        if name not in self._known:
            raise DataError(f"{self.location}: has no file '{name}'")
        path = self.root / name
        try:
            return path.read_bytes()
        except OSError as error:
            reason = broken_link(path) if leads_nowhere(path) else error.strerror or str(error)
            raise SampleError("unreadable", name, reason) from None


class CombinedSource(Source):
    """Several sources side by side, each under a separate folder.

    Args:
        parts: folder name -> source. A source that has everything under a folder of that name already keeps its names,
            so that archives packed with and without their top folder look the same.
    """

    def __init__(self, parts: dict[str, Source]) -> None:
        self._parts = [
            (source, "" if under(source.names, folder) else f"{folder}/") for folder, source in parts.items()
        ]
        self._where = {f"{prefix}{name}": (source, name) for source, prefix in self._parts for name in source.names}
        self.names = sorted(self._where)
        self.identity = hash_lines([(prefix, source.identity) for source, prefix in self._parts])
        self.location = ", ".join(source.location for source, _ in self._parts)

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        if name not in self._where:
            raise DataError(f"{self.location}: no file '{name}'")
        source, inner = self._where[name]
        return source.read(inner)

    @property
    def archives(self) -> list[tuple[Path, str | None]]:
        """The archive files, each with its published checksum."""
        return [archive for source, _ in self._parts for archive in source.archives]


class EmptySource(Source):
    """The source of a dataset without files, which is drawn."""

    def __init__(self) -> None:
        self.names = []
        self.identity = hash_lines([])
        self.location = "(no files)"

    def read(self, name: str) -> bytes:
        """Return the bytes of one file."""
        raise DataError(f"'{name}' was asked of a dataset without files")


def walk(
    root: Path, below: str, *, follow: bool, above: frozenset[str] = frozenset()
) -> Iterable[tuple[str, int, int]]:
    """Yield (name, size, time of change in ns) of every file below a folder; see `is_junk` for what is left out.

    With `follow`, links are followed, but for one to a folder that it is in itself (`above`). Without, a link to a
    folder inside is not followed, since what it leads to is listed anyway, and one that leads out raises `DataError`.
    A link to nothing is listed, so that whoever reads it is told; one that would be a folder raises `DataError`.
    """
    above |= {os.path.realpath(root / below)}
    with os.scandir(root / below) as entries:
        for entry in entries:
            name = f"{below}{entry.name}"
            if is_junk(name):
                continue
            if entry.is_symlink() and not follow and not Path(os.path.realpath(entry.path)).is_relative_to(root):
                raise DataError(f"{entry.path}: refused, a symbolic link that leads out of {root}")
            if entry.is_dir(follow_symlinks=follow):
                if os.path.realpath(entry.path) not in above:
                    yield from walk(root, f"{name}/", follow=follow, above=above)
            elif entry.is_file():
                status = entry.stat()
                yield name, status.st_size, status.st_mtime_ns
            elif leads_nowhere(path := Path(entry.path)):
                if not path.suffix:
                    raise DataError(f"{path}: {broken_link(path)}")
                yield name, 0, entry.stat(follow_symlinks=False).st_mtime_ns


def leads_nowhere(path: Path) -> bool:
    """Whether a path is a symbolic link to what does not exist."""
    return path.is_symlink() and not path.exists()


def broken_link(path: Path) -> str:
    """Describe a symbolic link that leads nowhere."""
    return f"a symbolic link to {path.readlink()}, which does not exist"


def under(names: list[str], folder: str) -> bool:
    """Tell whether every name is below `folder`."""
    return bool(names) and all(name.startswith(f"{folder}/") for name in names)


def hash_lines(rows: Sequence[tuple[object, ...]]) -> str:
    """Return the SHA-256 of a table, in hexadecimal."""
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
