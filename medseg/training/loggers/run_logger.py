"""What medseg tells a logger beside Lightning's metrics: the start of a run, pictures, the test, the end."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.loggers import Logger

from medseg.training.loggers.pictures import ValidationPictures
from medseg.training.loggers.run_info import RunInfo
from medseg.training.scoring import Scores


class RunLogger(Logger):
    """A logger of Lightning with methods for what only medseg knows.

    What a subclass does not override is done by Lightning's methods, and so for every other logger.
    """

    takes_pictures = False
    """Whether `log_pictures` shows anything."""

    upload_seconds = 0.0
    """How much longer than another call `end` may take, for what is to be sent."""

    def begin(self, run: RunInfo) -> None:
        """Open the logger for a run, and log its hyper-parameters unless an earlier run of the logger goes on."""
        getattr(self, "experiment", None)  # many open their run by this
        if run.logger_id is None:
            self.log_hyperparams(run.hyperparameters)

    def log_pictures(self, pictures: ValidationPictures) -> None:
        """Show images of the validation."""

    def log_test(self, scores: Scores, run: RunInfo) -> None:
        """Log the scores of the test split, means over images: `test/dice` and so on."""
        self.log_metrics(means_of_test(scores), max(0, run.last_step - 1))

    def end(self, exit_code: int) -> None:
        """Close the logger of a run that ends with this exit code."""
        self.finalize("success" if exit_code == 0 else "failed")


def call(logger: Logger, name: str, *arguments: Any) -> Any:
    """Call a method of `RunLogger` on any logger: that of the logger where it is one, else the default."""
    if isinstance(logger, RunLogger):
        return getattr(logger, name)(*arguments)
    return getattr(RunLogger, name)(logger, *arguments)


def means_of_test(scores: Scores) -> dict[str, float]:
    """Return the scores of the test split by the names that loggers have for them."""
    means = {name: values["mean"] for name, values in scores.summary["headline"].items()}
    return {f"test/{name}": float(value) for name, value in means.items() if value is not None}
