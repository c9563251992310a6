"""The example of volumes: slices and back, patients as groups, and a training on them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
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


def test_slices_are_stacked_by_number_and_of_one_patient_alone(tmp_path: Path) -> None:
    numbers = np.arange(1002, dtype=np.uint16)
    volume = np.broadcast_to(numbers[:, None, None], (1002, 2, 2))
    slices.write_slices(tmp_path, "p1", volume, volume % 251, (0, 1002))
    slices.write_slices(tmp_path, "p1_2", volume[:3], volume[:3], (0, 3))
    np.testing.assert_array_equal(slices.read_volume(tmp_path / "masks", "p1"), volume % 251)
    names = sorted(file.name for file in (tmp_path / "masks").glob("p1_????.png"))
    assert (len(names), names[101], names[1000]) == (1002, "p1_0101.png", "p1_1000.png"), "by text as well"
    for number in (99, 101, 1000):  # as earlier versions wrote them
        cv2.imwrite(str(tmp_path / f"old_{number:03d}.png"), np.full((2, 2), number % 251, np.uint8))
    assert slices.read_volume(tmp_path, "old")[:, 0, 0].tolist() == [99, 101, 1000 % 251]


def test_what_would_shift_a_volume_is_refused(tmp_path: Path) -> None:
    volume, mask = slices.draw_patient(1)
    with pytest.raises(SystemExit, match=r"p1: \(7, 64, 64\) mask of a \(8, 64, 64\) volume"):
        slices.write_slices(tmp_path, "p1", volume, mask[1:], (-160, 240))
    slices.write_slices(tmp_path, "p1", volume, mask, (-160, 240))
    (tmp_path / "masks" / "p1_003.png").write_bytes(b"no image")
    with pytest.raises(SystemExit, match=r"p1_003\.png cannot be read"):
        slices.read_volume(tmp_path / "masks", "p1")


def test_the_code_for_dicom_writes_slices_whose_masks_lie_on_what_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (SCRIPT.parents[1] / "docs" / "volumes.md").read_text()
    (code,) = [block for block in page.split("```") if "pydicom.dcmread" in block]
    volume = np.zeros((3, 4, 5), np.int16)  # slices from the feet, rows to the back, columns to the left
    volume[1, 0, 3] = volume[2, 2, 1] = 200
    right_front_head = (volume > 0).astype(float).transpose(2, 1, 0)[::-1, ::-1]

    def read(file: Path) -> SimpleNamespace:  # an image of MR, without RescaleSlope
        number = int(file.stem)
        return SimpleNamespace(ImagePositionPatient=["0", "0", str(number - 7.5)], pixel_array=volume[number])

    nifti = SimpleNamespace(get_fdata=lambda: right_front_head)
    monkeypatch.setitem(sys.modules, "pydicom", SimpleNamespace(dcmread=read))
    nibabel = SimpleNamespace(load=lambda file: nifti, as_closest_canonical=lambda image: image)
    monkeypatch.setitem(sys.modules, "nibabel", nibabel)
    monkeypatch.setitem(sys.modules, "volume_slices", slices)
    monkeypatch.chdir(tmp_path)
    Path("p01").mkdir()
    for number in (2, 0, 1):
        Path("p01", f"{number}.dcm").touch()
    exec(code.removeprefix(" text"), {})
    images, masks = (slices.read_volume(Path("slices", name), "p01") for name in ("images", "masks"))
    np.testing.assert_array_equal(masks > 0, volume > 0)
    np.testing.assert_array_equal(images > 150, volume > 0)


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
