"""Which run a configuration means: its name, its folder. Needs no torch, so a finished run is found fast."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg import config
from medseg.runs.folder import RunFolder
from medseg.runs.naming import model_name, run_name, setting_name
from medseg.runs.values import check_values


@dataclass(frozen=True)
class RunPlan:
    """A run before it begins.

    Args:
        folder: where it lies.
        record: what it is, as `run.json` says it: name, experiment, model, data, seed, fold, setting (what the runs of
            all seeds share), choices (group -> option), overrides (as given on the command line).
        repeated: whether it is to be done even where it is finished: by force, or to see if the user's files changed.
    """

    folder: RunFolder
    record: dict[str, Any]
    repeated: bool = False


def plan_run(cfg: DictConfig) -> RunPlan:
    """Plan the run that a composed training configuration means.

    Raises `ConfigError` for a plain value that is wrong.
    """
    check_values(cfg)
    choices: dict[str, str] = dict(HydraConfig.get().runtime.choices)
    defaults = config.usual_choices(choices["protocol"])
    settings: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    if settings["data"].get("root"):
        # The same folder, wherever the command is given.
        root = str(Path(settings["data"]["root"]).expanduser().resolve())
        settings["data"] |= {"root": root}
    place = Path(cfg.runs_dir).expanduser() / str(cfg.experiment)
    folder = RunFolder(place / run_name(settings, choices, defaults))
    record = {
        "name": folder.path.name,
        "experiment": str(cfg.experiment),
        "model": model_name(settings, choices),
        "data": choices["data"],
        "seed": settings["seed"],
        "fold": settings["data"].get("fold"),
        "setting": setting_name(settings, choices, defaults),
        "choices": {
            # `group@package` is another place for the same group.
            group.partition("@")[0]: as_plain(option)
            for group, option in choices.items()
            if option is not None and not group.startswith("hydra/")
        },
        "overrides": list(HydraConfig.get().overrides.task),
    }
    return RunPlan(folder, record, repeated=bool(cfg.force or settings["data"].get("root")))


def as_plain(choice: Any) -> Any:
    """Return what was chosen in a group: an option, several as a list."""
    return OmegaConf.to_container(choice) if OmegaConf.is_config(choice) else choice
