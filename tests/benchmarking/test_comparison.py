"""What follows from a benchmark, its CSV files and the tables of a comparison."""

from __future__ import annotations

import csv
import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from medseg.benchmarking.compare import write_comparison
from medseg.benchmarking.csv_files import file_name, write_csv_files
from medseg.benchmarking.figures import derive
from medseg.benchmarking.files import describe
from medseg.benchmarking.setting import Setting
from medseg.commands.benchmark import find_settings
from medseg.config.instantiate import instantiate_network
from medseg.measure import measure_cost
from tests.helpers import command, compose_config

LIMITS = {"float32_flops_per_second": 1e12, "bf16_flops_per_second": 4e12, "copy_bytes_per_second": 5e10}


def measured(**changes: Any) -> dict[str, Any]:
    """What might have been measured of a network."""
    return {
        "device": {"type": "cpu", "name": "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", "threads": 2},
        "precision": "32-true",
        "train_images_per_second": {"median": 10.0, "min": 9.0, "max": 11.0},
        "inference_images_per_second": {"median": 40.0, "min": 39.0, "max": 41.0},
        "latency_ms": {"p50": 20.0, "p95": 30.0, "min": 10.0, "max": 40.0, "calls": 7},
        "first_call_seconds": {"train": 3.0, "inference": 2.0, "latency": 1.0},
        "peak_memory_mib": {"train": 1000.0, "inference": 100.0},
        "parameters": 123,
        "macs": 10**9,
        "limits": LIMITS,
        "operators": [{"name": "aten::mm", "share": 0.75}, {"name": "aten::add", "share": 0.125}],
        "operator_bytes": 2 * 10**9,
        **changes,
    }


def settings(*names: str, network: str = "unet") -> list[Setting]:
    words = (f"models=[{network}]", f"variants=[{','.join(names)}]", "batch_size=4", "inference_batch_size=32")
    return find_settings(compose_config("benchmark", *words))


def benchmark(name: str = "plain", network: str = "unet", **changes: Any) -> dict[str, Any]:
    (setting,) = settings(name, network=network)
    return describe(setting, measured(**changes), repeats=3)


FASTER = {"median": 25.0, "min": 24.0, "max": 26.0}


# Figures.
def test_figures() -> None:
    found = derive(benchmark())
    assert found["train_step_ms"] == pytest.approx(400)
    assert found["train_flops_per_second"] == pytest.approx(3 * 2 * 1e9 * 10)
    assert found["train_flops_of_limit"] == pytest.approx(0.06)
    assert found["inference_flops_per_second"] == pytest.approx(2 * 1e9 * 40)
    assert found["inference_flops_of_limit"] == pytest.approx(0.08)
    assert found["train_bytes_per_second"] == pytest.approx(2e9 / 0.4)
    assert found["train_bytes_of_limit"] == pytest.approx(0.1)
    assert (found["latency_p95_ms"], found["train_memory_mib"], found["first_train_seconds"]) == (30.0, 1000.0, 3.0)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_has_a_higher_limit(precision: str) -> None:
    assert derive(benchmark(precision=precision))["train_flops_of_limit"] == pytest.approx(0.015)


def test_what_was_not_measured_is_none() -> None:
    found = derive(benchmark(limits=None, operator_bytes=None))
    none = {name for name, value in found.items() if value is None}
    assert none == {
        "train_flops_of_limit", "inference_flops_of_limit", "train_bytes_per_second", "train_bytes_of_limit",
    }  # fmt: skip


