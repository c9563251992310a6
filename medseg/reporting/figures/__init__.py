"""The figures of a report, each as PNG (300 dpi), PDF and SVG: byte for byte the same from the same runs.

<score>_parameters   score against parameters, a bubble for each network; its area is the multiply-accumulates
<score>_macs         score against multiply-accumulates; the area is the parameters
boxes                scores of the test images; of a single network, `distribution`, a histogram
curves               validation Dice and training loss over the epochs, with a band over the seeds
differences          how far each network is from the best one, with the interval that the verdict is made of
ranks                how often each network is at each rank
grid_<data>          the images that networks disagree most on: image, truth, predictions (no SVG, which would be huge)

Of a single network nothing is drawn that compares: no bubbles, boxes, differences or ranks.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from medseg.reporting.figures.content import Content, Verdicts, content_of, verdicts_of
from medseg.system.signals import exit_with

if TYPE_CHECKING:
    from medseg.reporting.comparison import Comparison

log = logging.getLogger("medseg")

FIGURES = "figures"
"""Folder of the figures in the report's."""


class Drawing:
    """Figures that another process draws: make it early, since to import matplotlib takes that process 0.4 s."""

    def __init__(self) -> None:
        # Forked: what is imported by now need not be imported again.
        self.pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("fork"), initializer=exit_with, initargs=(os.getpid(), signal.SIGKILL)
        )
        self.pool.submit(prepare)
        self.parts: list[Future[list[Path]]] = []

    def add_scores(self, comparison: Comparison, folder: Path) -> None:
        """Draw every figure of scores, trainings and images that there are data for; tests are not looked at.

        What cannot be drawn is named in the log, with what is missing.
        """
        self.parts.append(self.pool.submit(draw_scores, content_of(comparison), folder))

    def add_verdicts(self, comparison: Comparison, folder: Path) -> None:
        """Draw the figures of verdicts and ranks."""
        self.parts.append(self.pool.submit(draw_verdicts, verdicts_of(comparison), folder))

    def files(self) -> list[Path]:
        """Wait for the files of all figures, the PNG of each first."""
        with self.pool:
            return [file for part in self.parts for file in part.result()]


def prepare() -> None:
    """Import what the figures need: not above, since a report without figures need not wait for matplotlib."""
    gc.disable()  # a quarter of the time; the process ends with the figures
    import medseg.reporting.figures.curves
    import medseg.reporting.figures.grid
    import medseg.reporting.figures.ranks
    import medseg.reporting.figures.scores  # noqa: F401


def draw_scores(content: Content, folder: Path) -> list[Path]:
    """Draw what needs no verdicts; return the files. The folder is made when needed."""
    from medseg.reporting.figures.curves import draw_curves
    from medseg.reporting.figures.grid import draw_grids
    from medseg.reporting.figures.scores import draw_costs, draw_images
    from medseg.reporting.figures.style import in_style

    if not content.finished:
        log.warning("no figures: no run is finished")
        return []
    with in_style():
        return [file for one in (draw_costs, draw_images, draw_curves, draw_grids) for file in one(content, folder)]


def draw_verdicts(verdicts: Verdicts, folder: Path) -> list[Path]:
    """Draw the figures of verdicts and ranks; return the files. The folder is made when needed."""
    from medseg.reporting.figures.ranks import draw_differences, draw_ranks
    from medseg.reporting.figures.style import in_style

    with in_style():
        return draw_differences(verdicts, folder) + draw_ranks(verdicts, folder)
