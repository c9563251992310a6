"""A mirror of the run: a logger that may fail, or hang, without the training noticing more than a warning."""

from __future__ import annotations

import logging
import threading
import weakref
from argparse import Namespace
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Any

from lightning.fabric.loggers.logger import _DummyExperiment
from lightning.pytorch.loggers import Logger

from medseg.errors import ConfigError, UserError
from medseg.training.loggers.pictures import ValidationPictures
from medseg.training.loggers.run_info import RunInfo
from medseg.training.loggers.run_logger import call
from medseg.training.scoring import Scores

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds that a logger may take over a call: W&B itself gives up a server that does not answer after 90."""


class Mirror(Logger):
    """Own a logger and guard every call of it, Lightning's and medseg's.

    The first call that raises or does not return in time is one warning; from there on the mirror is off and calls do
    nothing. All calls run in one thread of the mirror, since some loggers can be used by the thread alone that has
    made them; the end of the process does not wait for it.

    Args:
        title: of the logger, for the warning.
        make: builds the logger, with the first call.
        name, version, save_dir: as Lightning asks a logger for them, to name folders by.
        abandon: stops, without waiting, what a failed logger has left behind.
        run: the run that is logged.

    `on_begin` is called with the logger when it has begun.
    """

    def __init__(
        self,
        title: str,
        make: Callable[[], Any],
        *,
        name: str = "",
        version: str = "",
        save_dir: str | None = None,
        abandon: Callable[[], object] | None = None,
        run: RunInfo | None = None,
    ) -> None:
        super().__init__()
        self.title = title
        self.on = True
        self._make = make
        self._logger: Logger | None = None
        self._name, self._version, self._save_dir = name, version, save_dir
        self._abandon = abandon
        self.run = run
        self.on_begin: Callable[[Logger], object] = lambda logger: None
        self._worker = Worker()

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return self._version

    @property
    def save_dir(self) -> str | None:
        return self._save_dir

    @property
    def experiment(self) -> Any:
        """What the logger writes to; where the mirror is off, something that takes every call and does nothing."""
        experiment = self._guard(lambda: getattr(self._made(), "experiment", None))
        return _DummyExperiment() if experiment is None else experiment

    @property
    def takes_pictures(self) -> bool:
        """Whether pictures of the validation are worth drawing."""
        return self.on and getattr(self._logger, "takes_pictures", False)

    # Lightning's calls.
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._call("log_metrics", dict(metrics), step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._call("log_hyperparams", params, *args, **kwargs)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        self._call("log_graph", model, input_array)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        def work() -> None:
            logger: Any = self._made()
            if hasattr(logger, "after_save_checkpoint"):  # Fabric's have no such method
                logger.after_save_checkpoint(checkpoint_callback)

        self._guard(work)

    def save(self) -> None:
        self._call("save")

    def finalize(self, status: str) -> None:
        """Do nothing: Lightning calls this after the training, after the validation and after the test; see `end`."""

    # medseg's.
    def build(self) -> Any:
        """Build the logger now and return it; None, and the mirror is off, where a server or a disk refuses.

        Raises `UserError` for whatever else keeps it from being built, such as a wrong argument.
        """
        outcome = self._worker.run(self._made, PATIENCE)
        if not isinstance(outcome, BaseException):
            return outcome
        if not isinstance(outcome, TookTooLongError) and system_error(outcome) is None:
            raise outcome if isinstance(outcome, UserError) else ConfigError(f"{self.title}: {describe(outcome)}")
        self._switch_off(outcome, PATIENCE)
        return None

    def begin(self) -> None:
        """Open the logger for the run; see `RunLogger.begin`."""

        def work() -> None:
            logger = self._made()
            call(logger, "begin", self.run)
            self.on_begin(logger)

        self._guard(work)

    def log_pictures(self, pictures: ValidationPictures) -> None:
        """Show pictures of the validation."""
        self._guard(lambda: call(self._made(), "log_pictures", pictures))

    def log_test(self, scores: Scores) -> None:
        """Log the scores of the test split."""
        self._guard(lambda: call(self._made(), "log_test", scores, self.run))

    def end(self, exit_code: int) -> None:
        """End the mirror of a run that ends with `exit_code`: what is left to write or to send is awaited."""
        if self._logger is not None:  # one that was never used has nothing to close
            seconds = PATIENCE + getattr(self._logger, "upload_seconds", 0.0)
            self._guard(lambda: call(self._made(), "end", exit_code), seconds)
        self.on = False
        self._worker.close()

    # The guard.
    def _made(self) -> Logger:
        if self._logger is None:
            self._logger = self._make()
        return self._logger

    def _call(self, name: str, *args: Any, **kwargs: Any) -> None:
        self._guard(lambda: getattr(self._made(), name)(*args, **kwargs))

    def _guard(self, work: Callable[[], Any], seconds: float | None = None) -> Any:
        """Return what `work` returns; None, and the mirror is off, where it fails or takes longer than allowed."""
        if not self.on:
            return None
        seconds = PATIENCE if seconds is None else seconds
        outcome = self._worker.run(work, seconds)
        if not isinstance(outcome, BaseException):
            return outcome
        self._switch_off(outcome, seconds)
        return None

    def _switch_off(self, failure: BaseException, seconds: float) -> None:
        self.on = False
        reason = f"no answer for {seconds:.0f} s" if isinstance(failure, TookTooLongError) else describe(failure)
        log.warning("%s is off from here on (%s); the run goes on, its local files are complete", self.title, reason)
        self._worker.close()
        if self._abandon is not None:
            abandoning = Worker()
            abandoning.run(self._abandon, 10)
            abandoning.close()


class TookTooLongError(Exception):
    """A call has not returned in time."""


class Worker:
    """One thread for calls that may hang; the end of the process does not wait for it."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Any] = SimpleQueue()
        self.thread = threading.Thread(target=work_off, args=(self.calls,), name="mirror", daemon=True)
        # A mirror that is dropped, since something else fails at the start, leaves no thread behind.
        weakref.finalize(self, self.calls.put, None)

    def run(self, work: Callable[[], Any], seconds: float) -> Any:
        """Return what `work` returns within so many seconds, else the exception of `work`, or `TookTooLongError`."""
        outcome: SimpleQueue[Any] = SimpleQueue()
        if threading.current_thread() is self.thread:  # a logger that uses the mirror
            attempt(work, outcome)
            return outcome.get()
        if self.thread.ident is None:
            self.thread.start()
        self.calls.put((work, outcome))
        try:
            return outcome.get(timeout=seconds)
        except Empty:
            return TookTooLongError()

    def close(self) -> None:
        """End the thread, when it has returned from what it is doing."""
        self.calls.put(None)


def work_off(calls: SimpleQueue[Any]) -> None:
    """Make the calls of a queue, one after the other, until one is None."""
    while (item := calls.get()) is not None:
        attempt(*item)


def attempt(work: Callable[[], Any], outcome: SimpleQueue[Any]) -> None:
    """Put what `work` returns, or the exception that it raises, into a queue."""
    try:
        outcome.put(work())
    except BaseException as error:  # W&B ends a process whose service has failed by SystemExit
        outcome.put(error)


def system_error(error: BaseException) -> OSError | None:
    """Return what the system refused, such as a connection or a file, where an exception comes from that."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    return cause


def describe(error: BaseException) -> str:
    """Say in one line what an exception is; where the system refused something, what that was."""
    error = system_error(error) or error
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
