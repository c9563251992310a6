"""What the loaders hand out: each split alone, normalised, and the same whatever loads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medseg.config.instantiate import instantiate
from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.data.prepared.samples import as_samples
from tests.helpers import compose_config


def module(folder: Path, *overrides: str, seed: int = 0) -> SegmentationDataModule:
    cfg = compose_config(
        "train", "data.dataset.count=40", "data.image_size=64", "data.batch_size=4", f"data_dir={folder}", *overrides
    )
    return build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=seed)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("module")


@pytest.mark.parametrize("fold", [None, 2])
def test_every_loader_sees_its_own_split_alone(place: Path, fold: int | None) -> None:
    datamodule = module(place, f"data.fold={'null' if fold is None else fold}")
    ids = datamodule.prepared.ids
    assigned = datamodule.dataset.assign_splits(as_samples(datamodule.prepared.samples), None, fold)
    loaders = {
        "train": datamodule.train_dataloader(),
        "val": datamodule.val_dataloader(),
        "test": datamodule.test_dataloader(),
    }
    for split, loader in loaders.items():
        indices = [index for batch in loader for index in batch["index"].tolist()]
        assert len(indices) == len(set(indices))
        assert {assigned[ids[index]] for index in indices} == {split}
        if split != "train":
            assert len(indices) == sum(value == split for value in assigned.values())


def test_batches_are_normalised_by_the_training_split(place: Path) -> None:
    datamodule = module(place, "augmentation=none", "data.batch_size=32")
    (batch,) = list(datamodule.train_dataloader())
    batch = datamodule.on_after_batch_transfer(batch, 0)
    image, mask = batch["image"], batch["mask"]
    assert image.shape == (32, 3, 64, 64)
    assert image.dtype == torch.float32
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert mask.dtype == torch.int64
    assert set(mask.unique().tolist()) == {0, 1}
    assert torch.allclose(image.mean((0, 2, 3)), torch.zeros(3), atol=1e-3)
    assert torch.allclose(image.std((0, 2, 3)), torch.ones(3), atol=1e-3)


def test_the_stream_depends_on_seed_and_epoch_and_not_on_the_workers(place: Path) -> None:
    def stream(workers: int, epoch: int, seed: int = 0) -> np.ndarray:
        loader = module(place, f"data.num_workers={workers}", seed=seed).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return np.concatenate([batch["image"].numpy() for batch in loader])

    alone = stream(0, 1)
    assert np.array_equal(alone, stream(2, 1))
    assert not np.array_equal(alone, stream(0, 2))
    assert not np.array_equal(alone, stream(0, 1, seed=1))


def test_an_image_is_augmented_anew_in_every_epoch(place: Path) -> None:
    loader = module(place, "data.num_workers=2").train_dataloader()
    versions: dict[int, list[bytes]] = {}
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            for index, image in zip(batch["index"].tolist(), batch["image"].numpy(), strict=True):
                versions.setdefault(index, []).append(image.tobytes())
    assert all(len(set(seen)) == 3 for seen in versions.values())
