"""What the scripts of the report's page do, in a headless Chromium: nothing is said on its console, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from medseg.data.prepared.dataset import PreparedDataset
from medseg.metrics.measures import MEASURES
from medseg.reporting.comparison import compare_runs
from medseg.reporting.page.scores import every_measure
from medseg.runs.predictions import read_predictions
from medseg.runs.run import Run
from tests.browsing import DESKTOP, PHONE, open_page
from tests.reporting.test_page import HOSTILE, IMAGES, make_page, make_sweep, runs_of
from tests.reporting.test_page_states_in_browser import check_matrix

if TYPE_CHECKING:
    from playwright.sync_api import Page

DEFAULT = "convunext, kernel_size=7"

RIGHT, TOO_MUCH, MISSED = (0, 158, 115), (213, 94, 0), (86, 180, 233)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def file(sweep: Path) -> Path:
    return make_page(sweep, sweep / "report" / "report.html")


@pytest.fixture(scope="module")
def opened(file: Path) -> Iterator[Page]:
    # One for all tests of this file; at its end, nothing may have been said on the console.
    with open_page(file) as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Page:
    for select in ("comparison-score", "plot-score", "matrix-score", "browser-score"):
        opened.select_option(f"#{select}", "dice")
    return opened


def column(page: Page, place: int) -> list[str]:
    """Return the texts of a column of the comparison, of the rows that are shown."""
    return [row[place] for row in rows(page)]


def rows(page: Page) -> list[list[str]]:
    """Return the texts of what is shown of the comparison."""
    script = """() => [...document.querySelectorAll('#comparison .of-score:not([hidden]) tbody tr')]
        .filter((row) => row.offsetParent).map((row) => [...row.cells].filter((c) => c.offsetParent)
        .map((c) => c.innerText.split('\\n')[0].trim()))"""
    return page.evaluate(script)


# The comparison.


def test_the_comparison_is_sorted_with_the_best_first_and_stays_so_under_another_score(page: Page) -> None:
    heading = page.locator("#comparison .of-score:visible thead th").nth(1).get_by_role("button")
    heading.click()
    dice = [float(text) for text in column(page, 1)]
    assert dice == sorted(dice, reverse=True)
    assert len(set(dice)) > 1
    page.select_option("#comparison-score", "hd95")
    distances = [float(text) for text in column(page, 1)]
    assert distances == sorted(distances)
    page.locator("#comparison .of-score:visible thead th").nth(1).get_by_role("button").press("Enter")
    distances = [float(text) for text in column(page, 1)]
    assert distances == sorted(distances, reverse=True)
    assert page.locator("#comparison .of-score:visible th[aria-sort=descending]").count() == 1


def test_networks_datasets_and_costs_are_filtered(page: Page) -> None:
    assert len(rows(page)) == 4
    assert HOSTILE in column(page, 0)
    search = page.get_by_label("networks with")
    search.fill("convunext kernel_size=3")
    assert column(page, 0) == ["convunext, kernel_size=3"]
    page.select_option("#comparison-score", "iou")
    assert column(page, 0) == ["convunext, kernel_size=3"]
    search.fill("")
    wide = len(rows(page)[0])
    page.select_option("#comparison-dataset", label="dsb")
    assert len(rows(page)[0]) == wide - 1
    page.uncheck("#comparison-costs")
    assert len(rows(page)[0]) == 2
    page.check("#comparison-costs")
    page.select_option("#comparison-dataset", "")
    assert len(rows(page)[0]) == wide


# The plot.


def test_the_plot_tells_the_numbers_of_a_network_and_hides_it(page: Page, sweep: Path) -> None:
    points = page.locator("#plot .point")
    assert points.count() == 4
    points.nth(0).focus()
    cells = compare_runs(runs_of(sweep), MEASURES["dice"])
    mean = next(iter(cells.cells.values())).scores["dice"].mean
    tip = page.locator("#plot .tip")
    assert tip.inner_text().splitlines()[0] == "unet"
    assert f"Dice {mean:.3f} ± " in tip.inner_text()
    assert "parameters, M: 4.32" in tip.inner_text()
    points.nth(1).hover()
    assert tip.inner_text().splitlines()[0] == DEFAULT
    legend = page.locator("#plot-legend button")
    legend.first.click()
    assert legend.first.get_attribute("aria-pressed") == "false"
    assert points.count() == 3
    legend.first.press("Enter")
    assert points.count() == 4
    page.select_option("#plot-x", "macs")
    assert points.count() == 3
    page.select_option("#plot-score", "hd95")
    points.first.focus()
    assert "HD95 " in tip.inner_text()
    assert "96 x 96; cpu, 32-true, batch 8" in tip.inner_text()
    page.select_option("#plot-x", "parameters")


# The matrix.


@pytest.mark.parametrize("name", ["dice", "hd95"])
def test_the_matrix_says_of_each_pair_what_the_tests_found(name: str, page: Page, sweep: Path) -> None:
    page.select_option("#matrix-score", name)
    comparison = every_measure(compare_runs(runs_of(sweep), MEASURES["dice"]))[name]
    for dataset, on in enumerate(comparison.columns):
        page.select_option("#matrix-dataset", str(dataset))
        check_matrix(page, comparison, on)


def test_the_arrow_keys_go_through_the_matrix(page: Page) -> None:
    page.locator("#matrix td.cell[tabindex='0']").focus()
    readout = page.locator("#matrix-readout")
    assert readout.inner_text().startswith(f"unet against {DEFAULT} on ")
    page.keyboard.press("ArrowRight")
    assert readout.inner_text().startswith("unet against convunext, kernel_size=3 on ")
    page.keyboard.press("ArrowDown")
    assert readout.inner_text().startswith(f"{DEFAULT} against convunext, kernel_size=3 on ")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert readout.inner_text().startswith(f"{DEFAULT} against unet on ")


# The test images.


def run_of(sweep: Path, setting: str, seed: int) -> Run:
    """Return the run on kvasir that was given the network alone."""
    return next(
        run
        for run in runs_of(sweep)
        if run.data == "kvasir" and run.seed == seed and setting in run.overrides and len(run.overrides) == 3
    )


def pixels(page: Page, frame: int) -> np.ndarray:
    """Return what is drawn over one of the four pictures, H x W x 4."""
    script = """(frame) => {
        const canvas = document.querySelectorAll('#browser-frames figure')[frame].querySelector('canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return [canvas.height, canvas.width, [...data]];
    }"""
    height, width, values = page.evaluate(script, frame)
    return np.array(values).reshape(height, width, 4)


def shown(page: Page) -> str:
    return page.locator("#browser-title").inner_text().partition(": ")[2]


def choose(page: Page, **values: str) -> None:
    for name, value in values.items():
        select = page.locator(f"#browser-{name}")
        known = select.locator("option").evaluate_all("all => all.map((one) => [one.value, one.textContent])")
        select.select_option(next(key for key, text in known if value in (key, text)))


def test_predictions_are_drawn_by_whether_they_are_right(page: Page, sweep: Path) -> None:
    choose(page, first=DEFAULT, second="unet", seed="0", order="id", overlay="errors")
    page.wait_for_function("document.querySelectorAll('#browser-frames canvas').length === 3")
    image = shown(page)
    run = run_of(sweep, "model=convunext", 0)
    prepared = PreparedDataset(run.summary["prepared"])
    truth = np.asarray(prepared.native_masks[prepared.ids.index(image)])
    for frame, (model, seed) in ((2, ("convunext", 0)), (3, ("unet", 0))):
        file = run_of(sweep, f"model={model}", seed).folder / "test" / "predictions.npz"
        predicted = read_predictions(file, [image])[image]
        drawn = pixels(page, frame)
        for region, colour in (
            ((truth == 1) & (predicted == 1), RIGHT),
            ((truth == 0) & (predicted == 1), TOO_MUCH),
            ((truth == 1) & (predicted == 0), MISSED),
        ):
            assert region.any()
            # A canvas keeps colours times their opacity, so they come back within a few steps.
            assert np.abs(drawn[region][:, :3] - colour).max() <= 2
            assert (drawn[region][:, 3] == 153).all()
        assert (drawn[(truth == 0) & (predicted == 0)] == 0).all()
    assert (pixels(page, 1)[..., 3] > 0).sum() == truth.sum()
    score = dict(zip(run.per_image.ids, run.per_image.scores["dice"], strict=True))[image]
    assert f"Dice {score:.3f}" in page.locator("#browser-frames figcaption").nth(2).inner_text()


def test_the_mean_of_seeds_shows_them_all_and_a_seed_without_predictions_says_so(page: Page, sweep: Path) -> None:
    choose(page, first=DEFAULT, second="unet", seed="mean", order="id", overlay="errors")
    page.wait_for_function("document.querySelector('#browser-keys').textContent.includes('several trainings')")
    image = shown(page)
    files = [run_of(sweep, "model=convunext", seed).folder / "test" / "predictions.npz" for seed in (0, 1)]
    one, other = (read_predictions(file, [image])[image] for file in files)
    prepared = PreparedDataset(run_of(sweep, "model=convunext", 0).summary["prepared"])
    truth = np.asarray(prepared.native_masks[prepared.ids.index(image)])
    half = (one != other) & (truth == 0)
    assert half.any()
    assert np.abs(pixels(page, 2)[half][:, 3] - 153 / 2).max() <= 1
    choose(page, seed="1")
    page.wait_for_selector("#browser-frames .gone")
    assert page.locator("#browser-frames figure").nth(3).inner_text().startswith("no prediction stored")


def test_the_images_are_sorted_and_gone_through_by_keys(page: Page) -> None:
    choose(page, first=DEFAULT, second="unet", seed="mean", order="difference")
    entries = page.locator("#browser-list [role=option]")
    assert entries.count() == IMAGES
    assert page.locator("#browser-list .list-head").inner_text().split("\n") == [
        "image", DEFAULT, "unet", "difference"
    ]  # fmt: skip

    def values(place: int) -> list[float]:
        script = "(all, place) => all.map((one) => one.children[place].textContent)"
        return [float(text) for text in entries.evaluate_all(script, place)]

    sizes = [abs(value) for value in values(3)]
    assert sizes == sorted(sizes, reverse=True)
    assert values(3) == [pytest.approx(a - b, abs=1e-9) for a, b in zip(values(1), values(2), strict=True)]
    page.locator("#browser-list").focus()
    for key, place in (("ArrowDown", 1), ("ArrowRight", 2), ("ArrowUp", 1), ("End", IMAGES - 1), ("ArrowDown", 5)):
        page.keyboard.press(key)
        page.wait_for_selector(f"#browser-image-{place}[aria-selected=true]")
    assert page.locator("#browser-next").is_disabled()
    entries.nth(0).click()
    page.wait_for_selector("#browser-image-0[aria-selected=true]")
    page.locator("#browser-next").click()
    page.wait_for_selector("#browser-image-1[aria-selected=true]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#browser-image-0[aria-selected=true]")
    choose(page, order="worst")
    assert values(1) == sorted(values(1))
    choose(page, order="second", score="hd95")
    differences = values(3)
    assert differences == sorted(differences, reverse=True)  # where the other has the smaller distance
    choose(page, order="worst score of the network first")
    assert values(1) == sorted(values(1), reverse=True)
    choose(page, order="best score of the network first")
    assert values(1) == sorted(values(1))


@pytest.mark.parametrize(("overlay", "keys"), [("classes", "polyp"), ("outlines", "polyp truth"), ("none", "")])
def test_other_overlays(overlay: str, keys: str, page: Page) -> None:
    choose(page, first=HOSTILE, second="unet", seed="0", overlay=overlay)
    page.wait_for_function(
        "keys => document.querySelector('#browser-keys').innerText.split(/\\s+/).join(' ').trim() === keys", arg=keys
    )
    painted = (pixels(page, 2)[..., 3] > 0).mean()
    assert painted == 0 if overlay == "none" else 0 < painted < 0.5
    assert page.locator("#browser-frames figcaption strong").nth(2).inner_text() == HOSTILE


# The curves.


def test_the_curves_show_an_epoch_and_the_chosen_networks(page: Page) -> None:
    assert page.locator("#curves .curve").count() == 4
    assert page.locator("#curves .band").count() == 4
    readout = page.locator("#curves-readout")
    assert readout.inner_text().startswith("Epoch 5")
    page.locator("#curves-epoch").focus()
    page.keyboard.press("ArrowLeft")
    assert readout.inner_text().startswith("Epoch 4")
    page.locator("#curves-legend button").first.click()
    assert page.locator("#curves .curve").count() == 3
    assert "unet 0." not in readout.inner_text().replace("convunext", "")
    page.locator("#curves-legend button").first.click()
    page.select_option("#curves-key", "train/loss")
    assert "training loss" in page.locator("#curves").inner_text()


# As a whole.


def test_a_phone_in_the_dark_shows_all_without_scrolling_sideways(page: Page) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.emulate_media(color_scheme="dark")
    for summary in page.locator("details > summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) < 50
    # Sentences are set below one another.
    assert page.locator("#unfinished td").first.evaluate("cell => getComputedStyle(cell).display") == "block"
    assert page.locator("#plot svg").bounding_box()["width"] <= PHONE[0]  # type: ignore[index]
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    page.emulate_media(color_scheme="light")


def test_nothing_that_runs_said_became_an_element(page: Page, sweep: Path) -> None:
    measured = every_measure(compare_runs(runs_of(sweep), MEASURES["dice"]))
    assert page.evaluate("document.scripts.length") == 5 + 9
    assert page.locator("#comparison .of-score tbody th", has_text=HOSTILE).count() == len(measured)


def test_subgroups_are_drawn_and_their_table_follows_the_choice(page: Page) -> None:
    last = page.locator("#subgroups-shown option").count() - 1
    assert last > 0
    page.locator("#subgroups-shown").select_option(str(last))
    shown = page.locator(".of-division:visible")
    assert [shown.count(), shown.get_attribute("data-division")] == [1, str(last)]
    networks = shown.locator("tbody tr").count()
    subgroups = shown.locator("thead th", has_text="(").count()  # with the number of images
    assert page.locator("#subgroups-plot .point").count() == networks * subgroups
    page.locator("#subgroups-plot .point").first.focus()
    assert "Dice" in page.locator("#subgroups-plot .tip").inner_text()
    page.locator("#subgroups-legend button").first.click()
    assert page.locator("#subgroups-plot .point").count() == (networks - 1) * subgroups
    page.locator("#subgroups-legend button").first.click()
