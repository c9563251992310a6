"""`medseg evaluate`: score a saved checkpoint on any dataset and split."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import printable
from medseg.runs.folder import find_run
from medseg.runs.show import print_scores
from medseg.system.memory import keep_freed_memory
from medseg.system.process import is_first_process

SUMMARY = """
medseg evaluate scores a saved checkpoint. Everything the network needs is in the checkpoint; options that are not
given are those of the run, so that evaluating a run on its test split gives its scores again.
"""

EXAMPLES = (
    "medseg evaluate runs/main/convunext-kvasir-1a2b3c4d-seed0",
    "medseg evaluate RUN split=val",
    "medseg evaluate RUN data=isic data.source=~/Downloads   another dataset",
    "medseg evaluate RUN data=folder data.root=EXTERNAL   all images of another folder",
)


def evaluate(cfg: DictConfig) -> None:
    """Score the checkpoint that `cfg` names."""
    from medseg.reporting.evaluated import describe_interval
    from medseg.training.evaluation import evaluate_checkpoint

    keep_freed_memory()
    folder, summary = evaluate_checkpoint(cfg, list(HydraConfig.get().overrides.task))
    if is_first_process():
        print_scores(summary, find_run(cfg.checkpoint)[0].path.name)
        interval = describe_interval(folder)
        if interval:
            print(printable(interval))
        print(printable(f"scores: {folder}"))


COMMAND = Command("evaluate", evaluate, SUMMARY, EXAMPLES, positional=("checkpoint", "data"))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
