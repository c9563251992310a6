from __future__ import annotations

import numpy as np
import pytest

from medseg.data.loading.sampling import EpochSampler, sample_seed

INDICES = np.arange(100, 123)


def drawn(sampler: EpochSampler, epoch: int) -> list[tuple[int, int]]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_epoch_has_every_image_once_in_another_order() -> None:
    sampler = EpochSampler(INDICES, seed=0, shuffle=True)
    first, second = drawn(sampler, 0), drawn(sampler, 1)
    assert sorted(index for index, _ in first) == INDICES.tolist()
    assert [index for index, _ in first] != [index for index, _ in second]
    assert drawn(EpochSampler(INDICES, seed=0, shuffle=True), 1) == second, "an epoch does not depend on those before"
    assert drawn(EpochSampler(INDICES, seed=1, shuffle=True), 0) != first


def test_augmentation_seeds_differ_between_images_epochs_and_runs() -> None:
    seeds = {sample_seed(seed, epoch, index) for seed in range(5) for epoch in range(20) for index in range(50)}
    # 5000 draws from 2^32: a collision or two would be chance, many would be a fault.
    assert len(seeds) >= 4998
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_processes_share_the_images_out_equally(world_size: int) -> None:
    shares = [
        drawn(EpochSampler(INDICES, seed=0, shuffle=True, rank=rank, world_size=world_size), 5)
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    assert {index for share in shares for index, _ in share} == set(INDICES.tolist())
    together = [pair for step in zip(*shares, strict=True) for pair in step]
    alone = drawn(EpochSampler(INDICES, seed=0, shuffle=True), 5)
    assert together[: len(alone)] == alone, "the global order does not depend on the number of processes"


def test_evaluation_keeps_the_order() -> None:
    assert [index for index, _ in EpochSampler(INDICES, seed=0, shuffle=False)] == INDICES.tolist()


def test_an_image_comes_several_times_in_an_epoch_each_time_with_another_seed() -> None:
    indices = np.array([3, 5, 8])
    samplers = [EpochSampler(indices, seed=1, shuffle=True, rank=rank, world_size=2, repeats=4) for rank in (0, 1)]
    drawn = [pair for sampler in samplers for pair in sampler]
    assert sorted(index for index, _ in drawn) == [3] * 4 + [5] * 4 + [8] * 4
    assert len({seed for _, seed in drawn}) == 12
    assert {sample_seed(1, 0, 3), sample_seed(1, 0, 3, 3)} <= {seed for index, seed in drawn if index == 3}
    assert list(samplers[0]) == list(samplers[0])
