"""A command for sweeps whose jobs say which GPUs they were given: `python -m tests.gpu_witness`, composed as training.

Below `runs_dir` each job keeps a file with its GPUs and from when to when it had them.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from tests.sweeping import wait_until


def witness(cfg: DictConfig) -> None:
    """Hold the GPUs until `callbacks.witness.together` jobs have held theirs, and a moment more, for others to err."""
    folder, together = Path(cfg.runs_dir), cfg.callbacks.witness.together
    seen = {"devices": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "from": time.time()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{cfg.seed}.begun").touch()
    wait_until(lambda: len(list(folder.glob("*.begun"))) >= together, f"{together} jobs at a time", seconds=60)
    time.sleep(0.5)
    (folder / f"{cfg.seed}.json").write_text(json.dumps({**seen, "to": time.time()}))


def main() -> None:
    run_command(Command("train", witness, program=("tests.gpu_witness",)))


if __name__ == "__main__":
    main()
