"""Which files are predicted of what the user names."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from medseg.trained.predicting.inputs import find_inputs

NOTHING = lambda folder: False  # noqa: E731


def write_files(folder: Path, names: str) -> Path:
    """Make empty files, named with blanks between them."""
    for name in names.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "predicted", "below"),
    [
        ("images/a.png images/p1/b.png masks/a.png masks/p1/b.png", "a.png p1/b.png", "images"),
        ("Image/a.jpg GT/a.png GT/b.txt overlays/a.png preview.png", "a.jpg", "Image"),
        ("a/images/a.png a/masks/a.png b/imgs/b.png b/labels/b.png", "a/images/a.png b/imgs/b.png", ""),
        ("a.png a_mask.png a_mask_1.png b.png p/c.png p/c_seg.png", "a.png b.png p/c.png", ""),
        ("images/a.png images/b.png", "images/a.png images/b.png", ""),
        ("masks/a.png masks/b.png", "masks/a.png masks/b.png", ""),
        ("images/a.png other/b.png c.png", "c.png images/a.png other/b.png", ""),
    ],
)  # fmt: skip
def test_the_masks_of_a_folder_are_not_predicted(
    names: str, predicted: str, below: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(tmp_path, names)
    with caplog.at_level(logging.INFO, logger="medseg"):
        inputs = find_inputs(tmp_path, leave_out=NOTHING)
    assert [each.image for each in inputs.images] == predicted.split()
    assert inputs.root == tmp_path / below
    count = sum(not name.endswith(".txt") for name in names.split()) - len(predicted.split())
    assert (f"{tmp_path}: {count} file" in caplog.text) == bool(count), "what is left out is counted in one line"
    assert len(caplog.messages) == bool(count)


def test_brackets_in_the_name_of_a_folder_are_no_wildcards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data [1]"
    write_files(folder / "p[ab]", "images/a.png images/b1.png images/b2.png masks/a.png masks/b1.png masks/b2.png")
    monkeypatch.chdir(folder)
    for given, predicted in {
        folder: ["p[ab]/images/a.png", "p[ab]/images/b1.png", "p[ab]/images/b2.png"],
        folder / "p[ab]": ["a.png", "b1.png", "b2.png"],
        "p[ab]/images/a.png": ["a.png"],
        "p[ab]/images/b*.png": ["b1.png", "b2.png"],
        "*/images/b[2-9].png": ["p[ab]/images/b2.png"],
        tmp_path / "data [[]1]" / "*/masks/a.png": ["data [1]/p[ab]/masks/a.png"],
    }.items():
        assert [each.image for each in find_inputs(given, leave_out=NOTHING).images] == predicted


def test_what_is_named_is_predicted(tmp_path: Path) -> None:
    write_files(tmp_path, "images/a.png masks/a.png")
    for given in ([tmp_path / "images", tmp_path / "masks"], str(tmp_path / "*/*.png"), str(tmp_path / "*")):
        assert [each.image for each in find_inputs(given, leave_out=NOTHING).images] == ["images/a.png", "masks/a.png"]
