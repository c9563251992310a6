"""A logger: one line of JSON for each set of scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger


class JsonLines(Logger):
    """Write `metrics.jsonl`, which other programs can follow.

    Args:
        save_dir: a folder in that of the run; medseg gives it.
        name: of the run; medseg gives it.
    """

    def __init__(self, save_dir: str, name: str) -> None:
        super().__init__()
        self.file = Path(save_dir) / "metrics.jsonl"
        self.run = name

    @property
    def name(self) -> str:
        return self.run

    @property
    def version(self) -> None:
        return None

    def log_metrics(
        self, metrics: dict[str, float], step: int | None = None
    ) -> None:
        """Append a line."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The run's config.yaml has them."""
