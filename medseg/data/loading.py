"""Loading processes that need no shared memory, and none at all where the machine has no room for them."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from medseg.errors import UserError

log = logging.getLogger(__name__)


class Batch(dict[str, torch.Tensor]):
    """A batch that goes from one process to another as bytes through their pipe.

    PyTorch would send tensors through /dev/shm. Where that is too small, as Docker's 64 MB, it ends the loading
    process by a bus error or waits for ever; other programs fill it as well, so looking at it first does not help.
    """

    def __reduce__(self) -> tuple[Callable[..., dict[str, torch.Tensor]], tuple[dict[str, np.ndarray]]]:
        return as_tensors, ({name: tensor.numpy() for name, tensor in self.items()},)


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the tensors of a batch that has come through a pipe."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


class Loader(DataLoader):
    """A loader that does without loading processes where /dev/shm cannot even hold their locks.

    Raises `UserError` when it starts where too many files are open.
    """

    def _get_iterator(self) -> Any:
        if self.num_workers:
            try:
                try_queues(2 * self.num_workers + 2)
            except OSError as error:
                if error.errno == errno.EMFILE:
                    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
                    raise UserError(
                        f"too many open files: {self.num_workers} loading processes do not fit in the limit of {limit} "
                        "(`ulimit -n`); raise it, or give data.num_workers=0"
                    ) from None
                log.warning(
                    "no loading processes: /dev/shm has no room for their locks (%s); images are loaded while the "
                    "training waits; Docker: --shm-size=1g",
                    error.strerror,
                )
                self.num_workers = 0
        return super()._get_iterator()


def try_queues(count: int) -> None:
    """Make so many queues between processes, and close them again: what loading processes need to start.

    Raises `OSError` where there is no room for them.
    """
    queues = []
    try:
        for _ in range(count):
            queues.append(multiprocessing.Queue())
    finally:
        for queue in queues:
            queue.close()
            with suppress(OSError):
                queue._writer.close()  # type: ignore[attr-defined]
