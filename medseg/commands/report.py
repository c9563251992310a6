"""`medseg report`: compare the runs of a sweep, with tests that say what a difference is worth."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, UserError, printable
from medseg.system.os_errors import check_writable

if TYPE_CHECKING:
    from medseg.reporting.comparison import Comparison
    from medseg.reporting.document import Report
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
)


def report(cfg: DictConfig) -> None:
    """Compare the runs in the folders that `cfg` names, write the report and print its first table."""
    # Imported here, not above: numpy and scipy take a while, and --help and what is misspelt need none of them.
    from medseg.reporting.comparison import measures_of, score_runs, with_verdicts

    size = size_of(cfg.size)
    if not cfg.runs:
        raise ConfigError("which runs? Give their folder: medseg report runs/main")
    from medseg.reporting.names import read_names
    from medseg.runs.reading import read_runs

    tree = read_runs(list(cfg.runs))
    from medseg.reporting.figures import FIGURES, Drawing

    drawing = Drawing() if cfg.figures and cfg.format != "html" else None  # the page draws its own
    tree = tree.checked(curves=cfg.figures or cfg.format in ("html", "all"))
    runs = tree.runs
    given = OmegaConf.to_container(cfg.names) if OmegaConf.is_config(cfg.names) else cfg.names
    names = read_names(given, list(dict.fromkeys([*map(Path, cfg.runs), *(run.folder.parent for run in runs)])))
    measure = measures_of(runs).choose(cfg.score, cfg.convention)
    check_finished(runs, cfg.runs)
    if measure.convention == "per_image" and not any(measure.score in r.per_image.scores for r in runs if r.finished):
        raise UserError(f"no run has a score {measure.title}; choose another with score=...")
    folder = Path(cfg.output).expanduser() if cfg.output else default_folder(runs)
    check_writable(folder)
    from medseg.reporting.document import write_report

    notes = (*tree.copies, *tree.problems)
    comparison = score_runs(runs, measure, size, names)
    if drawing is not None:
        drawing.add_scores(comparison, folder / FIGURES)
    made = replace(make_report(runs, with_verdicts(comparison)), notes=notes)
    if drawing is not None:
        drawing.add_verdicts(made.comparison, folder / FIGURES)
    written = write_report(made, folder, cfg.format, cfg.images, drawing.files if drawing else None)
    if drawing is not None and drawing.files():
        written["figures"] = folder / FIGURES
    print_report(made)
    for what, path in written.items():
        print(printable(f"{what + ':':<10}{path}"))


def make_report(runs: Sequence[Run], comparison: Comparison) -> Report:
    """Return all that a report has to say of a comparison of runs."""
    from medseg.reporting.ablation import find_ablations
    from medseg.reporting.claims import judge_papers
    from medseg.reporting.document import Report
    from medseg.reporting.published import find_published, published_files, read_published

    return Report(
        runs=runs,
        comparison=comparison,
        ablations=find_ablations(comparison),
        published=find_published(comparison, read_published(published_files())),
        judged=judge_papers(comparison),
    )


def print_report(made: Report) -> None:
    """Print what was compared, and the comparison."""
    from medseg.reporting.render.text import as_text
    from medseg.reporting.tables.scores import comparison_table

    print(printable("\n".join([f"{made.title}: {made.opening}", *made.notes, ""])))
    print(printable(as_text(comparison_table(made.comparison))))
    print()


def check_finished(runs: Sequence[Run], folders: Sequence[str]) -> None:
    """Raise `UserError` where no run is finished."""
    if not any(run.finished for run in runs):
        states = [run.state for run in runs]
        said = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        raise UserError(f"{', '.join(folders)}: nothing is finished yet ({said})")


def default_folder(runs: Sequence[Run]) -> Path:
    """Return `report/` in the folder that all runs lie in, as short as it can be given from here."""
    folder = Path(os.path.commonpath([run.folder.parent.absolute() for run in runs]), "report")
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
