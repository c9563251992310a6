"""`medseg train`, `python -m medseg.train`: prepare the data, train, select on validation, test once, keep the run."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.runs.folder import RunFolder
from medseg.runs.show import print_run
from medseg.sweeps.launchers import BASIC
from medseg.sweeps.planned_job import PlannedJob
from medseg.system.process import is_first_process
from medseg.training import start as training
from medseg.training.continuing import plan_training
from medseg.training.finished import check_finished

SUMMARY = """
medseg train trains a segmentation network: it prepares the data, trains, selects the best epoch on the
validation split, tests that once, and leaves a run folder with weights, scores, curves and pictures.
"""

EXAMPLES = (
    "python -m medseg.train                                        ConvUNeXt on drawn images, no download",
    "python -m medseg.train model=unet data=kvasir data.source=~/Downloads",
    "python -m medseg.train data=folder data.root=my_images trainer.max_epochs=50",
    "python -m medseg.train optimizer=sgd optimizer.lr=0.02 loss=focal callbacks=[ema,early_stopping]",
    "python -m medseg.train +model._target_=my_package.MyNet       a custom network",
    "python -m medseg.train -m model=unet,convunext seed=0,1,2 experiment=first   a sweep of six runs",
    "python -m medseg.train -m +experiments=convunext/comparison hydra/launcher=ray     one job per GPU",
    "python -m medseg.train -m model=unet,convunext seed=0,1,2 dry_run=true   its jobs, time and disk; starts nothing",
)


def train(cfg: DictConfig) -> RunFolder:
    """Run the job that `cfg` describes and print its scores; with `dry_run`, print what that would be.

    Returns the folder of the run.
    """
    plan = plan_training(cfg, HydraConfig.get())
    if cfg.dry_run:
        launcher = OmegaConf.create({"_target_": BASIC})
        dry_run([PlannedJob(tuple(plan.facts["overrides"]), cfg, "", launcher, plan)], launcher)
        return plan.folder
    folder = training.train(cfg, plan)
    if is_first_process():
        print_run(folder)
    return folder


def dry_run(jobs: Sequence[PlannedJob], launcher: DictConfig) -> None:
    """Print what jobs would do."""
    from medseg.commands.dry_run import show_dry_run  # not above: it looks into prepared data, which takes imports

    show_dry_run(jobs, launcher)


COMMAND = Command(
    "train",
    train,
    SUMMARY,
    EXAMPLES,
    positional=("model", "data"),
    planner=plan_training,
    program=("medseg.train",),
    dry_run=dry_run,
    check_finished=check_finished,
)


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
