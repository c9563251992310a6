"""A process that holds one network and measures what it is asked to."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from medseg.benchmarking.setting import Setting
from medseg.errors import UserError

MEMORY = "give a smaller batch_size or image_size"


class Worker:
    """One network in a process of its own, which measures when it is asked and waits otherwise.

    Args:
        setting: the network, and what it is measured with.
        seconds: how long one measurement takes.
    """

    def __init__(self, setting: Setting, seconds: float) -> None:
        self.setting = setting
        # Not a fork: a GPU cannot be used in one, and the memory of this process would be in it.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, setting, seconds), daemon=True)
        self.process.start()
        # Theirs alone, so that its end is noticed.
        theirs.close()

    def ask(self, what: str) -> Any:
        """Have a method of the `Subject` called and return what it returns.

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


def serve(connection: Connection, setting: Setting, seconds: float) -> None:
    """Build the network and call the methods of its `Subject` that are asked for, until nobody asks any more."""
    # Ctrl-C reaches every process of a terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    subject = None
    with suppress(EOFError, OSError):
        while True:
            what = connection.recv()
            try:
                if subject is None:
                    from medseg.benchmarking.subject import Subject  # torch, in this process alone

                    subject = Subject(setting, seconds)
                answer = (True, getattr(subject, what)())
            except Exception as error:
                answer = (False, explain(error, setting))
            connection.send(answer)


def explain(error: Exception, setting: Setting) -> str:
    """Say in one line why a network cannot be measured."""
    import torch

    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    # PyTorch has a class of its own for a GPU's memory only.
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
        height, width = setting.image_size
        return f"out of memory with batches of {setting.batch_size} images of {height} x {width}; {MEMORY}"
    return f"{type(error).__name__}: {text}"
