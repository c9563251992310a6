"""Send the W&B runs that trainings have stored offline in their run folders."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from medseg.errors import UserError


def sync(folders: Sequence[Path], *, project: str | None, entity: str | None, dry_run: bool) -> None:
    """Send offline W&B run folders with `wandb sync`, in their order.

    Args:
        folders: such as those of `find_offline`.
        project, entity: to send to; None for those of each run.
        dry_run: have `wandb sync` print what it would send.

    Raises `UserError` where any is not sent.
    """
    command = [sys.executable, "-m", "wandb", "sync", "--yes"]
    command += ["--project", project] if project else []
    command += ["--entity", entity] if entity else []
    command += ["--dry-run"] if dry_run else []
    done = subprocess.run([*command, *map(str, folders)], check=False, env=online())
    # It ends with 0 also where W&B has refused runs.
    unsent = [] if dry_run else [folder for folder in folders if any(folder.glob("*.wandb")) and not was_sent(folder)]
    if done.returncode or unsent:
        which = f"{len(unsent)} of {len(folders)} W&B run folders were not sent" if unsent else "`wandb sync` failed"
        raise UserError(f"{which} (see above); what was sent stays sent, the same command sends the rest")


def find_offline(folders: Sequence[Path]) -> list[Path]:
    """Return the offline W&B run folders below some folders, in the order of their time; of copies, the original.

    Raises `UserError` where there are none.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give a folder below runs/, such as runs/main")
    # A name holds time and id, so folders of one name are copies; the one that was sent has a mark.
    paths = [path for folder in folders for path in folder.rglob("wandb/offline-run-*")]
    unique = {path.name: path for path in sorted(sorted(paths, reverse=True), key=was_sent)}
    if not unique:
        where = ", ".join(map(str, folders))
        raise UserError(f"{where}: no offline W&B runs; trainings write them with logger=wandb, which is the default")
    # offline-run-<date>_<time>-<id>
    return sorted(unique.values(), key=lambda path: (path.name, str(path)))


def was_sent(folder: Path) -> bool:
    """Whether `wandb sync` has left its mark in an offline folder."""
    return any(folder.glob("*.synced"))


def online() -> dict[str, str]:
    """Return the environment of a command that may send."""
    return {key: value for key, value in os.environ.items() if key not in ("WANDB_MODE", "WANDB_SILENT")}
