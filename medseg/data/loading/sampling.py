"""Which image comes when, and with which augmentation: pure functions of (seed, epoch, image).

Every index comes with a seed of its own. So an augmentation does not depend on the number of workers or
processes, never repeats between workers or epochs, and repeats exactly when the run is repeated or resumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return the 32-bit seed of one image (or one process) in one epoch of one run."""
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1)[0])


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield (index, augmentation seed) for this process's share of the images.

    Args:
        indices: positions in the prepared data.
        seed: the run's seed.
        shuffle: draw a new order every epoch; else keep the order.
        rank, world_size: this process and their number. Every process yields equally many, so that none waits for
            another in a collective call; what fills the last ones up are repeats of the first.
    """

    def __init__(self, indices: np.ndarray, *, seed: int, shuffle: bool, rank: int = 0, world_size: int = 1) -> None:
        self.indices = np.asarray(indices)
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the next epoch's order and seeds; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.indices) / self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = self.indices
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        order = np.resize(order, len(self) * self.world_size)
        for index in order[self.rank :: self.world_size].tolist():
            yield index, sample_seed(self.seed, self.epoch, index)
