"""Which run a configuration means: its name, its folder. Needs no torch, so a finished run is recognised fast."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from medseg.config import yaml_files
from medseg.config.checks.data import groups_table, is_url
from medseg.config.encoders import full_encoder_name, kind_of
from medseg.config.tuning import is_trial
from medseg.errors import UserError
from medseg.runs.defaults import Options, choices_of, deviations, options_of
from medseg.runs.equivalence import find_equivalent
from medseg.runs.folder import RunFolder
from medseg.runs.naming import canonical, file_in_run, file_name, leaves, model_name, run_name
from medseg.runs.run import Run, from_record
from medseg.system.files import read_json, read_yaml, write_json

SMP_NETWORK = "medseg.models.SMPNetwork"
"""The class whose encoders can be written in two ways."""


@dataclass(frozen=True)
class RunPlan:
    """A run before it begins.

    Args:
        folder: of the run.
        facts: what it is: name, experiment, model, data, seed, fold, setting (what the runs of all seeds share),
            choices and default_choices (group -> option), overrides (as given on the command line); of a trial of a
            tuning, what those that it is compared with share.
        started_again: whether its job is started although it is finished: by force, or to see if the user's files
            changed.
        cfg: the composed configuration, which must stay as it is.
        options: that it was composed of.
        root: absolute path of the user's images; None for a published dataset.
        identity: equal for two plans in one experiment that mean the same run.
        planned: returns the run as it would be stored beside one that has these settings.
    """

    folder: RunFolder
    facts: Mapping[str, Any]
    started_again: bool
    cfg: DictConfig
    options: Options
    root: str | None
    identity: str
    planned: Callable[[Mapping[str, Any]], Run]

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do; one that was trained with `test=false` may have to be tested now."""
        status = self.folder.status
        state, to_test = status.get("state"), self.cfg.test and status.get("untested")
        return state == "finished" or (state == "trained" and not to_test)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What `run.json` holds, without the id: the facts, and `defaults`, the default of each key that deviates."""
        return {**self.facts, "defaults": deviations(self.cfg, self.options)}

    def write_record(self, run_id: str | None = None) -> None:
        """Write `run.json`, with this id or the one that is there, if any."""
        run_id = run_id or stored_id(self.folder)
        write_json(self.folder.record, ({} if run_id is None else {"id": run_id}) | self.record)


def plan_run(cfg: DictConfig, hydra_config: HydraConf) -> RunPlan:
    """Plan the run that a composed training configuration means.

    That is the run of the exact name, or else one of the same experiment with equivalent settings (`equivalence`).

    Args:
        cfg: the configuration.
        hydra_config: Hydra's part of it: the choices, the overrides, the folder that paths are relative to.

    Raises `UserError` where a file is where the folder of the runs is to be.
    """
    here = Path(hydra_config.runtime.cwd)
    choices: dict[str, str] = dict(hydra_config.runtime.choices)
    usual = yaml_files.usual_choices(choices["protocol"])
    root = absolute(cfg.data.root, here) if cfg.data.get("root") else None
    settings = settings_of(cfg, root)
    options = options_of(hydra_config)
    parent = Path(cfg.runs_dir).expanduser() / str(cfg.experiment)
    check_parent(here / parent)
    name, end = run_name(settings, choices, usual), f"-seed{settings['seed']}"
    facts = {
        "name": name,
        "experiment": str(cfg.experiment),
        "model": model_name(settings, choices),
        "data": choices["data"],
        "seed": settings["seed"],
        "fold": settings["data"].get("fold"),
        "setting": name.removesuffix(end),
        **({"trial": cfg.tuning.trial} if is_trial(cfg.tuning) else {}),
        "choices": choices_of(hydra_config),
        "default_choices": usual,
        "overrides": list(hydra_config.overrides.task),
    }

    @cache
    def with_classes(num_classes: Any) -> Run:
        """Return what is planned as a run of which this number of classes was detected in the data."""
        filled = cfg.copy()
        if filled.data.get("num_classes") is None:
            filled.data.num_classes = num_classes
        run = from_record(here / parent / name, {**facts, "defaults": deviations(cfg, options)}, {})
        return run.with_settings(leaves(settings_of(filled, root)))

    def planned(stored: Mapping[str, Any]) -> Run:
        run, paths = with_classes(stored.get("data.num_classes")), {}
        for key, path in (("data.root", root), ("initial_weights", settings["initial_weights"])):
            written = stored.get(key)  # relative in runs of older versions
            if path is not None and written is not None and absolute(str(written), here) == path:
                paths[key] = written
        return run.with_settings({**run.settings, **paths}) if paths else run

    if not (here / parent / name).is_dir():
        start = file_name(f"{facts['model']}-{choices['data']}-")
        older = find_equivalent(here / parent, start, end, planned)
        if older is not None:
            facts |= {"name": older.path.name, "setting": older.path.name.removesuffix(end)}
    return RunPlan(
        RunFolder(parent / facts["name"]),
        facts,
        started_again=bool(cfg.force or root),
        cfg=cfg,
        options=options,
        root=root,
        identity=f"{parent}/{canonical(leaves(settings))}{end}",
        planned=planned,
    )


def check_parent(folder: Path) -> None:
    """Raise `UserError` where a folder of runs cannot be made, since it, or one that it is in, is a file."""
    nearest = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if nearest is not None and not nearest.is_dir():
        raise UserError(f"{nearest}: a file, where a folder of runs is needed; choose another one with runs_dir=DIR")


def settings_of(cfg: DictConfig, root: str | None) -> dict[str, Any]:
    """Return a configuration with every value filled in, as plain dictionaries, and the user's paths absolute.

    What can be written in two ways is written in one: an encoder of timm's with its mark. `root`: of `data.root`.
    """
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    data, model = settings["data"], settings["model"]
    if root is not None:
        data["root"] = root
    if isinstance(begins_with := settings.get("initial_weights"), str):
        settings["initial_weights"] = path_of_weights(begins_with)
    weights = model.get("encoder_weights")
    if isinstance(weights, str) and kind_of(weights) == "file":
        model["encoder_weights"] = absolute(weights, Path.cwd())
    if model.get("_target_") == SMP_NETWORK and isinstance(model.get("encoder_name"), str):
        model["encoder_name"] = full_encoder_name(model["encoder_name"])
    table = groups_table(data.get("groups") or "")
    if table is not None:
        data["groups"] = f"{absolute(table[0], Path.cwd())}:{table[1]}"
    for group, key in ((settings, "data_dir"), (data, "data_dir"), (data, "source"), (data, "metadata")):
        if group.get(key) and not is_url(group[key]):
            group[key] = absolute(group[key], Path.cwd())
    return settings


def path_of_weights(given: str) -> str:
    """Return the path of `initial_weights` as a configuration holds it: absolute, but as given for those in a run."""
    return given if file_in_run(given) else absolute(given, Path.cwd())


def weights_it_began_with(folder: RunFolder) -> str | None:
    """Return the `initial_weights` of the run in a folder; None without, and where no run has begun."""
    began = read_yaml(folder.config, optional=True).get("initial_weights")
    return None if began is None else str(began)


def are_other_weights(given: str | None, began: str | None) -> bool:
    """Whether a run began with other `initial_weights` than those that are given now; not so where one has none.

    Runs that begin with those of other seeds share their name. A path may be another one of the same file.
    """
    if given is None or began is None:
        return False
    one, other = map(path_of_weights, (given, began))
    return (file_in_run(one) or one) != (file_in_run(other) or other)


def absolute(path: str | Path, base: Path) -> str:
    """Return a path that is the same wherever a command is given; a relative one is below `base`."""
    return os.path.realpath(base / Path(path).expanduser())  # resolve() raises where links lead in a circle


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
