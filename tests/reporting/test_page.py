"""The report as a page: what is written into it. What its scripts do is in `test_page_in_browser.py`."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from base64 import b64decode
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medseg.commands.report import report
from medseg.data.datasets.synthetic import Synthetic
from medseg.data.labels import IGNORE_INDEX
from medseg.data.prepared.prepare import prepare
from medseg.errors import ConfigError
from medseg.metrics.measures import MEASURES
from medseg.pages import embed_json
from medseg.reporting.comparison import compare_runs
from medseg.reporting.contents import sections
from medseg.reporting.layout import lay_out
from medseg.reporting.page.browser import FEWEST_IMAGES, browser_data, choose_images, licence_note, read_stored
from medseg.reporting.page.curves import MOST_POINTS, curve
from medseg.reporting.page.pictures import Frame, bits_of, maps_data, pack, shrink_image, shrink_map
from medseg.reporting.page.scores import every_measure, matrix_html, pairs_data, stability_html
from medseg.reporting.page.settings import settings_html
from medseg.reporting.render.table import superscript
from medseg.reporting.report import Report, compare, report_of
from medseg.reporting.tables.outlook import stability_tables
from medseg.reporting.tables.scores import comparison_table
from medseg.reporting.wanted import Wanted
from medseg.runs.predictions import write_predictions
from medseg.runs.reading import read_runs
from medseg.runs.run import Run
from medseg.system.files import read_csv, write_csv, write_json
from tests.helpers import compose_config
from tests.reporting.fabricate import fabricate
from tests.reporting.fabricate_evaluations import fabricate_evaluations
from tests.reporting.tables.made import make_ablation, make_comparison, make_pair
from tests.reporting.test_figure_grid import predict

HOSTILE = "<script>alert(1)</script>"

IMAGES = 6
"""Of the test images in the page."""


def make_sweep(folder: Path) -> Path:
    """Make up two datasets and two seeds; of kvasir, which has test images, one run has kept no predictions.

    One network has a hostile name, and one run failed with a hostile error.
    """
    networks = {"unet": 0.0, "convunext": 0.05, "convunext model.kernel_size=3": 0.0, "evil": 0.01}
    states = {("unet", "dsb", 1): "failed"}
    sweep = fabricate(folder / "runs" / "s", networks, data=("kvasir", "dsb"), seeds=(0, 1), states=states)
    prepared = prepare(Synthetic(count=12), image_size=64, in_channels=3, data_dir=folder / "data")
    predict(sweep, prepared, range(10))
    for run in runs_of(sweep):
        if run.model in MACS:
            measure(sweep, run)
        if run.data == "dsb" or (run.model == "unet" and run.seed == 1):
            (run.folder / "test" / "predictions.npz").unlink(missing_ok=True)
    for file in [*sweep.glob("*/run.json"), *sweep.glob("*/status.json"), sweep / "sweep.json"]:
        text = file.read_text(encoding="utf-8")
        text = text.replace('"model": "evil"', f'"model": {json.dumps(HOSTILE)}')
        file.write_text(text.replace("12 GiB are not enough", HOSTILE), encoding="utf-8")
    return sweep


def runs_of(*folders: Path) -> list[Run]:
    return read_runs(folders).runs


MACS = {"unet": 10**9, "convunext": 7 * 10**8}


def measure(sweep: Path, run: Run) -> None:
    """Add a benchmark of a run's network as `medseg benchmark` writes it."""
    content = {"arguments": run.config["model"], "macs": MACS[run.model], "image_size": [96, 96]}
    content |= {"measured": "2026-11-01T00:00:00+00:00", "precision": "32-true", "batch_size": 8}
    content |= {"device": {"name": "cpu"}, "latency_ms": {"p50": 3.0}, "peak_memory_mib": {"train": 100}}
    write_json(sweep / "benchmarks" / f"{run.model}-{run.config['model']['kernel_size']}.json", content)


def make_page(sweep: Path, file: Path) -> Path:
    runs = runs_of(sweep)
    comparison = compare_runs(runs, MEASURES["dice"])
    return write_page(report_of(runs, comparison, wanted=Wanted(("size",))), file)  # few images: only where named


