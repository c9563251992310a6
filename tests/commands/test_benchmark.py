"""`medseg benchmark`: which networks it measures, what it refuses, and the files it writes."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from medseg.commands import benchmark as command_module
from medseg.config.overrides import add_keys
from tests.benchmarking.networks import QUICK, setting, settings
from tests.helpers import command, compose_config
from tests.networks import OneConv


# Settings.
def test_settings_of_several_networks() -> None:
    words = ("models=[unet,'unet model.base_channels=8 model.norm=group',convunext]", "model.base_channels=16")
    found = settings(*words, *QUICK, "in_channels=1", "num_classes=4", "loss=dice")
    assert [one.model for one in found] == ["unet", "unet", "convunext"]
    assert [one.arguments["base_channels"] for one in found] == [16, 8, 16]
    assert found[1].title == "unet model.base_channels=8 model.norm=group model.base_channels=16"
    assert found[0].overrides == ("model=unet", "model.base_channels=16")
    for one in found:
        assert (one.in_channels, one.num_classes, one.loss, one.optimizer) == (1, 4, "dice", "adamw")
        assert (one.arguments["in_channels"], one.arguments["num_classes"]) == (1, 4)
        assert (one.image_size, one.batch_size, one.precision) == ((32, 32), 2, "auto")


def test_arguments_are_those_of_a_run() -> None:
    (found,) = settings("model=amsunet", "image_size=[48,64]")
    cfg = compose_config("train", "model=amsunet", "data.num_classes=2")
    assert found.arguments == OmegaConf.to_container(cfg, resolve=True)["model"]
    assert found.image_size == (48, 64)


def test_names_tell_networks_of_one_option_apart() -> None:
    (found,) = settings("model=smp", "model.encoder_name=resnet18")
    assert found.model == "smp_unet_resnet18"
    assert setting(OneConv).model == "OneConv"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["models=[unet,convunex]"], "unknown model 'convunex'; did you mean 'convunext'"),
        (["models=[unet]", "model=convunext"], "give model=... or models=[...], not both"),
        (["models=unet"], "models is 'unet'; it must be null or a list, models=[unet,convunext]"),
        (["models=[unet,unext]", "model.base_channels=8"], "unknown option 'model.base_channels'"),
        (["image_size=[1,2,3]"], "it must be a number of pixels, or [height, width]"),
        (["batch_size=0"], "batch_size is 0; it must be a whole number from 1"),
        (["inference_batch_size=0"], "inference_batch_size is 0; it must be null or a whole number from 1"),
        (["models=[unet,'unet model.base_channels=0']"], "model.base_channels is 0; it must be a whole number from 1"),
        (["repeats=1.5"], "repeats is 1.5; it must be a whole number from 1"),
        (["seconds=0"], "seconds is 0; it must be a number above 0"),
        (["compile=maybe"], "compile is 'maybe'; it must be true or false"),
        (["trainer=ddp"], "a benchmark measures one device"),
        (["experiment=../there"], "it must be the name of a folder below runs_dir"),
    ],
)
def test_a_wrong_word_gets_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    done = command("benchmark", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (error,) = done.stderr.splitlines()
    assert message in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", command_module.EXAMPLES)
def test_shown_commands_compose(line: str) -> None:
    words = add_keys(shlex.split(line.partition("      ")[0])[2:], command_module.COMMAND.positional, "benchmark")
    assert settings(*words)
    command_module.check(compose_config("benchmark", *words))


# The command.
@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    """A small network is faster than a large one, one too many for the size fails alone, one is killed."""
    models = "models=[unext_s,'unet model.base_channels=4','unet model.base_channels=32',convunext,'custom +{}']"
    killed = models.format("model._target_=tests.benchmarking.networks.Killed")
    done = command("benchmark", killed, *QUICK, "experiment=study", cwd=tmp_path)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.lower().startswith("error")]
    assert len(errors) == 3
    assert "ConvUNeXt needs images of at least 64 x 64" in errors[0]
    assert "Killed +model._target_=tests.benchmarking.networks.Killed: its process was ended by SIGKILL" in errors[1]
    assert errors[2].startswith("error: 2 of 5 networks could not be measured: convunext, Killed")
    assert "Traceback" not in done.stderr

    # The table is aligned, and tells those that failed.
    lines = done.stdout.splitlines()
    (rule,) = (number for number, line in enumerate(lines) if line.startswith("---"))
    rows = lines[rule + 1 : rule + 6]
    assert [row.split()[0] for row in rows] == ["unext_s", "unet", "unet", "convunext:", "Killed"]
    assert len({len(line) for line in rows}) == 1
    assert f"{os.environ['OMP_NUM_THREADS']} threads; " in lines[0]

    files = sorted((tmp_path / "runs" / "study" / "benchmarks").iterdir())
    assert [f"written: {file.relative_to(tmp_path)}" in done.stdout for file in files] == [True] * 3
    found = [json.loads(file.read_text()) for file in files]
    assert [file.name.partition("-")[0] for file in files] == ["unet", "unet", "unext_s"]
    for one in found:
        assert set(one) == {
            "model", "network", "overrides", "arguments", "in_channels", "num_classes", "image_size", "batch_size",
            "inference_batch_size", "loss", "optimizer", "device", "precision", "channels_last", "compile",
            "activation_checkpointing",
            "repeats", "train_images_per_second", "inference_images_per_second", "latency_ms", "first_call_seconds",
            "peak_memory_mib", "parameters", "macs", "measured", "environment",
        }  # fmt: skip
        assert all(seconds > 0 for seconds in one["first_call_seconds"].values())
        assert (one["image_size"], one["batch_size"], one["repeats"]) == ([32, 32], 2, 2)
        assert one["device"]["type"] == "cpu"
        assert one["device"]["threads"] == int(os.environ["OMP_NUM_THREADS"])
        assert one["environment"]["packages"]["torch"] == torch.__version__.partition("+")[0]
        for what in ("train_images_per_second", "inference_images_per_second"):
            assert 0 < one[what]["min"] <= one[what]["median"] <= one[what]["max"]
        latency = one["latency_ms"]
        assert 0 < latency["min"] <= latency["p50"] <= latency["p95"] <= latency["max"]
        assert latency["calls"] >= 2
        # Weights, gradients and the two moments of AdamW.
        assert one["peak_memory_mib"]["train"] > 4 * 4 * one["parameters"] / 2**20
    small, large = sorted(found[:2], key=lambda one: one["parameters"])
    assert (small["parameters"], large["parameters"]) == (68_062, 4_318_434)
    assert small["train_images_per_second"]["median"] > large["train_images_per_second"]["median"]
    assert small["peak_memory_mib"]["train"] < large["peak_memory_mib"]["train"]
    assert small["macs"] < large["macs"]
