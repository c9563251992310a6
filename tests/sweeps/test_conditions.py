"""Overrides for some jobs of a multirun only: a width of one network, a learning rate of one optimizer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from medseg.errors import ConfigError
from medseg.runs.reading import read_runs
from medseg.sweeps.conditions import Condition, read_conditions
from tests.forking import run_forked


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a multirun whose jobs write down their configuration instead of training."""
    return run_forked("tests.probe", *words, f"runs_dir={folder}", cwd=folder)


@pytest.mark.slow
def test_only_jobs_with_the_option_have_the_override(tmp_path: Path) -> None:
    done = sweep(
        tmp_path, "-m", "model=unet,mine", "optimizer=adamw,sgd", "unet:model.base_channels=8,16",
        "sgd:optimizer.lr=0.02", *own_network(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = read_runs([tmp_path / "main"]).runs
    settings = {
        (run.model, run.config["model"].get("base_channels"), run.choices["optimizer"], run.config["optimizer"]["lr"])
        for run in runs
    }
    assert len(runs) == 6
    assert settings == {
        ("unet", 8, "adamw", 0.001), ("unet", 16, "adamw", 0.001), ("unet", 8, "sgd", 0.02), ("unet", 16, "sgd", 0.02),
        ("mine", None, "adamw", 0.001), ("mine", None, "sgd", 0.02),
    }  # fmt: skip


@pytest.mark.slow
def test_of_several_options_each_counts_and_a_condition_may_choose_what_another_needs(tmp_path: Path) -> None:
    done = sweep(
        tmp_path, "-m", "model=unet", "callbacks=[ema,early_stopping],none", "ema:callbacks.ema.decay=0.5",
        "unet:optimizer=sgd", "sgd:optimizer.lr=0.02",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    runs = read_runs([tmp_path / "main"]).runs
    decays = sorted(str(run.config["callbacks"].get("ema", {}).get("decay")) for run in runs)
    assert decays == ["0.5", "None"]
    assert [run.config["optimizer"]["lr"] for run in runs] == [0.02, 0.02]


def own_network(folder: Path) -> list[str]:
    """Write a network without a width, as an option of the user's own."""
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "mine.yaml").write_text(
        "_target_: torch.nn.Conv2d\nin_channels: ${data.in_channels}\nout_channels: ${data.num_classes}\n"
        "kernel_size: 1\n"
    )
    return ["--config-dir", str(folder / "conf")]


@pytest.mark.slow
def test_a_sweep_in_a_file_takes_them_too(tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiments").mkdir(parents=True)
    (tmp_path / "conf" / "experiments" / "widths.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      model: unet,convunext\n"
        "      'unet:model.base_channels': 8,16\n"
    )
    done = sweep(tmp_path, "-m", "+experiments=widths", "--config-dir", str(tmp_path / "conf"))
    assert done.returncode == 0, done.stderr
    widths = sorted((run.model, run.config["model"]["base_channels"]) for run in read_runs([tmp_path / "main"]).runs)
    assert widths == [("convunext", 32), ("unet", 8), ("unet", 16)]
    # A part of the file's networks: what the file has for the others is ignored.
    done = sweep(tmp_path, "-m", "+experiments=widths", "--config-dir", str(tmp_path / "conf"), "model=convunext")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "model=unet,convunext", "sgd:optimizer.lr=1"], "'sgd:optimizer.lr=1': no job has the option 'sgd'"),
        (["model=unet", "unet:seed=1"], "'unet:seed=1' is for some jobs of a multirun: add -m"),
        (["-m", "model=unet,convunext", "unet:modle=1"], "unknown option 'modle'; did you mean 'model'?"),
        (["-m", "model=unet,convunext", "convunext:optimizer.lr=-3"], "optimizer.lr is -3"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first_job(words: list[str], message: str, tmp_path: Path) -> None:
    done = sweep(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert f"error: {message}" in done.stderr
    assert not (tmp_path / "main").exists()


def test_which_words_are_for_some_jobs() -> None:
    words = ["unet:model.base_channels=8", "optimizer=sgd:optimizer.lr=1", "+x.y='a:b=c'", "data.root=C:/a=b"]
    plain, conditions = read_conditions([*words, "sgd:+a.b=1", "sgd:~seed"])
    assert plain == ["+x.y='a:b=c'", "data.root=C:/a=b"]
    assert [(each.group, each.option, each.override) for each in conditions] == [
        ("model", "unet", "model.base_channels=8"), ("optimizer", "sgd", "optimizer.lr=1"), (None, "sgd", "+a.b=1"),
        (None, "sgd", "~seed"),
    ]  # fmt: skip
    assert Condition("", None, "sgd", "").applies({"optimizer": "sgd"})
    assert not Condition("", "model", "sgd", "").applies({"optimizer": "sgd"})


def test_an_option_of_several_groups_needs_its_group() -> None:
    with pytest.raises(ConfigError, match=r"metrics and scheduler have an option 'none'; write augmentation=none:"):
        read_conditions(["none:seed=1"])
