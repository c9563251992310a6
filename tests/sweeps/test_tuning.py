"""`protocol=tuned`: every setting has the same trials, the best values train its seeds, and nothing is done twice."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from medseg.commands.status import as_text
from medseg.errors import ConfigError, UserError
from medseg.runs.plan import plan_run
from medseg.runs.progress import read_progress
from medseg.runs.reading import read_runs
from medseg.runs.tuning import read_tuning
from medseg.sweeps.dry_run import forecast
from medseg.sweeps.launchers import BASIC
from medseg.sweeps.outcome import Outcome
from medseg.sweeps.planned_job import PlannedJob
from medseg.sweeps.tuning import Change, expected_jobs, tune
from medseg.system.files import write_csv
from tests.helpers import TINY, command, compose_config
from tests.sweeping import sweep

BEST = {"unet": 1e-3, "unext": 3e-3}
"""The learning rate that is best for a network, of those that are tried here."""


class Machine:
    """Plans jobs as a sweep does, and makes up their runs instead of training.

    Args:
        folder: of the runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trained: list[tuple[str, float]] = []
        self.rounds: list[int] = []
        self.ends: Callable[[str, float], str] = lambda model, lr: "trained"

    def sweep(self, *combinations: str) -> tuple[list[PlannedJob], list[Outcome]]:
        """Tune `model seed` of each combination, and train what comes of it."""
        jobs = self.plan([(*word.split(), "protocol=tuned") for word in combinations])
        chosen, unfinished = tune(jobs, self.plan, self.run)
        self.run(chosen)
        return chosen, unfinished

    def plan(self, combinations: Sequence[tuple[str, ...]], change: Change | None = None) -> list[PlannedJob]:
        jobs = []
        for words in combinations:
            cfg, hydra = (node.copy() for node in composed(words))
            cfg.runs_dir = str(self.folder)
            with read_write(hydra.overrides), read_write(hydra.runtime), open_dict(hydra.runtime):
                hydra.overrides.task, hydra.runtime.cwd = list(words), str(self.folder)
            if change is not None:
                change(cfg)
            jobs.append(PlannedJob(words, cfg, "", OmegaConf.create(), plan_run(cfg, hydra)))
        return jobs

    def run(self, jobs: Sequence[PlannedJob]) -> list[Outcome]:
        self.rounds.append(len(jobs))
        return [self.train(job) for job in jobs]

    def train(self, job: PlannedJob) -> Outcome:
        """Leave the folder that a training would leave: the nearer to the best learning rate, the better its Dice."""
        assert job.plan is not None
        folder, cfg = job.plan.folder, job.cfg
        model, lr, trial = job.plan.facts["model"], float(cfg.optimizer.lr), "trial" in cfg.tuning
        end = self.ends(model, lr) if trial else "trained"
        if trial:
            self.trained.append((model, lr))
            assert (cfg.seed, cfg.test, folder.path.parent.name) == (0, False, "tuning")
        folder.path.mkdir(parents=True, exist_ok=True)
        job.plan.write_record()
        if end in ("failed", "interrupted"):
            folder.set_state(end, error="a fault")
            return Outcome(job.name, end, "a fault")
        folder.config.write_text(OmegaConf.to_yaml(cfg, resolve=True))
        dice = 0.9 - abs(math.log10(lr / BEST[model])) / 10
        write_csv(folder.metrics, [{"epoch": n, "val/dice": dice - 0.1 * (n == 0), "seconds": 2} for n in range(4)])
        flags = {end: True} if end in ("pruned", "diverged") else {}
        folder.set_state("trained" if trial else "finished", **flags)
        return Outcome(job.name, "finished")


@functools.cache
def composed(words: tuple[str, ...]) -> tuple[DictConfig, Any]:
    """Compose a configuration, and Hydra's part of it, once: it takes half a second."""
    cfg = compose_config("train", *words, "logger=csv", "trainer.max_epochs=4")
    return cfg, HydraConfig.get()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def trials_of(job: PlannedJob) -> int:
    assert job.plan is not None
    tuning = read_tuning(job.plan.folder)
    return len(tuning.trials) if tuning else 0


