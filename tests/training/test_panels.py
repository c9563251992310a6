"""The pictures of a run's test images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from medseg.training.panels import CAPTION, CORRECT, FALSE_NEGATIVE, FALSE_POSITIVE, HEADING, PAGE, draw_examples


def test_of_the_worst_images_the_docs_show_the_last_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    from make_pictures import last_rows

    images = np.stack([np.full((30, 40, 3), brightness, np.uint8) for brightness in (50, 100, 150, 200)])
    nothing = np.zeros((4, 30, 40), np.uint8)
    draw_examples(tmp_path / "worst.png", "worst", images, nothing, nothing, list("abcd"))
    with Image.open(tmp_path / "worst.png") as panel:
        whole, kept = np.asarray(panel.convert("RGB")), np.asarray(last_rows(panel).convert("RGB"))
    row = (len(whole) - HEADING) // 4
    assert (kept[:HEADING] == whole[:HEADING]).all()
    assert [int(kept[HEADING + k * row + 2, 20, 0]) for k in (0, 1)] == [150, 200]
    assert len(kept) == HEADING + 2 * row


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
