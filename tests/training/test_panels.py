"""The pictures of a run's test images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.training.panels import CAPTION, CORRECT, FALSE_NEGATIVE, FALSE_POSITIVE, HEADING, PAGE, draw_examples


@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_has_the_image_truth_prediction_and_errors(channels: int, tmp_path: Path) -> None:
    images = np.full((2, 30, 40, channels), 200, np.uint8)
    images[1] = 100
    truths, predictions = np.zeros((2, 2, 30, 40), np.uint8)
    truths[:, 10:20, 10:30] = 1
    predictions[:, 15:25, 10:30] = 1
    draw_examples(tmp_path / "a" / "best.png", "$best", images, truths, predictions, ["x_1  Dice 0.500", "$y"])
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "a" / "best.png")), cv2.COLOR_BGR2RGB)
    tall = (len(picture) - HEADING) // 2 - CAPTION
    assert picture.shape[1] == PAGE
    for row, brightness in enumerate((200, 100)):
        tile = picture[HEADING + row * (tall + CAPTION) :][:tall]
        assert (tile[2, 20:240] == brightness).all()
        errors = tile[:, -PAGE // 4 :].reshape(-1, 3).astype(int)
        for colour in (CORRECT, FALSE_POSITIVE, FALSE_NEGATIVE):
            expected = 0.6 * np.array(colour) + 0.4 * 0.45 * brightness
            assert (np.abs(errors - expected).max(1) <= 2).any()
        assert (tile[tall // 2, PAGE // 4 : PAGE // 2] != brightness).any(), "the outline of the truth"
    # Something is written above, and below each row.
    for start, end in ((0, HEADING), *((HEADING + row * (tall + CAPTION) + tall, None) for row in (0, 1))):
        assert (picture[start:end][:CAPTION] < 100).any()
