"""Images that are prepared at their native size: of different sizes, in one file."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.prepare import prepare
from medseg.data.prepared.threads import in_threads
from tests.data.tiny import Tiny, blob, picture, png, write_folder, write_zip

SIZES = [(20, 24), (31, 17), (9, 40), (20, 24)]


def files(sizes: list[tuple[int, int]]) -> dict[str, bytes]:
    made = {}
    for number, (height, width) in enumerate(sizes):
        made[f"images/a{number:02d}.png"] = png(picture(number, height, width))
        made[f"masks/a{number:02d}.png"] = png(blob(height, width))
    return made


def native(folder: Path, content: dict[str, bytes], **options: object) -> PreparedDataset:
    source = write_folder(folder / "source", content)
    return prepare(Tiny(), image_size=None, data_dir=folder, source=source, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return native(tmp_path_factory.mktemp("native"), files(SIZES))


def test_images_and_masks_are_those_of_the_files(prepared: PreparedDataset) -> None:
    assert prepared.image_size is None
    assert len(prepared.images) == len(prepared.masks) == 4
    for number, (height, width) in enumerate(SIZES):
        assert np.array_equal(prepared.images[number], picture(number, height, width))
        assert np.array_equal(prepared.masks[number], blob(height, width))
        assert np.array_equal(prepared.native_masks[number], prepared.masks[number])
    assert [image.shape for image in prepared.images] == [(*size, 3) for size in SIZES]
    assert not prepared.images[1].flags.writeable
    assert not (prepared.folder / "native_masks.zip").exists()
    assert {row.reachable for row in prepared.samples} == {1.0}
    assert prepared.classes_present.all()


def test_mean_and_deviation_are_over_all_pixels(prepared: PreparedDataset) -> None:
    pixels = np.concatenate([picture(n, *SIZES[n]).reshape(-1, 3) for n in (0, 2, 1)]) / 255
    mean, std = prepared.mean_std([0, 2, 1])
    assert mean == pytest.approx(pixels.mean(axis=0))
    assert std == pytest.approx(pixels.std(axis=0))


def test_it_pickles_as_paths(prepared: PreparedDataset) -> None:
    images = pickle.dumps(prepared.images)
    assert len(images) < 1000
    assert np.array_equal(pickle.loads(images)[2], prepared.images[2])
    assert np.array_equal(pickle.loads(pickle.dumps(prepared)).images[3], prepared.images[3])


def test_the_identity_tells_images_of_other_sizes_apart(tmp_path: Path, prepared: PreparedDataset) -> None:
    same = native(tmp_path / "same", files(SIZES))
    assert same.identity == prepared.identity
    # The same bytes in another shape.
    reshaped = files(SIZES)
    reshaped["images/a00.png"] = png(picture(0).reshape(40, 12, 3))
    reshaped["masks/a00.png"] = png(blob().reshape(40, 12))
    other = native(tmp_path / "other", reshaped)
    assert other.fingerprint["sha256"] == prepared.fingerprint["sha256"]
    assert other.identity != prepared.identity


def test_what_cannot_be_used_leaves_no_gap(tmp_path: Path) -> None:
    content = files(SIZES) | {"images/a01.png": b"no image"}
    prepared = native(tmp_path, content, skip_bad=True, in_channels=1)
    assert prepared.ids == ["a00", "a02", "a03"]
    grey = cv2.cvtColor(picture(2, 9, 40), cv2.COLOR_RGB2GRAY)
    assert np.array_equal(prepared.images[1], grey[..., None])
    assert np.array_equal(prepared.masks[1], blob(9, 40))


def test_it_is_found_again_and_made_again_where_it_is_cut_short(tmp_path: Path) -> None:
    write_zip(tmp_path / "tiny.zip", files(SIZES))
    first = prepare(Tiny(), image_size=None, data_dir=tmp_path)
    written = (first.folder / "images.bin").stat()
    again = prepare(Tiny(), image_size=None, data_dir=tmp_path)
    assert again.folder == first.folder
    assert (again.folder / "images.bin").stat().st_mtime_ns == written.st_mtime_ns
    assert prepare(Tiny(), image_size=16, data_dir=tmp_path).folder != first.folder
    with (first.folder / "images.bin").open("rb+") as file:
        file.truncate(100)
    assert np.array_equal(prepare(Tiny(), image_size=None, data_dir=tmp_path).images[3], picture(3))


def test_no_more_images_are_read_ahead_than_keep_the_threads_busy() -> None:
    started: list[int] = []
    outcomes = in_threads(lambda index: started.append(index) or index, 50, 2, "test")  # type: ignore[func-returns-value]
    assert next(outcomes) == 0
    assert len(started) <= 5
    assert list(outcomes) == list(range(1, 50))
