"""Which image comes when, and with which augmentation: pure functions of (seed, epoch, image).

Every index comes with a separate seed. So an augmentation does not depend on the number of workers or
processes, never repeats between workers or epochs, and repeats exactly when the run is repeated or resumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def sample_seed(seed: int, epoch: int, index: int, repeat: int = 0) -> int:
    """Return the 32-bit seed of one image (or one process) in one epoch of one run; of its first use, or a repeat."""
    repeated = (repeat,) if repeat else ()
    return int(np.random.SeedSequence((seed, epoch, index, *repeated)).generate_state(1)[0])


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield (index, augmentation seed) for this process's share of the images.

    Args:
        indices: positions in the prepared data.
        seed: the run's seed.
        shuffle: draw a new order every epoch; else keep the order.
        rank, world_size: this process and their number. Every process yields equally many, so that none waits for
            another in a collective call; what fills the last ones up are repeats of the first.
        repeats: how often each image comes in an epoch, every time with another seed.
    """

    def __init__(
        self,
        indices: np.ndarray,
        *,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
        repeats: int = 1,
    ) -> None:
        self.indices = np.asarray(indices)
        self.repeats = repeats
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the next epoch's order and seeds; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.indices) * self.repeats / self.world_size)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.arange(len(self.indices) * self.repeats)
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        order = np.resize(order, len(self) * self.world_size)
        for position in order[self.rank :: self.world_size].tolist():
            repeat, which = divmod(position, len(self.indices))
            index = int(self.indices[which])
            yield index, sample_seed(self.seed, self.epoch, index, repeat)
