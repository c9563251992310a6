"""Calibration and confidence in the report: what is read, what is made of it, and that every form shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.cards.collect import collect
from medseg.cards.document import write_card
from medseg.errors import UserError
from medseg.metrics.calibration import Calibration, calibration_rows, summarise_calibration, with_temperature
from medseg.metrics.confidence import rejection_curve, rejection_ratio
from medseg.metrics.measures import MEASURES
from medseg.reporting.certainty import certainties
from medseg.reporting.comparison import score_runs
from medseg.reporting.page.certainty import certainty_data
from medseg.reporting.render.text import as_text
from medseg.reporting.report import compare
from medseg.reporting.tables.certainty import certainty_table
from medseg.runs.reading import read_runs
from medseg.runs.run import Run
from medseg.system.files import read_csv, read_json, write_csv, write_json
from tests.browsing import PHONE, open_page
from tests.reporting.fabricate import fabricate
from tests.reporting.fabricate_evaluations import fabricate_evaluations

SURENESS = {"unet": 2.0, "convunext": 1.0}
"""Network -> by what its logits are multiplied: the first is too sure of itself."""

CLASSES = ("background", "polyp")


def add_certainty(run: Run, sureness: float, *, informative: bool) -> None:
    """Write what a test tells of its probabilities; `informative`: the confidence is in the order of the Dice."""
    random = np.random.default_rng([run.seed, int(10 * sureness)])
    logits = random.normal(-1, 2, 20_000)
    labels = (random.random(20_000) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    foreground = 1 / (1 + np.exp(-logits * sureness))
    probabilities = np.stack([1 - foreground, foreground])[:, None]
    temperature = sureness * 1.01
    scaled = Calibration.of(with_temperature(probabilities, temperature), labels[None])
    measured = {1.0: Calibration.of(probabilities, labels[None]), temperature: scaled}
    write_csv(run.files.test / "calibration.csv", calibration_rows(measured, CLASSES))
    summary = read_json(run.files.summary)
    summary["calibration"] = summarise_calibration(measured, CLASSES, absent=[])
    write_json(run.files.summary, summary)
    rows = read_csv(run.files.per_image)
    certain = [float(row["dice"]) ** 2 if informative else random.random() for row in rows]
    ids = [row["id"] for row in rows]
    write_csv(
        run.files.test / "confidence.csv",
        [{"id": id_, "confidence": value} for id_, value in zip(ids, certain, strict=True)],
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks on two datasets; one of them is too sure of itself and does not know where it is wrong."""
    folder = tmp_path_factory.mktemp("certainty") / "runs" / "sure"
    fabricate(folder, dict.fromkeys(SURENESS, 0.0), data=("kvasir", "dsb"), seeds=(0, 1), images=24)
    for run in read_runs(folder):
        add_certainty(run, SURENESS[run.model], informative=run.model == "convunext")
    return folder


def test_each_network_has_its_calibration_and_its_error_detection(runs: Path) -> None:
    known = certainties(score_runs(read_runs(runs).runs, MEASURES["dice"]))
    assert [(one.column.label, one.row.label) for one in known] == [
        (data, network) for data in ("kvasir", "dsb") for network in ("unet", "convunext")
    ]
    unet, convunext = known[:2]
    assert unet.values["temperature"] == pytest.approx([2.02, 2.02])
    assert unet.values["ece_scaled"].mean() < unet.values["ece"].mean() / 3
    assert convunext.values["ece"].mean() < 0.02
    # The bins of both seeds together, of which the error can be made again.
    assert unet.bins is not None
    assert unet.bins[:, 0].sum() == 2 * 20_000
    probability, share, pixels = convunext.reliability.T
    assert np.abs(probability - share).max() < 0.1
    assert pixels.sum() == 2 * 20_000
    over = unet.reliability[unet.reliability[:, 0] > 0.7]
    assert (over[:, 1] < over[:, 0]).all(), "right less often than it says"
    assert convunext.ratios == pytest.approx([1, 1])
    assert np.abs(unet.ratios).max() < 0.8
    assert convunext.dice_of(0.5) > convunext.dice_of(1)
    dice = [float(row["dice"]) for run in read_runs(runs) if (run.model, run.data) == ("unet", "kvasir")
            for row in read_csv(run.files.per_image)]  # fmt: skip
    assert unet.dice_of(1) == pytest.approx(np.mean(dice)), "of all images, whatever their order"


