"""Which run a configuration means: its name, its folder. Needs no torch, so a finished run is found fast."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg import config
from medseg.errors import UserError
from medseg.runs.defaults import Options, choices_of, deviations, options_of
from medseg.runs.files import read_json, write_json
from medseg.runs.folder import RunFolder
from medseg.runs.naming import digest, model_name, run_name, setting_name
from medseg.runs.same import Meaning, absolute, find_same, values_of
from medseg.runs.values import check_values


@dataclass(frozen=True)
class RunPlan:
    """A run before it begins.

    Args:
        folder: of the run.
        facts: what it is: name, experiment, model, data, seed, fold, setting (what the runs of all seeds share),
            choices and default_choices (group -> option), overrides (as given on the command line).
        repeated: whether it is to be done even where it is finished: by force, or to see if the user's files changed.
        cfg: the composed configuration, which must stay as it is.
        options: that it was composed of.
        root: absolute path of the user's own images; None for a published dataset.
        identity: equal for two plans in one experiment that mean the same run.
    """

    folder: RunFolder
    facts: Mapping[str, Any]
    repeated: bool
    cfg: DictConfig
    options: Options
    root: str | None
    identity: str

    @cached_property
    def record(self) -> dict[str, Any]:
        """What `run.json` holds, without the id: the facts, and `defaults`, the default of each key that deviates."""
        return {**self.facts, "defaults": deviations(self.cfg, self.options)}

    def write_record(self, run_id: str | None = None) -> None:
        """Write `run.json`, with this id or the one that is there, if any."""
        run_id = run_id or stored_id(self.folder)
        write_json(self.folder.record, ({} if run_id is None else {"id": run_id}) | self.record)


def plan_run(cfg: DictConfig) -> RunPlan:
    """Plan the run that a composed training configuration means.

    That is the run of the exact name, or else one of the same experiment that means the same (`medseg.runs.same`).

    Raises `ConfigError` for a plain value that is wrong.
    """
    check_values(cfg)
    hydra_config = HydraConfig.get()
    here = Path(hydra_config.runtime.cwd)
    choices: dict[str, str] = dict(hydra_config.runtime.choices)
    usual = config.usual_choices(choices["protocol"])
    root = absolute(cfg.data.root, here) if cfg.data.get("root") else None
    settings = settings_of(cfg, root)
    model = model_name(settings, choices)
    chosen = choices_of(hydra_config)
    options = options_of(hydra_config)
    parent = Path(cfg.runs_dir).expanduser() / str(cfg.experiment)
    folder = RunFolder(parent / run_name(settings, choices, usual))
    setting = setting_name(settings, choices, usual)

    @cache
    def meaning(num_classes: Any) -> Meaning:
        filled = cfg
        if settings["data"].get("num_classes") is None and num_classes is not None:
            filled = cfg.copy()
            filled.data.num_classes = num_classes
        return Meaning(values_of(settings_of(filled, root)), chosen, usual, frozenset(deviations(cfg, options)))

    if not (here / folder.path).is_dir():
        start = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{model}-{choices['data']}-")
        older = find_same(here / parent, start, f"-seed{settings['seed']}", meaning)
        if older is not None:
            folder = RunFolder(parent / older.path.name)
            setting = folder.path.name.removesuffix(f"-seed{settings['seed']}")
    facts = {
        "name": folder.path.name,
        "experiment": str(cfg.experiment),
        "model": model,
        "data": choices["data"],
        "seed": settings["seed"],
        "fold": settings["data"].get("fold"),
        "setting": setting,
        "choices": chosen,
        "default_choices": usual,
        "overrides": list(hydra_config.overrides.task),
    }
    return RunPlan(
        folder,
        facts,
        repeated=bool(cfg.force or root),
        cfg=cfg,
        options=options,
        root=root,
        identity=f"{parent}/{digest({**values_of(settings), 'seed': settings['seed']})}",
    )


def settings_of(cfg: DictConfig, root: str | None) -> dict[str, Any]:
    """Return a configuration with every value filled in, as plain dictionaries; `root`: absolute, of `data.root`."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    if root is not None:
        settings["data"]["root"] = root
    return settings


def new_id(start: str = "") -> str:
    """Make the id of a run that begins: 32 hexadecimal digits, the first ones given. A repeated run has another one."""
    return start + uuid.uuid4().hex[len(start) :]


def stored_id(folder: RunFolder) -> str | None:
    """Return the id of a run that has begun; None where it has none."""
    try:
        run_id = read_json(folder.record, optional=True).get("id")
    except UserError:
        return None
    return run_id if isinstance(run_id, str) else None
