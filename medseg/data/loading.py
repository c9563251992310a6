"""Loading processes that can do without shared memory, and none where the system has no room for them."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import resource
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from medseg.errors import UserError

log = logging.getLogger(__name__)


class Batch(dict[str, torch.Tensor]):
    """A batch that goes from one process to another through shared memory, or as bytes where there is no room for it.

    PyTorch alone waits for ever for a batch that /dev/shm cannot take, as Docker's 64 MB. Bytes through a pipe take two
    to three times as long (256 x 256 to 1024 x 1024 pixels, two CPU cores).
    """

    def __reduce__(self) -> tuple[Callable[..., dict[str, torch.Tensor]], tuple[dict[str, Any]]]:
        try:
            for tensor in self.values():
                tensor.share_memory_()  # type: ignore[no-untyped-call]
        except RuntimeError:  # no room there, or too many files are open
            return as_tensors, ({name: tensor.numpy() for name, tensor in self.items()},)
        return dict, (dict(self),)


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the tensors of a batch that has come as bytes."""
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
    with ExitStack() as stack:
        for _ in range(count):
            queue: Any = multiprocessing.Queue()
            stack.callback(queue._writer.close)  # which `close` leaves open where nothing was sent
            stack.callback(queue.close)
