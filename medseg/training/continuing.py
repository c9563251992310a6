"""A finished run that goes on for more epochs, as another run: `continue_from=RUN`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from omegaconf import DictConfig

from medseg.config.tuning import is_searched
from medseg.errors import ConfigError, UserError, count
from medseg.runs.equivalence import fill_in_defaults, find_equivalent
from medseg.runs.folder import RunFolder, find_run
from medseg.runs.naming import canonical, file_name
from medseg.runs.plan import RunPlan, are_other_weights, plan_run, weights_it_began_with
from medseg.runs.run import Run, read_run
from medseg.sweeps.space import as_words
from medseg.system.files import read_json, write_json

EPOCHS = "trainer.max_epochs"
MAY_DIFFER = re.compile(r"trainer\.max_epochs|continue_from|tuning(\..*)?")
"""Keys of settings that may be others; of a tuning, the values that it chose are compared."""


def plan_training(cfg: DictConfig, hydra_config: HydraConf) -> RunPlan:
    """Plan a run (`medseg.runs.plan.plan_run`), and check that the run that it goes on from or begins with is there.

    Raises `UserError`.
    """
    plan = plan_run(cfg, hydra_config)
    earlier_run(plan)
    check_initial_weights(plan)
    return plan


def check_initial_weights(plan: RunPlan) -> None:
    """Raise `UserError` where the `initial_weights` of a run that has not begun do not exist."""
    begins = plan.cfg.force or not (plan.folder.finished or plan.folder.last_checkpoint.exists())
    if plan.cfg.initial_weights is not None and begins:
        try:
            find_run(plan.cfg.initial_weights)
        except UserError as error:
            raise UserError(f"initial_weights={plan.cfg.initial_weights}: {error}") from None


def earlier_run(plan: RunPlan) -> RunFolder | None:
    """Return the run that `continue_from` names; None where it names none, or the planned run has gone on from it.

    Raises `UserError` for a run that is not finished, that had other settings or weights to begin with, or as many
    epochs, and where settings are to be tuned.
    """
    given = plan.cfg.continue_from
    if given is None:
        return None
    has_gone_on = not plan.cfg.force and (plan.folder.finished or plan.folder.last_checkpoint.exists())
    to_tune = is_searched(plan.cfg.tuning)
    if has_gone_on and not to_tune and not Path(given).expanduser().exists():
        return None
    folder = find_run(given)[0]
    run = read_run(folder.path)
    key = f"continue_from={given}"
    if to_tune:
        chosen = "" if run.tuning is None else f", and give {' '.join(as_words(dict(run.tuning.best.values)))}"
        raise ConfigError(f"{key}: the settings of this run are chosen already; leave out protocol=tuned{chosen}")
    if not folder.finished:
        raise ConfigError(f"{key}: this run is {run.state}; the command that began it goes on with it")
    here = plan.planned(run.settings)
    if run.seed != here.seed:
        raise ConfigError(f"{key}: this run has seed {run.seed}; give seed={run.seed}")
    one, other = fill_in_defaults([run, here])
    differing = [name for name in {**one, **other} if canonical(one.get(name)) != canonical(other.get(name))]
    differing = [name for name in differing if not MAY_DIFFER.fullmatch(name)]
    if differing:
        values = ", ".join(f"{name} was {one.get(name)} and is {other.get(name)}" for name in differing[:3])
        raise ConfigError(f"{key}: only the number of epochs may differ, but {values}")
    began = weights_it_began_with(folder)
    if are_other_weights(plan.cfg.initial_weights, began):
        raise ConfigError(f"{key}: this run began with initial_weights={began}; give it these")
    epochs = run.settings.get(EPOCHS)
    if not isinstance(epochs, int) or plan.cfg.trainer.max_epochs <= epochs:
        had = count(epochs, "epoch") if isinstance(epochs, int) else f"{epochs} epochs"
        raise ConfigError(f"{key}: this run has {had}; give {EPOCHS}=... with more")
    trained = run.summary.get("epochs", epochs)
    if trained < epochs:
        raise ConfigError(
            f"{key}: early stopping ended this run after {count(trained, 'epoch')}; a higher limit changes nothing"
        )
    return None if has_gone_on else folder


def copy_training(earlier: RunFolder, folder: RunFolder) -> None:
    """Copy the curves and checkpoints of a run to a new one, which then goes on as an interrupted run does."""
    folder.last_checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if earlier.pretrained.is_file():
        write_json(folder.pretrained, read_json(earlier.pretrained))
    # The last checkpoint comes last: with it the copy is whole.
    for source, target in (
        (earlier.metrics, folder.metrics),
        (earlier.best_checkpoint, folder.best_checkpoint),
        (earlier.last_checkpoint, folder.last_checkpoint),
    ):
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)


def find_shorter(plan: RunPlan) -> RunFolder | None:
    """Find a finished run of the same experiment that differs in nothing but fewer epochs; None where there is none."""

    def planned(stored: Mapping[str, Any]) -> Run:
        run, epochs = plan.planned(stored), stored.get(EPOCHS)
        shorter = isinstance(epochs, int) and epochs < run.settings[EPOCHS]
        return run.with_settings({**run.settings, EPOCHS: epochs}) if shorter else run

    start, end = file_name(f"{plan.facts['model']}-{plan.facts['data']}-"), f"-seed{plan.facts['seed']}"
    shorter = find_equivalent(plan.folder.path.parent, start, end, planned)
    if shorter is None or not shorter.finished:
        return None
    run = read_run(shorter.path)
    stopped_early = run.summary.get("epochs") != run.settings.get(EPOCHS)
    other_weights = are_other_weights(plan.cfg.initial_weights, weights_it_began_with(shorter))
    return None if stopped_early or other_weights else shorter
