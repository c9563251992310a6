"""Figures of scores: against what a network costs, over the test images, over the epochs."""

from __future__ import annotations

import logging
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from medseg.reporting.costs import Costs, costs_of
from medseg.reporting.figures_artists import Bubble, add_bands, add_boxes, add_bubbles
from medseg.reporting.figures_style import (
    BESIDE,
    Look,
    legend_below,
    looks,
    panels,
    save,
    set_title,
    title_of,
)
from medseg.reporting.layout import Layout, Line
from medseg.reporting.samples import Array, gather
from medseg.runs.run import Run

log = logging.getLogger("medseg")

SMALLEST, EQUAL, LARGEST = 30.0, 70.0, 260.0
"""Areas of bubbles in square points; `EQUAL` where there is nothing for the area to show."""


def draw_parameters(layout: Layout, folder: Path, score: str) -> Path | None:
    """Draw the score against the number of parameters."""
    costs = costs_of_rows(layout)
    known = {row: cost.parameters / 1e6 for row, cost in costs.items() if cost.parameters}
    areas = {row: cost.macs / 1e9 for row, cost in costs.items() if cost.macs}
    return draw_bubbles(
        layout,
        folder / f"{score}_parameters.png",
        score,
        ("parameters, millions", known),
        (f"GMAC for an image of {size_of(costs)}", areas if set(areas) == set(known) else {}),
    )


def draw_macs(layout: Layout, folder: Path, score: str) -> Path | None:
    """Draw the score against the multiply-accumulates, where benchmarks have them."""
    costs = costs_of_rows(layout)
    known = {row: cost.macs / 1e9 for row, cost in costs.items() if cost.macs}
    areas = {row: cost.parameters / 1e6 for row, cost in costs.items() if cost.parameters and row in known}
    if not known:
        log.info("no figure of multiply-accumulates: python -m medseg.benchmark measures them")
        return None
    left_out = [row.label for row in layout.rows if row not in known]
    if left_out:
        log.info("figure of multiply-accumulates: no benchmark of %s", ", ".join(left_out))
    return draw_bubbles(
        layout,
        folder / f"{score}_macs.png",
        score,
        (f"GMAC for an image of {size_of(costs)}", known),
        ("million parameters", areas if set(areas) == set(known) else {}),
    )


def costs_of_rows(layout: Layout) -> dict[Line, Costs]:
    """Return the costs of each row, all for images of one size: the one that most rows have benchmarks of."""
    runs = {
        row: [run for (line, _), some in layout.cells.items() if line == row for run in some] for row in layout.rows
    }
    costs = {row: costs_of(runs[row]) for row in layout.rows}
    sizes = Counter(cost.size for cost in costs.values() if cost.size)
    if len(sizes) > 1:
        size = max(sorted(sizes), key=lambda one: sizes[one])
        log.info("figures show multiply-accumulates for images of %d x %d alone", *size)
        costs = {row: replace(costs_of(runs[row], size), parameters=costs[row].parameters) for row in layout.rows}
    return costs


def size_of(costs: Mapping[Line, Costs]) -> str:
    """Say for what size multiply-accumulates were counted."""
    return next((f"{cost.size[0]} x {cost.size[1]}" for cost in costs.values() if cost.size), "")


def draw_bubbles(
    layout: Layout,
    file: Path,
    score: str,
    across: tuple[str, Mapping[Line, float]],
    area: tuple[str, Mapping[Line, float]],
) -> Path | None:
    """Draw a panel for each dataset: the score (mean over seeds, bar: deviation over seeds) of each network.

    Args:
        layout: rows and columns.
        file: to write.
        score: per image.
        across: title of the horizontal axis, and the place of each row on it.
        area: what the area of a bubble shows, and of each row how much; nothing for equal bubbles.
    """
    (title, places), (area_title, areas) = across, area
    if not places:
        return None
    most = max(areas.values(), default=1.0)
    look = looks(layout.rows)
    figure, axes = panels(len(layout.columns), 2.6)
    for axis, column in zip(axes, layout.columns, strict=True):
        shown = []
        for row, place in sorted(places.items(), key=lambda item: -areas.get(item[0], 0.0)):
            values = seed_means(layout.cells.get((row, column), ()), score)
            if len(values):
                size = SMALLEST + (LARGEST - SMALLEST) * areas[row] / most if areas else EQUAL
                spread = values.std(ddof=1) if len(values) > 1 else np.nan
                shown.append(Bubble(place, float(values.mean()), float(spread), size, look[row]))
        add_bubbles(axis, shown)
        set_title(axis, column.label)
        axis.set(xlabel=title, xscale="log")
        low, high = min(places.values()) / 1.6, max(places.values()) * 1.6
        axis.set_xlim(low, high)
        axis.set_xticks(ticks := round_numbers(low, high), [f"{tick:g}" for tick in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.margins(y=0.2)
    for axis in axes[:: min(len(axes), BESIDE)]:
        axis.set_ylabel(f"{title_of(score)}, mean over images")
    named = [row for row in layout.rows if row in places]
    handles = [key_of(look[row]) for row in named]
    labels = [row.label for row in named]
    if areas:
        labels = [f"{row.label} ({areas[row]:.{2 if areas[row] < 10 else 1}f})" for row in named]
    remarks = ["bar: deviation over seeds", *([f"larger: more {area_title}"] if areas else [])]
    legend_below(figure, handles, labels, "; ".join(remarks))
    return save(figure, file)


def round_numbers(low: float, high: float) -> list[float]:
    """Return numbers of one digit between two numbers, on a logarithmic axis; few where the two are far apart."""
    for digits in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 3), (1,)):
        every = [digit * 10.0**power for power in range(-6, 9) for digit in digits]
        inside = [value for value in every if low <= value <= high]
        if len(inside) <= 6:
            return inside
    return inside


