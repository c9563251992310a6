"""The states of pairs, one seed, one run and hostile names on the report's page, each page in a Chromium."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medseg.data.datasets.synthetic import Synthetic
from medseg.data.prepared.prepare import prepare
from medseg.metrics.measures import MEASURES, Measure
from medseg.reporting.comparison import Comparison, compare_runs
from medseg.reporting.formatting import chance, count, difference, level, p_value, verdict
from medseg.reporting.line import Line
from medseg.reporting.page.document import SCRIPTS
from medseg.reporting.pairs import Pair
from medseg.reporting.report import Report
from tests.browsing import DESKTOP, PHONE, open_page
from tests.reporting.fabricate import fabricate
from tests.reporting.tables.made import make_ablation, make_comparison, make_run
from tests.reporting.test_figure_grid import predict
from tests.reporting.test_page import HOSTILE, make_page, runs_of, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Page


def check_matrix(page: Page, comparison: Comparison, on: Line) -> None:
    """Compare the matrix with the pairs of a dataset."""
    both = [seen for pair in comparison.pairs if pair.column == on for seen in (pair, pair.reversed())]
    written = page.locator("#matrix td.cell").evaluate_all("all => all.map((one) => one.title)")
    assert set(written) == {sentence(pair, comparison.measure) for pair in both}
    for state in ("better", "worse", "equivalent", "undecided", "not judged"):
        shown = page.locator(f"#matrix td.{state.replace(' ', '-')}").count()
        assert shown == sum(pair.state == state for pair in both)


def sentence(pair: Pair, measure: Measure) -> str:
    """Say what the page says of a pair, with the functions of the tables."""
    names = (pair.first.label, pair.second.label)
    tests = f" ({level(pair.confidence)} interval), p {p_value(pair.p)}, Holm {p_value(pair.corrected)}"
    units = count(pair.images, "image") + (f" in {count(pair.units, 'group')}" if pair.grouped else "")
    return (
        f"{names[0]} against {names[1]} on {pair.column.label}: {difference(pair, measure)} {measure.point_unit}"
        f"{tests if pair.low is not None else ''}; {units}: {verdict(pair)}."
        + (f" A new training of {names[0]} beats a new one of {names[1]}: {chance(pair.superiority)}."
           if pair.superiority else "")
    )  # fmt: skip


def test_groups_and_equal_networks_in_the_matrix(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.0, "amsunet": 0.05}
    options = {"seeds": (0, 1, 2, 3), "images": 240, "noise": 0.01, "seed_noise": 0.0005}
    sweep = fabricate(tmp_path / "s", networks, groups=40, **options)  # type: ignore[arg-type]
    comparison = compare_runs(runs_of(sweep), MEASURES["dice"])
    assert {pair.state for pair in comparison.pairs} == {"worse", "equivalent"}
    with open_page(make_page(sweep, tmp_path / "report.html")) as page:
        check_matrix(page, comparison, comparison.columns[0])
        cell = page.locator("#matrix td.equivalent").first
        cell.click()
        assert "240 images in 40 groups: equivalent." in page.locator("#matrix-readout").inner_text()
        colours = {
            state: page.locator(f"#matrix td.{state}").first.evaluate("one => getComputedStyle(one).backgroundColor")
            for state in ("better", "worse", "equivalent")
        }
        assert len(set(colours.values())) == 3
        marks = [
            page.locator(f"#matrix td.{state}").first.evaluate("one => getComputedStyle(one, '::before').content")
            for state in colours
        ]
        assert marks == ['"▲ "', '"▼ "', '"= "']
        for dark in ("light", "dark"):
            page.emulate_media(color_scheme=dark)  # type: ignore[arg-type]
            for place in (
                "#matrix td.better",
                "#matrix td.worse",
                "#matrix td.equivalent",
                ".heat td[style*='--share: 1']",
            ):
                assert contrast(page, place) > 4.5, (dark, place)


def contrast(page: Page, place: str) -> float:
    """Return the contrast of a text with its background (WCAG 2)."""
    script = """one => [getComputedStyle(one).color, getComputedStyle(one).backgroundColor].map((colour) => {
        const context = document.createElement('canvas').getContext('2d');
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    })"""
    light = []
    for *colour, alpha in page.locator(place).first.evaluate(script):
        assert alpha == 255
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        light.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] + 0.05)
    return max(light) / min(light)


def test_one_seed_has_no_colour_in_the_matrix_and_gives_the_reason(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.1}, images=20)
    with open_page(make_page(sweep, tmp_path / "report.html")) as page:
        cells = page.locator("#matrix td.cell")
        assert cells.locator(".why").all_inner_texts() == ["one seed", "one seed"]
        colours = cells.evaluate_all("all => all.map((one) => getComputedStyle(one).backgroundColor)")
        assert set(colours) == {"rgba(0, 0, 0, 0)"}
        cells.first.focus()
        assert page.locator("#matrix-readout").inner_text().endswith("20 images: not judged (one seed).")
        page.locator("#plot .point").first.focus()
        assert "not judged (one seed)" in page.locator("#plot .tip").inner_text()


def test_one_run_of_one_epoch_is_compared_with_nothing(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0}, epochs=1, images=4)
    prepared = prepare(Synthetic(count=8), image_size=64, in_channels=3, data_dir=tmp_path / "data")
    predict(sweep, prepared, range(4))
    with open_page(make_page(sweep, tmp_path / "report.html")) as page:
        page.wait_for_selector("#browser-frames canvas")
        assert page.locator("#browser-frames figure").count() == 3
        assert page.locator("#browser-list .list-head").inner_text().split("\n") == ["image", "unet"]
        assert not page.locator("#browser-second").is_visible()
        ticks = page.locator("#curves svg text[text-anchor=middle]").all_text_contents()
        assert ticks == ["1", "epoch", "validation Dice"]
        assert page.locator("#curves circle").count() == 1
        assert not page.locator("#curves-epoch").is_visible()
        for name in ("plot", "matrix"):
            assert page.locator(f"#{name}").count() == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_long_and_hostile_names_stay_in_their_places(size: tuple[int, int], tmp_path: Path) -> None:
    names = [
        HOSTILE, "</script><img src=x onerror=alert(2)>", "x" * 60, "convunext, kernel_size=9, base_channels=64, " * 2,
        "\u202eevil", "שלום עולם", "$& $1 ${x}", '"q" onload="x"', "__proto__", "</td></tr></table>", "<!-- x",
        *(f"{'y' * 58}{k}" for k in range(9)),
    ]  # fmt: skip
    made = make_comparison(names, ["d" * 60, HOSTILE, "\u202ekvasir", '"q"', "a", "b", "c", "e"], measured=True)
    runs = [run for cell in made.cells.values() for run in cell.runs]
    failed = replace(make_run(names[1], "d" * 60, 9, "failed"), error=f"{names[1]}{'z' * 200}")
    report = Report([*runs, failed], made, [make_ablation(made)], [], notes=(f"/{'y' * 300}{HOSTILE}: a copy",))
    with open_page(write_page(report, tmp_path / "report.html"), size=size) as page:
        for summary in page.locator("section:not(#runs) details > summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert page.locator("#matrix td.cell").count() == 20 * 19
        page.locator("#matrix td.cell").first.focus()
        width = page.locator("#plot svg").bounding_box()["width"]  # type: ignore[index]
        script = "all => all.map((one) => one.getBBox()).map((box) => [box.x, box.x + box.width])"
        for left, right in page.locator("#plot text.name").evaluate_all(script):
            assert 0 < left < right < width
        assert page.locator("img").count() == 0
        assert page.evaluate("document.scripts.length") == 6 + len(SCRIPTS)
