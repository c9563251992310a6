"""A process that measures one network."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.errors import UserError
from medseg.system.memory import is_out_of_memory, keep_freed_memory

MEMORY = "give a smaller batch_size or image_size"


class Worker:
    """One network in a separate process, which measures when it is called and waits otherwise.

    Args:
        setting: the network, and what it is measured with.
        seconds: how long one measurement takes.
    """

    def __init__(self, setting: Setting, seconds: float) -> None:
        # Not a fork: a GPU cannot be used in one, and the memory of this process would be in it.
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self.process = context.Process(target=serve, args=(other_end, setting, seconds), daemon=True)
        self.process.start()
        # Open in that process alone, so that its end is noticed.
        other_end.close()

    def call(self, method: str) -> Any:
        """Call a method of the process's `NetworkBenchmark` and return what it returns.

        Raises `UserError` where that fails or the process has ended.
        """
        try:
            self.connection.send(method)
            done, answer = self.connection.recv()
        except (EOFError, OSError):
            raise UserError(self._how_it_ended()) from None
        if not done:
            raise UserError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _how_it_ended(self) -> str:
        self.process.join(timeout=5)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"its process ended with exit code {code}"
        name = signal.Signals(-code).name
        # Linux ends the process that takes the last memory like this.
        why = f", most likely since the memory was used up; {MEMORY}" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{why}"


def serve(connection: Connection, setting: Setting, seconds: float) -> None:
    """Build the network and call the methods that are asked for, until the other end is closed."""
    # Ctrl-C reaches every process of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if setting.keep_memory:
        keep_freed_memory()
    # Not above: torch is for this process alone.
    from medseg.benchmarking.network import NetworkBenchmark

    benchmark: NetworkBenchmark | None = None
    with suppress(EOFError, OSError):
        while True:
            method = connection.recv()
            try:
                benchmark = benchmark or NetworkBenchmark(setting, seconds)
                answer = (True, getattr(benchmark, method)())
            except Exception as error:
                answer = (False, explain(error, setting))
            connection.send(answer)


def explain(error: Exception, setting: Setting) -> str:
    """Write in one line why a network cannot be measured."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if is_out_of_memory(error):
        height, width = setting.image_size
        return f"out of memory with batches of {setting.batch_size} images of {height} x {width}; {MEMORY}"
    return f"{type(error).__name__}: {text}"
