from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter

import albumentations
import hydra
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from medseg.config import yaml_files
from medseg.data.augmentation import MOVES, Augmentation, CoarseElastic, FlipsAndTurns
from medseg.data.labels import IGNORE_INDEX
from medseg.data.loading.sampling import EpochSampler
from medseg.errors import ConfigError
from tests.helpers import compose_config

NO_WARNING = pytest.mark.filterwarnings("error::UserWarning")  # albumentations only warns of what it does not know
OPTIONS = list(yaml_files.options("augmentation"))


def shipped(option: str, size: int | list[int]) -> Augmentation:
    cfg = compose_config("train", f"augmentation={option}", f"data.image_size={size}".replace(" ", ""))
    return hydra.utils.instantiate(cfg.augmentation)


def nested() -> Augmentation:
    """Every way to nest, and transforms that draw from either of their two generators."""
    return Augmentation(
        [
            albumentations.SomeOf([FlipsAndTurns(), albumentations.RandomGamma(p=1), albumentations.Blur(p=1)], n=2),
            albumentations.OneOf([albumentations.GaussNoise(p=1), albumentations.ISONoise(p=1)], p=0.9),
            albumentations.Sequential([albumentations.ElasticTransform(p=1), albumentations.RandomScale(p=1)], p=0.9),
            albumentations.OneOrOther(albumentations.GridDistortion(p=1), albumentations.CoarseDropout(p=1)),
            albumentations.Compose([albumentations.ColorJitter(p=1)], p=0.9),
        ],
        image_size=48,
    )


def picture(height: int = 48, width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (height, width, 3), dtype=np.uint8), np.zeros((height, width), np.uint8)
    mask[5:20, 8:40] = 1
    image.flags.writeable = mask.flags.writeable = False  # as the prepared data are
    return image, mask


def digests(augmentation: Augmentation, seeds: list[int]) -> list[str]:
    image, mask = picture()
    return [hashlib.sha256(b"".join(part.tobytes() for part in augmentation(image, mask, seed))).hexdigest()
            for seed in seeds]  # fmt: skip


def test_the_seed_alone_decides() -> None:
    seeds = [0, 1, 2, 3, 2**32 - 1]
    first = digests(nested(), seeds)
    assert len(set(first)) == len(seeds)
    used = nested()
    digests(used, [7, 8, 9])
    assert digests(used, seeds[::-1]) == first[::-1], "what came before does not matter"
    code = f"from tests.data.test_augmentation import *; print(*digests(nested(), {seeds}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == first, "nor does the process"


def test_transforms_draw_independently_of_each_other() -> None:
    flips = [albumentations.HorizontalFlip(p=0.5), albumentations.VerticalFlip(p=0.5)]
    augmentation = Augmentation(flips, image_size=2)
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    corners = Counter(int(augmentation(image, image[..., 0], seed)[0][0, 0, 0]) for seed in range(400))
    assert len(corners) == 4
    assert min(corners.values()) > 60, "each of the four combinations about 100 times"


class Turned(Dataset):
    """Yields the picture turned by a random angle."""

    def __init__(self) -> None:
        self.augmentation = Augmentation([albumentations.Affine(rotate=(-180, 180), p=1)], image_size=48)

    def __len__(self) -> int:
        return 16

    def __getitem__(self, drawn: tuple[int, int]) -> torch.Tensor:
        return torch.from_numpy(self.augmentation(*picture(), drawn[1])[0])


def epochs(workers: int, persistent: bool = False) -> list[list[bytes]]:
    sampler = EpochSampler(np.arange(16), seed=3, shuffle=True)
    loader = DataLoader(
        Turned(), sampler=sampler, batch_size=2, num_workers=workers, persistent_workers=persistent,
        multiprocessing_context="fork" if workers else None,
    )  # fmt: skip
    result = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        result.append([image.numpy().tobytes() for batch in loader for image in batch])
    return result


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes:UserWarning")
def test_workers_draw_differently_and_repeat_exactly() -> None:
    first, second = epochs(workers=4)
    assert len(set(first)) == 16, "no two workers draw the same"
    assert not set(first) & set(second), "no epoch repeats another"
    assert epochs(workers=4, persistent=True) == [first, second], "a second run repeats the first"
    assert epochs(workers=0) == [first, second], "the number of workers does not matter"