def write_page(made: Report, file: Path) -> Path:
    return made.write(file.parent, "html", images=IMAGES)["HTML"].rename(file)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def page(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_page(sweep, tmp_path_factory.mktemp("made") / "report.html").read_text(encoding="utf-8")


def embedded(page: str, name: str):
    """Return what is embedded for the scripts."""
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


def texts(page: str, name: str) -> list[list[str]]:
    """Return the texts of the cells of a table of the page, without its markup."""
    found = re.search(rf'<table class="[a-z ]*" id="{name}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert found is not None
    rows = re.findall(r"<tr>(.*?)</tr>", found[1])
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]
    return [[unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in cells]


# The numbers.


def test_the_numbers_are_those_of_the_tables_under_every_measure(sweep: Path, page: str) -> None:
    runs = runs_of(sweep)
    there = every_measure(compare_runs(runs, MEASURES["dice"]))  # not what was not measured
    for place, measured in enumerate(map(MEASURES.__getitem__, there)):
        table = comparison_table(compare_runs(runs, measured))
        shown = [
            [f"{c.entry.text} {c.entry.after.strip()}{superscript(*c.marks)}".strip() for c in row]
            for row in table.grid.rows
        ]
        assert texts(page, f"comparison-{place}") == shown


@pytest.mark.parametrize("name", ["iou", "hd95", "pooled_dice"])
def test_another_measure_is_compared_as_if_it_had_been_asked_for(name: str, sweep: Path) -> None:
    runs = runs_of(sweep)
    found, asked = every_measure(compare_runs(runs, MEASURES["dice"]))[name], compare_runs(runs, MEASURES[name])
    assert (found.pairs, found.wins, found.ranking) == (asked.pairs, asked.wins, asked.ranking)
    marks = [[(cell.rank, cell.like_best) for cell in one.cells.values()] for one in (found, asked)]
    assert marks[0] == marks[1]


def test_scores_below_the_pictures_are_those_of_the_runs(sweep: Path, page: str) -> None:
    data, rows = embedded(page, "report-images")[0], embedded(page, "report-scores")["rows"]
    place = [row["label"] for row in rows].index("unet")
    ids = [image["id"] for image in data["images"]]
    runs = [run for run in runs_of(sweep) if (run.model, run.data) == ("unet", "kvasir")]
    each = [dict(zip(run.per_image.ids, run.per_image.scores["hd95"], strict=True)) for run in runs]
    shown = data["scores"]["hd95"][str(place)]
    assert shown["1"] == [pytest.approx(each[1][image], abs=0.051) for image in ids]
    assert shown["mean"] == [pytest.approx((each[0][image] + each[1][image]) / 2, abs=0.051) for image in ids]


@pytest.mark.parametrize("name", ["hd9", "</script> <b>'\"$&", "__proto__"])
def test_own_metrics_are_on_the_page_whatever_they_are_called(name: str, tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.03}, seeds=(0, 1), images=8)
    for run in runs_of(sweep):
        file = run.folder / "test" / "per_image.csv"
        rows = read_csv(file)
        write_csv(file, [{**row, name: number % 5} for number, row in enumerate(rows)])
        summary = {**run.summary, "own_metrics": {name: {"higher_is_better": False, "unit": "mm"}}}
        write_json(run.folder / "test" / "summary.json", summary)
    page = make_page(sweep, tmp_path / "report.html").read_text(encoding="utf-8")
    data = embedded(page, "report-scores")["measures"][name]
    assert (data["up"], data["unit"]) == (False, "mm")
    assert data["cells"][0][0][0] == pytest.approx(np.mean([n % 5 for n in range(8)]))
    assert f'<div class="of-score" data-score="{escape(name)}" hidden>' in page
    table = comparison_table(compare_runs(runs_of(sweep), MEASURES["dice"]))
    assert texts(page, "comparison-0")[0][0] == table.grid.rows[0][0].text


def test_of_very_many_networks_the_best_are_compared_under_one_score(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.reporting.page.scores.MOST_NETWORKS", 2)
    comparison = compare_runs(runs_of(sweep), MEASURES["dice"])
    page = make_page(sweep, tmp_path / "report.html").read_text(encoding="utf-8")
    data = embedded(page, "report-scores")
    assert list(data["measures"]) == ["dice"]
    for column, pairs in zip(comparison.columns, data["measures"]["dice"]["pairs"], strict=True):
        means = [comparison.cells[row, column].scores["dice"].mean for row in comparison.rows]
        assert [{*pair[:2]} for pair in pairs] == [{*np.argsort(means)[-2:].tolist()}]
    assert "The 2 networks with the best mean on the dataset" in page
    assert "Of more than 2 networks under this score alone" in page


def test_of_very_many_predictions_fewer_images_are_shown(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = compare_runs(runs_of(sweep), MEASURES["dice"])
    trainings = sum(run.finished for run in runs_of(sweep))
    assert len(browser_data(comparison, 6)[0]["images"]) == 6
    monkeypatch.setattr("medseg.reporting.page.browser.MOST_MAPS", 5 * trainings)
    assert len(browser_data(comparison, 6)[0]["images"]) == 5
    monkeypatch.setattr("medseg.reporting.page.browser.MOST_MAPS", 1)
    assert len(browser_data(comparison, 6)[0]["images"]) == FEWEST_IMAGES
    assert len(browser_data(comparison, 3)[0]["images"]) == 3


def test_pairs_are_numbers_and_the_page_has_a_key_for_each_of_their_states(tmp_path: Path) -> None:
    made = make_comparison(5, 1)
    first, *others = made.rows
    column = made.columns[0]
    given: list[dict[str, Any]] = [
        {"difference": -0.0301, "low": -0.05, "high": -0.0102, "state": "worse", "confidence": 1 - 0.05 / 6},
        {"difference": 0.001, "low": -0.002, "high": 0.004, "state": "equivalent", "units": 6, "grouped": True},
        {"difference": 0.0, "low": -0.01, "high": 0.01, "state": "undecided", "reason": "6 groups are too few"},
        {"difference": 0.02, "low": None, "high": None, "state": "not judged", "reason": "one seed", "p": None,
         "corrected": None, "superiority": None},
    ]  # fmt: skip
    pairs = [make_pair(first, row, column, **more) for row, more in zip(others, given, strict=True)]
    made = replace(made, pairs=tuple(pairs))
    shown = pairs_data(made)[0]
    assert shown[0] == [0, 1, -3.01, -5, -1.02, "99.2 %", "0.012", "0.036", "120 images", "worse", "",
                        "83 % [61, 95]", "17 % [5, 39]"]  # fmt: skip
    assert shown[1][8:11] == ["120 images in 6 groups", "equivalent", ""]
    assert shown[3] == [0, 4, 2, None, None, "98.3 %", "-", "-", "120 images", "not judged", "one seed"]
    html = matrix_html({"dice": made})
    keys = re.findall(r'<span class="key ([a-z-]*)">(.*?)</span>', html)
    words = ["better", "worse", "equivalent", "undecided", "not judged (one seed)"]
    assert [text for _, text in keys] == words
    assert [kind for kind, _ in keys] == [*words[:4], "not-judged"]
    assert "shown to differ by less than 1 point." in html
    html = matrix_html({name: replace(made, measure=MEASURES[name]) for name in ("hd95", "assd")})
    assert "shown to differ by less than 1 pixel." in html


# One seed, one run.


def test_one_seed_has_no_colour_and_is_not_judged(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.1, "amsunet": 0.0}, data=("kvasir", "dsb"))
    page = make_page(sweep, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "not judged (one seed)" in page
    assert re.findall(r'<span class="key ([a-z-]*)">', page) == ["not-judged"]
    body = page.partition("<body>")[2].partition("<script")[0]
    assert "≈" not in body
    compared = body.partition('id="claims"')[0]
    assert not re.findall(r'class="(?:good|same|scroll shares heat)"', compared)
    assert "<strong>" not in compared
    data = embedded(page, "report-scores")["measures"]["dice"]
    assert {cell[4] for row in data["cells"] for cell in row} == {"not judged (one seed)"}


def test_one_run_without_anything_beside_it_has_a_page(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0}, images=4)
    (run,) = runs_of(sweep)
    (run.folder / "metrics.csv").unlink()
    written = make_page(sweep, tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<section id="([a-z-]*)"', written) == [
        "overview",
        "comparison",
        "subgroups",
        "images",
        "published",
        "runs",
        "made-with",
    ]
    assert texts(written, "comparison-0")[0][0] == "unet"
    assert "networks with" not in written
    assert 'data-filter="runs-table"' not in written


# Sections.


def test_the_page_has_every_table_of_the_report_and_its_notes_at_the_top(tmp_path: Path) -> None:
    made = make_comparison(4, 2)
    made = replace(made, warnings=("data1: other <images>",))
    runs = [run for cell in made.cells.values() for run in cell.runs]
    report = Report(runs, made, [make_ablation(made)], [], notes=("x/unet: a copy of y/unet",))
    page = write_page(report, tmp_path / "report.html").read_text(encoding="utf-8")
    top = page.partition("<body>")[2].partition("<nav")[0]
    assert "<li>x/unet: a copy of y/unet</li><li>data1: other &lt;images&gt;</li>" in top
    for section in sections(report):
        for table in section.tables:
            assert section.title == "Comparison" or f">{table.title}</h" in page, table.title


def test_the_shares_of_ranks_are_those_of_the_table(tmp_path: Path) -> None:
    made = make_comparison(8, 2)
    html = stability_html(made)
    overall, *each = stability_tables(made, 8)
    assert html.count("<table>") == 1 + len(each) == 2
    shares = [float(share) for share in re.findall(r"--share: ([0-9.]*)", html)]
    assert shares[:64] == [pytest.approx(record.share, abs=5e-4) for record in overall.displayed or ()]
    assert html.count('<div class="scroll shares heat" tabindex="0"') == 2
    assert "The first" not in html


# The same from the same, nothing from outside.


def test_the_page_is_the_same_wherever_the_runs_are(sweep: Path, page: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "an other" / "s"
    shutil.copytree(sweep, elsewhere)
    assert make_page(elsewhere, tmp_path / "other.html").read_text(encoding="utf-8") == page
    for place in (str(sweep.parent), str(Path.home())):
        assert place not in page


def test_what_comes_from_runs_is_never_markup(page: str) -> None:
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert HOSTILE not in page
    # Data and scripts, each of them of ours.
    assert page.count("<script") == page.count("</script>") == 5 + 9
    assert not re.search(r"(src|href)=.?(https?:|//)", page)


@pytest.mark.parametrize("turning", ["\u202e", "\u2066"])
def test_no_name_turns_the_text_beside_it_around(turning: str, tmp_path: Path) -> None:
    made = make_comparison([f"{turning}evil", "b"], [f"a{turning}", "d"])
    runs = [replace(run, experiment=f"e{turning}") for cell in made.cells.values() for run in cell.runs]
    page = write_page(Report(runs, made, [make_ablation(made)], []), tmp_path / "report.html")
    text = page.read_text(encoding="utf-8")
    assert turning not in text.partition("<body>")[2]
    assert json.dumps(turning)[1:-1] not in text


# Test images.


def test_of_one_network_the_images_are_spread_from_the_worst_to_the_best(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0, 1))
    ((row, cell),) = ((cell.row, cell) for cell in compare_runs(runs_of(sweep), MEASURES["dice"]).cells.values())
    ids, rule = choose_images({row: cell}, MEASURES["dice"], 5)
    values = dict(zip(cell.sample.ids, cell.sample.per_image("dice"), strict=True))
    assert rule == "5 of 60 test images: spread evenly from the lowest Dice to the highest."
    assert {min(values, key=values.get), max(values, key=values.get)} < set(ids)
    assert len(ids) == 5


def test_what_cannot_be_shown_is_said(sweep: Path, page: str) -> None:
    assert "No pictures of dsb: no run has its predictions stored (test/predictions.npz)." in page
    data = embedded(page, "report-images")[0]
    assert data["lacking"] == ["unet (seed 1)"]
    assert data["rule"].startswith(f"{IMAGES} of 10 test images: the 3 whose Dice (mean over seeds) deviates most")
    assert data["licence"] == "synthetic images: CC0-1.0."
    # Of other data, or of none.
    comparison = compare_runs(runs_of(sweep), MEASURES["dice"])
    for run in (run for cell in comparison.cells.values() for run in cell.runs if run.finished):
        run.summary["prepared"] = "/nowhere"
    missing = browser_data(comparison, IMAGES)[0]["missing"]
    assert missing.startswith("the prepared data are gone")
    assert "/nowhere" not in missing


def test_damaged_predictions_are_left_out(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "s")
    runs = [run for run in runs_of(tmp_path / "s") if run.data == "kvasir"]
    (runs[0].folder / "test" / "predictions.npz").write_bytes(b"PK\x03\x04 half a file")
    (data,) = browser_data(compare_runs(runs, MEASURES["dice"]), IMAGES)
    assert len(data["lacking"]) == 2
    assert len(data["maps"]) == 6


def test_the_images_that_networks_disagree_on_are_shown_and_some_of_the_others(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.02, "amsunet": 0.0}, seeds=(0, 1))
    cells = {cell.row: cell for cell in compare_runs(runs_of(sweep), MEASURES["dice"]).cells.values()}
    ids, rule = choose_images(cells, MEASURES["dice"], 20)
    samples = [cell.sample for cell in cells.values()]
    spread = np.std([sample.per_image("dice") for sample in samples], axis=0)
    most = [samples[0].ids[n] for n in np.argsort(-spread)[:10]]
    assert len(ids) == len(set(ids)) == 20
    assert set(most) <= set(ids)
    others = [samples[0].ids.index(image) for image in ids if image not in most]
    mean = np.mean([sample.per_image("dice") for sample in samples], axis=0)
    rest = [n for n in range(60) if samples[0].ids[n] not in most]
    assert min(mean[rest]) in mean[others]
    assert max(mean[rest]) in mean[others]
    assert rule.startswith("20 of 60 test images: the 10 ")
    assert choose_images(cells, MEASURES["dice"], 60) == (list(samples[0].ids), "All 60 test images.")


def test_the_folds_of_a_seed_are_one(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0}, folds=(0, 1), images=3)
    runs = runs_of(sweep)
    for run in runs:
        write_predictions(run.folder / "test" / "predictions.npz", run.per_image.ids, [np.zeros((4, 4))] * 3)
    layout = lay_out(runs)
    (cell,) = compare_runs(runs, MEASURES["dice"]).cells.values()
    maps, lacking = read_stored({layout.rows[0]: cell}, cell.sample.ids)
    assert list(maps) == [(layout.rows[0], 0, None)]
    assert len(maps[layout.rows[0], 0, None]) == 6
    assert lacking == []


