"""What is printed of a finished run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medseg.runs.folder import RunFolder
from medseg.runs.show import print_run, print_scores
from tests.reporting.fabricate import fabricate


def test_the_scores_of_a_run_are_printed_below_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = fabricate(tmp_path / "first", {"unet": 0.0}).glob("unet-*")
    print_run(RunFolder(run))
    name, title, *table = capsys.readouterr().out.splitlines()
    assert name == run.name
    assert title.startswith("kvasir, test split: 60 images at native size")
    assert any("assd (pixels)" in line for line in table)
    assert any("Dice at 96 x 96" in line for line in table)


@pytest.mark.parametrize(("left_out", "expected"), [(1, "1 mask that is"), (3, "3 masks that are")])
def test_what_distances_leave_out_is_counted(
    left_out: int, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run,) = fabricate(tmp_path / "first", {"unet": 0.0}, seeds=(0,)).glob("unet-*")
    summary = {**json.loads((run / "test/summary.json").read_text()), "images": left_out}
    print_scores({**summary, "distances": {"left_out": left_out}}, "a run")
    printed = capsys.readouterr().out
    assert f"distances leave out {expected} empty in truth and prediction" in printed
    assert f"test split: {left_out} image{'s' * (left_out > 1)} at" in printed
