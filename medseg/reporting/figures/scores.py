"""Figures of scores: against what a network costs, and over the test images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from medseg.metrics.measures import Measure
from medseg.reporting.figures.artists import DIAMOND, FEWEST, Array, Bubble, add_boxes, add_bubbles
from medseg.reporting.figures.sheet import (
    Entry,
    Plan,
    Sheet,
    fit_names,
    names_left,
    scale_x,
    scale_y,
)
from medseg.reporting.figures.style import COLOURS, linear, logarithmic, looks, save, title_of, whole

if TYPE_CHECKING:
    from medseg.reporting.comparison import Comparison
    from medseg.reporting.costs import Size
    from medseg.reporting.layout import Line

log = logging.getLogger("medseg")

SMALLEST, EQUAL, LARGEST = 30.0, 70.0, 260.0
"""Areas of bubbles in square points; `EQUAL` where there is nothing for the area to show."""


def draw_parameters(comparison: Comparison, folder: Path) -> Path | None:
    """Draw the score against the number of parameters; the area of a bubble is the multiply-accumulates."""
    costs = comparison.costs
    known = {row: cost.parameters / 1e6 for row in comparison.rows if (cost := costs[row]).parameters}
    size, macs = macs_at_one_size(comparison)
    area = (f"GMAC at {written(size)}", macs)
    return draw_bubbles(
        comparison, folder / f"{comparison.measure.name}_parameters", ("parameters, millions", known), area
    )


def draw_macs(comparison: Comparison, folder: Path) -> Path | None:
    """Draw the score against the multiply-accumulates, where they are known; the area is the parameters."""
    size, known = macs_at_one_size(comparison)
    if not known:
        log.info("no figure of multiply-accumulates: python -m medseg.benchmark measures them")
        return None
    without = [row.label for row in comparison.rows if row not in known]
    if without:
        log.info("figure of multiply-accumulates: no benchmark at %s of %s", written(size), ", ".join(without))
    areas = {row: cost.parameters / 1e6 for row in known if (cost := comparison.costs[row]).parameters}
    across = (f"GMAC for an image of {written(size)}", known)
    stem = folder / f"{comparison.measure.name}_macs"
    return draw_bubbles(comparison, stem, across, ("million parameters", areas))


def macs_at_one_size(comparison: Comparison) -> tuple[Size | None, dict[Line, float]]:
    """Return 10^9 multiply-accumulates of the rows, all for images of the one size that most rows have them of."""
    costs = {row: comparison.costs[row] for row in comparison.rows if comparison.costs[row].macs}
    sizes = Counter(cost.size for cost in costs.values())
    size = max(sorted(filter(None, sizes)), key=lambda one: sizes[one], default=None)
    return size, {row: cost.macs / 1e9 for row, cost in costs.items() if cost.macs and cost.size == size}


def written(size: Size | None) -> str:
    """Write the size of an image."""
    return f"{size[0]} x {size[1]}" if size else "unknown size"


def draw_bubbles(
    comparison: Comparison,
    stem: Path,
    across: tuple[str, Mapping[Line, float]],
    area: tuple[str, Mapping[Line, float]],
) -> Path | None:
    """Draw a panel for each dataset: the score (mean over seeds, bar: deviation over seeds) of each network.

    Args:
        comparison: of which the cells, the costs and the measure are drawn.
        stem: of the files.
        across: label of the horizontal axis, and the value of each row on it.
        area: what the area of a bubble shows, and its value for each row; not shown where a row has none.

    A single network has nothing to be compared with: nothing is drawn.
    """
    (title, xs), (area_title, areas) = across, area
    values = {
        (row, column): cell.sample.values(comparison.measure)
        for (row, column), cell in comparison.cells.items()
        if row in xs and cell.sample is not None
    }
    values = {cell: seeds for cell, seeds in values.items() if np.isfinite(seeds).all()}
    rows = [row for row in comparison.rows if any(row == of for of, _ in values)]
    columns = [column for column in comparison.columns if any(column == of for _, of in values)]
    if len(rows) < 2:
        return None
    shown = {row: areas[row] for row in rows} if set(rows) <= set(areas) else {}
    look = looks(comparison.rows)
    panels, scales = [], []
    for column in columns:
        bubbles = []
        for row in sorted(rows, key=lambda row: -shown.get(row, 0.0)):
            seeds = values.get((row, column), np.array([]))
            if len(seeds):
                size = SMALLEST + (LARGEST - SMALLEST) * shown[row] / max(shown.values()) if shown else EQUAL
                spread = float(seeds.std(ddof=1)) if len(seeds) > 1 else float("nan")
                bubbles.append(Bubble(xs[row], float(seeds.mean()), spread, size, look[row]))
        panels.append(bubbles)
        ends = [b.mean + sign * np.nan_to_num(b.spread) for b in bubbles for sign in (-1, 1)]
        scales.append(linear(ends, margin=0.15))
    x_scale = logarithmic([xs[row] for row in rows])
    several = any(not np.isnan(bubble.spread) for bubbles in panels for bubble in bubbles)
    remarks = ["bar: deviation over seeds"] if several else []
    remarks += [f"area, and in brackets: {area_title}"] if shown else []
    numbers = {row: f" ({shown[row]:.{2 if shown[row] < 10 else 1}f})" for row in shown}
    sheet = Sheet(
        Plan(
            [column.label for column in columns],
            x_label=title,
            y_labels=[f"{title_of(comparison.measure)}{', mean over seeds' if several else ''}"],
            legend=[Entry.of(look[row], f"{row.label}{numbers.get(row, '')}") for row in rows],
            caption="; ".join(remarks),
            first=max(scale.width for scale in scales),
            others=max(scale.width for scale in scales),
        )
    )
    for (axis,), bubbles, scale in zip(sheet.panels, panels, scales, strict=True):
        scale_x(axis, x_scale, kind="log")
        scale_y(axis, scale)
        add_bubbles(axis, bubbles)
    return save(sheet.figure, stem)


def draw_images(comparison: Comparison, measure: Measure, folder: Path) -> Path | None:
    """Draw how the test images' scores, averaged over seeds, are spread.

    Boxes of each network (`boxes`); of a single network, which is compared with none, a histogram (`distribution`).
    Nothing where no cell has two images.

    Args:
        comparison: of which the cells are drawn.
        measure: a score of single images.
        folder: of the files.
    """
    values: dict[tuple[Line, Line], Array] = {}
    for cell, content in comparison.cells.items():
        if content.sample is not None:
            scores = content.sample.per_image(measure.score)
            if np.isfinite(scores).any():
                values[cell] = scores[np.isfinite(scores)]
    rows = [row for row in comparison.rows if any(row == of for of, _ in values)]
    columns = [column for column in comparison.columns if any(column == of for _, of in values)]
    if max(map(len, values.values()), default=0) < 2:
        return None
    if len(rows) == 1 and max(map(len, values.values())) >= FEWEST:
        alone = {column: values[rows[0], column] for column in columns}
        return draw_histograms(alone, measure, f"test images{averaged(comparison)}", folder)
    look = looks(comparison.rows)
    names, widest, step = fit_names([row.label for row in rows])
    sheet = Sheet(
        Plan(
            [column.label for column in columns],
            heights=(step * len(rows) + 0.1,),
            x_label=title_of(measure),
            caption=describe_boxes({len(some) for some in values.values()}, averaged(comparison)),
            first=widest,
        )
    )
    for n, ((axis,), column) in enumerate(zip(sheet.panels, columns, strict=True)):
        here = [(y, values[row, column], look[row].colour) for y, row in enumerate(rows) if (row, column) in values]
        names_left(axis, names, labels=sheet.is_first(n))
        scale_x(axis, linear([float(value) for _, some, _ in here for value in (some.min(), some.max())]))
        add_boxes(axis, [(float(y), some, colour) for y, some, colour in here])
    return save(sheet.figure, folder / "boxes")


def averaged(comparison: Comparison) -> str:
    """Say that the scores are means over seeds, where there are several."""
    samples = [cell.sample for cell in comparison.cells.values() if cell.sample is not None]
    return ", averaged over seeds" if any(len(sample.seeds) > 1 for sample in samples) else ""


def describe_boxes(counts: set[int], over_seeds: str) -> str:
    """Say what the boxes and the dots are; `counts`: numbers of images of the cells."""
    parts = []
    if max(counts) >= FEWEST:
        parts.append(f"box: middle half of the test images{over_seeds}; line: median; dots: beyond 1.5 boxes")
    if min(counts) < FEWEST:
        parts.append(f"fewer than {FEWEST} images: a dot for each{over_seeds}")
    return "; ".join([*parts, "diamond: mean"])


def draw_histograms(values: Mapping[Line, Array], measure: Measure, what: str, folder: Path) -> Path:
    """Draw a histogram of the images' scores for each dataset; `what`: is counted, in words."""
    drawn = [histogram(scores) for scores in values.values()]
    scales = [whole(int(counts.max()), most=5) for counts, _ in drawn]
    sheet = Sheet(
        Plan(
            [column.label for column in values],
            x_label=title_of(measure),
            y_labels=["test images"],
            caption=f"{what}; line: median; diamond: mean",
            first=max(scale.width for scale in scales),
            others=max(scale.width for scale in scales),
        )
    )
    for (axis,), scores, (counts, edges), scale in zip(sheet.panels, values.values(), drawn, scales, strict=True):
        scale_x(axis, linear([float(edges[0]), float(edges[-1])]))
        scale_y(axis, replace(scale, low=0.0, high=float(counts.max()) * 1.08))
        add_histogram(axis, scores, counts, edges)
    return save(sheet.figure, folder / "distribution")


def histogram(values: Array) -> tuple[Array, Array]:
    """Count values in bins of equal width: 1 where all are equal, else 5 to 20 as their number has it."""
    if np.ptp(values) < 1e-9 * max(1.0, float(np.abs(values).max())):
        middle = float(values.mean())
        width = max(abs(middle) * 0.01, 0.002)
        return np.array([float(len(values))]), np.array([middle - width, middle + width])
    counts, edges = np.histogram(values, bins=min(20, max(5, round(2 * len(values) ** 0.5))))
    return counts.astype(np.float64), edges


def add_histogram(axis: Axes, values: Array, counts: Array, edges: Array) -> None:
    """Draw bars, the median and the mean."""
    axis.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.55)
    axis.plot([np.median(values)] * 2, [0, counts.max()], color="black", linewidth=1.4)
    axis.plot([values.mean()], [counts.max() / 2], **DIAMOND)
