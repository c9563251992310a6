"""`protocol=tuned`: the same budget of trials for every setting of a sweep, on training and validation images.

A trial is a job like any other, in `<experiment>/tuning/`. What has been tried is read from the folders of the trials,
so the same command goes on where it was, and a wider space repeats no trial.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf, open_dict

from medseg.config.tuning import is_searched, searched
from medseg.errors import ConfigError, count
from medseg.runs.folder import RunFolder
from medseg.runs.naming import canonical, digest, leaves
from medseg.runs.plan import RunPlan, settings_of
from medseg.runs.tuning import ENDED, FOLDER, Trial, Tuning, read_trial, read_tuning
from medseg.sweeps.outcome import GOOD, Outcome
from medseg.sweeps.planned_job import PlannedJob
from medseg.sweeps.search import Search, search_of
from medseg.sweeps.space import Space, Values, as_words, read_space, usual_values
from medseg.system.files import write_json

log = logging.getLogger(__name__)

Change = Callable[[DictConfig], None]
"""Changes a composed configuration before it is checked and planned."""

Run = Callable[[Sequence[PlannedJob]], list[Outcome]]
"""Runs jobs to their end."""


class Plan(Protocol):
    """Composes jobs from their overrides; those that mean the same run are one job."""

    def __call__(self, combinations: Sequence[tuple[str, ...]], change: Change | None = None) -> list[PlannedJob]: ...


@dataclass
class Study:
    """The trials of one setting: of all that the jobs of a sweep share but their seed.

    Args:
        jobs: of the setting, one for each seed.
        space: of the search.
        search: tells which values are tried.
        code: what trials that can be compared share: a digest of the setting without the tuned keys.
        trials: of the values that were asked for, in this order: their jobs.
        fresh: whether earlier trials are repeated (`force=true`).
        usual: the values without tuning.
        done: names of the trials that have ended in this sweep.
    """

    jobs: list[PlannedJob]
    space: Space
    search: Search
    code: str
    fresh: bool
    usual: Values
    trials: dict[str, tuple[Values, PlannedJob]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return str(plan_of(self.jobs[0]).facts["setting"])

    @property
    def tuning(self) -> Mapping[str, Any]:
        content: Any = OmegaConf.to_container(self.jobs[0].cfg.tuning, resolve=True)
        return dict(content)

    @property
    def epochs(self) -> int:
        """Of a trial."""
        return int(self.tuning.get("epochs") or self.jobs[0].cfg.trainer.max_epochs)

    @property
    def results(self) -> list[Trial]:
        """What the trials have come to."""
        return [read_trial(plan_of(job).folder, values) for values, job in self.trials.values()]

    def ended_trial(self, values: Values) -> Trial | None:
        """Return the trial of some values where it has ended, in this sweep if trials are repeated."""
        tried = self.trials.get(canonical(values))
        if tried is None or (self.fresh and tried[1].name not in self.done):
            return None
        trial = read_trial(plan_of(tried[1]).folder, values)
        return trial if trial.state in ENDED else None

    def as_usual(self, trial: Trial) -> int:
        """Count the values of a trial that are those without tuning."""
        return sum(canonical(trial.values[key]) == canonical(value) for key, value in self.usual.items())

    def as_trial(self, composed: DictConfig) -> None:
        """Make the configuration of a job that of a trial: no test, the seed and the epochs of the trials."""
        tuning = self.tuning
        with open_dict(composed):
            composed.experiment = f"{composed.experiment}/{FOLDER}"
            composed.seed, composed.test = tuning["seed"], False
            composed.trainer.max_epochs = composed.trainer.max_epochs if not tuning.get("epochs") else self.epochs
            composed.tuning = {"trial": self.code, "pruning": tuning.get("pruning")}

    def choice(self) -> tuple[Tuning | None, tuple[str, str]]:
        """Return the trial with the highest validation Dice, with all that led to it.

        Of equal ones, that with the most usual values is chosen, of these the first.

        Or None, with the state of the jobs and why they cannot be trained.
        """
        results = self.results
        if self.search.ask(self.ended_trial):
            ended = sum(trial.state in ENDED for trial in results)
            return None, ("waiting", f"waits for the trials of its setting: {ended} of {self.search.budget} have ended")
        scored = [number for number, trial in enumerate(results) if trial.dice is not None]
        if not scored:
            diverged = f"{sum(trial.state == 'diverged' for trial in results)} of {len(results)} diverged"
            return None, ("failed", f"no trial has a validation Dice ({diverged}): give another tuning.space")
        best = max(scored, key=lambda number: (results[number].dice or 0.0, self.as_usual(results[number]), -number))
        tuning = self.tuning
        budget = {
            "trials": self.search.budget,
            "epochs": self.epochs,
            "seed": tuning["seed"],
            "pruning": tuning.get("pruning"),
        }
        given = searched(tuning["space"])
        return Tuning(str(tuning["search"]), self.space, budget, results, best, given), ("", "")


def plan_of(job: PlannedJob) -> RunPlan:
    """Return the plan of a job, which every training has."""
    assert job.plan is not None
    return job.plan


def is_tuned(job: PlannedJob) -> bool:
    """Tell whether the settings of a job are to be tuned first."""
    return is_searched(OmegaConf.select(job.cfg, "tuning"))


def tune(
    jobs: Sequence[PlannedJob], plan: Plan, run: Run, written: Mapping[str, str] | None = None
) -> tuple[list[PlannedJob], list[Outcome]]:
    """Run the trials of jobs that are to be tuned; return the jobs with the chosen values.

    A setting whose trials have not all ended is left out: the outcomes of these and of its jobs are returned too.

    Args:
        jobs: of a sweep; those without tuning are returned as they are.
        plan: composes jobs.
        run: runs them.
        written: key -> word of the command line, of those that are for some of the jobs.

    Raises `UserError` before the first trial for a space that cannot be.
    """
    studies = group([job for job in jobs if is_tuned(job)], written or {})
    bad: list[Outcome] = []
    for study in studies:  # all of them before the first trial
        add_trials(study, plan)
    all_trials = count(sum(study.search.budget for study in studies), "trial")
    settings = count(len(studies), "setting")
    log.info("tuning: %s of %s, on training and validation images alone", all_trials, settings)
    waiting = list(studies)
    while waiting:
        due = [(study, several) for study in waiting if (several := add_trials(study, plan))]
        if not due:
            break
        outcomes = {outcome.job: outcome for outcome in run([job for _, several in due for job in several])}
        for study, several in due:
            study.done |= {job.name for job in several if outcomes[job.name].state in GOOD}
            bad += [outcomes[job.name] for job in several if job.name not in study.done]
        waiting = [study for study, several in due if study.done.issuperset(job.name for job in several)]
    chosen: dict[int, list[PlannedJob]] = {}
    for study in studies:
        choice, reason = study.choice()
        if choice is None:
            bad += [Outcome(job.name, *reason) for job in study.jobs]
            continue
        log.info("%s: %s", study.name, describe_choice(choice))
        ready = with_values(study, choice, plan)
        for job in ready:
            write_choice(plan_of(job), choice)
        chosen |= {id(old): [new] for old, new in zip(study.jobs, ready, strict=True)}
    ready = [new for job in jobs for new in (chosen.get(id(job), []) if is_tuned(job) else [job])]
    # Of two spaces, the same values may be chosen.
    return list({plan_of(job).identity: job for job in ready}.values()), bad


def expected_jobs(jobs: Sequence[PlannedJob], plan: Plan, written: Mapping[str, str] | None = None) -> list[PlannedJob]:
    """Return the jobs that a sweep runs, for a dry run: before those that are tuned, their trials; starts nothing.

    While values are not chosen yet, a job has the usual ones, and trials that Optuna has not suggested yet are like the
    next one.

    Raises `UserError` for a space that cannot be.
    """
    studies = group([job for job in jobs if is_tuned(job)], written or {})
    trials: list[PlannedJob] = []
    chosen: dict[int, PlannedJob] = {}
    for study in studies:
        add_trials(study, plan)
        planned = [job for _, job in study.trials.values()]
        trials += planned + planned[-1:] * (study.search.budget - len(planned))
        choice, _ = study.choice()
        if choice is not None:
            chosen |= {id(old): new for old, new in zip(study.jobs, with_values(study, choice, plan), strict=True)}
    if trials:
        log.info(
            "tuning: %s of %s first; the values of %d of the jobs after them are not chosen yet",
            count(len(trials), "trial"),
            count(len(studies), "setting"),
            sum(is_tuned(job) and id(job) not in chosen for job in jobs),
        )
    return [*trials, *(chosen.get(id(job), job) for job in jobs)]


def group(jobs: Sequence[PlannedJob], written: Mapping[str, str]) -> list[Study]:
    """Sort jobs by what they share but the seed.

    Raises `UserError` for a space that cannot be, and for a tuned key that the command line sets.
    """
    settings: dict[str, list[PlannedJob]] = {}
    for job in jobs:
        setting = plan_of(job).identity.removesuffix(f"-seed{plan_of(job).facts['seed']}")
        settings.setdefault(setting + job.key.removeprefix(plan_of(job).identity), []).append(job)
    return [make_study(several, written) for several in settings.values()]


def make_study(jobs: list[PlannedJob], written: Mapping[str, str]) -> Study:
    """Make the study of the jobs of a setting.

    Raises `UserError`.
    """
    cfg, plan = jobs[0].cfg, plan_of(jobs[0])
    space = read_space(cfg)
    for word in jobs[0].overrides:
        given = word.lstrip("+~").partition("=")[0]
        both = next((key for key in space if f"{key}.".startswith(f"{given}.") and "." in given), None)
        both = both or next((key for key in space if f"{given}.".startswith(f"{key}.")), None)
        if both is not None:
            raise ConfigError(f"'{written.get(given, word)}': {both} is tuned; leave this out, or ~tuning.space.{both}")
    tuning: Any = OmegaConf.to_container(cfg.tuning, resolve=True)
    fixed = {
        key: value
        for key, value in leaves(settings_of(cfg, plan.root)).items()
        if not key.startswith("tuning.") and not any(f"{key}.".startswith(f"{tuned}.") for tuned in space)
    }
    fixed["trainer.max_epochs"] = tuning.get("epochs") or fixed.get("trainer.max_epochs")
    code = digest({"fixed": fixed, "tuned": sorted(space)})
    usual = usual_values(cfg, space)
    return Study(jobs, space, search_of(tuning, space, usual), code, bool(cfg.force), usual)


def add_trials(study: Study, plan: Plan) -> list[PlannedJob]:
    """Plan the trials that are to be run next, and return their jobs; none where all have ended."""
    overrides = [word for word in study.jobs[0].overrides if word.lstrip("+").partition("=")[0] != "seed"]

    def plan_and_look_up(values: Values) -> Trial | None:
        key = canonical(values)
        if key not in study.trials:
            try:
                (job,) = plan([(*overrides, *as_words(values))], study.as_trial)
            except ConfigError as error:
                raise ConfigError(f"tuning.space: {error}") from error
            study.trials[key] = values, job
        return study.ended_trial(values)

    return [study.trials[canonical(values)][1] for values in study.search.ask(plan_and_look_up)]


def with_values(study: Study, choice: Tuning, plan: Plan) -> list[PlannedJob]:
    """Return the jobs of a setting with the chosen values."""
    words = as_words(dict(choice.best.values))
    return [job for old in study.jobs for job in plan([(*old.overrides, *words)])]


def describe_choice(choice: Tuning) -> str:
    """Say what was chosen, in one line."""
    words = " ".join(as_words(dict(choice.best.values)))
    tie = f"; {choice.tie}" if choice.equal else ""
    return (
        f"{words}, validation Dice {choice.best.dice or 0:.4f}, the best of {count(len(choice.trials), 'trial')}{tie}"
    )


def write_choice(plan: RunPlan, choice: Tuning) -> None:
    """Write `tuning.json` to the folder of a run; a finished one keeps its file where that has more trials.

    Raises `UserError` for a damaged one of a finished run.
    """
    folder = RunFolder(Path(plan.folder.path))
    earlier = read_tuning(folder) if folder.finished and not plan.cfg.force else None
    if earlier is None or len(earlier.trials) <= len(choice.trials):
        write_json(folder.tuning, choice.as_plain())
