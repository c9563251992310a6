"""Augmentation of whole batches on the device: the same images as one by one, by seed, epoch and image alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medseg.data.augmentation import MOVES
from medseg.data.labels import IGNORE_INDEX
from medseg.data.loading.sampling import sample_seed
from medseg.data.module import SegmentationDataModule
from medseg.data.on_device import OnDeviceAugmentation
from tests.data.test_module import module
from tests.helpers import train


def batches(datamodule: SegmentationDataModule, epoch: int) -> list[dict[str, torch.Tensor]]:
    """Return the training batches of an epoch before they are normalised."""
    loader = datamodule.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [datamodule.images_on_device(torch.device("cpu")).batch(batch) for batch in loader]


def test_batches_are_those_of_single_images(tmp_path: Path) -> None:
    datamodule = module(tmp_path, "augmentation=on_device", "data.num_workers=2", seed=3)
    assert datamodule.train_dataloader().num_workers == 0
    assert datamodule.val_dataloader().num_workers == 2
    images = datamodule.images(training=True)
    seen = []
    for batch in batches(datamodule, 5):
        for place, index in enumerate(batch["index"].tolist()):
            sample = images.sample(index, sample_seed(3, 5, index))
            np.testing.assert_array_equal(batch["image"][place].numpy(), sample["image"], strict=True)
            np.testing.assert_array_equal(batch["mask"][place].numpy(), sample["mask"], strict=True)
            seen.append(index)
    assert set(seen) <= {*datamodule.indices["train"].tolist()}
    assert len(seen) == len(set(seen)) == len(datamodule.indices["train"]) // 4 * 4


def test_a_resumed_run_sees_what_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken = module(tmp_path, "augmentation=on_device")
    batches(unbroken, 0)
    later, resumed = batches(unbroken, 1), batches(module(tmp_path, "augmentation=on_device"), 1)
    for one, other in zip(later, resumed, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in ("image", "mask", "index"))
    assert not torch.equal(later[0]["image"], batches(unbroken, 2)[0]["image"])


def test_processes_share_the_images_of_an_epoch(tmp_path: Path) -> None:
    seen: list[int] = []
    for rank in (0, 1):
        datamodule = module(tmp_path, "augmentation=on_device")
        datamodule.trainer = SimpleNamespace(global_rank=rank, world_size=2)  # type: ignore[assignment]
        seen += [index for batch in batches(datamodule, 0) for index in batch["index"].tolist()]
    assert len(seen) == len(set(seen))


def test_a_batch_is_normalised_as_any_other(tmp_path: Path) -> None:
    datamodule = module(tmp_path, "augmentation=on_device", "data.border_weights=true")
    drawn = next(iter(datamodule.train_dataloader()))
    ready = datamodule.on_after_batch_transfer(drawn, 0)
    assert ready["image"].dtype == torch.float32
    assert ready["image"].is_contiguous(memory_format=torch.channels_last)
    assert ready["mask"].dtype == torch.int64
    ignored = ready["mask"] == IGNORE_INDEX
    assert not ready["weight"][ignored].any()
    assert (ready["weight"][~ignored] > 0).all()


@pytest.mark.parametrize(("shape", "kinds"), [((6, 6), 8), ((6, 8), 4)])
def test_flips_and_turns_move_whole_pixels(shape: tuple[int, int], kinds: int) -> None:
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(*shape, 1)
    augmentation = OnDeviceAugmentation(scale=(1, 1), brightness=(1, 1))
    expected = {np.ascontiguousarray(move(image[..., 0])).tobytes() for move in MOVES.values()}
    seen = Counter()
    for seed in range(400):
        result, labels = augmentation(image, image[..., 0], seed)
        assert (result[..., 0] == labels).all()
        seen[labels.tobytes()] += 1
    assert set(seen) <= expected
    assert len(seen) == kinds
    assert min(seen.values()) > 200 / kinds


def test_sizes_are_as_likely_as_their_inverses() -> None:
    columns = np.repeat(np.arange(200, dtype=np.uint8)[None], 200, axis=0)
    augmentation = OnDeviceAugmentation(scale=(0.5, 2), brightness=(1, 1))
    image, factors = np.zeros((200, 200, 3), np.uint8), []
    for seed in range(300):
        _, labels = augmentation(image, columns, seed)
        seen = labels != IGNORE_INDEX
        values = labels[seen].astype(int)
        factors.append(np.sqrt(seen.sum() / 200**2) if not seen.all() else 200 / (np.ptp(values) + 1))
    assert 0.49 < min(factors) < 0.53
    assert 1.9 < max(factors) < 2.02
    assert abs(np.mean(np.log(factors))) < 0.06


def test_a_run_trains_with_it(tmp_path: Path) -> None:
    assert train(tmp_path, "augmentation=on_device").finished