def lr_of(job: PlannedJob) -> float:
    return float(job.cfg.optimizer.lr)


def test_each_network_gets_its_best_value_and_all_of_its_seeds(machine: Machine) -> None:
    chosen, unfinished = machine.sweep("model=unet seed=0", "model=unet seed=1", "model=unext seed=0")
    assert not unfinished
    assert machine.rounds == [6, 3], "all trials of a grid at once, then the seeds"
    assert sorted(machine.trained) == [(model, lr) for model in ("unet", "unext") for lr in (3e-4, 1e-3, 3e-3)]
    assert [(job.cfg.model._target_.rpartition(".")[2], lr_of(job), job.cfg.seed) for job in chosen] == [
        ("UNet", 1e-3, 0), ("UNet", 1e-3, 1), ("UNeXt", 3e-3, 0),
    ]  # fmt: skip
    plans = [job.plan for job in chosen if job.plan]
    assert len({plan.facts["setting"] for plan in plans}) == 2, "the seeds of a network are one setting"
    tuning = read_tuning(plans[2].folder)
    assert tuning is not None
    assert tuning.best.values == {"optimizer.lr": 3e-3}
    assert tuning.best.dice == pytest.approx(0.9)
    assert tuning.budget == {"trials": 3, "epochs": 4, "seed": 0, "pruning": "median"}
    assert [trial.epochs for trial in tuning.trials] == [4, 4, 4]
    assert tuning.seconds == 24
    assert tuning.at_edge == ("optimizer.lr",)
    # The trials are none of the runs, but where they are asked for.
    tree = read_runs(machine.folder / "main")
    assert (len(tree.runs), len(tree.trials)) == (3, 6)
    assert len(read_runs(machine.folder / "main" / "tuning")) == 6


def test_the_same_command_again_trains_nothing_and_a_wider_space_its_new_values_alone(machine: Machine) -> None:
    chosen, _ = machine.sweep("model=unet seed=0")
    before = list(machine.trained)
    again, _ = machine.sweep("model=unet seed=0")
    assert machine.trained == before
    assert again[0].name == chosen[0].name
    wider, _ = machine.sweep("model=unet seed=0 tuning.space.optimizer.lr=[1e-4,3e-4,1e-3,3e-3]")
    assert machine.trained == [*before, ("unet", 1e-4)]
    assert lr_of(wider[0]) == lr_of(chosen[0])
    assert wider[0].name == chosen[0].name, "the same values are the same run"
    assert [trials_of(job) for job in (chosen[0], wider[0])] == [4, 4], "which has the wider tuning"
    narrower, _ = machine.sweep("model=unet seed=0 tuning.space.optimizer.lr=[3e-4,1e-3]")
    assert (narrower[0].name, trials_of(narrower[0])) == (chosen[0].name, 4)
    others, _ = machine.sweep("model=unet seed=0 tuning.space.optimizer.lr=[3e-4,3e-3]")
    assert others[0].name != chosen[0].name, "other values are another run"


def test_jobs_with_two_spaces_are_tuned_each_and_the_same_run_is_trained_once(machine: Machine) -> None:
    words = "model=unet seed=0 tuning.space.optimizer.lr"
    jobs = machine.plan([(*f"{words}={values}".split(), "protocol=tuned") for values in ("[1e-3,1e-2]", "[1e-3]")])
    assert len({job.key for job in jobs}) == 2
    chosen, unfinished = tune(jobs, machine.plan, machine.run)
    assert not unfinished
    assert [lr_of(job) for job in chosen] == [1e-3]


def test_force_repeats_the_trials(machine: Machine) -> None:
    machine.sweep("model=unet seed=0")
    machine.sweep("model=unet seed=0 force=true")
    assert len(machine.trained) == 6
    machine.sweep("model=unet seed=0 force=true tuning.search=optuna tuning.trials=2")
    assert len(machine.trained) == 8, "each once"


