"""Masks at native size in the prepared data, packed without loss, and what the prepared size can reach."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.data.datasets import Synthetic
from medseg.data.labels import IGNORE_INDEX
from medseg.data.prepared.dataset import NATIVE_MASKS, PreparedDataset
from medseg.data.prepared.mask_archive import MaskArchive, decode_mask, encode_mask, writing_masks
from medseg.data.prepared.prepare import prepare
from medseg.data.prepared.reach import describe_reach
from medseg.data.prepared.resize import resize_mask
from medseg.data.prepared.restore import reachable_dice, restore_classes
from medseg.data.sources.finding import open_source
from medseg.errors import DataError


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255), (np.uint16, 65_535), (np.int32, 65_535)])
def test_maps_of_any_size_are_packed_without_loss(dtype: type, highest: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    maps = [random.integers(0, highest + 1, shape).astype(dtype) for shape in ((1, 1), (3, 50), (64, 1), (40, 41))]
    with writing_masks(tmp_path / "maps.zip") as archive:
        for index, one in enumerate(maps):
            archive.add(index, encode_mask(one))
    stored = MaskArchive(tmp_path / "maps.zip")
    for index in (2, 0, 3, 1):
        np.testing.assert_array_equal(stored[index], maps[index])


def test_a_damaged_file_of_maps_is_named(tmp_path: Path) -> None:
    file = tmp_path / "maps.zip"
    with writing_masks(file) as archive:
        archive.add(0, encode_mask(np.zeros((5, 5), np.uint8)))
    for content in (file.read_bytes()[:30], b"", file.read_bytes().replace(b"IHDR", b"IHDX")):
        damaged = tmp_path / "damaged.zip"
        damaged.write_bytes(content)
        with pytest.raises(DataError, match=r"damaged\.zip: damaged .*prepare again"):
            MaskArchive(damaged)[0]
    with pytest.raises(DataError, match="damaged"):
        MaskArchive(file)[1]
    with pytest.raises(ValueError, match="not a packed mask"):
        decode_mask(b"no picture")


def test_prepared_data_have_the_masks_of_the_dataset_at_their_size(tmp_path: Path) -> None:
    dataset = Synthetic(count=6, size=96)
    prepared = prepare(dataset, image_size=32, in_channels=3, data_dir=tmp_path)
    source = open_source(dataset, None, tmp_path, download=False)
    for sample in dataset.list_samples(source).samples:
        index = prepared.ids.index(sample.id)
        _, mask = dataset.read(source, sample)
        np.testing.assert_array_equal(prepared.native_masks[index], mask)
        assert mask.shape == (prepared.samples[index].height, prepared.samples[index].width)
        assert prepared.samples[index].reachable == reachable_dice(mask, prepared.masks[index])
    assert prepared.native_instances is None
    (prepared.folder / NATIVE_MASKS).unlink()
    with pytest.raises(DataError, match=r"native_masks\.zip is missing"):
        PreparedDataset(prepared.folder)


def test_the_reach_of_a_size_is_the_dice_of_the_mask_there_and_back() -> None:
    mask = np.zeros((90, 120), np.uint8)
    cv2.line(mask, (3, 5), (110, 80), 1, 2)
    cv2.circle(mask, (90, 20), 15, 2, -1)
    reach = {side: reachable_dice(mask, resize_mask(mask, (side, side)), 4) for side in (16, 32, 64, 256)}
    assert reach[16] < reach[32] < reach[64] < reach[256] <= 1
    small = resize_mask(mask, (32, 32))
    restored = restore_classes(np.stack([small == label for label in range(3)]).astype(np.float32), mask.shape)
    dice = [
        2 * np.sum((restored == label) & (mask == label)) / (np.sum(restored == label) + np.sum(mask == label))
        for label in (1, 2)
    ]
    assert reach[32] == pytest.approx(np.mean([*dice, 1]))
    assert reachable_dice(mask, mask) == 1
    assert reachable_dice(np.zeros_like(mask), resize_mask(np.zeros_like(mask), (8, 8))) == 1


def test_ignored_pixels_are_no_part_of_the_reach() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 1
    before = reachable_dice(mask, resize_mask(mask, (16, 16)))
    mask[:, 50:] = IGNORE_INDEX
    assert reachable_dice(mask, resize_mask(mask, (16, 16))) == before < 1


def test_the_reach_is_told_where_it_is_a_limit() -> None:
    assert describe_reach(0.99, (256, 256)) == ""
    assert describe_reach(0.8339, (256, 512)) == (
        "a perfect prediction at 256 x 512 reaches a mean Dice of 0.834 at native size"
    )
