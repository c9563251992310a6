"""`medseg score`: compute further scores of finished runs from the class maps that they have saved."""

from __future__ import annotations

import glob
import logging
from pathlib import Path

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, UserError, printable

log = logging.getLogger(__name__)

SUMMARY = """
medseg score computes further scores of finished runs, of their tests and of their evaluations, from the class maps that
they have saved: the network is not needed. The scores are added to the files of the runs, so that medseg report shows
them.
"""

EXAMPLES = (
    "medseg score runs/main scores=[nsd,boundary_iou]",
    "medseg score runs/main scores=[nsd] nsd_tolerance=3",
    "medseg score 'runs/main/unet-*' scores=[cldice]",
    "medseg score runs/main spacing=0.2                       distances in mm as well",
)


def score(cfg: DictConfig) -> None:
    """Score the runs in the folders that `cfg` names."""
    from medseg.data.module import as_spacing
    from medseg.runs.folder import RunFolder
    from medseg.runs.reading import read_runs
    from medseg.training.rescoring import rescore, score_folders
    from medseg.training.scoring import Options

    if not cfg.runs:
        raise ConfigError("which runs? Give their folder: medseg score runs/main")
    folders = [folder for given in cfg.runs for folder in folders_of(given)]
    options, spacing = Options.from_config(cfg), as_spacing(cfg.spacing)
    done, failed = 0, []
    for run in read_runs(folders):
        if not run.finished:
            continue
        with RunFolder(run.folder).locked():
            for folder in score_folders(run.folder):
                try:
                    names = rescore(folder, options, spacing)
                except UserError as error:
                    failed.append(error)
                    log.error("%s", error)
                else:
                    done += 1
                    print(printable(f"{folder}: {', '.join(names)}"))
    if failed:
        raise UserError(f"{len(failed)} of {done + len(failed)} could not be scored; see the lines above")
    if not done:
        raise UserError(f"{', '.join(map(str, cfg.runs))}: no run is finished, so there is nothing to score")


def folders_of(given: str) -> list[Path]:
    """Return the folder that is named, or those that a pattern with `*` matches.

    Raises `UserError` where there is none, and for a file.
    """
    from medseg.runs.folder import expand_home
    from medseg.trained.predicting.inputs import matching

    path = expand_home(given)
    if path.is_file():
        raise UserError(f"{path}: a file, no folder of runs; medseg unpack makes folders of a file of medseg pack")
    if path.exists() or not glob.has_magic(str(path)):
        return [path]
    folders = [match for match in matching(path.absolute())[1] if match.is_dir()]
    if not folders:
        raise UserError(f"{path}: matches no folder")
    return folders


COMMAND = Command("score", score, SUMMARY, EXAMPLES, positional=("runs*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
