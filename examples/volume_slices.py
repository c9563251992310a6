"""Volumes to slices and back: PNGs for medseg, one patient being one group.

    python volume_slices.py slices

draws four patients, writes their slices into `slices/images` and
`slices/masks`, and the patient of each slice into `slices/patients.csv`.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import cv2
import numpy as np


def write_slices(
    folder: Path,
    patient: str,
    volume: np.ndarray,
    mask: np.ndarray,
    window: tuple[float, float],
) -> None:
    """Write the axial slices of one patient, and append them to the table.

    Args:
        folder: gets images/, masks/ and patients.csv.
        patient: without spaces; slices are called `<patient>_<number>`.
        volume: slices x height x width, of any values.
        mask: the same shape; 0 is background, 1, 2, ... are classes.
        window: values that become black and white, such as (-160, 240)
            Hounsfield units for soft tissue.
    """
    if mask.shape != volume.shape:
        sys.exit(f"{patient}: {mask.shape} mask of a {volume.shape} volume")
    low, high = window
    grey = np.clip((volume - low) / (high - low), 0, 1) * 255
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    table = folder / "patients.csv"
    begun = table.exists()
    digits = max(3, len(str(len(volume) - 1)))
    with table.open("a", newline="") as file:
        writer = csv.writer(file)
        if not begun:
            writer.writerow(["id", "group", "slice"])
        for number in range(len(volume)):
            name = f"{patient}_{number:0{digits}d}"
            image = grey[number].round().astype(np.uint8)
            cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
            labels = mask[number].astype(np.uint8)
            cv2.imwrite(str(folder / "masks" / f"{name}.png"), labels)
            writer.writerow([name, patient, number])


def read_volume(folder: Path, patient: str) -> np.ndarray:
    """Stack the predicted masks of a patient: slices x height x width."""
    name = re.compile(rf"{re.escape(patient)}_(\d+)\.png")
    matches = [name.fullmatch(file.name) for file in folder.glob("*.png")]
    files = {int(match[1]): match[0] for match in matches if match}
    if not files:
        sys.exit(f"{folder / patient}_*.png matches no file")
    slices = []
    for number in sorted(files):
        file = str(folder / files[number])
        pixels = cv2.imread(file, cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            sys.exit(f"{file} cannot be read")
        slices.append(pixels)
    return np.stack(slices)


def draw_patient(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a bright ellipsoid in noise, in Hounsfield units: 8 x 64 x 64."""
    random = np.random.default_rng(seed)
    centre = random.uniform((3, 24, 24), (5, 40, 40))
    radii = random.uniform((4, 8, 8), (6, 14, 14))
    grid = np.indices((8, 64, 64)) - centre[:, None, None, None]
    mask = ((grid / radii[:, None, None, None]) ** 2).sum(0) < 1
    volume = random.normal(0, 30, mask.shape) + 120 * mask
    return volume, mask.astype(np.uint8)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if target.exists():
        sys.exit(f"{target} is there already; give another folder")
    for number in range(4):
        write_slices(target, f"p{number}", *draw_patient(number), (-160, 240))