def test_folds_of_the_same_images_are_a_map_each(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0}, folds=(0, 1, 2), images=3)
    fabricate_evaluations(sweep, "cvc", images=3)
    comparison = compare(read_runs(sweep)).comparison
    (cell,) = [cell for (_, column), cell in comparison.cells.items() if column.external]
    for run in cell.runs[:2]:
        write_predictions(run.predictions, run.per_image.ids, [np.full((4, 4), run.fold)] * 3)
    maps, lacking = read_stored({cell.row: cell}, cell.sample.ids)
    assert {key: int(of["cvc_0000"].max()) for key, of in maps.items()} == {(cell.row, 0, 0): 0, (cell.row, 0, 1): 1}
    assert lacking == ["unet (seed 0 fold 2)"]


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("CC BY-NC 4.0 (official images CC0)", "data: CC BY-NC 4.0 (official images CC0)."),
        ("research and educational use only", "keep this page to yourself, or leave them out with images=0"),
        ("", "no licence is known"),
    ],
)
def test_the_licence_of_the_images_is_named(licence: str, words: str) -> None:
    prepared = SimpleNamespace(title="data", fingerprint={"licence": licence})
    assert words in licence_note(prepared)  # type: ignore[arg-type]


# Pictures.


@pytest.mark.parametrize(("classes", "ignored", "bits"), [(2, False, 1), (2, True, 2), (4, True, 4), (20, False, 8)])
def test_class_maps_come_back(classes: int, ignored: bool, bits: int) -> None:
    random = np.random.default_rng(0)
    maps = random.integers(0, classes, (3, 5, 7)).astype(np.uint8)
    maps[1, 2] = IGNORE_INDEX if ignored else 0
    assert bits_of(maps, classes) == bits
    text = maps_data(maps, Frame(5, 7), classes, bits)
    unpacked = np.unpackbits(np.frombuffer(zlib.decompress(b64decode(text)), np.uint8)).reshape(3, -1)[:, : 35 * bits]
    values = unpacked.reshape(3, 35, bits) @ (1 << np.arange(bits)[::-1])
    assert np.array_equal(values.reshape(maps.shape), np.where(maps == IGNORE_INDEX, classes, maps))