# CSV.
@pytest.mark.parametrize(
    ("device", "name"),
    [
        (("cpu", "Intel(R) Xeon(R) Processor", 2), "cpu-intel-xeon-2threads"),
        (("cpu", "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", 16), "cpu-intel-xeon-gold-6148-16threads"),
        (("cpu", "AMD EPYC 7763 64-Core Processor", 1), "cpu-amd-epyc-7763-64-core-1threads"),
        (("cuda", "NVIDIA H200", 16), "gpu-nvidia-h200"),
        (("cpu", "", 2), "cpu-unknown-2threads"),
    ],
)
def test_a_file_is_named_after_device_and_setting(device: tuple[str, str, int], name: str) -> None:
    found = benchmark(device=dict(zip(("type", "name", "threads"), device, strict=True)))
    assert file_name(found) == f"{name}-256x256-batch4-inference32.csv"
    assert file_name({**found, "inference_batch_size": 4}) == f"{name}-256x256-batch4.csv"


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_rows_of_a_csv_file(tmp_path: Path) -> None:
    found = [benchmark(), benchmark("tuned", precision="bf16-mixed", train_images_per_second=FASTER, operators=None)]
    file, operators = write_csv_files(tmp_path / "new", found)
    assert file.parent == operators.parent == tmp_path / "new"
    assert (file.name, operators.name) == (file_name(found[0]), f"{file.stem}-operators.csv")
    plain, tuned = read(file)
    assert (plain["network"], plain["variant"], tuned["variant"]) == ("unet", "plain", "tuned")
    assert (plain["channels_last"], tuned["channels_last"]) == ("False", "True")
    assert float(tuned["train_images_per_second"]) == 25.0
    assert float(tuned["train_images_per_second_min"]) == 24.0
    assert float(tuned["train_flops_of_limit"]) == pytest.approx(6e9 * 25 / 4e12)
    assert float(plain["limit_copy_bytes_per_second"]) == 5e10
    assert (plain["height"], plain["batch_size"], plain["inference_batch_size"]) == ("256", "4", "32")
    assert (plain["precision"], plain["measured"]) == ("32-true", found[0]["measured"])
    assert plain["commit"] == (found[0]["environment"]["git_commit"] or "")
    assert plain["torch"] == found[0]["environment"]["packages"]["torch"]
    rows = read(operators)
    assert [(row["variant"], row["place"], row["operator"], float(row["share"])) for row in rows] == [
        ("plain", "1", "aten::mm", 0.75), ("plain", "2", "aten::add", 0.125),
    ]  # fmt: skip


def test_other_rows_of_a_csv_file_stay_and_the_same_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_csv_files(file, [benchmark(), benchmark("tuned")])
    write_csv_files(file, [benchmark("tuned", train_images_per_second=FASTER), benchmark(network="convunext")])
    rows = [(row["network"], row["variant"], float(row["train_images_per_second"])) for row in read(file)]
    assert rows == [("unet", "plain", 10.0), ("unet", "tuned", 25.0), ("convunext", "plain", 10.0)]
    assert len(read(tmp_path / "table-operators.csv")) == 6
    # One written before a column was there.
    text = file.read_text(encoding="utf-8").replace("train_step_ms", "old_column")
    file.write_text(text, encoding="utf-8")
    write_csv_files(file, [benchmark("unfused")])
    rows = [(row["variant"], row["train_step_ms"] != "", row["old_column"] != "") for row in read(file)]
    assert rows == [("plain", False, True), ("tuned", False, True), ("plain", False, True), ("unfused", True, False)]


# Tables.
def table(names: tuple[str, ...], failed: dict[int, str] | None = None, **changes: Any) -> list[str]:
    asked = settings(*names)
    found = {
        place: describe(setting, measured(**(changes if setting.variant == "tuned" else {})), repeats=3)
        for place, setting in enumerate(asked)
        if place not in (failed or {})
    }
    return write_comparison(asked, found, failed or {}).splitlines()


def cells(lines: list[str], title: str) -> str:
    (line,) = (line for line in lines if line.startswith(title))
    return " ".join(line.removeprefix(title).split())


