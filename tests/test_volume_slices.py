"""The example of volumes: slices and back, patients as groups, and a training on them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medseg.system.files import read_csv
from tests.helpers import train

SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "volume_slices.py"
specification = importlib.util.spec_from_file_location("volume_slices", SCRIPT)
assert specification is not None
assert specification.loader is not None
slices = importlib.util.module_from_spec(specification)
specification.loader.exec_module(slices)


def test_a_mask_is_the_same_volume_afterwards(tmp_path: Path) -> None:
    volume, mask = slices.draw_patient(1)
    assert 0 < mask.mean() < 0.5
    slices.write_slices(tmp_path, "p1", volume, mask, (-160, 240))
    slices.write_slices(tmp_path, "p2", volume, 2 * mask, (-160, 240))
    np.testing.assert_array_equal(slices.read_volume(tmp_path / "masks", "p1"), mask)
    np.testing.assert_array_equal(slices.read_volume(tmp_path / "masks", "p2"), 2 * mask)
    images = slices.read_volume(tmp_path / "images", "p1")
    # 0 and 120 Hounsfield units in a window of 400 from -160 on.
    assert images[mask == 0].mean() == pytest.approx(255 * 160 / 400, abs=1)
    assert images[mask == 1].mean() == pytest.approx(255 * 280 / 400, abs=2)
    assert [row["group"] for row in read_csv(tmp_path / "patients.csv")] == ["p1"] * 8 + ["p2"] * 8


def test_a_patient_without_slices_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"p9_\*\.png matches no file"):
        slices.read_volume(tmp_path, "p9")


def test_no_patient_is_in_two_splits_of_a_training(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "slices")]
    subprocess.run(command, check=True)
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "give another folder" in again.stderr
    run = train(
        tmp_path, "data=folder", f"data.root={tmp_path / 'slices'}", "data.in_channels=1",
        f"data.groups={tmp_path / 'slices' / 'patients.csv'}",
        "data.image_size=32", "data.batch_size=4", "data.num_workers=0", "model=unet", "model.base_channels=4",
        "trainer=cpu", "trainer.max_epochs=1", "logger=csv", tiny=False,
    )  # fmt: skip
    assert run.finished
    rows = read_csv(run.splits)
    assert len(rows) == 32
    parts = {(row["id"].rpartition("/")[2].split("_")[0], row["split"]) for row in rows}
    assert len(parts) == len({patient for patient, _ in parts}) == 4
    assert {split for _, split in parts} == {"train", "val", "test"}
