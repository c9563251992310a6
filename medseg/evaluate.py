"""`python -m medseg.evaluate`: score a saved checkpoint on any dataset and split."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.allocation import keep_freed_memory
from medseg.cli import run_command

SUMMARY = """
medseg.evaluate scores a saved checkpoint. Everything the checkpoint needs travels in it; what is not said here is
as it was in its run, so that evaluating a run on its own test split gives its own scores.
"""

EXAMPLES = (
    "python -m medseg.evaluate checkpoint=runs/main/convunext-kvasir-1a2b3c4d-seed0",
    "python -m medseg.evaluate checkpoint=RUN split=val",
    "python -m medseg.evaluate checkpoint=RUN data=isic data.source=~/Downloads   another dataset",
)


def evaluate(cfg: DictConfig) -> None:
    """Score the checkpoint that `cfg` names."""
    from medseg.training.evaluation import evaluate_checkpoint

    keep_freed_memory()
    evaluate_checkpoint(cfg)


def main() -> None:
    """Start from the command line."""
    run_command(evaluate, config_name="evaluate", module="medseg.evaluate", summary=SUMMARY, examples=EXAMPLES)


if __name__ == "__main__":
    main()
