from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from medseg.inspecting.charts import axis_values, curves, histogram, make_edges, number, ranges, round_axis


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)


def counted(drawing: str) -> list[int]:
    return [int(re.search(r": (\d+) image", title.text or "")[1]) for title in parsed(drawing).iter("title")]  # type: ignore[index]


@pytest.mark.parametrize(
    "values",
    [np.random.default_rng(0).normal(300, 50, 1000), [5.0], [0.0, 0.0], [1, 2, 3] * 7, [1e-6, 3e-6], [-2, 5]],
)
@pytest.mark.parametrize("whole", [True, False])
def test_every_value_is_in_one_bar(values: list[float], whole: bool) -> None:
    if whole:
        values = np.rint(values)  # type: ignore[assignment]
    drawing = histogram(values, "height <of> images", " pixels", whole=whole)
    assert sum(counted(drawing)) == len(values)
    for bar in parsed(drawing).iter("rect"):
        assert 0 <= float(bar.get("x")) <= float(bar.get("x")) + float(bar.get("width")) <= 360  # type: ignore[arg-type]
        assert float(bar.get("y")) >= 20 - 0.1  # type: ignore[arg-type]


def test_the_highest_bar_is_the_fullest() -> None:
    bars = list(parsed(histogram([1] * 10 + [2] * 5 + [3] * 20, "n", "", whole=True)).iter("rect"))
    heights = [float(bar.get("height", 0)) for bar in bars]
    assert heights == pytest.approx([heights[2] / 2, heights[2] / 4, heights[2]], abs=0.1)


def test_bars_of_whole_numbers_end_between_them() -> None:
    assert make_edges(np.array([3.0, 5.0]), whole=True, zero=False).tolist() == [3, 4, 5, 6]
    assert make_edges(np.array([0.2, 0.4]), whole=False, zero=True)[0] == 0


@pytest.mark.parametrize("highest", [1, 2, 3, 7, 48, 999, 12345])
def test_an_axis_of_counts_has_few_round_numbers(highest: int) -> None:
    top, ticks = round_axis(highest)
    assert top >= highest
    assert top - highest < ticks[1]
    assert 2 <= len(ticks) <= 6
    assert all(value == int(value) for value in ticks)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.387, 0.392), (0, 100), (352, 1072), (-3, 1e-9), (0, 3e-6)])
def test_an_axis_has_a_few_numbers_inside(low: float, high: float) -> None:
    values = axis_values(low, high)
    assert 2 <= len(values) <= 7
    assert low - 1e-12 <= values[0] < values[-1] <= high + 1e-12


def test_ranges_mark_the_quartiles() -> None:
    drawing = ranges({"train": [0, 1, 2, 3, 4], "none": [], "test": [2]}, "foreground", " %", zero=True)
    titles = [title.text for title in parsed(drawing).iter("title")]
    assert titles == [
        "train: median 2 %, half of them 1 to 3 %, all 0 to 4 %",
        "test: median 2 %, half of them 2 to 2 %, all 2 to 2 %",
    ]
    first = next(parsed(drawing).iter("g"))
    thin, mark = first.findall("line")
    bar = first.find("rect")
    assert bar is not None
    left, right = float(thin.get("x1", 0)), float(thin.get("x2", 0))
    assert float(mark.get("x1", 0)) == pytest.approx((left + right) / 2, abs=0.1)
    assert float(bar.get("width", 0)) == pytest.approx((right - left) / 2, abs=0.1)


def test_a_peak_at_the_end_does_not_hide_the_rest() -> None:
    levels = np.full(256, 10)
    levels[0] = 100_000
    points = [point.split(",") for point in parsed(curves({"grey": levels}, "values"))[1].get("points", "").split()]
    ys = [float(y) for _, y in points]
    assert ys[0] == 20, "cut off at the top"
    assert ys[5] == pytest.approx((20 + 136) / 2, abs=0.1)


@pytest.mark.parametrize(("value", "written"), [(0, "0"), (1234.5, "1234"), (0.05273, "0.0527"), (12.5, "12.5")])
def test_numbers(value: float, written: str) -> None:
    assert number(value) == written