def test_a_smaller_image_is_padded_right_and_below_and_ignored_there() -> None:
    image, mask = picture(30, 40)
    result, labels = Augmentation([], image_size=[36, 48])(image, mask, 0)
    assert (result[:30, :40] == image).all()
    assert (labels[:30, :40] == mask).all()
    assert labels.shape == (36, 48)
    assert not result[30:].any()
    assert not result[:, 40:].any()
    assert (labels[30:] == IGNORE_INDEX).all()
    assert (labels[:, 40:] == IGNORE_INDEX).all()


def test_a_larger_image_is_cropped_where_the_seed_says() -> None:
    rows, columns = np.mgrid[:60, :80].astype(np.uint8)
    image, mask = np.stack([rows, columns, rows], axis=2), rows
    corners = set()
    for seed in range(30):
        result, labels = Augmentation([], image_size=40)(image, mask, seed)
        top, left = result[0, 0, :2]
        assert (result == image[top : top + 40, left : left + 40]).all()
        assert (labels == mask[top : top + 40, left : left + 40]).all()
        corners.add((int(top), int(left)))
    assert len(corners) > 20


@pytest.mark.parametrize(("shape", "kinds"), [((6, 6), 8), ((6, 8), 4)])
def test_flips_and_turns_keep_the_shape(shape: tuple[int, int], kinds: int) -> None:
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(*shape, 1)
    augmentation = Augmentation([FlipsAndTurns()], image_size=shape)
    seen = Counter()
    for seed in range(400):
        result, labels = augmentation(image, image[..., 0], seed)
        assert (result[..., 0] == labels).all()
        assert sorted(labels.ravel()) == sorted(image.ravel()), "nothing cropped, nothing padded"
        seen[labels.tobytes()] += 1
    assert len(seen) == kinds
    assert min(seen.values()) > 200 / kinds, "all about equally often"


