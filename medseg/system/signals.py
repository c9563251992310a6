"""Interruptions: Ctrl-C, SIGTERM, a scheduler's warning; and ending with whoever started this process.

All of them raise `KeyboardInterrupt`, so that a run has one way of being interrupted. What it keeps is the checkpoint
of its last epoch. The epoch it was in is repeated: a resumed run equals an unbroken one to the last bit, and Lightning
does not restore the middle of an epoch (the position in the data, the random state) so exactly.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from medseg.system.process import is_first_process

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""SIGTERM asks to end; SIGUSR2 is what submitit has SLURM send before a job is preempted or its time is over."""

SUPERVISOR = "MEDSEG_SUPERVISOR"
"""Variable with the number of the process that watches over this one."""

PR_SET_PDEATHSIG = 1

_process_goes_on = False
"""Whether what is interrupted here is not the whole process, but a call in one, such as a notebook's."""


def install_signal_handlers() -> None:
    """Take `SIGNALS` as Ctrl-C, from now on or again: Lightning replaces the handler."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt what runs, once: what it does about it is not interrupted again."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def ignore_further_signals() -> None:
    """Let nothing but Ctrl-C interrupt the end of the process: what it had to do is done."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: None)


@contextmanager
def block_signals() -> Iterator[None]:
    """Start processes that no interruption reaches, which is for the process that started them.

    A scheduler sends its signal to every process of a job. PyTorch takes a loading process that ends by one for an
    error of the training, and raises it wherever the training is.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGINT))
    try:
        yield  # what is started here keeps these signals blocked
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def preserved_signal_handlers() -> Iterator[None]:
    """Give back the handlers of all that is changed here at the end, in a process that goes on, such as a notebook's.

    Until then no Ctrl-C ends the process.
    """
    global _process_goes_on
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT, signal.SIGCHLD)}
    outer, _process_goes_on = _process_goes_on, True
    try:
        yield
    finally:
        _process_goes_on = outer
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if handler is not None:  # None: not Python's, so Python cannot set it again
                    signal.signal(number, handler)


def restore_default_signals() -> None:
    """Let a further Ctrl-C end the process, whatever it does; it ends anyway, so nothing else interrupts it again.

    In a process that goes on, Ctrl-C raises `KeyboardInterrupt` as before.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler if _process_goes_on else signal.SIG_DFL)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        kill_loading_processes()


def kill_loading_processes() -> None:
    """Kill the loading processes, which are `block_signals`: nobody waits for the batch that one is making."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's raises an error where a loading process is killed
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()


def supervised(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that this one watches over."""
    return {**environment, SUPERVISOR: str(os.getpid())}


def exit_with_parent() -> None:
    """Have this process end with the one that watches over it: no run goes on that nobody knows of.

    A job is interrupted then; the further processes of a distributed run are killed with the first.
    """
    parent = os.environ.pop(SUPERVISOR, None)
    if not is_first_process():
        exit_with(os.getppid(), signal.SIGKILL)
    elif parent is not None:
        exit_with(int(parent), signal.SIGTERM)


def exit_with(parent: int, number: signal.Signals) -> None:
    """Have the system send a signal to this process when its parent ends; only Linux does."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it has ended already
        os.kill(os.getpid(), number)
