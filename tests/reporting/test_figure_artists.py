"""The figures' artists: one for all networks, which looks as matplotlib's for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from medseg.reporting.figures.artists import Bubble, add_bands, add_boxes, add_bubbles, add_numbers
from medseg.reporting.figures.style import Look


def picture(draw: Any) -> np.ndarray:
    figure = Figure(figsize=(4, 3), dpi=100)
    axis = figure.subplots()
    draw(axis)
    axis.set(xlim=(-1, 11), ylim=(-1, 11))
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).astype(int)


def test_boxes_are_those_of_matplotlib() -> None:
    random = np.random.default_rng(1)
    boxes = [(float(place), random.normal(place, 1, 60) ** 2 / 8, colour) for place, colour in ((1, "C0"), (8, "C1"))]

    def expected(axis: Any) -> None:
        for place, values, colour in boxes:
            axis.boxplot(
                values,
                positions=[place],
                orientation="horizontal",
                widths=0.6,
                patch_artist=True,
                showmeans=True,
                manage_ticks=False,
                boxprops={"facecolor": colour, "alpha": 0.55},
                medianprops={"color": "black", "linewidth": 1.4},
                meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 4},
                flierprops={"marker": ".", "markersize": 3, "markeredgecolor": "0.5"},
            )

    assert (picture(lambda axis: add_boxes(axis, boxes)) == picture(expected)).all()


def test_bands_are_those_of_matplotlib_and_end_where_a_value_is_missing() -> None:
    places = np.arange(10.0)
    low, high = places * 0.5, places * 0.7 + 2
    low[4] = np.nan
    drawn = picture(lambda axis: add_bands(axis, [(places, low, high, "C2")]))
    expected = picture(lambda axis: axis.fill_between(places, low, high, color="C2", alpha=0.18, linewidth=0))
    bare = picture(lambda axis: None)
    # Not the same to the last bit: matplotlib rounds the outline of a single shape.
    assert np.abs(drawn - expected).mean() < 0.02 * np.abs(expected - bare).mean()


def test_bubbles_are_those_of_matplotlib() -> None:
    bubbles = [Bubble(2, 3, 1.5, 70, Look("C0", "o", "-")), Bubble(7, 6, np.nan, 200, Look("C3", "D", "-"))]

    def expected(axis: Any) -> None:
        for one in bubbles:
            if not np.isnan(one.spread):
                axis.errorbar(one.x, one.mean, one.spread, color=one.look.colour, capsize=3, linewidth=1)
            options = {"marker": one.look.marker, "color": one.look.colour}
            axis.scatter(one.x, one.mean, one.area, alpha=0.75, edgecolors="white", **options)

    drawn, bare = picture(lambda axis: add_bubbles(axis, bubbles)), picture(lambda axis: None)
    assert np.abs(drawn - picture(expected)).mean() < 0.15 * np.abs(picture(expected) - bare).mean()


def test_a_panel_has_as_many_artists_for_many_networks() -> None:
    def count(networks: int) -> int:
        axis = Figure().subplots()
        values, places = np.arange(9.0), np.arange(5.0)
        add_boxes(axis, [(float(place), values, "C0") for place in range(networks)])
        add_bands(axis, [(places, places, places + 1, "C0")] * networks)
        return len(axis.collections) + len(axis.lines) + len(axis.patches)

    assert count(9) == count(2)


def test_numbers_are_centred_on_their_positions() -> None:
    drawn = picture(lambda axis: add_numbers(axis, np.array([5.0]), np.array([4.0]), ["100"], ["black"]))
    dark = np.argwhere((drawn - picture(lambda axis: None))[..., 0] < -100)
    figure = Figure(figsize=(4, 3), dpi=100)
    axis = figure.subplots()
    axis.set(xlim=(-1, 11), ylim=(-1, 11))
    x, y = axis.transData.transform((5, 4))
    assert abs(dark[:, 1].min() + dark[:, 1].max() - 2 * x) < 3
    assert abs(dark[:, 0].min() + dark[:, 0].max() - 2 * (300 - y)) < 3


def test_few_values_are_drawn_as_dots() -> None:
    axis = Figure().subplots()
    add_boxes(axis, [(0.0, np.array([0.1, 0.2, 0.4]), "C0"), (1.0, np.arange(5.0), "C1")])
    assert axis.lines[0].get_xdata().tolist() == [0.1, 0.2, 0.4]
    boxes = axis.collections[0]
    assert len(boxes.get_paths()) == 1
