"""What keeps a report quick, by counts, which are the same on any machine: nothing is read or tested twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from medseg.reporting.figures_artists import Bubble, add_bands, add_boxes, add_bubbles
from medseg.reporting.figures_style import Look
from scipy import stats

from medseg.metrics.measures import MEASURES
from medseg.report import make_report, report
from medseg.reporting import records
from medseg.reporting.document import write_report
from medseg.reporting.page import settings
from medseg.reporting.records import read_runs
from medseg.reporting.statistics import wilcoxon_each
from tests.helpers import compose_config
from tests.reporting.fabricate import fabricate

NETWORKS = {"unet": 0.0, "convunext": 0.03, "amsunet": 0.02}


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.function(*args, **options)


def test_scores_are_read_once_for_tables_page_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fabricate(tmp_path / "s", NETWORKS, data=("kvasir", "dsb"), seeds=(0, 1), images=12)
    read, seen = records.read_per_image, tmp_path / "seen.txt"

    def noted(file: Path) -> Any:
        with seen.open("a", encoding="utf-8") as stream:  # a file: the figures are drawn in another process
            stream.write(f"{file}\n")
        return read(file)

    monkeypatch.setattr(records, "read_per_image", noted)
    report(compose_config("report", f"runs=['{folder}']", f"output='{tmp_path / 'out'}'"))
    assert (tmp_path / "out" / "figures" / "boxes.png").exists()
    assert sorted(seen.read_text(encoding="utf-8").split()) == sorted(map(str, folder.glob("*/test/per_image.csv")))


def test_the_page_reads_the_usual_options_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fabricate(tmp_path / "s", NETWORKS, data=("kvasir", "dsb"), images=12)
    counted = Counted(settings.usual_choices)
    monkeypatch.setattr(settings, "usual_choices", counted)
    settings.usual.cache_clear()
    write_report(make_report(read_runs([folder]), MEASURES["dice"]), tmp_path / "out", "html", images=0)
    assert counted.calls == 1


def test_pairs_of_as_many_images_are_tested_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(stats.wilcoxon)
    monkeypatch.setattr(stats, "wilcoxon", counted)
    differences = np.random.default_rng(0).normal(0.1, 1, (45, 80))
    found = wilcoxon_each(differences)
    assert counted.calls == 1
    assert found == [wilcoxon_each([difference])[0] for difference in differences]


@pytest.mark.parametrize("images", [4, 13, 14, 50, 51, 200])
def test_tests_of_several_pairs_are_those_of_each(images: int) -> None:
    random = np.random.default_rng(images)
    exact = random.normal(0.2, 1, (6, images))
    tied = random.integers(1, 9, (6, images)) * random.choice([-1.0, 1.0], (6, images))
    shorter = np.where(random.random((6, images)) < 0.3, 0.0, random.normal(0.2, 1, (6, images)))
    shorter[:, :2] = 1.5, -2.5  # not all are 0
    differences = np.concatenate([exact, tied, shorter, np.full((1, images), np.nan)])
    found = wilcoxon_each(differences)
    assert found[-1] == (1.0, 0.0)
    for difference, (p, _) in zip(differences[:-1], found, strict=False):
        assert p == stats.wilcoxon(difference[difference != 0]).pvalue


# Figures: one artist for all networks, which looks as matplotlib's own for each.


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
                axis.errorbar(one.place, one.mean, one.spread, color=one.look.colour, capsize=3, linewidth=1)
            options = {"marker": one.look.marker, "color": one.look.colour}
            axis.scatter(one.place, one.mean, one.area, alpha=0.75, edgecolors="white", **options)

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
