"""What a logger gets of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.runs.naming import flatten, is_ignored
from medseg.system.files import read_csv


@dataclass(frozen=True)
class RunInfo:
    """A run, as loggers see it.

    Args:
        folder: of the run.
        record: what it is, as in `run.json`.
        id: of the run, 32 hexadecimal digits, the same when it is resumed.
        config: the composed configuration, resolved.
        resumed: whether this is an interrupted run that goes on.
        first_step: optimizer steps that are done already, in this run or in the one that it continues.
        logger_id: id that the logger itself gave to the run before the interruption; None where there is none.
    """

    folder: Path
    record: Mapping[str, Any]
    id: str
    config: Mapping[str, Any]
    resumed: bool = False
    first_step: int = 0
    logger_id: str | None = None

    @property
    def title(self) -> str:
        """Name of the run without its hash, such as `unet-kvasir-fold1-seed0`; runs of other settings may share it."""
        setting = re.sub(r"-[0-9a-f]{8}$", "", str(self.record["setting"]))
        return f"{setting}-seed{self.record['seed']}"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The whole configuration, nested, and what the run is under `run`."""
        return {**self.config, "run": dict(self.record)}

    @property
    def settings(self) -> dict[str, Any]:
        """What tells runs apart, flat: the option of each group, the seed, what was given or is no default.

        Such as `{"model": "unet", "data": "kvasir", ..., "seed": 0, "optimizer.lr": 0.01}`.
        """
        chosen = {group: plain(option) for group, option in self.record["choices"].items() if not is_ignored(group)}
        given = {re.split("=|@", word.lstrip("+~"))[0] for word in self.record.get("overrides", ())}
        shown = {"seed", *given, *self.record.get("defaults", ())}
        values = {
            key: plain(value)
            for key, value in flatten(self.config).items()
            if key in shown and value is not None and (key == "seed" or not is_ignored(key))
        }
        return chosen | values

    @property
    def last_step(self) -> int:
        """Optimizer steps at the end of the training so far, as `metrics.csv` has them."""
        file = self.folder / "metrics.csv"
        rows = read_csv(file) if file.is_file() else []
        return int(rows[-1]["step"]) if rows else self.first_step


def plain(value: Any) -> str | float | bool:
    """Return a value as loggers take it: numbers, switches and texts as they are, others as text."""
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return value if isinstance(value, str | int | float | bool) else str(value)
