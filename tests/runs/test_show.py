"""What is printed of a finished run."""

from __future__ import annotations

from pathlib import Path

import pytest

from medseg.runs.folder import RunFolder
from medseg.runs.show import print_run
from tests.reporting.fabricate import fabricate


def test_the_scores_of_a_run_are_printed_below_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = fabricate(tmp_path / "first", {"unet": 0.0}).glob("unet-*")
    print_run(RunFolder(run))
    name, title, *table = capsys.readouterr().out.splitlines()
    assert name == run.name
    assert title.startswith("kvasir, test split: 60 images at native size")
    assert any("assd (pixels)" in line for line in table)
    assert any("Dice at 96 x 96" in line for line in table)
