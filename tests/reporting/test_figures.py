"""The figures: they are drawn, the same from the same data, with all texts where they can be read."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from PIL import Image

from medseg.metrics.measures import MEASURES
from medseg.reporting.comparison import best_row
from medseg.reporting.figures import Drawing, draw, style
from medseg.reporting.figures.content import Verdicts, content_of, shares_of
from medseg.reporting.figures.curves import draw_curves
from medseg.reporting.figures.ranks import draw_differences, draw_ranks
from medseg.reporting.figures.scales import labelled, linear, round_numbers, whole
from medseg.reporting.figures.scores import histogram
from medseg.reporting.figures.style import COLOURS, in_style, looks
from medseg.reporting.figures.text import FAMILY, clean, plain_font, text_width, wrap
from medseg.reporting.line import Line
from medseg.reporting.pairs import find_pair
from medseg.reporting.ranks import Shares, Stability
from medseg.reporting.samples import curves_of
from tests.reporting.figure_data import LONG, compared, pair

pytestmark = pytest.mark.filterwarnings("error")

SHORT = ("unet", "convunext", "amsunet")


def names(files: Sequence[Path]) -> list[str]:
    return [file.name for file in files if file.suffix == ".png"]


def every_figure(comparison: Any, folder: Path) -> list[Path]:
    return draw(comparison, folder)


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("medseg"), "propagate", True)
    caplog.set_level(logging.INFO, logger="medseg")
    return caplog


# Files.


def test_every_figure_is_written_in_three_formats(tmp_path: Path) -> None:
    files = every_figure(compared(SHORT), tmp_path)
    stems = ["dice_parameters", "dice_macs", "boxes", "curves", "overview", "differences", "ranks"]
    assert names(files) == [f"{stem}.png" for stem in stems]
    written = {f"{stem}.{form}" for stem in stems for form in ("png", "pdf", "svg")}
    assert {file.name for file in tmp_path.iterdir()} == written


def test_files_hold_no_date_and_no_version(tmp_path: Path) -> None:
    draw(compared(SHORT), tmp_path)
    with Image.open(tmp_path / "boxes.png") as picture:
        assert picture.info.keys() <= {"dpi"}
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert picture.getpixel((0, 0)) is not None
        assert picture.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    pdf = (tmp_path / "boxes.pdf").read_bytes()
    assert b"/FontFile2" in pdf, "TrueType, not Type 3"
    assert b"/Type3" not in pdf
    assert b"DejaVuSansofmedseg" in pdf, "of the font that is given to matplotlib, not of any that is installed"
    svg = (tmp_path / "boxes.svg").read_text()
    assert "<text" not in svg, "letters are outlines, which need no font"
    for content in (pdf, svg.encode()):
        for word in (b"CreationDate", b"dc:date", b"atplotlib v", matplotlib.__version__.encode()):
            assert word not in content


@pytest.mark.slow
def test_another_process_with_settings_of_its_own_draws_the_same(tmp_path: Path) -> None:
    every_figure(compared(SHORT), tmp_path / "a")
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\nsavefig.dpi: 33\npdf.fonttype: 3\n")
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.reporting.test_figures import compared, every_figure, SHORT\n"
        "every_figure(compared(SHORT), Path('b'))\n"
        "assert not {'torch', 'lightning', 'hydra', 'matplotlib.pyplot', 'pandas'} & set(sys.modules)\n"
    )
    project = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(project)}, check=True)
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) == 21
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_drawing_beside_is_the_same(tmp_path: Path) -> None:
    comparison = compared(SHORT)
    figures = Drawing()
    figures.add_scores(comparison, tmp_path / "a")
    figures.add_verdicts(comparison, tmp_path / "a")
    files = figures.files()
    again = every_figure(comparison, tmp_path / "b")
    assert names(files) == names(again)
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(files, again, strict=True))


def test_drawing_hands_on_what_goes_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    figures = Drawing()
    figures.add_scores(compared(SHORT), tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        figures.files()


def test_matplotlib_is_left_as_it_was(tmp_path: Path) -> None:
    fonts, settings = list(fontManager.ttflist), dict(matplotlib.rcParams)
    draw(compared(SHORT), tmp_path)
    assert (fontManager.ttflist, dict(matplotlib.rcParams)) == (fonts, settings)


# Layout.


def check_layout(figure: Figure, *, inside: bool = False) -> None:
    """Everything lies on the canvas; texts do not overlap one another, nor axes unless they may be `inside`."""
    canvas: Any = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    renderer = canvas.get_renderer()
    whole = figure.bbox.padded(0.5)
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert shown
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in shown]
    marks = [(str(line), line.get_window_extent(renderer)) for line in figure.lines]
    for name, box in (*boxes, *marks):
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, f"{name} is beyond the canvas"
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, f"{name} is beyond the canvas"
    outside = [(name, box.padded(-0.5)) for (name, box), text in zip(boxes, shown, strict=True) if text.axes is None]
    for name, box in outside:
        for axis in [] if inside else figure.axes:
            assert not box.overlaps(axis.bbox), f"{name} lies over an axis"
    for (name, box), (other, second) in combinations([*outside, *marks], 2):
        assert not box.overlaps(second), f"{name} lies over {other}"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Check the layout of figures instead of writing them; return their names."""
    seen: list[str] = []

    def check(figure: Figure, file: Path, form: str, *, photos: bool) -> None:
        file.touch()
        if form == "png":
            check_layout(figure)
            seen.append(file.name.split(".")[1])

    monkeypatch.setattr(style, "write_figure", check)
    return seen


