"""A folder of drawn images of three classes beside the background, with one of every fault."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from tests.data.image_files import encode

COUNT = 24


def draw_phantoms(root: Path) -> Path:
    """Write `images/` and `masks/`: ids case_00 to case_23.

    case_05 has no mask, case_06 one of another size, case_07 is damaged, case_08 is empty, case_22 and case_23 are the
    same. Class 2 lies inside class 1 in every image without fault, class 3 in every fourth.
    """
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(COUNT):
        random = np.random.default_rng(number)
        height, width = (int(side) for side in random.integers(60, 120, 2))
        image = cv2.GaussianBlur(random.integers(0, 200, (height, width, 3), dtype=np.uint8), (0, 0), 4)
        mask = np.zeros((height, width), np.uint8)
        if number != 8:
            centre, radius = (width // 2, height // 2), int(random.integers(8, 20))
            cv2.circle(mask, centre, radius, 1, -1)
            cv2.circle(mask, centre, radius // 2, 2, -1)
            if number % 4 == 0:
                cv2.circle(mask, (8, 8), 5, 3, -1)
        image[mask == 1] //= 2
        (root / "images" / f"case_{number:02d}.png").write_bytes(encode(image))
        if number != 5:
            mask = mask[:20, :20] if number == 6 else mask
            (root / "masks" / f"case_{number:02d}.png").write_bytes(encode(mask))
    (root / "images" / "case_07.png").write_bytes(b"no image")
    for folder in ("images", "masks"):
        shutil.copy(root / folder / "case_22.png", root / folder / "case_23.png")
    return root
