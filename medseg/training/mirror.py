"""A mirror of the run: a logger that may fail, or hang, without the training noticing more than a warning."""

from __future__ import annotations

import logging
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from lightning.fabric.loggers.logger import _DummyExperiment
from lightning.pytorch.loggers import Logger

from medseg.runs.folder import RunFolder
from medseg.training.scoring import Scores

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds that a logger may take over a call: W&B itself gives up a server that does not answer after 90."""


class Mirror(Logger):
    """Own a logger and guard every call of it, Lightning's and medseg's.

    The first call that raises or does not return in time is one warning; from there on the mirror is off and calls do
    nothing. Calls run in threads of their own that the end of the process does not wait for.

    Args:
        title: of the logger, for the warning.
        make: builds it, with the first call.
        name, version, save_dir: as Lightning asks a logger for them, to name folders by.
        abandon: stops, without waiting, what a failed logger has left behind.
        pictures: whether it takes pictures of the validation, by `log_pictures`.
    """

    def __init__(
        self,
        title: str,
        make: Callable[[], Logger],
        *,
        name: str = "",
        version: str = "",
        save_dir: str | None = None,
        abandon: Callable[[], object] | None = None,
        pictures: bool = False,
    ) -> None:
        super().__init__()
        self.title = title
        self.on = True
        self._make = make
        self._logger: Logger | None = None
        self._name, self._version, self._save_dir = name, version, save_dir
        self._abandon = abandon
        self._pictures = pictures

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
        return self.on and self._pictures

    # Lightning's calls.
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._call("log_metrics", dict(metrics), step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._call("log_hyperparams", params, *args, **kwargs)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        self._call("log_graph", model, input_array)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self._call("after_save_checkpoint", checkpoint_callback)

    def save(self) -> None:
        self._call("save")

    def finalize(self, status: str) -> None:
        # A logger that was never used has nothing to close.
        if self._logger is not None:
            self._call("finalize", status)

    # medseg's.
    def log_pictures(self, *args: Any) -> None:
        """Show pictures of the validation; see `medseg.training.wandb_mirror.RunLogger.log_pictures`."""
        self._call("log_pictures", *args)

    def log_test(self, scores: Scores, folder: RunFolder) -> None:
        """Log the scores of the test split: as the logger itself does, else their means."""
        if hasattr(self._logger, "log_test"):
            self._call("log_test", scores, folder)
        else:
            means = {name: values["mean"] for name, values in scores.summary["headline"].items()}
            self.log_metrics({f"test/{name}": value for name, value in means.items() if value is not None})

    def end(self, exit_code: int) -> None:
        """End the mirror of a run that ends with `exit_code`: what is left to write or to send is awaited.

        A logger says by `upload_seconds` how much longer than another call that may take.
        """
        logger: Any = self._logger
        if hasattr(logger, "end"):
            self._guard(lambda: logger.end(exit_code), PATIENCE + getattr(logger, "upload_seconds", 0.0))
        self.on = False

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
        outcome = attempt(work, seconds)
        if not isinstance(outcome, BaseException):
            return outcome
        self.on = False
        reason = f"no answer for {seconds:.0f} s" if isinstance(outcome, TookTooLongError) else describe(outcome)
        log.warning("%s is off from here on (%s); the run goes on, and its own files are complete", self.title, reason)
        if self._abandon is not None:
            attempt(self._abandon, 10)
        return None


class TookTooLongError(Exception):
    """A call has not returned in time."""


def attempt(work: Callable[[], Any], seconds: float) -> Any:
    """Return what `work` returns within so many seconds, else the exception: its own, or `TookTooLongError`."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # W&B ends a process whose service has failed by SystemExit
            outcome.append(error)

    thread = threading.Thread(target=run, name="mirror", daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else TookTooLongError()


def describe(error: BaseException) -> str:
    """Say in one line what an exception is; where the system refused something, what that was."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    error = cause or error
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
