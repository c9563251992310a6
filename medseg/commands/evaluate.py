"""`medseg evaluate`: score a saved checkpoint on any dataset and split."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, printable
from medseg.runs.evaluations import OTHER_CLASSES
from medseg.runs.folder import find_run
from medseg.runs.run import is_run
from medseg.runs.show import cell, print_scores
from medseg.system.memory import keep_freed_memory
from medseg.system.process import is_first_process

log = logging.getLogger(__name__)

SUMMARY = """
medseg evaluate scores a saved checkpoint. Everything the network needs is in the checkpoint; options that are not
given are those of the run, so that evaluating a run on its test split gives its scores again. Of the folder of an
experiment, every finished run is evaluated, each in a separate process.
"""

EXAMPLES = (
    "medseg evaluate runs/main/convunext-kvasir-1a2b3c4d-seed0",
    "medseg evaluate RUN split=val",
    "medseg evaluate RUN data=isic data.source=~/Downloads   another dataset",
    "medseg evaluate RUN data=folder data.root=EXTERNAL   all images of another folder",
    "medseg evaluate RUN tta=true   averaged over flips",
    "medseg evaluate runs/main data=cvc   every finished run; what is done is not repeated",
)


def evaluate(cfg: DictConfig) -> None:
    """Score the checkpoint that `cfg` names, or those of all runs below a folder."""
    from medseg.sweeps.evaluations import ONE_OF_MANY, evaluate_runs, single_run

    check_images(cfg.data.root)
    words, checkpoint = list(HydraConfig.get().overrides.task), single_run(cfg.checkpoint)
    if checkpoint is None:
        evaluate_runs(cfg, words)
        return
    cfg.checkpoint = checkpoint
    # Lightning starts the further processes of a distributed evaluation as `python -m medseg` with these arguments, of
    # which the first, the name of the command, was removed.
    if sys.argv[1:2] != ["evaluate"]:
        sys.argv.insert(1, "evaluate")
    from medseg.reporting.evaluated import describe_interval
    from medseg.training.evaluation import evaluate_checkpoint
    from medseg.training.evaluation_data import OtherClassesError

    keep_freed_memory()
    try:
        folder, summary = evaluate_checkpoint(cfg, words)
    except OtherClassesError as error:
        if ONE_OF_MANY not in os.environ:
            raise
        log.warning("%s: %s", OTHER_CLASSES, error)
        return
    if is_first_process() and ONE_OF_MANY in os.environ:
        dice = summary["headline"]["dice"]
        print(printable(f"{find_run(cfg.checkpoint)[0].path.name}: Dice {cell(dice, 3)}; {folder}"), flush=True)
    elif is_first_process():
        print_scores(summary, find_run(cfg.checkpoint)[0].path.name)
        interval = describe_interval(folder)
        if interval:
            print(printable(interval))
        print(printable(f"scores: {folder}"))


def check_images(root: str | None) -> None:
    """Raise `ConfigError` for a folder of runs where one of images is wanted: the last of several that were named."""
    folder = Path(root).expanduser() if root else None
    if folder is not None and folder.is_dir() and any(map(is_run, [folder, *folder.iterdir()])):
        raise ConfigError(
            f"{root} holds runs, no images; to evaluate several folders on the data of their training, write "
            "checkpoint=[A,B]"
        )


COMMAND = Command("evaluate", evaluate, SUMMARY, EXAMPLES, positional=("checkpoint*", "data"))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
