"""Run medseg's commands from tests: in this process where that is enough, in one of their own where it is not."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from medseg.config.checks.check import check
from medseg.config.overrides import normalize_overrides
from medseg.config.yaml_files import config_dir
from medseg.runs.folder import RunFolder
from tests.forking import run_forked

TINY = (
    "data.image_size=64",
    "data.dataset.count=20",
    "data.batch_size=4",
    "data.num_workers=0",
    "model=unet",
    "model.base_channels=4",
    "trainer=cpu",
    "trainer.max_epochs=2",
    "logger=csv",
)
"""A run of a second or two that goes through everything."""


def compose_config(name: str, *overrides: str, checked: bool = True) -> DictConfig:
    """Compose a command's configuration, and check it, as its command line would."""
    with initialize_config_dir(config_dir=str(config_dir()), version_base="1.3"):
        cfg = compose(name, overrides=normalize_overrides(list(overrides)), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    if checked:
        check(cfg, name)
    return cfg


def train(folder: Path, *overrides: str, tiny: bool = True) -> RunFolder:
    """Run `medseg.train` in this process, with data and runs below `folder`."""
    from medseg.commands import train as command

    places = (f"runs_dir={folder / 'runs'}", f"data_dir={folder / 'data'}")
    return command.train(compose_config("train", *(TINY if tiny else ()), *places, *overrides))


def command(name: str, *arguments: str, cwd: Path, timeout: float = 200) -> CompletedProcess[str]:
    """Run `medseg <name>` as a user would, in the folder `cwd`; forked, since its start takes seconds."""
    return run_forked("medseg", name, *arguments, cwd=cwd, timeout=timeout)
