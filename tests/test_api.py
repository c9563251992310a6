"""The Python API, as scripts use it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medseg
from medseg.errors import ConfigError
from medseg.runs.folder import RunFolder
from medseg.runs.run import Run
from tests.helpers import TINY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api")


@pytest.fixture
def words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder)
    return [word for word in TINY if not word.startswith("model=")] + ["data.image_size=32"]


def test_a_script(folder: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run = medseg.fit("unet", "synthetic", words)
    assert (run.state, run.model) == ("finished", "unet")
    assert medseg.fit(overrides=["model=unet", *words]).id == run.id, "a finished run is not repeated"
    other = medseg.fit("unet", overrides=[*words, "seed=1"])
    runs = medseg.read_runs("runs/main")
    assert [one.seed for one in runs] == [0, 1]
    assert list(runs.to_frame()["seed"]) == [0, 1]
    # Runs, folders, and both, in a list or one by one.
    for chosen in (runs, "runs/main", Path("runs/main"), [run, other], (one for one in runs), [run, other.folder]):
        assert len(medseg.compare(chosen).runs) == 2
    assert len(medseg.compare(run).runs) == len(list(medseg.read_runs(run))) == 1
    # The runs stay where they are.
    (folder / "elsewhere").mkdir()
    os.chdir(folder / "elsewhere")
    scores = medseg.evaluate(run, overrides=["trainer.accelerator=cpu"])
    assert scores["headline"] == run.summary["headline"]
    pixels = np.zeros((20, 30, 3), np.uint8)
    assert medseg.load(run, device="cpu").predict(pixels).mask.shape == (20, 30)


INTERRUPTED = ["+callbacks.interrupt._target_=tests.training.test_job.Interrupt", "trainer.max_epochs=4"]


def test_signals_are_as_before_an_interrupted_training(words: list[str]) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGCHLD)
    usual = signal.signal(signal.SIGCHLD, lambda number, frame: None)
    before = [signal.getsignal(number) for number in numbers]
    try:
        with pytest.raises(KeyboardInterrupt):
            medseg.fit("unet", "synthetic", [*words, *INTERRUPTED])
        assert [signal.getsignal(number) for number in numbers] == before
    finally:
        signal.signal(signal.SIGCHLD, usual)


def test_a_second_ctrl_c_leaves_the_process_alive(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    set_state, sent = RunFolder.set_state, []

    def interrupted_again(folder: RunFolder, state: str, **facts: Any) -> None:
        set_state(folder, state, **facts)
        if state == "interrupted":
            sent.append(state)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "set_state", interrupted_again)
    with pytest.raises(KeyboardInterrupt):
        medseg.fit("unet", "synthetic", [*words, "seed=7", *INTERRUPTED])
    assert sent == ["interrupted"]


def test_what_cannot_be(words: list[str]) -> None:
    with pytest.raises(ConfigError, match="unknown model 'unett'; did you mean 'unet'"):
        medseg.fit("unett", overrides=words)
    with pytest.raises(ConfigError, match="no/folder: no such folder"):
        medseg.fit("unet", Path("no/folder"), words)
    for several in ("trainer=ddp", "trainer.devices=2", "trainer.devices=[0,1]", "trainer.devices=-1"):
        with pytest.raises(ConfigError, match="trains in this process, on one device"):
            medseg.fit("unet", overrides=[several, "dry_run=true"])
    with pytest.raises(ConfigError, match="scores in this process, on one device"):
        medseg.evaluate("no/run", overrides=["trainer.devices=2"])
    with pytest.raises(ConfigError, match="trains once, in this process"):
        medseg.fit("unet", overrides=["protocol=tuned"])
    with pytest.raises(TypeError, match="a list of words"):
        medseg.fit("unet", overrides="seed=1")


def test_a_run_is_short_in_a_session() -> None:
    run = Run(Path("x"), "unet-1", "finished", None, "main", "unet", "kvasir", 0, None, "unet")
    assert repr(run) == "<Run unet-1: finished>"