WIDE = "W" * 58 + "{:02d}"
"""The widest letters, nowhere to break."""


@pytest.mark.parametrize("label", ["n{}", LONG, WIDE])
@pytest.mark.parametrize(("networks", "datasets"), [(1, 1), (1, 8), (2, 1), (2, 4), (8, 8), (20, 1), (20, 4)])
def test_texts_fit(label: str, networks: int, datasets: int, tmp_path: Path, checked: list[str]) -> None:
    rows, columns = ([label.format(n) for n in range(count)] for count in (networks, datasets))
    every_figure(compared(rows, columns), tmp_path)
    if networks == 1:
        assert checked == ["distribution", "curves"]
    else:
        assert checked == ["dice_parameters", "dice_macs", "boxes", "curves", "overview", "differences", "ranks"]


@pytest.mark.parametrize(
    "label",
    [
        "$x$ {} $_y^",
        "a_b_c {} %&#~\\",
        "Ünet μ-β {} résidu",
        "网络 {} 🧠",
        "שלום {}",
        "two\nlines\t{}\x00",
        "  ",
        "_{}",
    ],
)
def test_any_name_is_drawn(label: str, tmp_path: Path, checked: list[str]) -> None:
    rows, columns = ([label.format(n) for n in range(2)] for _ in range(2))
    every_figure(compared(rows, columns), tmp_path)
    assert len(checked) == 7


@pytest.mark.parametrize(
    "options",
    [
        {"scores": 0.8},
        {"scores": 0.0},
        {"scores": [0.5] * 5 + [np.nan] * 7},
        {"images": 1},
        {"images": 3},
        {"seeds": 1},
        {"epochs": 1},
        {"epochs": 0},
        {"epochs": 300},
        {"measure": "hd95", "scores": [1e6, 3.0] * 6},
        {"macs": False},
        {"missing": [(0, 0), (1, 1)]},
        {"missing": [(0, 0), (1, 0), (2, 0)]},
    ],
    ids=str,
)
@pytest.mark.parametrize("networks", [1, 3])
def test_odd_scores_are_drawn(options: dict[str, Any], networks: int, tmp_path: Path, checked: list[str]) -> None:
    every_figure(compared(SHORT[:networks], ("kvasir", "dsb"), **options), tmp_path)
    assert ("curves" in checked) == (options.get("epochs") != 0)


def test_nothing_finished_draws_nothing(tmp_path: Path) -> None:
    comparison = compared(SHORT, missing=[(k, 0) for k in range(3)])
    comparison.stability = None
    assert every_figure(comparison, tmp_path / "a") == []
    assert not (tmp_path / "a").exists()


def test_no_score_draws_nothing_of_it(tmp_path: Path) -> None:
    assert names(every_figure(compared(SHORT, scores=np.nan), tmp_path)) == ["curves.png", "ranks.png"]


def test_one_network_is_compared_with_nothing(tmp_path: Path) -> None:
    assert names(every_figure(compared(["unet"]), tmp_path / "a")) == ["distribution.png", "curves.png"]
    assert names(every_figure(compared(["unet"], images=1), tmp_path / "b")) == ["curves.png"]


def test_macs_at_another_size_are_left_out(tmp_path: Path, messages: pytest.LogCaptureFixture) -> None:
    comparison = compared(SHORT)
    row = comparison.rows[1]
    comparison.costs[row] = replace(comparison.costs[row], size=(512, 512))
    draw(comparison, tmp_path)
    assert "no benchmark at 256 x 256 of convunext" in messages.text


