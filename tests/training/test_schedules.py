"""Schedules: factors computed by hand, short trainings, resuming from a checkpoint loaded with weights only."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch

from medseg.training.schedules import constant, plateau, warmup_cosine, warmup_poly

RATE = 0.5


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)


def factors(schedule: Any, steps: int, **options: Any) -> list[float]:
    """The factors with which the given number of optimizer steps are made, and the one after them."""
    sgd = optimizer()
    description = schedule(sgd, **options)
    assert (description["interval"], description["frequency"]) == ("step", 1)
    assert "monitor" not in description
    found = []
    for _ in range(steps + 1):
        found.append(sgd.param_groups[0]["lr"] / RATE)
        sgd.step()
        description["scheduler"].step()
    return found


def test_warmup_poly_by_hand() -> None:
    # 4 steps of warm-up from .001 to 1, then (1 - t)^.9 over the other 8.
    expected = [0.001, 0.25075, 0.5005, 0.75025, *((1 - k / 8) ** 0.9 for k in range(9))]
    assert factors(warmup_poly, 12, total_steps=12, steps_per_epoch=4) == pytest.approx(expected)


def test_warmup_poly_options() -> None:
    found = factors(warmup_poly, 10, total_steps=10, steps_per_epoch=2, warmup_epochs=2, warmup_factor=0.5, power=1.0)
    assert found == pytest.approx([0.5, 0.625, 0.75, 0.875, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0])


def test_warmup_cosine_by_hand() -> None:
    root = math.sqrt(0.5)
    expected = [0.1, 0.55, 1, 0.5 * (1 + root), 0.5, 0.5 * (1 - root), 0]
    options = {"total_steps": 6, "steps_per_epoch": 2, "warmup_factor": 0.1}
    assert factors(warmup_cosine, 6, **options) == pytest.approx(expected)
    with_floor = [0.1, 0.55, *(0.2 + 0.8 * factor for factor in expected[2:])]
    assert factors(warmup_cosine, 6, **options, min_factor=0.2) == pytest.approx(with_floor)


def test_without_warmup() -> None:
    found = factors(warmup_poly, 2, total_steps=2, steps_per_epoch=2, warmup_epochs=0, power=1.0)
    assert found == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize("schedule", [warmup_poly, warmup_cosine])
@pytest.mark.parametrize("total", [1, 2, 3, 5, 10])
def test_training_shorter_than_the_warmup(schedule: Any, total: int) -> None:
    # One epoch of training: warm-up for half of it, so that some step is made at the full rate and none diverges.
    found = factors(schedule, total, total_steps=total, steps_per_epoch=10)
    assert max(found) == found[total // 2] == 1
    assert all(0 < factor <= 1 for factor in found[:total])
    assert found[total] == pytest.approx(0)


def test_steps_beyond_the_last_stay_at_the_end() -> None:
    assert factors(warmup_poly, 9, total_steps=4, steps_per_epoch=1)[4:] == [0] * 6
    beyond = factors(warmup_cosine, 9, total_steps=4, steps_per_epoch=1, min_factor=0.1)[4:]
    assert beyond == pytest.approx([0.1] * 6)


def test_constant() -> None:
    assert factors(constant, 5, total_steps=3, steps_per_epoch=1) == [1] * 6


def test_every_parameter_group_keeps_its_own_rate() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.1, 0.01)]
    sgd = torch.optim.SGD(groups)
    scheduler = warmup_poly(sgd, total_steps=4, steps_per_epoch=0, power=1.0)["scheduler"]
    sgd.step()
    scheduler.step()
    assert [group["lr"] for group in sgd.param_groups] == pytest.approx([0.075, 0.0075])


def test_plateau_waits_for_a_higher_score() -> None:
    sgd = optimizer()
    description = plateau(sgd, total_steps=9, steps_per_epoch=1, patience=2, factor=0.1)
    assert description["monitor"] == "val/dice"
    assert description["interval"] == "epoch"
    rates = []
    for score in (0.5, 0.6, 0.6, 0.55, 0.5, 0.7, 0.7):
        description["scheduler"].step(torch.tensor(score))
        rates.append(sgd.param_groups[0]["lr"] / RATE)
    # .6 is the best; the third epoch without more lowers the rate.
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1])


@pytest.mark.parametrize("schedule", [warmup_poly, warmup_cosine, constant, plateau])
def test_resumes_from_a_state_loaded_with_weights_only(schedule: Any) -> None:
    def step(sgd: torch.optim.Optimizer, scheduler: Any, count: int) -> list[float]:
        for k in range(count):
            sgd.step()
            scheduler.step(*([torch.tensor(0.5 - 0.01 * k)] if schedule is plateau else []))
        return [group["lr"] for group in sgd.param_groups]

    options = {"total_steps": 40, "steps_per_epoch": 3}
    sgd = optimizer()
    scheduler = schedule(sgd, **options)["scheduler"]
    step(sgd, scheduler, 7)
    file = io.BytesIO()
    torch.save({"optimizer": sgd.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    resumed = optimizer()
    resumed_scheduler = schedule(resumed, **options)["scheduler"]
    resumed.load_state_dict(state["optimizer"])
    resumed_scheduler.load_state_dict(state["scheduler"])
    assert step(resumed, resumed_scheduler, 13) == step(sgd, scheduler, 13)
