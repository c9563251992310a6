from __future__ import annotations

import cv2
import numpy as np
import pytest

from medseg.data.datasets import ISIC2018, KvasirSEG
from medseg.data.datasets.base import Dataset
from medseg.data.prepared.duplicates import (
    difference_hash,
    exact_duplicates,
    find_duplicates,
    near_duplicates,
    thumbnail,
)
from medseg.data.prepared.samples import Row
from medseg.data.sources.finding import open_source


def scene(seed: int, size: int = 128) -> np.ndarray:
    """Smooth blobs of several sizes, H x W x 3."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(size=(size, size, 3)), (0, 0), sigma) * sigma for sigma in (3, 6, 12)]
    return cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def search(images: list[np.ndarray], splits: list[str]) -> list[tuple[int, int]]:
    hashes = [difference_hash(image) for image in images]
    thumbnails = np.stack([thumbnail(image) for image in images])
    return [(first, second) for first, second, _ in near_duplicates(hashes, thumbnails, splits)]


def test_the_hash_says_where_a_cell_is_darker_than_its_right_neighbour():
    ramp = np.tile(np.arange(0, 252, 28, dtype=np.uint8), (8, 1))  # 9 columns, each brighter than the last
    assert difference_hash(ramp[..., None]) == 2**64 - 1
    assert difference_hash(ramp[:, ::-1, None]) == 0
    ramp[0, 1] = 0  # the first cell of the first row is now not darker than the second
    assert difference_hash(ramp[..., None]) == 2**63 - 1


def test_identical_files_are_grouped():
    assert exact_duplicates(["a", "b", "a", "c", "b", "a"]) == [[0, 2, 5], [1, 4]]


def test_an_altered_copy_is_found_in_another_split_only():
    original = scene(1)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", original, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    brighter = np.clip(original.astype(float) * 0.7 + 60, 0, 255).astype(np.uint8)
    shifted = np.roll(original, 2, axis=1)
    blurred = cv2.GaussianBlur(original, (0, 0), 2)
    copies = [jpeg, brighter, shifted, blurred]
    others = [scene(seed) for seed in range(2, 30)]
    images = [original, *copies, *others]
    splits = ["train", *["test"] * len(copies), *["val"] * len(others)]
    assert search(images, splits) == [(0, 1), (0, 2), (0, 3), (0, 4)]
    assert search(images, ["train"] * len(images)) == []


def test_images_of_one_device_are_not_taken_for_duplicates():
    """The same black frame and bright centre with other contents: what fools a plain hash."""
    size = 128
    y, x = np.mgrid[:size, :size] - size / 2
    shade = np.clip(1.2 - np.hypot(x, y) / 70, 0, 1)[..., None]
    images = [(scene(seed) * shade * 0.3 + 160 * shade).astype(np.uint8) for seed in range(40)]
    hashes = np.array([difference_hash(image) for image in images], np.uint64)
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None, :])[np.triu_indices(40, 1)]
    assert (distances <= 10).any()  # the hash alone would have raised an alarm
    assert search(images, ["train", "test"] * 20) == []


def test_flat_images_are_not_alike():
    assert search([np.full((64, 64, 1), value, np.uint8) for value in (0, 0, 90)], ["train", "val", "test"]) == []


def row(index: int, image: str, digest: str, pixels: np.ndarray) -> Row:
    return Row(index, f"id{index}", image, "", "", "", 1, 1, 0.5, 1.0, (1,), (1,), digest, difference_hash(pixels))


def test_findings_name_the_files_and_their_splits():
    first = scene(1)
    images = [first, first, cv2.GaussianBlur(first, (0, 0), 2), scene(2)]
    rows = [row(index, f"{index}.png", digest, images[index]) for index, digest in enumerate("xxyz")]
    parts = ["train", "test", "val", "val"]
    pairs = find_duplicates(rows, [thumbnail(image) for image in images], parts)
    problems = [pair.as_problem(rows, parts) for pair in pairs]
    assert [(problem.kind, problem.file, problem.sample, problem.fatal) for problem in problems] == [
        ("duplicate image", "1.png", "id1", False),
        ("near-duplicate across splits", "2.png", "id2", False),
        ("near-duplicate across splits", "2.png", "id2", False),
    ]
    assert problems[0].detail == "in test, the same as 0.png in train"
    assert problems[1].detail.startswith("in val, like (correlation ")
    assert problems[1].detail.endswith("0.png in train")


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "pairs"), [(KvasirSEG(), 5), (ISIC2018(), 29)])
def test_real_near_duplicates(shared_data, dataset: Dataset, pairs: int):
    """The pairs that were looked at one by one, with every image in a split of its own."""
    source = open_source(dataset, shared_data, shared_data)
    names = [sample.image for sample in dataset.list_samples(source).samples]
    images = []
    for name in names:
        image = cv2.imdecode(np.frombuffer(source.read(name), np.uint8), cv2.IMREAD_REDUCED_COLOR_2)[..., ::-1]
        images.append(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA))
    found = search(images, names)
    assert abs(len(found) - pairs) <= 3  # decoded at half size here, for speed