def test_values_are_packed_from_the_highest_bit() -> None:
    assert pack(np.array([[1, 0, 2, 3, 1]], dtype=np.uint8), 2).tolist() == [[0b01001011, 0b01000000]]


def test_large_images_are_made_smaller_without_mixing_classes() -> None:
    image = np.zeros((600, 300, 3), dtype=np.uint8)
    image[:300] = 200
    frame = Frame.of(image)
    assert (frame.height, frame.width) == (256, 128)
    small = shrink_image(image, frame)
    assert small.shape == (256, 128, 3)
    assert small[0, 0, 0] == 200
    assert small[-1, 0, 0] == 0
    classes = np.zeros((600, 300), dtype=np.uint8)
    classes[:300] = 3
    shrunk = shrink_map(classes, frame)
    assert np.unique(shrunk).tolist() == [0, 3]
    assert (shrunk == 3).mean() == 0.5
    assert shrink_image(image[..., :1], Frame(600, 300)).shape == (600, 300)


# Curves, runs.


def test_a_curve_has_the_mean_and_the_ends_of_its_runs_and_not_too_many_points() -> None:
    runs = [
        SimpleNamespace(finished=True, epochs=[{"val/dice": epoch * factor} for epoch in range(1000)])
        for factor in (1.0, 3.0)
    ]
    found = curve(runs, "val/dice")  # type: ignore[arg-type]
    assert found is not None
    assert found["runs"] == 2
    assert MOST_POINTS / 2 < len(found["epochs"]) <= MOST_POINTS + 1
    assert (found["epochs"][0], found["epochs"][-1]) == (1, 1000)
    assert (found["low"][-1], found["mean"][-1], found["high"][-1]) == (999, 1998, 2997)
    assert curve(runs, "val/loss") is None  # type: ignore[arg-type]
    runs[0].finished = runs[1].finished = False
    assert curve(runs, "val/dice") is None  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_curve_leaves_out_epochs_without_a_finite_value(value: float) -> None:
    values = [[1.0, value, 0.5], [2.0, 1.0, 0.7]]
    runs = [SimpleNamespace(finished=True, epochs=[{"val/loss": loss} for loss in one]) for one in values]
    found = curve(runs, "val/loss")  # type: ignore[arg-type]
    assert found is not None
    assert found["epochs"] == [1, 3]
    assert embed_json("curves", found)


