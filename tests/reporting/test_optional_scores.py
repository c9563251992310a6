"""Optional scores in the report: where they were measured, with what they were measured with, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from medseg.errors import UserError
from medseg.reporting.report import compare
from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from medseg.runs.show import print_run
from medseg.system.files import read_csv, read_json, write_csv, write_json
from tests.reporting.fabricate import fabricate


def measured(folder: Path, tolerances: dict[str, float]) -> Path:
    """Add NSD and AP to the runs of some networks, as if they had been measured."""
    for network, tolerance in tolerances.items():
        for run in folder.glob(f"{network}-*"):
            rows = read_csv(run / "test" / "per_image.csv")
            write_csv(
                run / "test" / "per_image.csv",
                [{**row, "nsd": float(row["dice"]) ** 2, "ap": float(row["dice"]) ** 3} for row in rows],
            )
            summary = read_json(run / "test" / "summary.json")
            for scores in (summary["headline"], *summary["classes"].values()):
                scores |= {"nsd": {"mean": 0.7, "sd": 0.1}, "ap": {"mean": 0.6, "sd": 0.1}}
            write_json(run / "test" / "summary.json", {**summary, "nsd_tolerance": tolerance})
    return folder


def test_a_score_is_in_the_tables_of_those_that_were_measured(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.02}, images=20, seeds=(0, 1, 2))
    measured(folder, {"unet": 3.0, "convunext": 3.0})
    report = compare(read_runs([folder]), score="ap")
    scores = {name for cell in report.comparison.cells.values() for name in cell.scores}
    assert {"nsd", "ap"} <= scores
    assert not {"cldice", "pq", "mcc", "hd95_mm"} & scores
    assert report.comparison.measures["nsd"].heading == "NSD (3 px)"
    assert report.comparison.warnings == ()
    text = str(report)
    assert "AP: mean over images" in text
    files = report.write(tmp_path / "report", "markdown", figures=False)
    written = "\n".join(path.read_text() for path in files.values() if path.suffix == ".md")
    assert "NSD (3 px)" in written
    assert "clDice" not in written


def test_a_score_that_no_run_has_is_refused(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, images=8)
    with pytest.raises(UserError, match="no run has a score clDice"):
        compare(read_runs([folder]), score="cldice")


def test_runs_with_other_tolerances_are_told(tmp_path: Path) -> None:
    folder = measured(fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.02}), {"unet": 2.0, "convunext": 3.0})
    report = compare(read_runs([folder]))
    (note,) = report.notes
    assert note.startswith("NSD: 1 test left out, measured with another tolerance than 3.0 px; medseg score RUNS")
    assert sorted("nsd" in cell.scores for cell in report.comparison.cells.values()) == [False, True]
    assert report.comparison.warnings == ()


def test_a_score_that_some_runs_lack_has_no_value_there(tmp_path: Path) -> None:
    folder = measured(fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.02}), {"unet": 2.0})
    cells = compare(read_runs([folder]), score="nsd").comparison.cells.values()
    assert sorted("nsd" in cell.scores for cell in cells) == [False, True]


def test_the_tolerance_is_printed_after_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = measured(fabricate(tmp_path / "s", {"unet": 0.0}), {"unet": 2.5})
    print_run(RunFolder(next(folder.glob("unet-*"))))
    printed = capsys.readouterr().out
    assert "nsd (2.5 px)" in printed
    assert "ap " in printed
    assert "cldice" not in printed
