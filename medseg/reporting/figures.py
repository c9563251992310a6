"""The figures of a report: byte for byte the same from the same runs, in colours that the colour-blind can tell apart.

dice_parameters.png   Dice against parameters, a bubble for each network; its area is the multiply-accumulates
dice_macs.png         Dice against multiply-accumulates; the area is the parameters (where a benchmark has them)
boxes.png             Dice of the test images
curves.png            validation Dice and training loss over the epochs, with a band over the seeds
grid_<data>.png       the images that networks disagree most on: image, truth, what each network predicted
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from medseg.reporting.layout import lay_out
from medseg.runs.run import Run

log = logging.getLogger("medseg")

FIGURES = "figures"
"""Folder of the figures in the report's."""


@contextmanager
def drawing(runs: Sequence[Run], folder: Path, *, score: str = "dice") -> Iterator[Future[list[Path]]]:
    """Draw every figure in a process of its own, while the caller does something else; arguments as of `draw_all`.

    Raises `UserError` where the scores of a finished run are missing or damaged.
    """
    # Forked: what has been read need not be read again. The scores, which both need, take 0.15 s of 100 runs.
    for run in runs:
        if run.finished:
            _ = run.per_image
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        yield pool.submit(draw_all, runs, folder, score=score)


def draw_all(runs: Sequence[Run], folder: Path, *, score: str = "dice") -> list[Path]:
    """Draw every figure that the runs have the data for, and return the files.

    Args:
        runs: of a report, in whatever state; only finished ones are drawn.
        folder: where the files go; made when needed.
        score: per image, of which the figures are.

    What cannot be drawn is said in the log, with what is missing.
    """
    # Not above: matplotlib takes a second, which a report without figures need not wait for.
    import matplotlib

    from medseg.reporting.figures_grid import draw_grids
    from medseg.reporting.figures_scores import draw_boxes, draw_curves, draw_macs, draw_parameters
    from medseg.reporting.figures_style import STYLE

    finished = [run for run in runs if run.finished]
    if not finished:
        log.warning("no figures: no run is finished")
        return []
    layout = lay_out(finished)
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings would make other pictures
        matplotlib.rcParams.update(STYLE)
        drawn = [draw(layout, folder, score) for draw in (draw_parameters, draw_macs, draw_boxes, draw_curves)]
        return [file for file in drawn if file is not None] + draw_grids(layout, folder, score)
