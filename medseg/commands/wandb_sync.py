"""`medseg wandb-sync`: send the W&B runs that a sweep has kept offline."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, UserError
from medseg.training.wandb_login import check_wandb_account

SUMMARY = """
medseg wandb-sync sends the W&B runs that trainings have kept offline in their run folders, with `wandb sync`. A run
that was resumed is one run there, its parts in the order of their time; what was sent before is not sent again.
"""

EXAMPLES = (
    "medseg wandb-sync runs/main",
    "medseg wandb-sync runs/main report=true        the comparison as well",
    "medseg wandb-sync runs/main dry_run=true       say what would be sent",
)


def wandb_sync(cfg: DictConfig) -> None:
    """Send the W&B runs below the folders that `cfg` names."""
    if not cfg.runs:
        raise ConfigError("which runs? Give their folder: medseg wandb-sync runs/main")
    folders = [Path(given).expanduser() for given in cfg.runs]
    kept = find_offline(folders)
    if not cfg.dry_run:
        check_wandb_account()
    if cfg.report:
        from medseg.reporting.wandb_report import log_comparison
        from medseg.runs.reading import read_runs

        tree = read_runs(folders).checked()
        tree.warn()
        kept.append(log_comparison(tree.runs, cfg.project, cfg.entity))
    print(f"{len(kept)} W&B run folder{'s' if len(kept) > 1 else ''} below {', '.join(map(str, folders))}")
    command = [sys.executable, "-m", "wandb", "sync", "--yes"]
    command += ["--project", cfg.project] if cfg.project else []
    command += ["--entity", cfg.entity] if cfg.entity else []
    command += ["--dry-run"] if cfg.dry_run else []
    done = subprocess.run([*command, *map(str, kept)], check=False, env=online())
    # It ends with 0 also where W&B has refused runs.
    unsent = [] if cfg.dry_run else [folder for folder in kept if any(folder.glob("*.wandb")) and not was_sent(folder)]
    if done.returncode or unsent:
        which = f"{len(unsent)} of {len(kept)} W&B run folders were not sent" if unsent else "`wandb sync` failed"
        raise UserError(f"{which} (see above); what was sent stays sent, the same command sends the rest")


def find_offline(folders: Sequence[Path]) -> list[Path]:
    """Return the offline W&B run folders below some folders, in the order of their time; of copies, the original.

    Raises `UserError` where there are none.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give a folder below runs/, such as runs/main")
    # A name holds time and id, so folders of one name are copies; the one that was sent knows so.
    kept = [path for folder in folders for path in folder.rglob("wandb/offline-run-*")]
    found = {path.name: path for path in sorted(sorted(kept, reverse=True), key=was_sent)}
    if not found:
        where = ", ".join(map(str, folders))
        raise UserError(f"{where}: no offline W&B runs; trainings keep them with logger=wandb, which is the default")
    # offline-run-<date>_<time>-<id>
    return sorted(found.values(), key=lambda path: (path.name, str(path)))


def was_sent(kept: Path) -> bool:
    """Whether `wandb sync` has left its mark in an offline folder."""
    return any(kept.glob("*.synced"))


def online() -> dict[str, str]:
    """Return the environment of a command that may send."""
    return {key: value for key, value in os.environ.items() if key not in ("WANDB_MODE", "WANDB_SILENT")}


COMMAND = Command("wandb_sync", wandb_sync, SUMMARY, EXAMPLES, positional=("runs*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