# What is drawn.


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Figure]]:
    """Keep figures instead of writing them."""
    drawn: dict[str, Figure] = {}

    def keep(figure: Figure, file: Path, form: str, *, photos: bool) -> None:
        file.touch()
        drawn[file.name.split(".")[1]] = figure

    monkeypatch.setattr(style, "write_figure", keep)
    return drawn


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_a_curve_of_one_epoch_has_one_tick_and_a_marker(tmp_path: Path, figures: dict[str, Figure]) -> None:
    with in_style():
        draw_curves(content_of(compared(SHORT, epochs=1)), tmp_path)
    below = [word for word in words(figures["curves"]) if word.isdigit()]
    assert below == ["1"]
    assert {line.get_marker() for line in figures["curves"].axes[0].lines} == {"o", "s", "D"}


def test_epochs_that_were_not_validated_are_passed_over(tmp_path: Path, figures: dict[str, Figure]) -> None:
    comparison = compared(["unet"], epochs=9)
    for run in next(iter(comparison.cells.values())).runs:
        for epoch, row in enumerate(run.epochs):
            row["val/dice"] = row["val/dice"] if epoch % 4 == 0 else np.nan
    with in_style():
        draw_curves(content_of(comparison), tmp_path)
    top, bottom = figures["curves"].axes
    assert top.lines[0].get_xdata().tolist() == [1, 5, 9]
    assert len(bottom.lines[0].get_xdata()) == 9


def test_differences_are_from_the_best_network_in_points(tmp_path: Path, figures: dict[str, Figure]) -> None:
    one, two, three, data = (Line(name, name, ()) for name in ("one", "two", "three", "data"))
    pairs = [
        pair(one, two, data, -0.03, -0.05, -0.01, "worse"),
        pair(one, three, data, 0.5, 0.4, 0.6, "better"),
        pair(two, three, data, 0.02, None, None, "not judged"),
    ]
    against: Any = {row: find_pair(pairs, row, two, data) for row in (one, three)}
    assert (against[one].state, against[three].state, against[three].difference) == ("worse", "not judged", -0.02)
    verdicts = Verdicts((one, two, three), MEASURES["dice"], {data: two}, {data: against}, {})
    with in_style():
        draw_differences(verdicts, tmp_path)
    figure = figures["differences"]
    marks = {
        line.get_marker(): (line.get_xdata()[0], line.get_ydata()[0])
        for line in figure.axes[0].lines
        if line.get_marker() != "None"
    }
    assert marks == {"v": (pytest.approx(-3), 0), "x": (pytest.approx(-2), 2), "*": (0, 1)}
    assert {"worse", "not judged", "best of the dataset", "Dice against the best, points"} <= set(words(figure))
    assert "better" not in words(figure)


def test_the_best_network_has_the_lowest_distance() -> None:
    comparison = compared(SHORT, ("a", "b"), measure="hd95")
    for column in comparison.columns:
        cells = [comparison.cells[row, column] for row in comparison.rows]
        means = {cell.row: cell.scores["hd95"].mean for cell in cells}
        assert means[best_row(cells, comparison.measure)] == min(means.values())


def test_ranks_are_sorted_by_the_first_panel(tmp_path: Path, figures: dict[str, Figure]) -> None:
    nan = [np.nan] * 4
    first = np.array([nan, [0.0, 0.25, 0.75, np.nan], [1.0, 0.0, 0.0, np.nan], [0.0, 0.75, 0.25, np.nan]])
    rows = [Line(name, name, ()) for name in ("left out", *"abc")]
    verdicts = Verdicts(rows, MEASURES["dice"], {}, {}, {"all": first, "x": np.array([nan] * 4)})
    with in_style():
        draw_ranks(verdicts, tmp_path)
    shown = [word for word in words(figures["ranks"]) if word in ("a", "b", "c", "left out")]
    assert shown == ["b", "c", "a", "left out"]
    everything, unknown = figures["ranks"].axes
    _, numbers = everything.collections
    assert len(numbers.get_offsets()) == 5
    assert not [one for one in unknown.collections if len(one.get_paths())]


