"""`medseg train`, `python -m medseg.train`: prepare the data, train, select on validation, test once, keep the run."""

from __future__ import annotations

import logging
from contextlib import nullcontext

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.runs.environment import is_first_process
from medseg.runs.files import read_json
from medseg.runs.folder import RunFolder
from medseg.runs.plan import plan_run
from medseg.runs.show import print_run
from medseg.system.memory import keep_freed_memory

log = logging.getLogger(__name__)

SUMMARY = """
medseg train trains a segmentation network: it prepares the data, trains, selects the best epoch on the
validation split, tests that once, and leaves a run folder with weights, scores, curves and pictures.
"""

EXAMPLES = (
    "python -m medseg.train                                        ConvUNeXt on drawn images, no download",
    "python -m medseg.train model=unet data=kvasir data.source=~/Downloads",
    "python -m medseg.train data=folder data.root=my_images trainer.max_epochs=50",
    "python -m medseg.train optimizer=sgd optimizer.lr=0.02 loss=focal callbacks=[ema,early_stopping]",
    "python -m medseg.train +model._target_=my_package.MyNet       your own network",
    "python -m medseg.train -m model=unet,convunext seed=0,1,2 experiment=first   a sweep of six runs",
    "python -m medseg.train -m +experiments=convunext/comparison hydra/launcher=ray     one job per GPU",
)


def train(cfg: DictConfig) -> RunFolder:
    """Run the job that `cfg` describes, or resume it, or show its scores when it is finished already.

    Returns the folder of the run.
    """
    plan = plan_run(cfg)
    # The further processes of a distributed run work under the lock of the first.
    with plan.folder.locked() if is_first_process() else nullcontext():
        if plan.folder.finished and not cfg.force:
            log.info("finished already, so not repeated (force=true repeats it)")
            warn_of_other_data(cfg, plan.folder)
        else:
            # Imported here, not above: torch and lightning take seconds, and nothing so far needs them.
            from medseg.training.job import run_job

            keep_freed_memory()
            run_job(cfg, plan)
    if is_first_process():
        print_run(plan.folder)
    return plan.folder


def warn_of_other_data(cfg: DictConfig, folder: RunFolder) -> None:
    """Say so when the user's own files have changed since a finished run was trained on them."""
    if "root" in cfg.data:
        from medseg.data.datasets import Folder
        from medseg.data.sources.finding import open_source

        now = open_source(Folder(), cfg.data.root).identity
        if now != read_json(folder.summary).get("source_identity"):
            log.warning("the files in %s have changed since; force=true trains on them anew", cfg.data.root)


COMMAND = Command(
    "train", train, SUMMARY, EXAMPLES, positional=("model", "data"), planner=plan_run, program=("medseg.train",)
)


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
