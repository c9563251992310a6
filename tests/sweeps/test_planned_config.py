"""A job is the configuration that its sweep planned, whatever chose it; what it cannot be is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from medseg.config.yaml_files import config_dir
from medseg.errors import ConfigError
from medseg.runs.folder import RunFolder
from medseg.sweeps.options import check_options, check_sweeper
from medseg.sweeps.planned_config import pack, resolve_values, unpack
from tests.forking import run_forked
from tests.helpers import compose_config

SMALL = """
_target_: medseg.models.UNet
in_channels: ${data.in_channels}
num_classes: ${data.num_classes}
base_channels: 4
"""

OWN = """
defaults:
  - train
  - _self_
  - override hydra/job_logging: none
  - override hydra/hydra_logging: none
optimizer: {lr: 0.5}
hydra: {sweeper: {params: {seed: "3,4"}}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with configuration files of a user's own."""
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "small.yaml").write_text(SMALL)
    (tmp_path / "mine" / "own.yaml").write_text(OWN)
    return tmp_path


def sweep(place: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_forked("tests.probe", *arguments, cwd=place, **variables)


def runs_of(place: Path) -> list[tuple[RunFolder, Any]]:
    """List the planned runs of the one experiment that there is, each with the configuration that its job was given."""
    (file,) = place.glob("runs/*/sweep.json")
    runs = [RunFolder(file.parent / job["name"]) for job in json.loads(file.read_text())["jobs"]]
    assert sorted(run.path for run in runs) == sorted(path.parent for path in file.parent.glob("*/config.yaml"))
    return [(run, OmegaConf.load(run.config)) for run in runs]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "--config-dir", "mine", "model=small", "seed=0,1"], {"model.base_channels": 4}),
        (["-m", "-cd", "mine", "-cn", "own", "model=small"], {"optimizer.lr": 0.5, "model.base_channels": 4}),
        (["-m", "--config-path", "PLACE/other", "model=unet", "seed=0,1"], {"optimizer.lr": 0.25}),
        (["-m", "hydra.searchpath=[file://mine]", "model=small", "seed=0,1"], {"model.base_channels": 4}),
        (["-m", '+hydra.sweeper.params.seed="0,1"', "optimizer.lr=3"], {"optimizer.lr": 3}),
        (["hydra.mode=MULTIRUN", "hydra/launcher=basic", "optimizer.lr=2", "seed=0,1"], {"optimizer.lr": 2}),
        (["-m", "hydra.sweeper.max_batch_size=1", "experiment=t${now:%S%f}", "seed=0,1"], {"optimizer.lr": 0.001}),
        (["-m", "experiment=${hydra:runtime.choices.optimizer}", "seed=0,1"], {"experiment": "adamw"}),
    ],
)
def test_whatever_chose_it(arguments: list[str], expected: dict[str, Any], place: Path) -> None:
    shutil.copytree(config_dir(), place / "other")
    optimizer = place / "other" / "optimizer" / "adamw.yaml"
    optimizer.write_text(optimizer.read_text().replace("lr: 1e-3", "lr: 0.25"))
    done = sweep(place, *(word.replace("PLACE", str(place)) for word in arguments))
    assert done.returncode == 0, done.stderr
    runs = runs_of(place)
    assert len({cfg.seed for _, cfg in runs}) == 2
    for run, cfg in runs:
        assert run.finished
        assert {key: OmegaConf.select(cfg, key) for key in expected} == expected


def test_a_file_that_changes_while_the_sweep_runs_changes_nothing(place: Path) -> None:
    file = place / "mine" / "optimizer" / "quick.yaml"
    file.parent.mkdir()
    file.write_text("_target_: torch.optim.SGD\n_partial_: true\nlr: 0.25\n")
    arguments = ("-m", "--config-dir", "mine", "model=unet", "optimizer=quick", "seed=0,1")
    done = sweep(place, *arguments, SPOIL=str(file))
    assert done.returncode == 0, done.stderr
    assert [(cfg.seed, cfg.optimizer.lr) for _, cfg in runs_of(place)] == [(0, 0.25), (1, 0.25)]


def test_variables_reach_the_jobs(place: Path) -> None:
    done = sweep(place, "-m", "+hydra.job.env_set.PROBE=set", "seed=0", "experiment=${oc.env:NAME}", NAME="named")
    assert done.returncode == 0, done.stderr
    ((run, _),) = runs_of(place)
    assert (run.path.parent.name, run.status["variable"]) == ("named", "set")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "experiment=${hydra:job.num}"], "${hydra:job.num}: the number of a job is not known"),
        (["-m", "hydra.job.chdir=true"], "hydra.job.chdir=true: a job works in the folder"),
        (["-m", "--experimental-rerun", "x.pickle"], "--experimental-rerun: such a file is a pickle"),
    ],
)
def test_what_a_job_cannot_be_is_refused(arguments: list[str], message: str, place: Path) -> None:
    done = sweep(place, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--experimental-r", "x"], "is a pickle"),
        (["-m", "--package", "model"], "--package changes how --cfg shows"),
        (["-m", "--resolve"], "--resolve changes how --cfg shows"),
        (["-m", "--cfg", "job"], "--multirun and --cfg cannot be given together"),
        (["-r", "-m"], "--run and --multirun cannot"),
        (["-m", "-cn", "evaluate"], "--config-name evaluate: that is another command"),
        (["-m", "hydra.sweeper._target_=a.B"], "choose by its name"),
        (["-m", "+hydra.launcher._target_=a.B"], "choose by its name"),
    ],
)
def test_options_that_a_command_cannot_follow(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_options(arguments, "train")


def test_options_that_it_can_follow() -> None:
    for arguments in (["--cfg", "job", "--package", "model"], ["-m", "-cn", "train"], ["-cn", "mine"], ["seed=0"]):
        check_options(arguments, "train")


def test_another_sweeper_is_refused() -> None:
    compose_config("train", "hydra.mode=RUN")
    check_sweeper()
    compose_config("train", "hydra.mode=MULTIRUN")
    with pytest.raises(ConfigError, match="basic sweeper"):
        check_sweeper()


def test_a_configuration_arrives_as_it_was() -> None:
    words = (
        "optimizer.lr=1e-5", "+data.names={0: a, 1.5: b}", "+data.text='007'", "+data.word='yes'", "+data.empty=''",
        "+data.sign='a: \"b\" \\' #'", "+data.nothing=null", "+data.huge=inf", "data.image_size=[64, 96]",
    )  # fmt: skip
    cfg = compose_config("train", *words)
    with open_dict(full := cfg.copy()):
        full.hydra = HydraConfig.get()
    resolve_values(full)
    arrived = unpack(pack(full).partition("'")[2].rstrip("'"))
    assert arrived.hydra.overrides.task == HydraConfig.get().overrides.task
    assert arrived.hydra.runtime == HydraConfig.get().runtime
    del arrived["hydra"]
    for key in ("runs_dir", "data_dir", "logger"):  # the environment decides these, which may be another one later
        assert "${oc.env" in str(cfg._get_node(key))
        assert "${oc.env" not in str(arrived._get_node(key))
    as_planned, as_arrived = (OmegaConf.to_container(one, resolve=True) for one in (cfg, arrived))
    assert as_arrived == as_planned