def test_of_very_many_networks_the_best_ranks_are_drawn(
    tmp_path: Path, figures: dict[str, Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.reporting.figures.ranks.MOST_NETWORKS", 2)
    rows = [Line(name, name, ()) for name in "abc"]
    with in_style():
        draw_ranks(Verdicts(rows, MEASURES["dice"], {}, {}, {"all": np.eye(3)[[2, 0, 1]]}), tmp_path)
    assert [word for word in words(figures["ranks"]) if word in "abc"] == ["b", "c"]
    (axis,) = figures["ranks"].axes
    assert axis.get_xlim() == (0.5, 2.5)


def test_shares_are_those_of_the_rows_that_are_ranked() -> None:
    a, b, c, data, more = (Line(name, name, ()) for name in ("a", "b", "c", "data", "more"))
    half = np.full((2, 2), 0.5)
    stability = Stability({data: Shares((a, c), half), more: Shares((a, b, c), np.eye(3))}, Shares((a, c), half))
    shares = shares_of((a, b, c), stability)
    assert list(shares) == ["all datasets", "data", "more"]
    assert shares["more"].tolist() == np.eye(3).tolist()
    for title in ("all datasets", "data"):
        assert np.isnan(shares[title][1]).all()
        assert shares[title][[0, 2], :2].tolist() == half.tolist()
    assert shares_of((a, b, c), None) == {}


def test_looks_differ_between_networks() -> None:
    rows = [Line(str(number), str(number), ()) for number in range(3 * len(COLOURS))]
    for parts in (("colour", "marker"), ("colour", "dashes")):
        assert len({tuple(getattr(look, part) for part in parts) for look in looks(rows).values()}) == len(rows)


def test_curves_end_where_the_shortest_run_does() -> None:
    runs: Any = compared(["unet"], epochs=6).cells.popitem()[1].runs
    del runs[1].epochs[4:]
    assert curves_of(runs, "val/dice").shape == (2, 4)
    assert np.isnan(curves_of(runs, "no such key")).all()
    assert curves_of([], "val/dice").shape == (0, 0)


def test_a_histogram_counts_every_image() -> None:
    for values in (np.full(7, 0.3), np.zeros(3), np.linspace(0, 1, 500)):
        counts, edges = histogram(values)
        assert counts.sum() == len(values)
        assert len(counts) <= 20
        assert (np.diff(edges) > 0).all()


# Scales and texts.


@pytest.mark.parametrize(("low", "high"), [(0.3, 5), (2.0, 5.6), (1, 1.4), (0.01, 300), (1e-9, 1e12)])
def test_logarithmic_ticks_are_few_and_round(low: float, high: float) -> None:
    ticks = round_numbers(low, high)
    assert 1 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)


@pytest.mark.parametrize(
    "values", [[0.0, 1.0], [0.8], [0.8123, 0.8124], [-5.0, 0.0], [1e9, 3e9], [1e-7, 2e-7], [], [np.nan, np.inf, 3.0]]
)
def test_scales_hold_all_values(values: list[float]) -> None:
    scale = linear(values)
    assert all(scale.low < value < scale.high for value in values if np.isfinite(value))
    assert 2 <= len(scale.ticks) <= 5
    assert len(set(scale.labels)) == len(scale.ticks)
    assert all(scale.low <= tick <= scale.high for tick in scale.ticks)
    assert all(
        float(label) == pytest.approx(tick, abs=1e-9) for label, tick in zip(scale.labels, scale.ticks, strict=True)
    )


@pytest.mark.parametrize("high", [1, 2, 5, 7, 60, 1999])
def test_whole_numbers(high: int) -> None:
    scale = whole(high)
    assert 1 <= len(scale.ticks) <= 6
    assert all(tick == int(tick) and 1 <= tick <= high for tick in scale.ticks)


def test_ticks_have_the_digits_of_their_step() -> None:
    assert labelled([0.8, 0.825], 0.025) == ["0.800", "0.825"]
    assert labelled([-0.0, 20], 10) == ["0", "20"]


@pytest.mark.parametrize(
    "text", [LONG, WIDE, "x " * 40, "a", "", "an_identifier_of_a_dataset.with/parts-and=values" * 3]
)
def test_wrapped_lines_fit(text: str) -> None:
    wrapped = wrap(text, 1.5, 9, lines=3)
    assert wrapped.count("\n") < 3
    assert text_width(wrapped, 9) <= 1.5
    plain = clean(text)
    shown = wrapped.replace("\n", "").replace(" ", "")
    if "…" in shown:
        start, end = shown.split("…")
        assert plain.replace(" ", "").startswith(start)
        assert plain.replace(" ", "").endswith(end)
        assert abs(len(start) - len(end)) <= 3
    else:
        assert shown == plain.replace(" ", "")


def test_widths_are_those_that_matplotlib_draws() -> None:
    figure = Figure(dpi=300)
    with plain_font():
        for text in ("convunext, kernel_size=9", "Ünet", "AVAWA", "difference"):
            drawn = figure.text(0, 0, text, fontsize=9, fontfamily=FAMILY)
            box = drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer())
            assert text_width(text, 9) == pytest.approx(box.width / 300, rel=0.04)
