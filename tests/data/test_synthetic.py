from __future__ import annotations

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from medseg.data.datasets.base import Sample
from medseg.data.datasets.synthetic import Synthetic
from medseg.data.drawing import STYLES
from medseg.data.sources.source import EmptySource
from medseg.errors import ConfigError, DataError

NOTHING = EmptySource()


def drawn(dataset: Synthetic) -> list[tuple[Sample, np.ndarray, np.ndarray]]:
    return [(sample, *dataset.read(NOTHING, sample)) for sample in dataset.list_samples(NOTHING).samples]


def digest(dataset: Synthetic, ids: list[str]) -> str:
    parts = [part.tobytes() for id_ in ids for part in dataset.read(NOTHING, Sample(id=id_, image=id_))]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_an_image_depends_on_seed_and_id_alone() -> None:
    ids = [f"{style}_{number:04d}" for style in STYLES for number in (0, 3)]
    mixed = Synthetic(style="mixed", count=12)
    first = digest(mixed, ids)
    digest(mixed, ids[::-1])
    assert digest(Synthetic(style="polyp", count=500), ids) == first
    assert digest(Synthetic(style="mixed", seed=1), ids) != first
    code = (
        "from tests.data.test_synthetic import *\n"
        "import cv2; cv2.setNumThreads(2)\n"
        f"print(digest(Synthetic(style='mixed'), {ids}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == first, "another process, with threads, draws the same"


def test_mixed_takes_the_styles_in_turn_and_groups_by_them() -> None:
    listing = Synthetic(style="mixed", count=11).list_samples(NOTHING)
    ids = [sample.id for sample in listing.samples]
    assert ids == sorted(ids)
    assert len(set(ids)) == 11
    assert [sum(id_.startswith(style) for id_ in ids) for style in STYLES] == [4, 4, 3]
    assert all(sample.type == sample.id.split("_")[0] for sample in listing.samples)
    assert listing.num_classes == 2
    assert not listing.problems


@pytest.mark.parametrize("style", STYLES)
def test_images_differ_and_have_foreground_and_background(style: str) -> None:
    samples = drawn(Synthetic(style=style, count=40, size=96))
    assert len({image.tobytes() for _, image, _ in samples}) == 40
    assert len({mask.tobytes() for _, _, mask in samples}) == 40
    for sample, image, mask in samples:
        assert image.dtype == mask.dtype == np.uint8
        assert image.shape == (*mask.shape, 3)
        assert 0.02 < mask.mean() < 0.95, sample.id
        assert mask.max() == 1
        assert image.std() > 3, sample.id


def test_every_second_image_has_another_size() -> None:
    shapes = [mask.shape for _, _, mask in drawn(Synthetic(style="nuclei", count=20, size=80))]
    assert shapes[::2] == [(80, 80)] * 10
    assert len(set(shapes[1::2])) >= 8
    assert all(70 <= side <= 90 for shape in shapes for side in shape)


@pytest.mark.parametrize("style", [*STYLES, "mixed"])
@pytest.mark.parametrize(("fraction", "empty"), [(0.0, 0), (0.1, 3), (0.5, 15), (1.0, 30)])
def test_empty_fraction_is_exact(style: str, fraction: float, empty: int) -> None:
    masks = [mask for _, _, mask in drawn(Synthetic(style=style, count=30, size=64, empty_fraction=fraction))]
    assert sum(mask.max() == 0 for mask in masks) == empty


def test_splits_are_disjoint_complete_and_even_over_the_styles() -> None:
    dataset = Synthetic(style="mixed", count=150)
    samples = dataset.list_samples(NOTHING).samples
    split = dataset.assign_splits(samples, None, None)
    assert split.keys() == {sample.id for sample in samples}
    for style in STYLES:
        own = [part for id_, part in split.items() if id_.startswith(style)]
        assert [own.count(part) for part in ("train", "val", "test")] == [40, 5, 5]
    folds = [dataset.assign_splits(samples, None, fold) for fold in range(5)]
    tested = [id_ for fold in folds for id_, part in fold.items() if part == "test"]
    assert sorted(tested) == [sample.id for sample in samples]
    for fold in folds:
        assert {"train", "val", "test"} == set(fold.values())
        assert [sum(id_.startswith(s) and p == "test" for id_, p in fold.items()) for s in STYLES] == [10, 10, 10]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"style": "polyps"}, "did you mean 'polyp'"),
        ({"count": 0}, "count is 0"),
        ({"size": 8}, "64 to 1024"),
        ({"seed": -1}, "seed is -1"),
        ({"empty_fraction": 1.5}, "0 to 1"),
    ],
)
def test_a_wrong_option_is_named(arguments: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Synthetic(**arguments)


def test_a_wrong_split_is_named() -> None:
    dataset = Synthetic(count=10)
    samples = dataset.list_samples(NOTHING).samples
    with pytest.raises(ConfigError, match="official"):
        dataset.assign_splits(samples, "official", None)
    with pytest.raises(ConfigError, match="fold is 5"):
        dataset.assign_splits(samples, None, 5)
    with pytest.raises(DataError, match="2 images are too few"):
        dataset.assign_splits(samples[:2], None, None)


@pytest.mark.parametrize(("style", "limit"), [("polyp", 0.6), ("lesion", 0.6), ("nuclei", 0.75)])
def test_no_threshold_solves_it(style: str, limit: float) -> None:
    # ConvUNeXt reaches more than 0.9 on the polyps after three minutes.
    tables = [threshold_dice(image, mask) for _, image, mask in drawn(Synthetic(style=style, count=90))]
    train, test = np.array(tables[:60]), np.array(tables[60:])
    best = np.unravel_index(train.mean(0).argmax(), train.shape[1:])
    assert train.mean(0)[best] < limit
    assert test[(slice(None), *best)].mean() < limit


def threshold_dice(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Dice of every threshold: 9 channels (RGB, HSV, Lab) x (at most, above) x 256."""
    spaces = [image, cv2.cvtColor(image, cv2.COLOR_RGB2HSV), cv2.cvtColor(image, cv2.COLOR_RGB2LAB)]
    dice = np.zeros((9, 2, 256))
    for number, channel in enumerate(np.concatenate(spaces, axis=2).transpose(2, 0, 1)):
        chosen = np.bincount(channel.ravel(), minlength=256).cumsum()
        hit = np.bincount(channel[mask == 1], minlength=256).cumsum()
        dice[number, 0] = 2 * hit / (chosen + hit[-1])
        dice[number, 1] = 2 * (hit[-1] - hit) / (chosen[-1] - chosen + hit[-1])
    return dice
