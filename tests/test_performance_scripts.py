"""The scripts of experiments/performance: each runs in a small form, and the README's commands compose."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from experiments.performance import compare, limits, operators, program
from medseg.benchmarking.setting import Setting, find_settings
from medseg.config.compose import compose
from medseg.config.instantiate import instantiate_network
from medseg.measure import measure_cost

README = Path(compare.__file__).with_name("README.md")
LINES = [
    line.strip()
    for line in README.read_text(encoding="utf-8").splitlines()
    if line.startswith(("    python", "    medseg"))
]
SMALL = ("model=unet", "model.base_channels=4", "image_size=32", "batch_size=2", "trainer=cpu", "seconds=0.01")


@pytest.mark.slow
def test_variants_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "variants.csv"
    compare.main([*SMALL, "repeats=1", f"csv={file}", "--variants", "plain", "tuned"])
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [(row["variant"], row["channels_last"]) for row in rows] == [("plain", "False"), ("tuned", "True")]
    assert "unet model.base_channels=4, tuned over plain: training x " in capsys.readouterr().out


def test_limits_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(limits.SIDE, "cpu", 16)
    monkeypatch.setitem(limits.COPIED, "cpu", 4096)
    limits.main(["--device", "cpu", "--seconds", "0.001"])
    assert "GB/s, read and written" in capsys.readouterr().out


def test_operators_of_a_step_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    operators.main([*SMALL, "--rows", "200"])
    printed = capsys.readouterr().out
    assert "aten::convolution_backward" in printed
    assert "operators of a training step read and write" in printed


@pytest.mark.slow
def test_whole_commands_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "measure_start", list)  # it takes a second for each command
    words = ("model=unet", "model.base_channels=4", "data.image_size=64", "data.dataset.count=20", "trainer=cpu")
    file = tmp_path / "program.csv"
    program.main([*words, "data.batch_size=4", "--repeats=1", "--steps=2", "--jobs", "2", "--csv", str(file)])
    values = {row["figure"]: float(row["value"]) for row in csv.DictReader(file.open(encoding="utf-8"))}
    assert {"first training step", "waiting for data", "test beyond the network", "trainings at once: 2"} <= set(values)
    assert all(value > 0 for value in values.values())


def settings(line: str) -> list[Setting]:
    words = [word for word in shlex.split(line.partition(" --")[0])[1:] if "=" in word]
    return find_settings(compose("benchmark", words)[0].models, words)


@pytest.mark.parametrize("line", [line for line in LINES if "models=" in line])
def test_documented_commands_compose(line: str) -> None:
    assert len(settings(line)) >= 2


def test_u_nets_of_two_libraries_have_the_same_macs() -> None:
    pairs = [line for line in LINES if "smp" in line]
    assert len(pairs) == 2
    for line in pairs:
        ours, other = (
            measure_cost(instantiate_network(OmegaConf.create(one.arguments)), in_channels=3, size=(256, 256)).macs
            for one in settings(line)
        )
        assert ours == pytest.approx(other, rel=0.05)