def test_every_form_of_the_report_has_it(runs: Path, tmp_path: Path) -> None:
    compare(read_runs(runs)).write(tmp_path, images=0)
    for name in ("reliability", "error_detection"):
        with Image.open(tmp_path / "figures" / f"{name}.png") as picture:
            assert picture.size[0] > 1000
        assert all((tmp_path / "figures" / f"{name}.{form}").stat().st_size > 3000 for form in ("pdf", "svg"))
        assert f"figures/{name}.png" in (tmp_path / "report.md").read_text()
    assert "## Calibration and confidence" in (tmp_path / "report.md").read_text()
    assert "2.02 $\\pm$ 0.00" in (tmp_path / "latex" / "calibration.tex").read_text()
    rows = read_csv(tmp_path / "csv" / "calibration.csv")
    assert [row["network"] for row in rows] == ["unet", "convunext"] * 2
    assert float(rows[0]["temperature"]) == pytest.approx(2.02)
    assert float(rows[0]["ece_sd_over_seeds"]) > 0
    page = (tmp_path / "report.html").read_text()
    assert 'id="error-detection"' in page
    assert "Calibration and confidence" in page


def test_the_page_draws_both_diagrams_and_hides_networks(runs: Path, tmp_path: Path) -> None:
    compare(read_runs(runs)).write(tmp_path, "html", images=0)
    with open_page(tmp_path / "report.html", size=PHONE) as page:
        for name in ("reliability", "error-detection"):
            page.wait_for_selector(f"#{name} polyline >> nth=1", state="attached")
        page.click("#certainty-legend button >> nth=0")
        assert [page.locator(f"#{name} polyline").count() for name in ("reliability", "error-detection")] == [1, 1]
        page.click("#certainty-legend button >> nth=1")
        assert page.locator("#certainty p", has_text="No network that is shown").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def test_the_page_draws_the_same_points(runs: Path) -> None:
    comparison = score_runs(read_runs(runs).runs, MEASURES["dice"])
    data = certainty_data(comparison)
    known = {(one.row, one.column): one for one in certainties(comparison)}
    for row, line in zip(comparison.rows, data, strict=True):
        for column, drawn in zip(comparison.columns, line, strict=True):
            assert drawn is not None
            one = known[row, column]
            np.testing.assert_allclose(drawn["bins"], one.reliability[:, :2], atol=1e-4)
            assert drawn["curve"][-1] == pytest.approx([1, one.dice_of(1)], abs=1e-4)
            assert len(drawn["curve"]) == 24


def test_the_card_has_it(runs: Path) -> None:
    card = write_card(collect([run for run in read_runs(runs) if (run.model, run.data) == ("unet", "kvasir")]), None)
    section = card.partition("## Calibration")[2].partition("\n## ")[0]
    assert "too sure of itself" in section
    assert "2.02" in section
    assert "| 0.93 to 1.00 |" in section


def test_runs_of_older_versions_have_none_and_a_damaged_file_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = fabricate(tmp_path / "runs" / "old", {"unet": 0.0, "convunext": 0.01}, seeds=(0, 1), images=12)
    report = compare(read_runs(folder))
    assert certainties(report.comparison) == []
    report.write(tmp_path / "none", images=0)
    assert not (tmp_path / "none" / "figures" / "reliability.png").exists()
    assert "Calibration and confidence" not in (tmp_path / "none" / "report.html").read_text()
    assert "Calibration" not in write_card(collect([run for run in read_runs(folder) if run.model == "unet"]), None)
    for run in read_runs(folder):
        if run.model == "unet":
            add_certainty(run, 1.0, informative=True)
    first = next(run for run in read_runs(folder) if run.model == "unet")
    (first.files.test / "confidence.csv").write_text("id,confidence\nx,2\n", encoding="utf-8")
    (first.files.test / "calibration.csv").write_text("class,temperature\npolyp,1\n", encoding="utf-8")
    report = compare(read_runs(folder))
    caplog.clear()
    (known,) = certainties(report.comparison)
    assert certainties(report.comparison)
    assert sum("damaged" in line for line in caplog.messages) == 2, "one line for each file, said once"
    assert known.bins is None
    assert known.rejection is None
    assert set(known.values) == {"ece", "ece_scaled", "brier", "brier_scaled", "temperature"}, "of summary.json"
    ((row,), grid) = certainty_table(report.comparison).grid.rows, certainty_table(report.comparison).grid
    assert "rejection ratio" not in grid.titles
    assert row[1].text == "unet"