def test_a_trial_that_fails_holds_up_its_own_setting_alone(machine: Machine) -> None:
    machine.ends = lambda model, lr: "failed" if (model, lr) == ("unet", 1e-3) else "trained"
    chosen, unfinished = machine.sweep("model=unet seed=0", "model=unet seed=1", "model=unext seed=0")
    assert [job.cfg.model._target_.rpartition(".")[2] for job in chosen] == ["UNeXt"]
    assert [outcome.state for outcome in unfinished] == ["failed", "waiting", "waiting"]
    assert "2 of 3 have ended" in unfinished[-1].error
    machine.ends = lambda model, lr: "trained"
    machine.trained.clear()
    chosen, unfinished = machine.sweep("model=unet seed=0", "model=unet seed=1", "model=unext seed=0")
    assert (len(chosen), unfinished) == (3, [])
    assert machine.trained == [("unet", 1e-3)]


def test_what_diverges_is_a_result_and_is_not_chosen(machine: Machine) -> None:
    machine.ends = lambda model, lr: "diverged" if lr > 5e-4 else "trained"
    chosen, _ = machine.sweep("model=unet seed=0")
    assert lr_of(chosen[0]) == 3e-4
    assert chosen[0].plan is not None
    tuning = read_tuning(chosen[0].plan.folder)
    assert tuning is not None
    assert [(trial.state, trial.dice is None) for trial in tuning.trials] == [
        ("trained", False), ("diverged", True), ("diverged", True),
    ]  # fmt: skip
    machine.ends = lambda model, lr: "diverged"
    chosen, (outcome,) = machine.sweep("model=unext seed=0")
    assert not chosen
    assert outcome.state == "failed"
    assert outcome.error == "no trial has a validation Dice (3 of 3 diverged): give another tuning.space"


