"""A process that measures what it is asked to."""

from __future__ import annotations

import multiprocessing
import os
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.errors import UserError
from medseg.system.memory import is_out_of_memory, keep_freed_memory

MEMORY = "give a smaller batch_size or image_size"


class Worker:
    """One network in a process of its own, which measures when it is asked and waits otherwise.

    Args:
        setting: the network, and what it is measured with.
        seconds: how long one measurement takes.
        measures: what measures: a `Subject`, or the machine's `Limits`.
    """

    def __init__(self, setting: Setting, seconds: float, measures: str = "subject") -> None:
        self.setting = setting
        # Not a fork: a GPU cannot be used in one, and the memory of this process would be in it.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, setting, seconds, measures), daemon=True)
        self.process.start()
        # Theirs alone, so that its end is noticed.
        theirs.close()

    def ask(self, what: str) -> Any:
        """Have a method of what measures called and return what it returns.

        Raises `UserError` where that fails or the process has ended.
        """
        try:
            self.connection.send(what)
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


def serve(connection: Connection, setting: Setting, seconds: float, measures: str) -> None:
    """Make what measures and call those of its methods that are asked for, until nobody asks any more."""
    # Ctrl-C reaches every process of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # PyTorch's profiler would tell the terminal that it starts.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    if setting.keeps_memory:
        keep_freed_memory()
    made: Any = None
    with suppress(EOFError, OSError):
        while True:
            what = connection.recv()
            try:
                if made is None:
                    made = make(measures, setting, seconds)
                answer = (True, getattr(made, what)())
            except Exception as error:
                answer = (False, explain(error, setting))
            connection.send(answer)


def make(measures: str, setting: Setting, seconds: float) -> Any:
    """Return a `Subject` or `Limits`."""
    # Not above: torch is for this process alone.
    if measures == "limits":
        from medseg.benchmarking.limits import Limits

        return Limits(setting, seconds)
    from medseg.benchmarking.subject import Subject

    return Subject(setting, seconds)


def explain(error: Exception, setting: Setting) -> str:
    """Say in one line why a network cannot be measured."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if is_out_of_memory(error):
        height, width = setting.image_size
        return f"out of memory with batches of {setting.batch_size} images of {height} x {width}; {MEMORY}"
    return f"{type(error).__name__}: {text}"
