"""The Python API: train, test, read and compare runs from Python, as the commands do from a shell."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.runs.run import Run


def fit(model: str = "convunext", data: str = "synthetic", overrides: Sequence[str] = ()) -> Run:
    """Train and test a network, as `medseg train model=... data=...` does in a shell, and return its run.

    A run that is finished is not repeated, and one that was interrupted is resumed.

        run = medseg.fit("unet", data="kvasir", overrides=["trainer.max_epochs=50", "seed=1"])
        run.scores

    Args:
        model: option of the group `model`, such as `unet`.
        data: option of the group `data`, such as `kvasir`, or the folder of the user's own images.
        overrides: further words of the command line: `group=option` and `key=value`.

    Raises `medseg.errors.UserError` for what the user can put right.
    """
    from medseg.config.compose import compose
    from medseg.config.overrides import add_keys
    from medseg.runs.plan import plan_run
    from medseg.runs.reading import read_runs
    from medseg.system.logs import set_up_logging
    from medseg.training.start import train

    if not logging.getLogger("medseg").handlers:
        set_up_logging()
    words = add_keys([model, data, *overrides], ("model", "data"), "train")
    cfg, hydra_config = compose("train", words)
    folder = train(cfg, plan_run(cfg, hydra_config))
    (run,) = read_runs([folder.path]).runs
    return run


def evaluate(checkpoint: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Score a saved checkpoint, as `medseg evaluate` does in a shell, and return the summary of its scores.

        medseg.evaluate("runs/main/RUN", ["split=val"])["headline"]["dice"]

    Args:
        checkpoint: a run folder, or a checkpoint file in one.
        overrides: further words of the command line, such as `data=isic`.

    Raises `medseg.errors.UserError` for what the user can put right.
    """
    from medseg.config.compose import compose
    from medseg.runs.files import read_json
    from medseg.training.evaluation import evaluate_checkpoint

    cfg, hydra_config = compose("evaluate", [f"checkpoint={Path(checkpoint)}", *overrides])
    return read_json(evaluate_checkpoint(cfg, hydra_config.overrides.task) / "summary.json")
