"""The files of a benchmark."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from medseg.benchmarking.results import describe, write_csv
from medseg.commands import benchmark as command_module
from medseg.errors import UserError
from tests.benchmarking.conftest import FakeWorker
from tests.benchmarking.networks import QUICK, settings
from tests.helpers import compose_config


def test_files_and_the_error_of_one_network(fake_workers: type[FakeWorker], tmp_path: Path) -> None:
    words = ("model=unet", "model.base_channels=4", *QUICK, f"output={tmp_path / 'here'}")
    for _ in range(2):
        (file,) = command_module.benchmark(compose_config("benchmark", *words))
    assert list((tmp_path / "here").iterdir()) == [file], "the same again replaces its file"
    for other in ("image_size=64", "batch_size=1", "model.base_channels=8", "loss=dice", "compile=true"):
        command_module.benchmark(compose_config("benchmark", *words, other))
    assert len(list((tmp_path / "here").iterdir())) == 6, "something else has a file of its own"
    fake_workers.asked, fake_workers.failing = [], ("unet", "speed", 1)
    with pytest.raises(UserError, match=r"^it broke$"):
        command_module.benchmark(compose_config("benchmark", *words, "seconds=3"))


def measured(train: float = 10.0) -> dict[str, Any]:
    """What might have been measured of a network."""
    return {
        "device": {"type": "cpu", "name": "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", "threads": 2},
        "precision": "32-true",
        "train_images_per_second": {"median": train, "min": train - 1, "max": train + 1},
        "inference_images_per_second": {"median": 40.0, "min": 39.0, "max": 41.0},
        "latency_ms": {"p50": 20.0, "p95": 30.12345, "min": 10.0, "max": 40.0, "calls": 7},
        "first_call_seconds": {"train": 3.0, "inference": 2.0, "latency": 1.0},
        "peak_memory_mib": {"train": 1000.0, "inference": 100.0},
        "parameters": 123,
        "macs": 10**9,
    }


def benchmark(*overrides: str, train: float = 10.0) -> dict[str, Any]:
    (one,) = settings("batch_size=4", "inference_batch_size=32", *overrides)
    return describe(one, measured(train), repeats=3)


def read(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_rows_of_a_csv_file(tmp_path: Path) -> None:
    one = benchmark("model=unet", "model.base_channels=8", "image_size=[48,64]")
    file = write_csv(tmp_path / "new", [one])
    assert file == tmp_path / "new" / "benchmarks.csv"
    (row,) = read(file)
    assert row["network"] == "unet model.base_channels=8"
    assert (row["height"], row["width"], row["batch_size"], row["inference_batch_size"]) == ("48", "64", "4", "32")
    assert (row["device"], row["threads"], row["precision"]) == (one["device"]["name"], "2", "32-true")
    speed = [float(row[f"train_images_per_second{end}"]) for end in ("", "_min", "_max")]
    assert speed == [10.0, 9.0, 11.0]
    assert float(row["inference_images_per_second"]) == 40.0
    assert (row["latency_p50_ms"], row["latency_p95_ms"]) == ("20.0", "30.12"), "four digits"
    assert (row["train_memory_mib"], row["inference_memory_mib"]) == ("1000.0", "100.0")
    assert (row["parameters"], row["macs"], row["repeats"]) == ("123", "1000000000", "3")
    assert (row["first_train_seconds"], row["first_inference_seconds"]) == ("3.0", "2.0")
    assert row["commit"] == (one["environment"]["git_commit"] or "")


def test_other_rows_of_a_csv_file_stay_and_the_same_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_csv(file, [benchmark("model=unet"), benchmark("model=convunext")])
    write_csv(file, [benchmark("model=convunext", train=25.0), benchmark("model=unet", "image_size=64")])
    rows = [(row["network"], row["height"], float(row["train_images_per_second"])) for row in read(file)]
    assert rows == [("unet", "256", 10.0), ("convunext", "256", 25.0), ("unet", "64", 10.0)]
    # One written before a column was there.
    text = file.read_text(encoding="utf-8").replace("repeats", "old_column")
    file.write_text(text, encoding="utf-8")
    write_csv(file, [benchmark("model=unet", "loss=dice")])
    assert [(row["loss"], row["repeats"], row["old_column"]) for row in read(file)] == [
        ("ce_dice", "", "3"), ("ce_dice", "", "3"), ("ce_dice", "", "3"), ("dice", "3", ""),
    ]  # fmt: skip


def test_the_command_writes_the_csv_file(fake_workers: type[FakeWorker], tmp_path: Path) -> None:
    places = (f"output={tmp_path / 'json'}", f"csv={tmp_path / 'speed.csv'}")
    files = command_module.benchmark(compose_config("benchmark", "models=[unet,unext_s]", *QUICK, *places))
    assert [file.parent.name for file in files] == ["json", "json", tmp_path.name]
    assert [row["network"] for row in read(files[-1])] == ["unet", "unext_s"]


def test_a_table_that_a_spreadsheet_has_written_keeps_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    write_csv(file, [benchmark("model=unet")])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    write_csv(file, [benchmark("model=unet", train=25.0), benchmark("model=convunext")])
    assert [(row["network"], row["train_images_per_second"]) for row in read(file)] == [
        ("unet", "25.0"), ("convunext", "10.0")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.replace(b",", b";"), r"table.csv: not a table of benchmarks \(columns with commas"),
        (lambda data: data + b"\xe9", r"table.csv: damaged \('utf-8' codec"),
        (lambda _: b"id,dice\na,0.5\n", r"table.csv: not a table of benchmarks"),
    ],
    ids=["semicolons", "bytes", "another"],
)
def test_another_table_is_an_error_before_anything_is_measured(
    change: Any, message: str, fake_workers: type[FakeWorker], tmp_path: Path
) -> None:
    file = tmp_path / "table.csv"
    write_csv(file, [benchmark("model=unet")])
    file.write_bytes(change(file.read_bytes()))
    before, fake_workers.asked = file.read_bytes(), []
    with pytest.raises(UserError, match=message):
        command_module.benchmark(compose_config("benchmark", "model=unet", f"csv={file}", f"output={tmp_path}"))
    assert file.read_bytes() == before
    assert not fake_workers.asked
