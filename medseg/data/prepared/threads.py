"""Work on every image in several threads, with a progress bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Event
from typing import TypeVar

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from medseg.system.process import available_cores

T = TypeVar("T")


class Speed(ProgressColumn):
    """Images per second so far."""

    def render(self, task: Task) -> Text:
        """Write the speed."""
        seconds = task.finished_time or task.elapsed or 0
        return Text(f"{task.completed / seconds:.0f} images/s" if seconds else "", style="progress.data.speed")


def thread_count(asked: int | None) -> int:
    """Return the number of decoding threads: as asked, else one for each core that this process may use."""
    if asked is not None:
        return max(1, asked)
    return available_cores()


def images_bar() -> Progress:
    """Make a progress bar of images on stderr."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def in_threads(
    work: Callable[[int], T], count: int, workers: int, title: str, *, stopping: Event | None = None
) -> Generator[T, None, None]:
    """Yield `work(0)`, `work(1)`, ... in order, computed by several threads, with a progress bar on stderr.

    The first error, or Ctrl-C, ends the rest; `stopping` is set then, for work that takes long.
    """
    with one_thread_each(), ThreadPoolExecutor(workers, "prepare") as pool, images_bar() as progress:
        task = progress.add_task(title, total=count)
        try:
            # No more at once than keeps the threads busy: each outcome may hold an image.
            pending = deque(pool.submit(work, index) for index in range(min(count, 2 * workers)))
            following = iter(range(len(pending), count))
            while pending:
                outcome = pending.popleft().result()
                pending.extend(pool.submit(work, index) for index in islice(following, 1))
                progress.advance(task)
                yield outcome
        finally:
            if stopping is not None:
                stopping.set()
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep OpenCV from starting threads beside ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
