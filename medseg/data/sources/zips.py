"""Check zip archives that nobody has vouched for: every name and every member, before anything is read."""

from __future__ import annotations

import lzma
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from medseg.errors import DataError

MAX_TOTAL = 256 * 2**30
"""Bytes that an archive may declare unpacked; the largest dataset here, ISIC 2018 at native size, has about 10 GiB."""
MAX_MEMBER = 4 * 2**30
"""Bytes that one member may declare unpacked: members are read into memory."""
LARGE_MEMBER = 64 * 2**20
MAX_RATIO = 200
"""Compression ratio beyond which a member above `LARGE_MEMBER` is taken for a bomb. A small, empty mask may compress
a thousandfold; among the archives in use, the ISBI 2012 labels come highest, at 29."""

JUNK_NAMES = frozenset({"thumbs.db", "desktop.ini"})

READ_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError, OverflowError)


def is_junk(name: str) -> bool:
    """Tell whether a file is hidden, or what macOS or Windows left behind: `__MACOSX/`, `Thumbs.db`.

    Hidden is what is below a folder whose name begins with a dot, such as `.ipynb_checkpoints/`, and a file of such a
    name. `name` is below the root of its source, which may be hidden itself.
    """
    parts = name.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() in JUNK_NAMES


def check_members(infos: list[zipfile.ZipInfo], path: Path) -> dict[str, zipfile.ZipInfo]:
    """Check the members of an archive and return those that are files, by their normalised name; see `ZipSource`."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        # `filename` has been cut at a null byte and had its separators replaced; check the name that is in the archive.
        fault = name_fault(info.orig_filename) or entry_fault(info)
        if fault:
            raise DataError(f"{path}: refused, its member {info.orig_filename!r} {fault}")
        name = str(PurePosixPath(info.filename))
        if info.is_dir() or is_junk(name):
            continue
        if name in members:
            raise DataError(f"{path}: refused, it has two members named '{name}'")
        members[name] = info
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL:
        raise DataError(
            f"{path}: refused, it declares {total / 2**30:.0f} GiB unpacked; more than {MAX_TOTAL // 2**30} GiB is "
            "taken for a zip bomb"
        )
    if sum(info.compress_size for info in infos) > path.stat().st_size:
        raise DataError(f"{path}: refused, its members overlap, as in a zip bomb")
    return members


def name_fault(name: str) -> str | None:
    """Say what makes a member's name unsafe, or None."""
    if "\0" in name:
        return "has a null byte in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/"):
        return "has an absolute path"
    if re.match(r"[A-Za-z]:", name):
        return "has a drive in its name"
    if ".." in name.split("/"):
        return "leads out of the archive with '..'"
    if str(PurePosixPath(name)) == ".":
        return "has no name"
    return None


def entry_fault(info: zipfile.ZipInfo) -> str | None:
    """Say what makes a member unacceptable apart from its name, or None."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a special file"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.file_size > MAX_MEMBER:
        return f"declares {info.file_size / 2**30:.1f} GiB unpacked; more than {MAX_MEMBER // 2**30} GiB is refused"
    if info.file_size > LARGE_MEMBER and info.file_size > MAX_RATIO * max(1, info.compress_size):
        return f"unpacks to more than {MAX_RATIO} times its size, as in a zip bomb"
    return None
