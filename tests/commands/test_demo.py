"""`medseg demo`: the page on which images are dropped."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import medseg
from medseg.errors import ConfigError, UserError
from medseg.pages import read_asset
from medseg.trained.demo import TITLE, draw, mask_of, run_demo
from medseg.trained.predicting.prediction import LONGEST_SIDE, Prediction, describe_classes
from tests.browsing import PHONE, open_page
from tests.data.image_files import pillow
from tests.forking import start_forked
from tests.helpers import compose_config
from tests.trained.predicting.checkpoints import picture, write_checkpoint

PROJECT = Path(__file__).resolve().parent.parent

NOISE = ("Method not implemented.",)
"""What gradio's own script says whenever it has received an answer."""


@contextmanager
def serving(checkpoint: Path, *words: str) -> Iterator[str]:
    """Run the demo as a user would; yields its address. Ctrl-C ends it without a complaint."""
    uploads = str(checkpoint.parent / "uploads")
    process = start_forked("medseg", "demo", f"checkpoint={checkpoint}", *words, cwd=PROJECT, GRADIO_TEMP_DIR=uploads)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        yield found[0]
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
        assert (process.returncode, complaints) == (0, "")
    finally:
        process.kill()


@pytest.mark.slow
def test_drop_an_image_and_move_the_threshold(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "unet.ckpt")
    pixels = picture(90, 120)
    turned = Image.Exif()
    turned[274] = 6
    file = tmp_path / "scan.png"
    file.write_bytes(pillow(Image.fromarray(pixels), "PNG", exif=turned))
    (tmp_path / "cut.png").write_bytes(file.read_bytes()[:500])
    expected = medseg.load(checkpoint).predict(np.rot90(pixels, -1).copy())  # upright
    with (
        serving(checkpoint, f"examples={file}") as address,
        open_page(address, size=PHONE, dark=True, noise=NOISE) as page,
    ):
        assert page.request.get(f"{address}favicon.ico").text() == read_asset("medseg.pages", "icon.svg")
        page.set_input_files("input[type=file]", str(file))
        row = page.locator(".regions tbody tr")
        row.wait_for()
        assert page.title() == TITLE
        assert row.locator("th").inner_text() == "blob"
        assert row.locator("td").first.inner_text() == f"{expected.mask.sum():,}"
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        address_of_mask = page.locator("#mask img").get_attribute("src")
        assert address_of_mask is not None
        stored = np.frombuffer(page.request.get(address_of_mask).body(), np.uint8)
        # As the image is stored, not as its EXIF tag turns it.
        assert np.array_equal(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), 255 * expected.mask)

        above = (expected.probabilities[1] > 0.52).sum()
        assert 0 < above < expected.mask.sum() - 10
        page.get_by_label("number input for threshold").fill("0.52")
        page.get_by_label("number input for threshold").press("Enter")
        page.wait_for_function(
            "before => document.querySelector('.regions td').innerText != before", arg=f"{expected.mask.sum():,}"
        )
        assert abs(int(row.locator("td").first.inner_text().replace(",", "")) - above) <= 2

        page.goto(address)
        page.set_input_files("input[type=file]", str(tmp_path / "cut.png"))
        page.get_by_text("This image cannot be predicted: damaged, truncated or not an image").wait_for()


def test_several_classes_are_shown_together_or_one_by_its_threshold() -> None:
    disc = [[0.2, 0.5, 0.3, 0.4], [0.4, 0.4, 0.4, 0.0]]
    cup = [[0.2, 0.3, 0.4, 0.3], [0.0, 0.0, 0.0, 0.4]]
    names = ("background", "a < b", "cup")
    probabilities = np.array([1 - np.add(disc, cup), disc, cup], np.float32)
    mask = np.array([[0, 1, 2, 1], [0, 0, 0, 0]], np.uint8)
    seen = Prediction(np.full((2, 4, 3), 100, np.uint8), mask, probabilities, names)
    mask, confidence = mask_of(seen, None, 0.9)
    assert mask.tolist() == [[0, 1, 2, 1], [0, 0, 0, 0]], "the most probable, whatever the threshold"
    assert np.allclose(confidence[0, 1:], [0.5, 0.4, 0.4], atol=1e-4)
    table = describe_classes(names, mask, confidence)
    assert re.findall(r"</i>(.*?)</th>", table) == ["a &lt; b", "cup"]
    assert re.findall(r"<td>(.*?)</td>", table) == ["2", "25.0 %", "2", "0.450", "1", "12.5 %", "1", "0.400"]

    mask, confidence = mask_of(seen, 1, 0.35)
    assert mask.tolist() == [[0, 1, 0, 1], [1, 1, 1, 0]]
    alone = describe_classes(("background", "disc", "cup"), mask, confidence, 1)
    assert re.findall(r"</i>(.*?)</th>", alone) == ["disc"]
    assert re.findall(r"<td>(.*?)</td>", alone) == ["5", "62.5 %", "1", "0.420"]
    assert not mask_of(seen, 2, 1.0)[0].any()


def test_pictures_of_large_images_are_reduced() -> None:
    image = np.full((LONGEST_SIDE, 2 * LONGEST_SIDE, 3), 100, np.uint8)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[200:600, 200:600] = 2
    drawn = draw(image, mask)
    assert drawn.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 3)
    assert (drawn[0, 0] == 100).all()
    assert (drawn[200, 200] != 100).any(), "tinted"
    assert np.abs(drawn[100, 200].astype(int) - drawn[200, 200]).max() > 50, "the outline stands out"


@pytest.mark.parametrize("words", [("port=0",), ("port=web",), ("browser=1",)])
def test_wrong_words_are_named(words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{words[0].partition('=')[0]} is "):
        run_demo(compose_config("demo", "checkpoint=none", *words))


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"needs gradio, which is not installed: pip install 'medseg\[demo\]'"):
        run_demo(compose_config("demo", "checkpoint=none"))
