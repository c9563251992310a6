"""`python -m medseg.benchmark_program`: what whole commands take."""

from __future__ import annotations

import csv
import json
import shlex
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from medseg import benchmark_program as command_module
from medseg.benchmarking import program, together
from medseg.benchmarking.commands import Commands, run
from medseg.benchmarking.program import (
    Figure,
    measure_prepare,
    measure_sharing,
    measure_start,
    training_figures,
)
from medseg.benchmarking.together import measure_together, share_cores
from medseg.benchmarking.watch import Watch
from medseg.config import yaml_files
from medseg.data.module import Images
from medseg.errors import UserError
from tests.helpers import command, compose_config, train

COMMANDS = sorted(file.stem for file in yaml_files.config_dir().glob("*.yaml"))


# The command.
@pytest.mark.slow
def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(program, "measure_start", lambda: [Figure("help", 0.5, "s", "imagined")])
    runs = train(tmp_path).path.parent
    words = ("data.image_size=64", "data.dataset.count=20", "data.batch_size=4", "trainer=cpu", "repeats=1", "steps=2")
    places = ("jobs=[1,2]", f"report={runs}", f"csv={tmp_path / 'new' / 'program.csv'}")
    command_module.benchmark_program(compose_config("benchmark_program", *words, *places))
    with (tmp_path / "new" / "program.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["figure", "value", "unit", "how"]
    values = {row["figure"]: float(row["value"]) for row in rows}
    wanted = {
        "help", "first training step", "loader alone", "waiting for data", "network in validation",
        "validation beyond the network", "test beyond the network", "after the test", "report",
        "trainings at once: 1", "trainings at once: 2", "trainings at once: 2, over one",
    }  # fmt: skip
    assert {name for name in values if not name.startswith("prepare")} == wanted
    assert all(value > 0 for value in values.values())
    assert values["waiting for data"] < 100
    assert rows[-1]["how"] == "medseg.report of 1 runs"
    printed = capsys.readouterr().out
    assert all(row["figure"] in printed and row["how"] in printed for row in rows)
    assert not list(Path.cwd().glob("medseg-*"))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("repeats=0", "repeats is 0; it must be a whole number from 1"),
        ("steps=1", "steps is 1; it must be a whole number from 2"),
        ("steps=many", "steps is 'many'"),
        ("data.download=true", "would measure the network"),
        ("trainer=ddp", "this measures one device"),
        ("jobs=2", "jobs is 2; it must be null or a list of numbers of trainings"),
        ("jobs=[1,0]", "a list of numbers"),
        ("report=nowhere", "report=nowhere is not a folder"),
        ("csv=figures", "csv=figures must be a file that ends in .csv"),
    ],
)
def test_a_wrong_word_gets_one_line(word: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        command_module.check(compose_config("benchmark_program", word, f"data_dir={tmp_path}"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_word_on_the_command_line(tmp_path: Path) -> None:
    done = command("benchmark_program", "repeats=none", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: repeats is 'none'; it must be a whole number from 1 to 10000"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", command_module.EXAMPLES)
def test_shown_commands_compose(line: str) -> None:
    cfg = compose_config("benchmark_program", *shlex.split(line.partition("      ")[0])[3:])
    cfg.report = None
    command_module.check(cfg)


# Its parts.
def test_archives_are_looked_for_where_they_were(tmp_path: Path) -> None:
    words = ["model=unet", "data=kvasir", "+data.x=1", "trainer=cpu"]
    data = compose_config("train", "data=kvasir", f"data_dir={tmp_path}").data
    with pytest.raises(UserError, match=r"kvasir-seg.zip .* is not in .*; give data.source=DIR"):
        Commands(data, words)
    (tmp_path / "kvasir-seg.zip").touch()
    made = Commands(data, words)
    assert made.all == [*words, f"data.source='{tmp_path}'"]
    assert made.data == ["data=kvasir", "+data.x=1", f"data.source='{tmp_path}'"]
    given = compose_config("train", "data=kvasir", "data.source=/there").data
    assert Commands(given, words).all == words
    assert Commands(compose_config("train").data, words).all == words, "drawn images lie nowhere"
    assert Commands(compose_config("train", "data=folder", "data.root=/mine").data, words).all == words


def test_prepare_on_one_core_and_on_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    seconds = {1: iter([4.0, 8.0, 5.0]), 2: iter([2.0, 2.0, 3.0])}

    def fake(name: str, *words: str, cores: Sequence[int], **others: Any) -> None:
        asked.append((name, words[0], tuple(cores)))
        folder = Path(words[-1].removeprefix("data_dir='").rstrip("'")) / "prepared" / "x"
        folder.mkdir(parents=True)
        (folder / "fingerprint.json").write_text(json.dumps({"count": 100, "seconds": next(seconds[len(cores)])}))

    monkeypatch.setattr(program, "run", fake)
    monkeypatch.setattr(program.os, "sched_getaffinity", lambda pid: {3, 7}, raising=False)
    made = Commands(compose_config("train").data, ["data=synthetic"])
    figures = measure_prepare(made, tmp_path, 3)
    assert asked == [("prepare", "data=synthetic", (3,)), ("prepare", "data=synthetic", (3, 7))] * 3
    assert [(figure.name, figure.value) for figure in figures] == [
        ("prepare, one core", 20.0),
        ("prepare, 2 cores", 50.0),
        ("prepare, 2 cores over one", 2.5),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "for the training; the others are gone"


def test_the_slowest_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fake(name: str, word: str, exit_code: int = 0) -> float:
        asked.append((name, word, exit_code))
        return 0.2 if name == "report" else 0.1

    monkeypatch.setattr(program, "run", fake)
    slowest, wrong = measure_start()
    assert sorted(asked) == sorted([*((name, "--help", 0) for name in COMMANDS), ("train", "modle=unet", 2)])
    assert slowest.how == f"medseg.report, the slowest of {len(COMMANDS)} commands"
    assert (slowest.value, wrong.value) == (0.2, 0.1)


def test_a_command_that_fails_says_why() -> None:
    assert 0 < run("train", "modle=unet", exit_code=2) < 60
    with pytest.raises(UserError, match=r"^medseg.train: unknown option 'modle'; did you mean 'model'\?$"):
        run("train", "modle=unet")


def test_figures_of_a_training() -> None:
    part = {"seconds": 3.0, "network_seconds": 1.0, "images": 100}
    found = {
        "first_step": 110.5, "epoch_seconds": 20.0, "waiting_seconds": 0.5, "loader_images": 800, "loader_seconds": 4.0,
        "validation": part, "test": {**part, "seconds": 6.0}, "test_ended": 150.0,
    }  # fmt: skip
    values = {figure.name: figure.value for figure in training_figures(found, began=100.0, ended=157.0)}
    assert values == {
        "first training step": 10.5,
        "loader alone": 200.0,
        "waiting for data": 2.5,
        "network in validation": 10.0,
        "validation beyond the network": 20.0,
        "test beyond the network": 50.0,
        "after the test": 7.0,
    }


def test_a_slow_loader_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Images.__getitems__

    def slow(self: Images, drawn: Sequence[tuple[int, int]]) -> Any:
        time.sleep(0.5)
        return fetch(self, drawn)

    monkeypatch.setattr(Images, "__getitems__", slow)
    file = tmp_path / "watched.json"
    watch = ("+callbacks.watch._target_=medseg.benchmarking.watch.Watch", f"+callbacks.watch.file={file}")
    train(tmp_path, *watch, "trainer.max_epochs=1", "+trainer.limit_train_batches=3")
    found = json.loads(file.read_text(encoding="utf-8"))
    assert 1.5 <= found["waiting_seconds"] < found["epoch_seconds"]
    assert found["loader_images"] / found["loader_seconds"] < 4 / 0.5
    for split in ("validation", "test"):
        assert found[split]["images"] == 2
        assert found[split]["seconds"] > found[split]["network_seconds"] + 0.5, "the loader is not the network"
        assert found[split]["network_seconds"] > 0
    assert found["first_step"] < found["test_ended"] <= time.time()


# Several trainings at once.
def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "can_pin", lambda: True)
    monkeypatch.setattr(together.os, "sched_getaffinity", lambda pid: {2, 3, 5, 8, 9}, raising=False)
    assert share_cores(1) == [[2, 3, 5, 8, 9]]
    assert share_cores(2) == [[2, 3], [5, 8]]
    assert share_cores(7) == [[2], [3], [5], [8], [9], [2], [3]]
    monkeypatch.setattr(together, "can_pin", lambda: False)
    assert share_cores(2) == [None, None]


def test_trainings_meet(tmp_path: Path) -> None:
    place = tmp_path / "epoch1"
    here = threading.Thread(target=Watch(str(tmp_path / "x.json"), str(tmp_path), count=2).meet, args=(place,))
    here.start()
    here.join(timeout=0.3)
    assert here.is_alive(), "it waits for the other"
    (place / "another").touch()
    here.join(timeout=10)
    assert not here.is_alive()


def test_nobody_waits_for_a_training_that_failed(tmp_path: Path) -> None:
    (tmp_path / "over").touch()
    with pytest.raises(UserError, match="another of the trainings"):
        Watch(str(tmp_path / "x.json"), str(tmp_path), count=2).meet(tmp_path / "epoch1")


def test_what_trainings_come_to_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    def fake(name: str, *words: str, cores: Sequence[int] | None) -> None:
        found = dict(word.lstrip("+").split("=", 1) for word in words)
        asked.append(found)
        seconds = {"0": 2.0, "1": 4.0}[found["seed"]]
        content = json.dumps({"epoch_images": 80, "epoch_seconds": seconds})
        Path(found["callbacks.watch.file"].strip("'")).write_text(content, encoding="utf-8")

    monkeypatch.setattr(together, "run", fake)
    commands = Commands(compose_config("train").data, ["model=unet", "data=synthetic"])
    assert measure_together(commands, tmp_path, 20, 2) == 80 / 2 + 80 / 4
    for found in asked:
        assert found["callbacks.watch.count"] == "2"
        assert found["trainer.limit_train_batches"] == "20"
        assert found["model"] == "unet"
    assert len({found["callbacks.watch.meeting"] for found in asked}) == 1
    assert {found["seed"] for found in asked} == {"0", "1"}


def test_a_number_too_much_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stopped = threading.Event()

    def fake(name: str, *words: str, cores: Sequence[int] | None) -> None:
        found = dict(word.lstrip("+").split("=", 1) for word in words)
        count, seed = int(found["callbacks.watch.count"]), int(found["seed"])
        meeting = Path(found["callbacks.watch.meeting"].strip("'"))
        if count == 3 and seed == 2:
            raise UserError("medseg.train: out of memory")
        if count == 3:
            while not (meeting / "over").exists():
                time.sleep(0.01)
            stopped.set()
            raise UserError("another of the trainings that share the device failed")
        content = json.dumps({"epoch_images": 80, "epoch_seconds": 4.0 if count == 1 else 5.0})
        (meeting / f"watched{seed}.json").write_text(content, encoding="utf-8")

    monkeypatch.setattr(together, "run", fake)
    commands = Commands(compose_config("train").data, ["data=synthetic"])
    figures = measure_sharing(commands, tmp_path, 20, [1, 2, 3])
    assert [(figure.name, figure.value) for figure in figures] == [
        ("trainings at once: 1", 20.0),
        ("trainings at once: 2", 32.0),
        ("trainings at once: 2, over one", 1.6),
    ]
    assert stopped.is_set()
    assert "3 trainings at once: medseg.train: out of memory" in caplog.text