def test_a_comparison_has_values_and_ratios() -> None:
    lines = table(("plain", "tuned"), train_images_per_second=FASTER, peak_memory_mib={"train": 250.0, "inference": 50})
    assert "plain tuned tuned / plain" in [" ".join(line.split()[1:]) for line in lines if line.startswith("unet")]
    assert cells(lines, "training (images/s)") == "10.0 (9.00 to 11.0) 25.0 (24.0 to 26.0) x 2.50"
    assert cells(lines, "inference (images/s)") == "40.0 (39.0 to 41.0) 40.0 (39.0 to 41.0) x 1.00"
    assert cells(lines, "training step (ms)") == "400 160 x 0.400"
    assert cells(lines, "memory, training (MiB)") == "1,000 250 x 0.250"
    assert cells(lines, "training, GFLOP/s") == "60.0 (6%) 150 (15%) x 2.50"
    assert cells(lines, "training, GB/s") == "5.00 (10%) 12.5 (25%) x 2.50"
    assert cells(lines, "plain:") == "released operations, 32-true, N x C x H x W, eager, default allocator"
    assert cells(lines, "tuned:").startswith("medseg's operations, accelerated, 32-true, channels_last")
    assert "1.00 TFLOP/s in float32, 4.00 TFLOP/s in bf16; copy 50.0 GB/s" in cells(lines, "limits measured:")
    assert any(line.startswith("batches of 4 (32 in inference) images of 256 x 256") for line in lines)
    assert [line.split("  ")[-1].strip() for line in lines if "aten::" in line] == [
        "75% aten::mm", "12% aten::add", "75% aten::mm", "12% aten::add",
    ]  # fmt: skip


def test_ratios_are_over_plain_wherever_it_stands() -> None:
    lines = table(("tuned", "plain"), train_images_per_second=FASTER)
    assert cells(lines, "training (images/s)").endswith("10.0 (9.00 to 11.0) x 2.50")


def test_one_variant_alone_and_one_that_failed() -> None:
    assert not any("/ plain" in line for line in table(("plain",)))
    lines = table(("plain", "tuned"), failed={0: "it broke"})
    assert "unet, plain: failed" in lines
    assert cells(lines, "training (images/s)") == "10.0 (9.00 to 11.0)"
    assert table(("plain", "tuned"), failed={0: "it broke", 1: "as well"}) == [
        "unet, plain: failed", "unet, tuned: failed",
    ]  # fmt: skip


def test_what_is_not_known_is_a_dash() -> None:
    lines = table(("plain", "tuned"), operator_bytes=None, limits=LIMITS)
    assert cells(lines, "training, GB/s") == "5.00 (10%) - -"


# The command.
@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    words = ("models=[unet]", "model.base_channels=4", "variants=[plain,tuned]", "image_size=32", "batch_size=2")
    quick = ("inference_batch_size=3", "repeats=2", "seconds=0.02", "trainer=cpu", "csv=tables")
    done = command("benchmark", *words, *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tuned / plain" in done.stdout
    assert not [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    # The report must not take plain for the cost of the network.
    (file,) = (tmp_path / "runs" / "main" / "benchmarks").iterdir()
    assert json.loads(file.read_text())["variant"] == "tuned"
    table, operators = sorted((tmp_path / "tables").iterdir(), key=lambda file: len(file.name))
    assert table.name.endswith(f"-{os.environ['OMP_NUM_THREADS']}threads-32x32-batch2-inference3.csv")
    plain, tuned = read(table)
    assert (plain["variant"], tuned["variant"]) == ("plain", "tuned")
    assert plain["macs"] == tuned["macs"]
    for row in (plain, tuned):
        assert all(row[name] for name in row), "every column has a value"
        assert 0 < float(row["train_flops_of_limit"]) < 1
    assert len(read(operators)) == 10


# The networks of experiments/performance.
README = Path(__file__).resolve().parents[2] / "experiments" / "performance" / "README.md"
LINES = [line.strip() for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("    python")]


@pytest.mark.parametrize("line", LINES)
def test_documented_commands_compose(line: str) -> None:
    _, _, command, *words = shlex.split(line)
    cfg = compose_config(command.removeprefix("medseg."), *words)
    if command == "medseg.benchmark":
        assert len(find_settings(cfg)) >= 2


def macs(setting: Setting) -> int:
    network = instantiate_network(OmegaConf.create(setting.arguments))
    return measure_cost(network, in_channels=3, size=(256, 256)).macs


def test_u_nets_of_two_libraries_have_the_same_macs() -> None:
    pairs = [line for line in LINES if "smp" in line]
    assert len(pairs) == 2
    for line in pairs:
        own, other = map(macs, find_settings(compose_config("benchmark", *shlex.split(line)[3:])))
        assert own == pytest.approx(other, rel=0.05)
