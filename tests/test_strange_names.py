"""Images whose names no terminal should obey, and folders that links lead to in a circle, from the data to a report."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.errors import ConfigError, DataError, UserError
from medseg.system.files import read_csv
from tests.helpers import TINY, command, train

NAMES = (b"a\rb", b"a\nb", b"\x1b[31mred", b"\xff\xfe", b"a,b", b"$x_y$", b"tab\t", "\u202egnp".encode())

FOLDER = (*(word for word in TINY if not word.startswith("data.dataset")), "data=folder")


def folder(root: Path, names: tuple[bytes, ...] = NAMES) -> Path:
    """Make a folder of images and masks, 16 in all."""
    random = np.random.default_rng(0)
    for number, name in enumerate((*names, *(b"plain%d" % k for k in range(16 - len(names))))):
        mask = np.zeros((64, 64), np.uint8)
        mask[8:40, 8 + number : 40] = 255
        for kind, pixels in (("images", random.integers(0, 255, (64, 64, 3), np.uint8)), ("masks", mask)):
            path = root / kind / f"{os.fsdecode(name)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return root


def test_a_run_on_images_of_any_name(tmp_path: Path) -> None:
    root = folder(tmp_path / "r\x1b[31m\n=x")
    words = (*FOLDER, f"data.root='{root}'", "trainer.max_epochs=1")
    run = train(tmp_path, *words, tiny=False)
    assert run.finished
    assert {"a\rb", "a\nb"} < {row["id"] for row in read_csv(run.path / "images.csv")}
    done = command("report", str(run.path.parent), "figures=false", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^data\.(root|source) is .*; it must be UTF-8"):
        train(tmp_path, *FOLDER, f"data.root='{tmp_path}/r\udcff'", tiny=False)


def test_images_without_masks_are_left_out_by_name(tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    for name in (b"a\rb", b"\xff\xfe"):
        (root / "masks" / f"{os.fsdecode(name)}.png").unlink()
    words = (*FOLDER, f"data.root={root}", "trainer.max_epochs=1")
    with pytest.raises(DataError, match="2 samples cannot be used"):
        train(tmp_path, *words, tiny=False)
    assert train(tmp_path, *words, "data.skip_bad=true", tiny=False).finished


def test_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", ())
    (root / "images" / "loop.png").symlink_to("loop.png")
    (tmp_path / "one").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "one")
    for place, message in ((root, r"loop\.png: cannot be read"), (tmp_path / "one", "one does not exist")):
        with pytest.raises(UserError, match=message):
            train(tmp_path, *FOLDER, f"data.root={place}", tiny=False)
