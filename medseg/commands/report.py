"""`medseg report`: compare the runs of a sweep, with tests that show what a difference is worth."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, printable
from medseg.system.os_errors import check_writable

if TYPE_CHECKING:
    from medseg.reporting.comparison import Comparison
    from medseg.runs.run import Run

SUMMARY = """
medseg report compares runs from their folders alone: mean and spread over seeds, intervals over images, paired tests,
costs, published figures, ablations, claims of papers. It prints the comparison and writes Markdown, LaTeX, CSV,
figures and a page to look around in, one HTML file with the test images.
"""

EXAMPLES = (
    "medseg report runs/main",
    "medseg report runs/convunext/comparison score=iou convention=pooled",
    "medseg report runs/first runs/second format=latex output=paper/tables",
    "medseg report runs/main score=hd95 size=480",
    "medseg report runs/main format=html images=100",
    "medseg report results/main.zip                    the file of medseg pack",
    "medseg report runs/main subgroups=patients.csv:device sizes=[0.05,0.2]",
)


def report(cfg: DictConfig) -> None:
    """Compare the runs in the folders that `cfg` names, write the report and print its first table."""
    # Imported here, not above: numpy and scipy take a while, and --help and what is misspelt need none of them.
    from medseg.runs.reading import read_runs

    size = size_of(cfg.size)
    if not cfg.runs:
        raise ConfigError("which runs? Give their folder: medseg report runs/main")
    tree = read_runs(list(cfg.runs))
    from medseg.reporting.figures import FIGURES, Drawing

    drawing = Drawing() if cfg.figures and cfg.format != "html" else None  # the page draws its figures itself
    from medseg.reporting.report import compare

    folder = Path(cfg.output).expanduser() if cfg.output else default_folder(tree.runs)

    def scored(comparison: Comparison) -> None:
        check_writable(folder)
        if drawing is not None:
            drawing.add_scores(comparison, folder / FIGURES)

    names: Any = OmegaConf.to_container(cfg.names) if OmegaConf.is_config(cfg.names) else cfg.names
    given = cfg.subgroups if isinstance(cfg.subgroups, str | None) else list(cfg.subgroups)
    sizes = None if cfg.sizes is None else list(cfg.sizes)
    made = compare(tree, cfg.score, cfg.convention, names, size, subgroups=given, sizes=sizes, scored=scored)
    written = made.write(folder, cfg.format, images=cfg.images, figures=drawing or False)
    print(printable(f"{made}\n"))
    for what, path in written.items():
        print(printable(f"{what + ':':<10}{path}"))


def default_folder(runs: Sequence[Run]) -> Path:
    """Return `report/` in the folder that all runs lie in, or their file, as short as it can be given from here."""
    from medseg.runs.packed.archive import home_of

    folder = Path(os.path.commonpath([home_of(run.folder.parent.absolute()).absolute() for run in runs]), "report")
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def size_of(given: Any) -> tuple[int, int] | None:
    """Return the (height, width) that `size` names."""
    if given is None:
        return None
    height, width = given if OmegaConf.is_list(given) else (given, given)
    return height, width


COMMAND = Command("report", report, SUMMARY, EXAMPLES, positional=("runs*",))


def main() -> None:
    """Start from the command line."""
    # Small sums: threads would cost more than they bring, most of all while a sweep has the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # No looking for circles among what is imported and read, nor at the end, when all of it goes: for 100 runs, that
    # took 0.7 of 5 s on a processor.
    gc.disable()
    atexit.register(gc.freeze)
    run_command(COMMAND)
