"""Draw the images of the example.

    python make_shapes.py shapes 120

writes 120 images with their coloured labels into `shapes/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

SIZE = 96


def main(folder: Path, count: int) -> None:
    """Draw discs (red in the labels) and squares (green) on a noisy ground."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        random = np.random.default_rng(number)
        image = random.normal(110, 12, (SIZE, SIZE, 3))
        labels = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
        for shape in random.permutation(["disc", "square", "disc"]):
            x, y = (int(v) for v in random.integers(16, SIZE - 16, 2))
            radius = int(random.integers(7, 15))
            mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
            if shape == "disc":
                cv2.circle(mask, (x, y), radius, 1, -1)
            else:
                cv2.rectangle(
                    mask,
                    (x - radius, y - radius),
                    (x + radius, y + radius),
                    1,
                    -1,
                )
            image[mask == 1] += random.normal(45, 10, 3)
            # BGR, as OpenCV writes.
            labels[mask == 1] = (0, 0, 255) if shape == "disc" else (0, 255, 0)
        cv2.imwrite(
            str(folder / f"{number:03d}_image.png"),
            image.clip(0, 255).astype(np.uint8),
        )
        cv2.imwrite(str(folder / f"{number:03d}_labels.png"), labels)
    print(f"{count} images in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
