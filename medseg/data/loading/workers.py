"""Processes that load batches: their number, their start, and what happens where the system has no room for them."""

from __future__ import annotations

import atexit
import errno
import logging
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.reduction import ForkingPickler
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, get_worker_info

from medseg.system.process import available_cores
from medseg.system.signals import block_signals, exit_with, kill_loading_processes

log = logging.getLogger(__name__)


class Loader(DataLoader):
    """A loader whose processes begin with the first batch, and are not reached by an interruption of the training.

    Where the system has no room for the processes, it warns and loads in this process.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # All of it happens when the first batch is asked for. Lightning iterates over the loader of a resumed run
        # before it sets the sampler's epoch, and processes that begin then draw the images of epoch 0.
        with block_signals():
            batches = super().__iter__()
        yield from batches

    def _get_iterator(self) -> Any:
        if self.num_workers:
            try:
                try_room(self.num_workers)
            except OSError as error:
                log.warning(
                    "no loading processes, which the system has no room for (%s): images are loaded while the training "
                    "waits; enlarge /dev/shm (Docker: --shm-size=1g) or the limit of open files (`ulimit -n`)",
                    error.strerror,
                )
                self.num_workers = 0
        batches = super()._get_iterator()
        if self.num_workers:
            # Python would ask them to end, which they do not hear, and wait.
            atexit.register(kill_loading_processes)
        return batches


def try_room(num_workers: int) -> None:
    """Make, and close again, what so many loading processes need to begin: they must not fail halfway.

    Raises `OSError` where there is no room for it.
    """
    with ExitStack() as stack:
        _ = multiprocessing.Event()
        for _ in range(num_workers + 1):
            queue: Any = multiprocessing.Queue()
            stack.callback(queue._writer.close)  # which `close` leaves open where nothing was sent
            stack.callback(queue.close)
            for end in multiprocessing.Pipe(duplex=False):
                stack.callback(end.close)


class Batch(dict[str, torch.Tensor]):
    """A batch that leaves a loading process through shared memory, or as bytes where there is no room for it.

    PyTorch alone waits for ever for a batch that /dev/shm cannot take, as Docker's 64 MB, or for which no more files
    can be opened.
    """

    def __reduce__(self) -> tuple[Callable[..., dict[str, torch.Tensor]], tuple[Any, ...]]:
        try:
            try_files(4 * len(self) + 4)
            for tensor in self.values():
                tensor.share_memory_()  # type: ignore[no-untyped-call]
            return from_shared_memory, (bytes(ForkingPickler.dumps(dict(self))),)
        except (RuntimeError, OSError):
            return as_tensors, ({name: tensor.numpy() for name, tensor in self.items()},)


def as_sent(batch: Any) -> dict[str, torch.Tensor]:
    """Pass on a batch that the dataset has put together already; a loader's `collate_fn`."""
    return batch if get_worker_info() is None else Batch(batch)


def from_shared_memory(content: bytes) -> dict[str, torch.Tensor]:
    """Return the tensors of a batch that has come through shared memory.

    Raises `OSError` where the loading process could not send the files, for want of room for open ones.
    """
    try:
        batch: dict[str, torch.Tensor] = pickle.loads(content)
    except EOFError:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from None
    return batch


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the tensors of a batch that has come as bytes."""
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def try_files(count: int) -> None:
    """Open so many files, and close them again; raises `OSError` where that are too many."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.callback(os.close, os.dup(2))


def start_worker(worker_id: int) -> None:
    """Keep one loading process on one core, and have it end with the training, also where that is killed."""
    exit_with(os.getppid(), signal.SIGKILL)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def default_workers() -> int:
    """Return how many loading processes pay: none where training itself fills a small CPU."""
    cores = available_cores()
    return min(8, cores // 2) if torch.cuda.is_available() or cores > 4 else 0