def key_of(look: Look) -> Line2D:
    """Make the mark of a network in a legend."""
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="", markersize=7)


def seed_means(runs: Sequence[Run], score: str) -> Array:
    """Return the mean over images of each seed of a cell."""
    sample = gather(runs) if runs else None
    if sample is None or score not in sample.scores:
        return np.array([])
    values = sample.scores[score]
    present = ~np.isnan(values).any(axis=0)
    return values[:, present].mean(axis=1) if present.any() else np.array([])


def draw_boxes(layout: Layout, folder: Path, score: str) -> Path | None:
    """Draw a box of the test images' scores, averaged over seeds, for each network and dataset."""
    look = looks(layout.rows)
    figure, axes = panels(len(layout.columns), 0.9 + 0.3 * len(layout.rows), sharey=True)
    for axis, column in zip(axes, layout.columns, strict=True):
        # The first network on top, as in the tables.
        boxes = []
        for place, row in enumerate(reversed(layout.rows)):
            runs = layout.cells.get((row, column), ())
            sample = gather(runs) if runs else None
            values = np.array([]) if sample is None else sample.per_image(score)
            values = values[~np.isnan(values)]
            if len(values):
                boxes.append((place, values, look[row].colour))
        add_boxes(axis, boxes)
        axis.set_yticks(range(len(layout.rows)), [row.label for row in reversed(layout.rows)])
        set_title(axis, column.label)
        axis.set(xlabel=title_of(score), ylim=(-0.6, len(layout.rows) - 0.4))
        axis.grid(visible=False, axis="y")
    said = (
        "box: middle half of the test images, averaged over seeds; line: median; diamond: mean; dots: beyond 1.5 boxes"
    )
    figure.supxlabel(textwrap.fill(said, round(figure.get_figwidth() * 14)), fontsize=8)
    return save(figure, folder / "boxes.png")


def draw_curves(layout: Layout, folder: Path, score: str) -> Path | None:
    """Draw validation Dice and training loss over the epochs: mean over seeds, band from the lowest to the highest."""
    look = looks(layout.rows)
    figure, axes = panels(len(layout.columns), 2.4, rows=2, beside=len(layout.columns), sharex="col")
    curves = (("val/dice", "validation Dice"), ("train/loss", "training loss"))
    for line, (key, title) in enumerate(curves):
        for axis, column in zip(axes[line * len(layout.columns) :], layout.columns, strict=False):
            bands = []
            for row in layout.rows:
                values = epochs_of(layout.cells.get((row, column), ()), key)
                if not values.size:
                    continue
                epochs = np.arange(1, values.shape[1] + 1)
                style = look[row]
                marker = style.marker if len(epochs) <= 12 else None
                mean = values.mean(axis=0)
                axis.plot(epochs, mean, style.dashes, color=style.colour, marker=marker, markersize=4, label=row.label)
                if len(values) > 1:
                    bands.append((epochs, values.min(axis=0), values.max(axis=0), style.colour))
            add_bands(axis, bands)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            if line == 0:
                set_title(axis, column.label)
            else:
                axis.set_xlabel("epoch")
        axes[line * len(layout.columns)].set_ylabel(title)
    shown = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    ordered = [row.label for row in layout.rows if row.label in shown]
    if not ordered:
        return None
    legend_below(figure, [shown[label] for label in ordered], ordered, "mean over seeds; band: lowest to highest seed")
    return save(figure, folder / "curves.png")


def epochs_of(runs: Sequence[Run], key: str) -> Array:
    """Return what `metrics.csv` has of each run, runs x epochs, up to the last epoch that all of them have."""
    every = [run.epochs for run in runs]
    shared = min(map(len, every), default=0)
    return np.array([[row.get(key, np.nan) for row in rows[:shared]] for rows in every]).reshape(len(every), shared)
