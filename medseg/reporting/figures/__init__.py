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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.metrics.measures import Measure
    from medseg.reporting.comparison import Comparison
    from medseg.reporting.figures.artists import Array
    from medseg.reporting.layout import Line
    from medseg.reporting.pairs import Pair
    from medseg.reporting.ranks import Stability

log = logging.getLogger("medseg")

FIGURES = "figures"
"""Folder of the figures in the report's."""


@dataclass
class Drawing:
    """Figures that are drawn in another process.

    Args:
        folder: of the files.
        pool: the process.
    """

    folder: Path
    pool: ProcessPoolExecutor
    parts: list[Future[list[Path]]] = field(default_factory=list)

    def add_verdicts(self, comparison: Comparison) -> None:
        """Draw `differences` and `ranks` as well."""
        self.parts.append(self.pool.submit(draw_judged, *judged(comparison), self.folder))

    def files(self) -> list[Path]:
        """Wait for the files of all figures, the PNG of each first."""
        return [file for part in self.parts for file in part.result()]


@contextmanager
def drawing(comparison: Comparison, folder: Path) -> Iterator[Drawing]:
    """Draw the figures in a process beside this one; arguments as of `draw_scores`.

    The comparison needs no tests yet: those go to `Drawing.add_verdicts` as soon as they are there.
    """
    # Forked: the comparison is handed over as it is, with all runs that have been read. Two, since drawing takes longer
    # than what is written meanwhile.
    options: Any = {"mp_context": multiprocessing.get_context("fork"), "initializer": hand_over}
    with ProcessPoolExecutor(2, initargs=(comparison,), **options) as pool:
        yield Drawing(folder, pool, [pool.submit(draw_handed_over, folder, part) for part in PARTS])


handed_over: list[Comparison] = []
"""In the process that draws: what it draws."""


def hand_over(comparison: Comparison) -> None:
    """Begin the process that draws."""
    handed_over.append(comparison)
    gc.disable()  # a quarter of the time; the process ends with the figures


def draw_handed_over(folder: Path, part: str) -> list[Path]:
    """Draw in a process that draws."""
    return draw_scores(handed_over[0], folder, part)


PARTS = ("scores", "trainings")
"""What is drawn by itself: costs and test images; curves and predictions."""


def draw_scores(comparison: Comparison, folder: Path, *parts: str) -> list[Path]:
    """Draw every figure of scores, trainings and images that there are data for, and return the files.

    Args:
        comparison: cells and costs; its tests are not looked at.
        folder: where the files go; made when needed.
        parts: some of `PARTS`; none for all.

    What cannot be drawn is named in the log, with what is missing.
    """
    # Not above: matplotlib takes half a second, which a report without figures need not wait for.
    from medseg.reporting.figures.curves import draw_curves
    from medseg.reporting.figures.grid import draw_grids
    from medseg.reporting.figures.scores import draw_images, draw_macs, draw_parameters

    if all(cell.sample is None for cell in comparison.cells.values()):
        log.warning("no figures: no run is finished")
        return []
    measure = image_measure(comparison)
    drawn: list[Path] = []
    if "scores" in (parts or PARTS):
        drawn += draw(
            lambda: [
                draw_parameters(comparison, folder),
                draw_macs(comparison, folder),
                draw_images(comparison, measure, folder),
            ]
        )
    if "trainings" in (parts or PARTS):
        drawn += draw(lambda: [draw_curves(comparison, folder), *draw_grids(comparison, measure, folder)])
    return drawn


def draw_verdicts(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw the figures of verdicts and ranks, and return the files; `folder`: made when needed."""
    return draw_judged(*judged(comparison), folder)


Judged = tuple["Sequence[Line]", "Sequence[Pair]", "Mapping[Line, Line]", "Measure", "Stability[Line, Line] | None"]


def judged(comparison: Comparison) -> Judged:
    """Return what the figures of verdicts need of a comparison, in a form that another process can be sent."""
    measure = replace(comparison.measure, function=None)
    return comparison.rows, comparison.pairs, best_rows(comparison), measure, comparison.stability


def draw_judged(
    rows: Sequence[Line],
    pairs: Sequence[Pair],
    best: Mapping[Line, Line],
    measure: Measure,
    stability: Stability[Line, Line] | None,
    folder: Path,
) -> list[Path]:
    """Draw the figures of verdicts; arguments as of `judged`."""
    from medseg.reporting.figures.ranks import draw_differences, draw_ranks

    return draw(
        lambda: [
            draw_differences(pairs, best, rows, measure, folder / "differences"),
            draw_ranks([row.label for row in rows], shares_of(rows, stability), folder / "ranks"),
        ]
    )


def shares_of(rows: Sequence[Line], stability: Stability[Line, Line] | None) -> dict[str, Array]:
    """Return title -> shares, rows x ranks; NaN in the rows that are not ranked there."""
    import numpy as np

    if stability is None:
        return {}
    overall = {"all datasets": stability.overall} if stability.overall else {}
    shares = {}
    for title, ranked in {**overall, **{column.label: one for column, one in stability.columns.items()}}.items():
        shares[title] = np.full((len(rows), len(rows)), np.nan)
        for row, values in zip(ranked.rows, ranked.shares, strict=True):
            shares[title][rows.index(row), : len(values)] = values
    return shares


def draw(figures: Callable[[], list[Path | None]]) -> list[Path]:
    """Draw in the style of the report, whatever the user has set for matplotlib.

    Args:
        figures: draws, and returns the PNG files; None for what cannot be drawn.

    Returns the files, the PNG of each figure first.
    """
    import matplotlib

    from medseg.reporting.figures.style import STYLE
    from medseg.reporting.figures.text import alphabets

    with alphabets(), matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        drawn = [file for file in figures() if file is not None]
    beside = [file.with_suffix(suffix) for file in drawn for suffix in (".png", ".pdf", ".svg")]
    return [file for file in beside if file.exists()]


def image_measure(comparison: Comparison) -> Measure:
    """Return the score of single images that figures of images show: the report's, or Dice where images have none."""
    chosen = comparison.measure.score
    return next((one for one in comparison.measures.per_image if one.score == chosen), comparison.measures["dice"])


def best_rows(comparison: Comparison) -> dict[Line, Line]:
    """Return dataset -> its network with the best mean, the first of equal ones."""
    measure = comparison.measure
    sign = -1 if measure.higher_is_better else 1
    best = {}
    for column in comparison.columns:
        cells = [comparison.cells.get((row, column)) for row in comparison.rows]
        scored = [cell for cell in cells if cell is not None and measure.name in cell.scores]
        if scored:
            best[column] = min(scored, key=lambda cell: sign * cell.scores[measure.name].mean).row
    return best
