from __future__ import annotations

import csv
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from medseg.data.datasets.base import Sample
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.prepare import prepare
from medseg.errors import DataError
from tests.data.tiny import Tiny, picture, png, tiny_files, write_zip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    folder = tmp_path_factory.mktemp("prepared")
    write_zip(folder / "tiny.zip", tiny_files(8))
    return prepare(Tiny(), image_size=(16, 20), data_dir=folder)


@pytest.fixture
def copy(made: PreparedDataset, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.folder, tmp_path / "copy"))


def test_what_is_in_there(made):
    assert made.ids == [f"a{number:02d}" for number in range(8)]
    assert made.images.shape == (8, 16, 20, 3)
    assert made.masks.shape == (8, 16, 20)
    assert made.images.dtype == made.masks.dtype == np.uint8
    assert (made.class_names, made.num_classes, made.in_channels) == (("background", "blob"), 2, 3)
    assert made.image_size == (16, 20)
    assert made.title == "Tiny set"
    first = made.samples[0]
    assert (first.index, first.image, first.type) == (0, "Tiny/images/a00.png", "a")
    assert (first.height, first.width) == (20, 24)
    for row in made.samples:
        assert row.foreground == np.mean(made.masks[row.index] > 0)
        assert row.sums == tuple(made.images[row.index].sum((0, 1), dtype=int))
        assert row.square_sums == tuple((made.images[row.index].astype(int) ** 2).sum((0, 1)))


def test_the_arrays_are_read_only(made):
    for array in (made.images, made.masks):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_mean_and_deviation_come_from_the_sums(made):
    for indices in ([0], [1, 4, 5], np.arange(8)):
        mean, std = made.mean_std(indices)
        pixels = made.images[indices].reshape(-1, 3) / 255
        np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-12)
        np.testing.assert_allclose(std, pixels.std(0), rtol=1e-12)
    with pytest.raises(DataError, match="no image at all"):
        made.mean_std([])


def test_pickles_as_its_path(made):
    made.images.sum()  # mapped
    packed = pickle.dumps(made)
    assert len(packed) < 1000
    again = pickle.loads(packed)
    assert again.ids == made.ids
    np.testing.assert_array_equal(again.images, made.images)


def test_split_indices(made):
    indices = made.split_indices(Tiny())
    assert {name: part.tolist() for name, part in indices.items()} == {
        "train": [0, 1, 4, 5],
        "val": [2, 6],
        "test": [3, 7],
    }
    assert all(part.dtype == np.int64 for part in indices.values())


class Fixed(Tiny):
    """Answers with a split of its own."""

    def __init__(self, answer: dict[str, str]) -> None:
        super().__init__()
        self.answer = answer

    def assign_splits(self, samples: list[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        assert [sample.id for sample in samples] == [f"a{number:02d}" for number in range(len(samples))]
        assert samples[0].type == "a"
        return self.answer


def test_a_split_may_leave_images_out(made):
    indices = made.split_indices(Fixed({"a01": "test", "a00": "train"}))
    assert {name: part.tolist() for name, part in indices.items()} == {"train": [0], "val": [], "test": [1]}


def test_a_split_that_does_not_fit_is_an_error(made):
    known = dict.fromkeys(made.ids, "train")
    with pytest.raises(DataError, match=r"4 ids \(x, y0, y1, ...\) are of the split 'own' not in the data") as caught:
        made.split_indices(Fixed({**known, "x": "test", "y1": "val", "y0": "val", "z": "train"}), "own")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"1 id \(x\) is of the fold 2 not in the data"):
        made.split_indices(Fixed({**known, "x": "test"}), None, 2)
    with pytest.raises(DataError, match="default split has 'Train' where only train, val, test"):
        made.split_indices(Fixed({**known, "a00": "Train"}))


def test_ids_left_out_as_bad_may_be_in_a_split(tmp_path):
    files = tiny_files(4)
    files["Tiny/images/a03.png"] = files["Tiny/images/a03.png"][:60]
    del files["Tiny/masks/a02.png"]
    write_zip(tmp_path / "tiny.zip", {**files, "Tiny/images/a01.png": png(picture(50))})
    prepared = prepare(Tiny(), image_size=16, data_dir=tmp_path, skip_bad=True)
    split = Fixed({"a00": "train", "a01": "val", "a02": "val", "a03": "test"})
    assert prepared.split_indices(split)["val"].tolist() == [1]


@pytest.mark.parametrize("file", ["images.npy", "masks.npy", "samples.csv", "fingerprint.json"])
def test_a_file_cut_short_or_missing_is_noticed(copy, file):
    path = copy / file
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"copy: not complete prepared data \(.*; delete the folder and prepare again"):
        PreparedDataset(copy)
    path.unlink()
    with pytest.raises(DataError, match=f"{file} is missing"):
        PreparedDataset(copy)


def test_foreign_folders_are_noticed(copy, tmp_path):
    with pytest.raises(DataError, match=r"fingerprint\.json is missing"):
        PreparedDataset(tmp_path)
    for text in ("{}", "[]", "3", '{"file_sizes": 3}', '{"file_sizes": {}}', "\udcff"):
        (copy / "fingerprint.json").write_text(text, errors="surrogateescape")
        with pytest.raises(DataError, match=r"fingerprint\.json (is damaged|has no )"):
            PreparedDataset(copy)


def test_a_table_of_another_length_is_noticed(copy):
    rows = (copy / "samples.csv").read_text().splitlines(keepends=True)
    (copy / "samples.csv").write_text("".join(rows[:-1]))
    fingerprint = json.loads((copy / "fingerprint.json").read_text())
    fingerprint["file_sizes"]["samples.csv"] = (copy / "samples.csv").stat().st_size
    (copy / "fingerprint.json").write_text(json.dumps(fingerprint))
    with pytest.raises(DataError, match=r"samples\.csv is cut short"):
        PreparedDataset(copy)


def test_the_table_can_be_read_by_anything(made):
    with (made.folder / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["index", "id", "image", "type", "split", "group"]
    assert list(rows[0])[6:] == [
        "height",
        "width",
        "foreground",
        "reachable",
        "sum_0",
        "sum_1",
        "sum_2",
        "sumsq_0",
        "sumsq_1",
        "sumsq_2",
        "sha256",
        "dhash",
    ]
    assert len({row["sha256"] for row in rows}) == 8
    assert all(len(row["dhash"]) == 16 for row in rows)