def test_confidence_on_an_external_test_is_the_mean_over_folds(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "runs" / "folds", {"unet": 0.0}, folds=(0, 1, 2), images=4)
    fabricate_evaluations(folder, "cvc", images=8)
    runs = read_runs(folder).runs
    for run in runs:
        (rows,) = (read_csv(file) for file in run.folder.glob("evaluations/cvc/per_image.csv"))
        # Two folds know which images are hard, the last one takes these for easy.
        certain = [float(row["dice"]) if run.fold != 2 else (1 - float(row["dice"])) / 2 for row in rows]
        rows = [{"id": row["id"], "confidence": value} for row, value in zip(rows, certain, strict=True)]
        write_csv(run.folder / "evaluations" / "cvc" / "confidence.csv", rows)
    comparison = compare(read_runs(folder)).comparison
    (known,), cell = certainties(comparison), comparison.cells[comparison.rows[0], comparison.columns[1]]
    assert cell.sample is not None
    dice, mean = cell.sample.scores["dice"][0], np.mean([[*run.confidence.values()] for run in cell.runs], axis=0)
    assert known.ratios == pytest.approx([rejection_ratio(mean, dice)])
    np.testing.assert_allclose(known.rejection, rejection_curve(mean, dice))
    (runs[0].folder / "evaluations" / "cvc" / "confidence.csv").unlink()
    assert certainties(compare(read_runs(folder)).comparison) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("calibration", "class,temperature,bin,low,high,pixels,mean_probability,share_true\np,1,99,0,1,5,0.5,0.5\n"),
        ("calibration", "class,temperature,bin,low,high,pixels,mean_probability,share_true\np,1,2,0,1,5,,0.5\n"),
        ("calibration", "class,temperature,bin,low,high,pixels,mean_probability,share_true\np,1,2,0,1,inf,0.1,0.5\n"),
        ("calibration", "class,temperature,bin,low,high,pixels,mean_probability,share_true\np,one,2,0,1,3,0.1,0.5\n"),
        ("confidence", "id,confidence\na,nan\n"),
        ("confidence", "id\na\n"),
    ],
)
def test_what_no_test_writes_is_one_line(tmp_path: Path, name: str, text: str) -> None:
    (run,) = read_runs(fabricate(tmp_path / "runs" / "one", {"unet": 0.0}, images=4))
    (run.files.test / f"{name}.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=rf"{name}\.csv: damaged"):
        _ = run.reliability, run.confidence


def test_a_temperature_at_its_limit_and_a_missing_rejection_ratio_are_explained(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1), images=6)
    for run in read_runs(folder):
        add_certainty(run, 2.0, informative=True)
    first = read_runs(folder)[0]
    plain = certainty_table(score_runs(read_runs(folder).runs, MEASURES["dice"]))
    assert not any("limit" in note or "Rejection ratio -" in note for note in plain.notes)
    assert "at the limit" not in write_card(collect([first]), None)
    summary = read_json(first.files.summary)
    summary["calibration"]["temperature"] = 19.999
    write_json(first.files.summary, summary)
    rows = read_csv(first.files.per_image)
    write_csv(first.files.per_image, [{**row, "dice": "0.5"} for row in rows])
    table = certainty_table(score_runs(read_runs(folder).runs, MEASURES["dice"]))
    assert "(limit)" in as_text(table)
    assert [note.split(":")[0] for note in table.notes[-2:]] == ["(limit)", "Rejection ratio -"]
    card = write_card(collect(read_runs(folder).runs[:1]), None)
    assert "at the limit of the search, 0.05 to 20:" in card
    assert "Rejection ratio: none, since all test images of a seed have the same Dice" in card
