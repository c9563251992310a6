"""Finished runs in a few archives of a limited size, and back."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from medseg.system.files import read_json

MOST_BYTES = 15 * 2**20
"""Of an archive."""

MOST_ARCHIVES = 2
"""Of an experiment."""


def pack(runs: Path, results: Path, name: str) -> int:
    """Put all finished runs below a folder into `<name>-1.tar.xz`, ..., without checkpoints.

    Returns how many had no room.
    """
    volumes: list[list[Path]] = [[]]
    size = left_out = 0
    for status in sorted(runs.rglob("status.json")):
        if read_json(status).get("state") != "finished":
            continue
        added = len(archive(runs, [status.parent]))  # several together are smaller
        if size + added > MOST_BYTES and volumes[-1]:
            if len(volumes) == MOST_ARCHIVES:
                left_out += 1
                continue
            volumes.append([])
            size = 0
        volumes[-1].append(status.parent)
        size += added
    for number, folders in enumerate(volumes, start=1):
        if folders:
            file = results / f"{name}-{number}.tar.xz"
            partial = file.with_suffix(".partial")
            partial.write_bytes(archive(runs, folders))
            partial.replace(file)
    return left_out


def archive(runs: Path, folders: Sequence[Path]) -> bytes:
    """Return an archive of run folders, named from `runs` on."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz", preset=3) as tar:
        for folder in folders:
            for file in sorted(folder.rglob("*")):
                within = file.relative_to(folder).parts
                if file.is_file() and within[0] != "checkpoints" and not file.name.endswith((".tmp", ".lock")):
                    tar.add(file, arcname=str(file.relative_to(runs)), recursive=False)
    return stream.getvalue()


def unpack(results: Path, name: str, runs: Path) -> None:
    """Put the runs of an experiment's archives below a folder; what is there stays."""
    for file in sorted(results.glob(f"{name}-*.tar.xz")):
        with tarfile.open(file) as tar:
            members = [member for member in tar.getmembers() if not (runs / member.name).exists()]
            tar.extractall(runs, members=members, filter="data")
