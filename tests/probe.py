"""A command that is like `medseg.train`, but writes down the configuration that it is given instead of training."""

from __future__ import annotations

import os
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.runs.plan import plan_run


def probe(cfg: DictConfig) -> None:
    """Leave a finished run with its configuration; the first job spoils the file that SPOIL names."""
    plan = plan_run(cfg, HydraConfig.get())
    with plan.folder.locked():
        plan.folder.path.mkdir(parents=True, exist_ok=True)
        plan.write_record()
        plan.folder.config.write_text(OmegaConf.to_yaml(cfg, resolve=True))
        plan.folder.set_state("finished", variable=os.environ.get("PROBE"))
    if "SPOIL" in os.environ:
        Path(os.environ["SPOIL"]).write_text("nonsense: true\n")


if __name__ == "__main__":
    run_command(Command("train", probe, planner=plan_run, program=("tests.probe",)))