def test_settings_mark_what_was_given(page: str) -> None:
    settings = re.findall(r"<details id=\"settings-\d+\"><summary>(.*?)</summary>(.*?)</details>", page, re.DOTALL)
    shown = dict(settings)
    assert "<mark>model.kernel_size: 3</mark>" in shown["convunext, kernel_size=3 on kvasir"]
    assert "model.kernel_size: 7" in shown["unet on kvasir"]
    assert "<mark>model" not in shown["unet on kvasir"]
    assert "<dd>cpu, 2 threads</dd>" in shown["unet on kvasir"]
    assert "seed 0, seed 1" in shown["unet on kvasir"]
    runs = texts(page, "runs-table")
    assert len(runs) == 16
    (failed,) = [row for row in runs if row[3] == "failed"]
    assert failed[:3] == ["unet", "dsb", "seed 1"]
    assert failed[-1] == f"OutOfMemoryError: {HOSTILE}"


# The command.


def test_settings_are_those_of_a_run_that_has_begun(tmp_path: Path) -> None:
    name = "convunext model.kernel_size=9"
    folder = fabricate(tmp_path / "s", {name: 0.0}, seeds=(0, 1), images=4, states={(name, "kvasir", 0): "waiting"})
    (cell,) = compare_runs(runs_of(folder), MEASURES["dice"]).cells.values()
    assert [run.state for run in cell.runs] == ["waiting", "finished"]
    text = settings_html(cell, "settings-0")
    assert "<mark>model.kernel_size: 9</mark>" in text
    assert "data=kvasir model.kernel_size=9</dd>" in text


def test_the_command_writes_the_page_alone(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(compose_config("report", f"runs=['{sweep}']", "format=html", "images=0", f"output='{tmp_path}'"))
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert f"HTML:     {tmp_path / 'report.html'}" in capsys.readouterr().out
    assert "The pictures were left out (images=0)." in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("images", ["-1", "many", "true", "1.5"])
def test_images_must_be_a_number(images: str) -> None:
    with pytest.raises(ConfigError, match="it must be a number of test images, 0 for none"):
        report(compose_config("report", "runs=[x]", f"images={images}"))
