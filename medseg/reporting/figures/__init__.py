"""The figures of a report, each as PNG (300 dpi), PDF and SVG: byte for byte the same from the same runs.

overview             mean and interval of each network, the best one and those not shown to differ from it marked
<score>_parameters   score against parameters, a bubble for each network; its area is the multiply-accumulates
<score>_macs         score against multiply-accumulates; the area is the parameters
boxes                scores of the test images; of a single network, `distribution`, a histogram
curves               validation Dice and training loss over the epochs, with a band over the seeds
reliability          share of true pixels over the predicted probability
error_detection      the Dice of the images that remain when the least certain ones are left out
learning_curve       the score over the number of training images, where runs differ in `data.fraction`
differences          how far each network is from the best one, with the interval that the verdict is made of
ranks                how often each network is at each rank
grid_<data>          the images that networks disagree most on: image, truth, predictions (no SVG, which would be huge)

Of a single network nothing is drawn that compares: no overview, bubbles, boxes, differences or ranks.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from medseg.reporting.figures.content import Content, Verdicts, content_of, verdicts_of
from medseg.system.process import available_cores
from medseg.system.signals import exit_with

if TYPE_CHECKING:
    from medseg.reporting.comparison import Comparison

FIGURES = "figures"
"""Folder of the figures in the report's."""

OVERVIEW = "overview"
"""Name of the figure at the start of the report."""


WORKERS = 2
"""Most processes that draw: one takes longer than all else of a report does."""


class Drawing:
    """Figures that other processes draw: make it early, since to import matplotlib takes them 0.4 s."""

    def __init__(self) -> None:
        # A core is for the tables and the page. Forked: what is imported by now need not be imported again.
        workers, fork = max(1, min(WORKERS, available_cores() - 1)), multiprocessing.get_context("fork")
        self.pool = ProcessPoolExecutor(workers, fork, initializer=prepare, initargs=(os.getpid(),))
        self.pool.submit(int)  # has the processes begin
        self.parts: list[Future[list[Path]]] = []

    def add_scores(self, comparison: Comparison, folder: Path) -> None:
        """Draw every figure of scores, trainings and images that there are data for; tests are not looked at.

        What cannot be drawn is named in the log, with what is missing.
        """
        content = content_of(comparison)
        self.parts += [self.pool.submit(draw_one, name, content, folder) for name in OF_SCORES]

    def add_verdicts(self, comparison: Comparison, folder: Path) -> None:
        """Draw the figures of verdicts and ranks."""
        content = verdicts_of(comparison)
        self.parts += [self.pool.submit(draw_one, name, content, folder) for name in OF_VERDICTS]

    def files(self) -> list[Path]:
        """Wait for the files of all figures, the PNG of each first."""
        with self.pool:
            return [file for part in self.parts for file in part.result()]


def prepare(parent: int) -> None:
    """Begin a process that draws; it ends with its parent."""
    exit_with(parent, signal.SIGKILL)
    gc.disable()  # a quarter of the time; the process ends with the figures
    for name in (*OF_SCORES, *OF_VERDICTS):
        function_of(name)


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw all figures in this process; return their files, the PNG of each first. The folder is made when needed."""
    contents: list[tuple[Content | Verdicts, Sequence[str]]] = [
        (content_of(comparison), OF_SCORES),
        (verdicts_of(comparison), OF_VERDICTS),
    ]
    return [file for content, names in contents for name in names for file in draw_one(name, content, folder)]


OF_SCORES = (
    "scores.draw_costs",
    "scores.draw_images",
    "curves.draw_curves",
    "learning.draw_learning",
    "certainty.draw_reliability",
    "certainty.draw_error_detection",
    "grid.draw_grids",
)
OF_VERDICTS = ("overview.draw_overview", "ranks.draw_differences", "ranks.draw_ranks")
"""Functions that draw of a `Content`, or of `Verdicts`."""


def function_of(name: str) -> Callable[[Any, Path], list[Path]]:
    """Import one of them: not above, since a report without figures need not wait for matplotlib."""
    function: Callable[[Any, Path], list[Path]] = resolve_name(f"{__name__}.{name}")
    return function


def draw_one(name: str, content: Content | Verdicts, folder: Path) -> list[Path]:
    """Draw a figure, in each format; return the files."""
    from medseg.reporting.figures.style import in_style

    with in_style():
        return function_of(name)(content, folder)
