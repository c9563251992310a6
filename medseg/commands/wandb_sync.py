"""`medseg wandb-sync`: send the W&B runs of a sweep that are offline."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, printable
from medseg.training.loggers.wandb_login import check_wandb_account
from medseg.training.loggers.wandb_offline import find_offline, sync

SUMMARY = """
medseg wandb-sync sends the W&B runs that trainings have written offline to their run folders, with `wandb sync`. A run
that was resumed is one run there, its parts in the order of their time; what was sent before is not sent again.
"""

EXAMPLES = (
    "medseg wandb-sync runs/main",
    "medseg wandb-sync runs/main report=true        the comparison as well",
    "medseg wandb-sync runs/main dry_run=true       show what would be sent",
)


def wandb_sync(cfg: DictConfig) -> None:
    """Send the W&B runs below the folders that `cfg` names."""
    if not cfg.runs:
        raise ConfigError("which runs? Give their folder: medseg wandb-sync runs/main")
    folders = [Path(given).expanduser() for given in cfg.runs]
    offline = find_offline(folders)
    if not cfg.dry_run:
        check_wandb_account()
    if cfg.report:
        from medseg.reporting.wandb_report import log_comparison
        from medseg.runs.reading import read_runs

        tree = read_runs(folders).checked()
        tree.warn()
        offline.append(log_comparison(tree.runs, cfg.project, cfg.entity))
    below = printable(", ".join(map(str, folders)))
    print(f"{len(offline)} W&B run folder{'s' if len(offline) > 1 else ''} below {below}")
    sync(offline, project=cfg.project, entity=cfg.entity, dry_run=cfg.dry_run)


COMMAND = Command("wandb_sync", wandb_sync, SUMMARY, EXAMPLES, positional=("runs*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