@pytest.mark.parametrize("shape", [(7, 7), (6, 9, 1), (7, 7, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_flips_and_turns_are_those_of_albumentations(shape: tuple[int, ...], dtype: type) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    image.flags.writeable = False
    for element in MOVES:
        moved = FlipsAndTurns().apply(image, element)
        np.testing.assert_array_equal(moved, albumentations.D4().apply(image, element), strict=True)


def test_the_result_is_a_copy() -> None:
    image, mask = picture()
    for option in OPTIONS:
        for result in shipped(option, 48)(image, mask, 0):
            assert result.flags.writeable
            assert result.flags.c_contiguous
            assert not np.shares_memory(result, image)
            assert not np.shares_memory(result, mask)
    assert (image == picture()[0]).all()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_argument_that_a_transform_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_angle.*SafeRotate"):
        Augmentation([albumentations.SafeRotate(max_angle=3)], image_size=8)
    with pytest.raises(ConfigError, match=r"max_angle.*SafeRotate"):
        Augmentation([albumentations.OneOf([albumentations.SafeRotate(max_angle=3)])], image_size=8)


@NO_WARNING
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("size", [64, [48, 80]])
def test_every_option_moves_image_and_mask_together(option: str, size: int | list[int]) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    rows, columns = np.mgrid[:height, :width]
    mask = (np.hypot(rows - height * 0.4, columns - width * 0.6) < 15).astype(np.uint8)
    image = np.repeat((60 + 120 * mask)[..., None], 3, axis=2).astype(np.uint8)
    augmentation = shipped(option, size)
    for seed in range(40):
        result, labels = augmentation(image, mask, seed)
        assert result.shape == image.shape
        assert labels.shape == mask.shape
        assert set(np.unique(labels)) <= {0, 1, IGNORE_INDEX}
        bright, seen = result.mean(axis=2) > 120, labels != IGNORE_INDEX
        assert (bright[seen] == (labels[seen] == 1)).mean() > 0.97


@NO_WARNING
@pytest.mark.parametrize("option", [option for option in OPTIONS if option != "none"])
def test_every_option_changes_images(option: str) -> None:
    assert len(set(digests(shipped(option, 48), list(range(40))))) >= 8


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("channels", [1, 2, 4, 5, 7])
def test_every_option_takes_any_number_of_channels(option: str, channels: int) -> None:
    augmentation = shipped(option, 32)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, channels), dtype=np.uint8)
    changed = [augmentation(image, np.zeros((32, 32), np.uint8), seed)[0] for seed in range(20)]
    assert {(one.shape, one.dtype) for one in changed} == {(image.shape, image.dtype)}
    assert option == "none" or any((one != image).any() for one in changed)


def test_the_first_three_of_five_channels_move_as_an_rgb_image() -> None:
    augmentation = shipped("light", 48)
    image, mask = picture()
    five = np.dstack([image, image[:, :, :2]])
    for seed in range(8):
        np.testing.assert_array_equal(augmentation(five, mask, seed)[0][:, :, :3], augmentation(image, mask, seed)[0])


def test_what_knows_colours_alone_is_refused_for_other_channels() -> None:
    augmentation = Augmentation([albumentations.HueSaturationValue(p=1)], 16)
    with pytest.raises(ConfigError, match=r"cannot take 5 channels .*augmentation=light"):
        augmentation(np.zeros((16, 16, 5), np.uint8), np.zeros((16, 16), np.uint8), 0)


def test_convunext_scales_as_the_released_code() -> None:
    # Short side 409 to 768 for crops of 480. Each mask pixel holds its column, so a row tells the scale.
    mask = np.repeat(np.arange(200, dtype=np.uint8)[None], 200, axis=0)
    image = np.zeros((200, 200, 3), np.uint8)
    augmentation = shipped("convunext", 200)
    scales, padded = [], 0
    for seed in range(300):
        _, labels = augmentation(image, mask, seed)
        row = labels[0][labels[0] != IGNORE_INDEX].astype(int)
        scales.append(len(row) / (np.ptp(row) + 1))
        padded += (labels == IGNORE_INDEX).any()
    assert 0.84 < min(scales) < 0.88
    assert 1.55 < max(scales) < 1.63
    assert abs(np.mean(scales) - 1.226) < 0.05, "uniform"
    assert 30 < padded < 100, "a fifth of the draws is smaller than the crop"


def test_coarse_elastic_moves_a_grid_and_interpolates_between() -> None:
    transform = CoarseElastic()
    columns, rows = np.meshgrid(np.arange(96), np.arange(192))
    shifts = []
    for seed in range(400):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        maps = transform.get_params_dependent_on_data({"shape": (192, 96, 3)}, {})
        assert maps["map_x"].dtype == maps["map_y"].dtype == np.float32
        shifts.append([maps["map_x"] - columns, maps["map_y"] - rows])
    shift = np.array(shifts)
    # The grid's points are the centres of nine equal parts, between two pixels each.
    points = shift[..., 31:192:64, 15:96:32]
    assert points.shape[2:] == (3, 3)
    assert abs(points.mean()) < 0.5
    assert points.std((0, 1)) == pytest.approx(np.full((3, 3), 10), abs=1)
    assert abs(np.corrcoef(points[:, 0, 0, 0], points[:, 0, 0, 1])[0, 1]) < 0.15, "neighbours are drawn independently"
    assert abs(np.corrcoef(points[:, 0, 1, 1], points[:, 1, 1, 1])[0, 1]) < 0.15, "so are x and y"
    assert shift.std() == pytest.approx(9.1, abs=0.3), "what its docstring says"
    assert np.abs(np.diff(shift, n=2, axis=3)).max() < 0.5, "smooth"


def test_coarse_elastic_refuses_what_makes_no_sense() -> None:
    for wrong in ({"std": -1}, {"grid": 0}):
        with pytest.raises(ConfigError, match="CoarseElastic"):
            CoarseElastic(**wrong)


@pytest.mark.parametrize("option", OPTIONS)
def test_closeness_moves_with_the_mask_and_changes_nothing_else(option: str) -> None:
    image, mask = picture()
    closeness = np.where(mask > 0, 0, np.random.default_rng(1).random(mask.shape)).astype(np.float32)
    augmentation = shipped(option, 48)
    for seed in range(20):
        result, labels, moved = augmentation(image, mask, seed, closeness)
        expected, expected_labels = augmentation(image, mask, seed)
        assert (result == expected).all()
        assert (labels == expected_labels).all()
        assert moved.dtype == np.float32
        assert moved.shape == labels.shape
        assert not moved[labels == 1].any()
        assert set(moved[labels == 0]) <= set(closeness[mask == 0])
        assert not np.shares_memory(moved, closeness)


def test_import_asks_no_server() -> None:
    code = """
import socket
def refuse(*arguments, **named):
    print("connects to", arguments)
    raise OSError("no network")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
import medseg.data.augmentation
"""
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == ""