@pytest.mark.parametrize(("sizes", "chosen_size"), [("[2,3]", 2), ("[2,8]", 8)])
def test_of_equal_trials_the_usual_one_is_chosen_else_the_first(
    sizes: str, chosen_size: int, machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    words = f"model=unet seed=0 tuning.space.optimizer.lr=[3e-3,1e-2] tuning.space.data.batch_size={sizes}"
    (job,), _ = machine.sweep(words)
    assert len(machine.trained) == 4
    assert composed(("model=unet",))[0].data.batch_size == 8
    assert (lr_of(job), job.cfg.data.batch_size) == (3e-3, chosen_size)
    assert job.plan is not None
    tuning = read_tuning(job.plan.folder)
    assert tuning is not None
    assert tuning.equal == 1
    assert "another trial is equal: validation did not tell their values apart" in caplog.text


def test_jobs_that_are_not_tuned_stay_as_they_are(machine: Machine) -> None:
    jobs = machine.plan([("model=unet", "protocol=tuned"), ("model=unet", "protocol=medseg")])
    chosen, _ = tune(jobs, machine.plan, machine.run)
    assert chosen[1] is jobs[1]
    assert chosen[0] is not jobs[0]


def test_factors_are_of_the_value_that_an_optimizer_has(machine: Machine) -> None:
    chosen, _ = machine.sweep("model=unet optimizer=sgd seed=0", "model=unet optimizer=adamw seed=0")
    assert sorted({lr for _, lr in machine.trained}) == [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
    assert [lr_of(job) for job in chosen] == [3e-3, 1e-3]


@pytest.mark.slow
def test_optuna_repeats_itself_and_no_trial(machine: Machine) -> None:
    words = (
        "model=unet seed=0 tuning.search=optuna tuning.trials=6 "
        "tuning.space.optimizer.lr={low:1e-5,high:1e-1,log:true} tuning.space.optimizer.weight_decay=[0,1e-2]"
    )
    machine.ends = lambda model, lr: "interrupted" if len(machine.trained) == 4 else "trained"
    chosen, unfinished = machine.sweep(words)
    assert not chosen
    assert [outcome.state for outcome in unfinished] == ["interrupted", "waiting"]
    machine.ends = lambda model, lr: "trained"
    chosen, unfinished = machine.sweep(words)
    assert not unfinished
    values = [lr for _, lr in machine.trained]
    assert values[0] == 1e-3, "the value without tuning comes first"
    assert values[4] == values[5], "the interrupted one was tried again"
    alone = Machine(machine.folder / "alone")
    again, _ = alone.sweep(words)
    assert [lr for _, lr in alone.trained] == values[:4] + values[5:]
    assert lr_of(again[0]) == lr_of(chosen[0])
    assert all(1e-5 <= lr <= 1e-1 for lr in values)


def test_optuna_tunes_networks_side_by_side(machine: Machine) -> None:
    words = "tuning.search=optuna tuning.trials=3 seed=0"
    chosen, _ = machine.sweep(f"model=unet {words}", f"model=unext {words}")
    assert machine.rounds[:3] == [2, 2, 2]
    assert len(chosen) == 2


def test_without_optuna_the_extra_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UserError, match=r"^tuning.search=optuna is not installed: pip install 'medseg\[optuna\]'$"):
        machine.sweep("model=unet seed=0 tuning.search=optuna")


def test_a_group_of_options_can_be_tuned(machine: Machine) -> None:
    (job,), _ = machine.sweep("model=unet seed=0 tuning.space.loss=[dice,ce_dice]")
    assert job.cfg.loss._target_.rpartition(".")[2] == "DiceLoss", "of equal ones the first"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "optimizer.lr=0.1",
            "'optimizer.lr=0.1': optimizer.lr is tuned; leave this out, or ~tuning.space.optimizer.lr",
        ),
        ("tuning.space.optimizer.nothing=[1,2]", "the configuration has no 'optimizer.nothing'"),
        ("tuning.space.loss._target_=[x3]", "multiplies a number"),
        ("tuning.space.optimizer.lr={low:x3,high:x1} tuning.search=optuna", "is empty"),
        ("tuning.space.optimizer.lr=[-1]", "optimizer.lr is -1; it must be a number from 0"),
        ("tuning.space.optimizer.lr=[x-1]", "tuning.space: optimizer.lr is 'x-1'"),
        ("tuning.space={}", "tuning.space is {}; it must have keys"),
        ("tuning=5", "tuning is 5; it must be null"),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_one_line(machine: Machine, words: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        machine.sweep(f"model=unet seed=0 {words}")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not machine.trained


def test_a_word_for_some_jobs_is_quoted_as_it_was_written(machine: Machine) -> None:
    jobs = machine.plan([("model=unet", "protocol=tuned", "optimizer.lr=0.5")])
    with pytest.raises(ConfigError, match=r"^'unet:optimizer.lr=0.5': optimizer.lr is tuned"):
        tune(jobs, machine.plan, machine.run, {"optimizer.lr": "unet:optimizer.lr=0.5"})


def test_the_status_has_the_trials_before_there_are_runs(machine: Machine) -> None:
    machine.ends = lambda model, lr: "failed" if lr > 1e-3 else "trained"
    machine.sweep("model=unet seed=0")
    text = as_text(read_progress([machine.folder / "main"]))
    assert "tuning: 3 trials: 1 failed, 2 trained; medseg status" in text
    assert text.splitlines()[-1] == "no runs yet: they follow when the trials of their settings have ended"


def test_a_dry_run_counts_no_checkpoints_of_trials(machine: Machine) -> None:
    expected = expected_jobs(machine.plan([("model=unet", "protocol=tuned")]), machine.plan)
    plan = forecast(expected, OmegaConf.create({"_target_": BASIC}))
    sizes = [job.bytes for job in plan.jobs]
    assert sizes[:3] == [0, 0, 0]
    assert sizes[3]
    ((folder, needed, _),) = plan.disks
    assert (folder, needed) == (machine.folder / "main", sizes[3])
    # A trial that has ended tells how large others become, and nothing of a run.
    machine.train(expected[0])
    assert expected[0].plan
    expected[0].plan.folder.environment.write_text('{"device": "cpu, 2 threads"}')
    later = [job.bytes for job in forecast(expected, OmegaConf.create({"_target_": BASIC})).jobs]
    assert later[0] is None
    assert later[1]
    assert later[3] == sizes[3]


def test_the_choice_is_in_the_configuration_and_beside_it(machine: Machine) -> None:
    (job,), _ = machine.sweep("model=unet seed=0 tuning.epochs=2")
    assert job.plan is not None
    (run,) = read_runs(machine.folder / "main")
    assert run.config["optimizer"]["lr"] == 1e-3
    assert run.config["trainer"]["max_epochs"] == 4
    assert run.config["tuning"]["epochs"] == 2
    content = json.loads(job.plan.folder.tuning.read_text())
    assert content["budget"]["epochs"] == 2
    names = {path.name for path in (machine.folder / "main" / "tuning").iterdir() if path.is_dir()}
    assert {trial["name"] for trial in content["trials"]} == names
    job.plan.folder.clear()
    assert job.plan.folder.tuning.exists(), "it is what a repeated run begins with"


def test_what_is_not_tuned_says_how(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add protocol=tuned"):
        compose_config("train", "tuning.space.optimizer.lr=[1]")
    cfg: DictConfig = compose_config("train", "protocol=tuned", "tuning=null")
    assert cfg.tuning is None


def test_a_dry_run_has_the_trials_and_what_follows(machine: Machine) -> None:
    words = ["model=unet seed=0", "model=unet seed=1", "model=unext seed=0 tuning.search=optuna tuning.trials=3"]
    jobs = machine.plan([(*word.split(), "protocol=tuned") for word in words])
    expected = expected_jobs(jobs, machine.plan)
    assert ["trial" in job.cfg.tuning for job in expected] == [True] * 6 + [False] * 3
    assert not machine.rounds
    assert not (machine.folder / "main").exists(), "nothing is written"
    chosen, _ = machine.sweep(*words)
    later = expected_jobs(jobs, machine.plan)
    assert [job.name for job in later[6:]] == [job.name for job in chosen]
    assert all(job.plan and job.plan.finished for job in later)


@pytest.mark.slow
def test_a_killed_trial_ends_no_other_and_the_same_command_goes_on(tmp_path: Path) -> None:
    # Two settings of two trials each; in one of them, each trial that gets to its second epoch is killed there.
    words = (
        "protocol=tuned", "tuning.space.optimizer.lr=[1e-3,1e-2]", "+callbacks.fault.what=kill,nothing", "seed=1",
    )  # fmt: skip
    done = sweep(tmp_path, *words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 3 jobs not finished of 4")
    trials = read_runs(tmp_path / "runs" / "swept" / "tuning")
    assert sorted((run.config["callbacks"]["fault"]["what"], run.state) for run in trials) == [
        ("kill", "failed"), ("kill", "failed"), ("nothing", "trained"), ("nothing", "trained"),
    ]  # fmt: skip
    assert not list(tmp_path.glob("runs/swept/tuning/*/test"))
    assert [run.state for run in read_runs(tmp_path / "runs" / "swept")] == ["finished"]
    shown = command("status", "runs/swept", cwd=tmp_path)
    assert "tuning: 4 trials: 2 failed, 2 trained; medseg status runs/swept/tuning lists them" in shown.stdout

    before = {run.name: run.status for run in trials if run.state == "trained"}
    again = sweep(tmp_path, *words, disarmed=True)
    assert again.returncode == 0, again.stderr
    trials = read_runs(tmp_path / "runs" / "swept" / "tuning")
    assert {run.name: run.status for run in trials if run.name in before} == before
    assert all(
        "resuming after an interruption" in run.files.log.read_text() for run in trials if run.name not in before
    )
    runs = read_runs(tmp_path / "runs" / "swept")
    assert [run.state for run in runs] == ["finished"] * 2
    chosen = [run.tuning.best.values["optimizer.lr"] for run in runs if run.tuning]
    assert chosen == [run.config["optimizer"]["lr"] for run in runs]
    assert len(set(chosen)) == 1, "as if nothing had happened"


@pytest.mark.slow
def test_a_single_run_is_tuned_without_a_multirun(tmp_path: Path) -> None:
    small = [word for word in TINY if not word.startswith(("data.image_size", "trainer.max_epochs"))]
    words = ("protocol=tuned", "tuning.space.optimizer.lr=[1e-3]", "data.image_size=32", "trainer.max_epochs=1")
    done = command("train", *small, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = read_runs(tmp_path / "runs" / "main")
    assert (run.state, run.tuning.count("trained") if run.tuning else 0) == ("finished", 1)
