"""A run keeps the precision that it began with, wherever it goes on, and is scored in it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
import yaml

from medseg.runs.folder import RunFolder
from medseg.trained.network import TrainedNetwork
from tests.helpers import train
from tests.training.test_evaluation import evaluate

STEPS = ("data.image_size=32", "scheduler=none")


@pytest.fixture
def speedup(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What a product of matrices gains by bf16 on this machine; a test may change it, which is another machine."""
    value = {"": 2.1}
    monkeypatch.setattr("medseg.acceleration.precision.bf16_speedup", lambda: value[""])
    return value


def environment(run: RunFolder) -> tuple[str, str]:
    content = json.loads(run.environment.read_text())
    return content["precision"], content["precision_reason"]


@pytest.mark.parametrize(("value", "precision"), [(2.1, "bf16-mixed"), (0.55, "32-true")])
def test_the_choice_and_its_reason_are_in_log_and_folder_and_no_part_of_the_name(
    value: float, precision: str, speedup: dict[str, float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    speedup[""] = value
    with caplog.at_level(logging.INFO, logger="medseg"):
        run = train(tmp_path, *STEPS, "trainer.max_epochs=1")
    chosen, reason = environment(run)
    assert chosen == precision
    assert reason.startswith(f"a matrix product is {value} times as fast in bf16 on this CPU")
    assert f"precision: {precision} ({reason})" in caplog.text
    assert yaml.safe_load(run.config.read_text())["trainer"]["precision"] == "auto"
    checkpoint = torch.load(run.best_checkpoint, weights_only=True)
    assert checkpoint["medseg"]["precision"] == precision
    # Here, where another precision would be chosen for a new run.
    speedup[""] = 1 / value
    again = evaluate(tmp_path, f"checkpoint={run.path}", f"output={tmp_path / 'scores'}")
    assert (again / "per_image.csv").read_bytes() == run.per_image.read_bytes()
    trained = TrainedNetwork.load(run.best_checkpoint)
    assert trained.to(torch.device("cpu")).precision == precision
    assert trained.to(torch.device("cpu"), "auto").precision != precision


def test_a_resumed_run_keeps_its_precision_on_another_machine(
    speedup: dict[str, float], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = (*STEPS, "trainer.max_epochs=4", "+callbacks.interrupt._target_=tests.training.test_job.Interrupt")
    unbroken = train(tmp_path, *words, "experiment=unbroken")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *words)
    speedup[""] = 0.55
    with caplog.at_level(logging.INFO, logger="medseg"):
        run = train(tmp_path, *words)
    reason = (
        "as the run began; here it would be 32-true: a matrix product is 0.55 times as fast in bf16 on this CPU; bf16 "
        "pays from 1.3 times"
    )
    assert environment(run) == ("bf16-mixed", reason)
    assert f"precision: bf16-mixed ({reason})" in caplog.text
    assert run.per_image.read_bytes() == unbroken.per_image.read_bytes()


def test_more_epochs_are_in_the_precision_of_the_first(speedup: dict[str, float], tmp_path: Path) -> None:
    short = train(tmp_path, *STEPS, "trainer.max_epochs=1")
    speedup[""] = 0.55
    longer = train(tmp_path, *STEPS, "trainer.max_epochs=2", f"continue_from={short.path}")
    assert environment(longer)[0] == "bf16-mixed"
    assert environment(longer)[1].startswith("as the run began; here it would be 32-true")
