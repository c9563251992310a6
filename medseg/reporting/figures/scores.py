"""Figures of scores: against what a network costs, and over the test images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medseg.metrics.measures import Measure
from medseg.reporting.figures.artists import DIAMOND, FEWEST, Bubble, add_boxes, add_bubbles
from medseg.reporting.figures.content import Content
from medseg.reporting.figures.scales import linear, logarithmic, whole
from medseg.reporting.figures.sheet import Sheet, scale_x, scale_y
from medseg.reporting.figures.style import COLOURS, looks, save
from medseg.reporting.figures.text import widest
from medseg.reporting.statistics import Array

if TYPE_CHECKING:
    from medseg.reporting.costs import Size
    from medseg.reporting.line import Line

log = logging.getLogger("medseg")

SMALLEST, EQUAL, LARGEST = 30.0, 70.0, 260.0
"""Areas of bubbles in square points; `EQUAL` where there is nothing for the area to show."""


def draw_costs(content: Content, folder: Path) -> list[Path]:
    """Draw the score against the parameters and, where they are known, the multiply-accumulates.

    The area of a bubble is the other of both.
    """
    size, macs = macs_at_one_size(content)
    millions = {row: cost.parameters / 1e6 for row, cost in content.costs.items() if cost.parameters}
    stem, area = folder / f"{content.measure.name}_parameters", (f"GMAC at {size}", macs)
    drawn = draw_bubbles(content, stem, ("parameters, millions", millions), area)
    if not macs:
        log.info("no figure of multiply-accumulates: medseg benchmark measures them")
        return drawn
    without = [row.label for row in content.rows if row not in macs]
    if without:
        log.info("figure of multiply-accumulates: no benchmark at %s of %s", size, "; ".join(without))
    stem, area = folder / f"{content.measure.name}_macs", ("million parameters", millions)
    return drawn + draw_bubbles(content, stem, (f"GMAC for an image of {size}", macs), area)


def macs_at_one_size(content: Content) -> tuple[str, dict[Line, float]]:
    """Return 10^9 multiply-accumulates of the rows, all for images of the one size that most rows have them of."""
    known = {row: cost for row in content.rows if (cost := content.costs[row]).macs}
    sizes: Counter[Size] = Counter(cost.size for cost in known.values() if cost.size)
    size = max(sorted(sizes), key=lambda one: sizes[one], default=None)
    macs = {row: cost.macs / 1e9 for row, cost in known.items() if cost.macs and cost.size == size}
    return f"{size[0]} x {size[1]}" if size else "unknown size", macs


def draw_bubbles(
    content: Content, stem: Path, across: tuple[str, Mapping[Line, float]], area: tuple[str, Mapping[Line, float]]
) -> list[Path]:
    """Draw a panel for each dataset: the score (mean over seeds, bar: deviation over seeds) of each network.

    Args:
        content: of which the scores are drawn.
        stem: of the files.
        across: label of the horizontal axis, and the value of each row on it.
        area: what the area of a bubble shows, and its value for each row; not shown where a row has none.

    A single network has nothing to be compared with: nothing is drawn.
    """
    (title, xs), (area_title, areas) = across, area
    values = {cell: seeds for cell, seeds in content.means.items() if cell[0] in xs}
    rows, columns = content.shown(values)
    if len(rows) < 2:
        return []
    shown = {row: areas[row] for row in rows} if set(rows) <= set(areas) else {}
    largest = max(shown.values(), default=1.0)
    sizes = {row: SMALLEST + (LARGEST - SMALLEST) * shown[row] / largest if shown else EQUAL for row in rows}
    look = looks(content.rows)
    panels = []
    for column in columns:
        here = [row for row in sorted(rows, key=lambda row: -sizes[row]) if (row, column) in values]
        scores = [values[row, column] for row in here]
        spreads = [float(seeds.std(ddof=1)) if len(seeds) > 1 else float("nan") for seeds in scores]
        panels.append(
            [
                Bubble(xs[row], float(seeds.mean()), spread, sizes[row], look[row])
                for row, seeds, spread in zip(here, scores, spreads, strict=True)
            ]
        )
    ends = [[b.mean + sign * np.nan_to_num(b.spread) for b in bubbles for sign in (-1, 1)] for bubbles in panels]
    scales = [linear(one, margin=0.15) for one in ends]
    several = any(len(seeds) > 1 for seeds in values.values())
    remarks = ["bar: deviation over seeds"] if several else []
    remarks += [f"area, and in brackets: {area_title}"] if shown else []
    numbers = {row: f" ({value:.{2 if value < 10 else 1}f})" for row, value in shown.items()}
    mark = {"linestyle": "", "markersize": 6.5}
    sheet = Sheet(
        [column.label for column in columns],
        x_label=title,
        y_labels=[f"{title_of(content.measure)}{', mean over seeds' if several else ''}"],
        legend=[
            (f"{row.label}{numbers.get(row, '')}", {"color": look[row].colour, "marker": look[row].marker, **mark})
            for row in rows
        ],
        caption="; ".join(remarks),
        room=widest(scales),
    )
    for (axis,), bubbles, scale in zip(sheet.panels, panels, scales, strict=True):
        scale_x(axis, logarithmic([xs[row] for row in rows]))
        scale_y(axis, scale)
        add_bubbles(axis, bubbles)
    return save(sheet.figure, stem)


def title_of(measure: Measure) -> str:
    """Name a score on an axis, with its unit."""
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


def draw_images(content: Content, folder: Path) -> list[Path]:
    """Draw how the test images' scores, averaged over seeds, are spread.

    Boxes of each network (`boxes`); of a single network, which is compared with none, a histogram (`distribution`).
    Nothing where no cell has two images.
    """
    values = content.images
    rows, columns = content.shown(values)
    counts = {len(scores) for scores in values.values()}
    if max(counts, default=0) < 2:
        return []
    averaged = ", averaged over seeds" if content.several else ""
    if len(rows) == 1 and max(counts) >= FEWEST:
        alone = {column.label: values[rows[0], column] for column in columns}
        return draw_histograms(alone, title_of(content.image_measure), f"test images{averaged}", folder)
    look = looks(content.rows)
    box = f"box: middle half of the test images{averaged}; line: median; dots: beyond 1.5 boxes"
    dots = f"fewer than {FEWEST} images: a dot for each{averaged}"
    remarks = [box] * (max(counts) >= FEWEST) + [dots] * (min(counts) < FEWEST)
    sheet = Sheet(
        [column.label for column in columns],
        names=[row.label for row in rows],
        x_label=title_of(content.image_measure),
        caption="; ".join([*remarks, "diamond: mean"]),
    )
    for (axis,), column in zip(sheet.panels, columns, strict=True):
        here = [
            (float(y), values[row, column], look[row].colour) for y, row in enumerate(rows) if (row, column) in values
        ]
        scale_x(axis, linear([end for _, scores, _ in here for end in (scores.min(), scores.max())]))
        add_boxes(axis, here)
    return save(sheet.figure, folder / "boxes")


def draw_histograms(values: Mapping[str, Array], title: str, what: str, folder: Path) -> list[Path]:
    """Draw a histogram of the images' scores for each dataset.

    Args:
        values: title of a panel -> scores.
        title: of the scores.
        what: is counted, in words.
        folder: of the files.
    """
    bars = [histogram(scores) for scores in values.values()]
    scales = [whole(int(counts.max()), most=5) for counts, _ in bars]
    sheet = Sheet(
        list(values),
        x_label=title,
        y_labels=["test images"],
        caption=f"{what}; line: median; diamond: mean",
        room=widest(scales),
    )
    for (axis,), scores, (counts, edges), scale in zip(sheet.panels, values.values(), bars, scales, strict=True):
        highest = float(counts.max())
        scale_x(axis, linear([edges[0], edges[-1]]))
        scale_y(axis, replace(scale, low=0.0, high=highest * 1.08))
        axis.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.55)
        axis.plot([np.median(scores)] * 2, [0, highest], color="black", linewidth=1.4)
        axis.plot([scores.mean()], [highest / 2], **DIAMOND)
    return save(sheet.figure, folder / "distribution")


def histogram(values: Array) -> tuple[Array, Array]:
    """Count values in bins of equal width: 1 where all are equal, else 5 to 20 as their number has it."""
    middle = float(values.mean())
    if np.ptp(values) < 1e-9 * max(1.0, float(np.abs(values).max())):
        width = max(abs(middle) * 0.01, 0.002)
        return np.array([float(len(values))]), np.array([middle - width, middle + width])
    counts, edges = np.histogram(values, bins=min(20, max(5, round(2 * len(values) ** 0.5))))
    return counts.astype(np.float64), edges
