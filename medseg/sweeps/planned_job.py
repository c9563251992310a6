"""A job before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.config.tuning import is_searched
from medseg.runs.naming import canonical
from medseg.runs.plan import RunPlan


@dataclass(frozen=True)
class PlannedJob:
    """A job before it begins: its overrides, its configuration, also packed for its process, the run it means."""

    overrides: tuple[str, ...]
    cfg: DictConfig
    packed: str
    launcher: DictConfig
    plan: RunPlan | None

    @property
    def name(self) -> str:
        return self.plan.folder.path.name if self.plan else " ".join(self.overrides)

    @property
    def key(self) -> str:
        """What no two jobs share: the run that it means, and what its settings are to be chosen from."""
        if self.plan is None:
            return self.name
        tuning: Any = OmegaConf.to_container(self.cfg.tuning, resolve=True) if self.cfg.get("tuning") else None
        return f"{self.plan.identity} {canonical(tuning)}" if is_searched(tuning) else self.plan.identity
