"""The plots at the start of a report: on the page without a script, and as a figure."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from medseg.metrics.measures import MEASURES
from medseg.reporting.cells import Score
from medseg.reporting.conclusions import conclude
from medseg.reporting.figures.content import verdicts_of
from medseg.reporting.figures.overview import KINDS, draw_overview
from medseg.reporting.figures.style import in_style
from medseg.reporting.page.overview import LEFT, RIGHT, lines_of, overview_html
from medseg.reporting.render.latex_text import text_width
from medseg.reporting.report import Report
from tests.browsing import DESKTOP, PHONE, open_page
from tests.reporting.figure_data import LONG, compared
from tests.reporting.tables.made import make_comparison
from tests.reporting.test_page import write_page


def html_of(comparison: Any) -> str:
    return overview_html(conclude(comparison), ("Of 2 claims <b>",), comparison.measure)


def test_the_best_comes_first_and_marks_are_those_of_the_verdicts() -> None:
    html = html_of(make_comparison(["a", "b", "c"], ["x", "y"]))
    assert html.count('<svg class="standings"') == 2
    kinds = re.findall(r'<g class="(\w+)"><title>(\w)</title>', html.partition("<h3>y</h3>")[2])
    assert kinds == [("best", "a"), ("alike", "b"), ("behind", "c")]
    assert '<p class="keys"><span class="key"><span class="best"' in html
    assert 'Of 2 claims &lt;b&gt; <a href="#claims">' in html


def test_a_pair_that_says_better_is_drawn_and_explained_so() -> None:
    made = make_comparison(["a", "b"], ["x"])
    html = html_of(replace(made, pairs=(replace(made.pairs[0], state="worse"),)))
    assert "b is better than it on the images that both were tested on." in html
    assert '<g class="ahead"><title>b</title>' in html
    assert '<span class="ahead" aria-hidden="true">▲</span> better on the images that both were tested on' in html
    assert "not judged" not in html


def test_positions_are_percentages_between_the_names_and_the_numbers() -> None:
    html = html_of(make_comparison(5, 1))
    positions = [float(x) for x in re.findall(r'x[12]?="([\d.]+)%"', html) if x != "100"]
    assert len(positions) > 10
    assert LEFT < min(positions) < max(positions) < RIGHT
    means = re.findall(r'<svg class="mark-of" x="([\d.]+)%"', html)
    assert means == sorted(means, key=float, reverse=True)


def test_a_single_network_has_no_plot() -> None:
    html = html_of(make_comparison(1, 2))
    assert "<svg" not in html
    assert "no other network to compare it with" in html


def test_of_very_many_networks_the_best_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medseg.reporting.page.overview.MOST_NETWORKS", 2)
    html = html_of(make_comparison(4, 1))
    assert re.findall(r"<title>(\w+)</title>", html) == ["network1", "network2"]
    assert "The best 2 of 4 networks." in html


@pytest.mark.parametrize("name", ["unet", LONG.format(3), "W" * 80, "网络" * 30, "a, " * 40, ""])
def test_a_name_has_few_lines_and_both_of_its_ends(name: str) -> None:
    lines = lines_of(name)
    assert 1 <= len(lines) <= 3
    assert all(text_width(line) <= 17 for line in lines)
    assert "".join(lines).replace(" ", "")[:3] == name.replace(" ", "")[:3]
    assert "".join(lines).rstrip()[-1:] == name.rstrip()[-1:]


# In a browser.


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_comparison([LONG.format(k) for k in range(4)], ["x", "y", "z"])
    runs = [run for cell in made.cells.values() for run in cell.runs]
    return write_page(Report(runs, made, [], []), tmp_path_factory.mktemp("overview") / "report.html")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_names_lines_and_numbers_do_not_overlap(size: tuple[int, int], file: Path) -> None:
    with open_page(file, size=size) as page:
        wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1]
        script = """() => [...document.querySelectorAll('.standings g')].map((g) => ['.name', 'line', '.score']
            .map((of) => g.querySelector(of).getBoundingClientRect()).map((box) => [box.left, box.right]))"""
        rows = page.evaluate(script)
        assert len(rows) == 12
        for (_, name), (low, high), (number, _) in rows:
            assert name < low < high < number
        tops = page.evaluate("[...document.querySelectorAll('.standings')].map((s) => s.getBoundingClientRect().top)")
        assert (len(set(tops)) == 1) == (size == DESKTOP)


def test_on_paper_nothing_is_cut_and_nothing_can_be_pressed(file: Path) -> None:
    with open_page(file, dark=True) as page:
        page.emulate_media(media="print")
        shown = """() => [...document.querySelectorAll('select, input, nav, .steps, .controls, th button')]
            .filter((one) => one.offsetParent && getComputedStyle(one, '::after').content !== 'none').length"""
        assert page.evaluate(shown) == 0
        cut = """() => [...document.querySelectorAll('.scroll')].filter((one) => one.offsetParent)
            .filter((one) => getComputedStyle(one).overflowX !== 'visible').length"""
        assert page.evaluate(cut) == 0
        style = "getComputedStyle(document.body)"
        colours = page.evaluate(f"[{style}.color, {style}.backgroundColor]")
        assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


def test_headings_are_in_order_and_tables_have_scopes(file: Path) -> None:
    html = file.read_text(encoding="utf-8").partition("<main>")[2]
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert not re.findall(r"<th(?![^>]*scope=)[^e]", html)


# As a figure.


def drawn(comparison: Any, monkeypatch: pytest.MonkeyPatch) -> Figure | None:
    figures: list[Figure] = []
    monkeypatch.setattr("medseg.reporting.figures.overview.save", lambda figure, stem: figures.append(figure) or [])
    with in_style():
        draw_overview(verdicts_of(comparison), Path("nowhere"))
    return figures[0] if figures else None


def test_the_figure_has_the_means_the_intervals_and_the_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = compared(("a", "b", "c"), ("x", "y"), missing=[(1, 1)])
    figure = drawn(comparison, monkeypatch)
    assert figure is not None
    for axis, column, count in zip(figure.axes, comparison.columns, (3, 2), strict=True):
        cells = [comparison.cells[row, column] for row in comparison.rows]
        means = {cell.scores["dice"].mean for cell in cells if cell.scores}
        assert {line.get_xdata()[0] for line in axis.lines} == means
        best = next(line for line in axis.lines if line.get_marker() == KINDS["best"]["marker"])
        assert best.get_xdata()[0] == max(means)
        (bars,) = [one for one in axis.collections if len(one.get_paths()) == count and one.get_linewidths()[0] > 1]
        ends = sorted(path.vertices[:, 0].mean() for path in bars.get_paths())
        assert ends == pytest.approx(sorted(means))


def test_the_networks_are_in_the_order_of_their_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_comparison(["a", "b", "c"], ["x"])
    column = made.columns[0]
    scores = dict(zip("abc", (0.7, 0.9, 0.8), strict=True))
    cells = {
        (row, column): replace(made.cells[row, column], scores={"dice": Score(scores[row.label], 0.01, None, None)})
        for row in made.rows
    }
    figure = drawn(replace(made, cells=cells), monkeypatch)
    assert figure is not None
    assert [text.get_text() for text in figure.texts if text.get_text() in scores] == ["b", "c", "a"]
    assert not any("mean rank" in text.get_text() for text in figure.texts)


def test_external_tests_have_no_part_in_the_order_of_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_comparison(["a", "b", "c"], ["x", "y", "z"])
    scores = {"x": (0.9, 0.8, 0.7), "y": (0.1, 0.2, 0.3), "z": (0.1, 0.2, 0.3)}
    columns = {column: replace(column, of=None if column.name == "x" else made.columns[0]) for column in made.columns}
    cells = {
        (row, columns[column]): replace(
            cell,
            column=columns[column],
            scores={"dice": Score(scores[column.name]["abc".index(row.name)], 0.01, None, None)},
        )
        for (row, column), cell in made.cells.items()
    }
    pairs = tuple(replace(pair, column=columns[pair.column]) for pair in made.pairs)
    figure = drawn(replace(made, columns=tuple(columns.values()), cells=cells, pairs=pairs), monkeypatch)
    assert figure is not None
    assert [text.get_text() for text in figure.texts if text.get_text() in ("a", "b", "c")] == ["a", "b", "c"]
    several = drawn(make_comparison(["a", "b"], ["x", "y"]), monkeypatch)
    assert several is not None
    assert any("networks by their mean rank" in text.get_text() for text in several.texts)


def test_the_figure_has_the_verdict_better_too(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_comparison(["a", "b"], ["x"])
    figure = drawn(replace(made, pairs=(replace(made.pairs[0], state="worse"),)), monkeypatch)
    assert figure is not None
    assert {line.get_marker() for line in figure.axes[0].lines} == {KINDS["best"]["marker"], KINDS["ahead"]["marker"]}


@pytest.mark.parametrize("measure", ["dice", "hd95"])
def test_one_seed_has_no_colour_and_lower_may_be_better(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(compared(("a", "b"), seeds=1, measure=measure), monkeypatch)
    assert figure is not None
    assert {line.get_marker() for line in figure.axes[0].lines} == {"x"}
    assert drawn(compared(("a",)), monkeypatch) is None
    assert MEASURES[measure].title in " ".join(text.get_text() for text in figure.texts)
