"""Learning rates of parts of a network: of the encoder, or by module names."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from medseg.errors import ConfigError
from medseg.models import UNet, UNetPlusPlus
from medseg.runs.naming import leaves
from medseg.runs.plan import settings_of
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv
from medseg.training.parameter_groups import Layers, layers_of, make_optimizer, parameter_groups
from medseg.training.schedules import plateau, warmup_cosine, warmup_poly
from tests.helpers import compose_config, train
from tests.networks import OneConv


@pytest.fixture
def network() -> UNet:
    return UNet(in_channels=3, num_classes=2, base_channels=4)


def rates(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The learning rate of each parameter; it is in one group."""
    rate = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
    assert len(rate) == sum(len(group["params"]) for group in optimizer.param_groups)
    return {name: rate[id(each)] for name, each in network.named_parameters()}


def test_the_longest_name_wins(network: UNet) -> None:
    layers = layers_of(
        network, {"encoder_lr_factor": 0.1, "lr_factors": {"encoder.0": 0.5, "encoder.0.1.0.weight": 3, "head": 10}}
    )
    optimizer = make_optimizer(partial(torch.optim.AdamW, lr=1e-2), network, network, layers)
    for name, rate in rates(network, optimizer).items():
        expected = 1e-2
        if name == "encoder.0.1.0.weight":
            expected = 3e-2
        elif name.startswith("encoder.0."):
            expected = 5e-3
        elif name.startswith(("stem.", "encoder.")):
            expected = 1e-3
        elif name.startswith("head."):
            expected = 1e-1
        assert rate == pytest.approx(expected), name
    assert [group["name"] for group in optimizer.param_groups] == [
        "others", "encoder", "encoder.0", "encoder.0.1.0.weight", "head",
    ]  # fmt: skip


def test_a_name_ends_with_a_module() -> None:
    network = torch.nn.ModuleDict({"head": torch.nn.Linear(1, 1), "head2": torch.nn.Linear(1, 1)})
    others, head = parameter_groups(network, network, [Layers("head", ("head",), 2)])
    assert [id(each) for each in head["params"]] == [id(each) for each in network["head"].parameters()]
    assert len(others["params"]) == 2


def test_the_encoder_is_what_the_network_says() -> None:
    network = UNetPlusPlus(in_channels=3, num_classes=2, base_channels=4)
    optimizer = make_optimizer(
        partial(torch.optim.SGD, lr=1.0), network, network, layers_of(network, {"encoder_lr_factor": 0.5})
    )
    assert {name.split(".")[1] for name, rate in rates(network, optimizer).items() if rate == 0.5} == {
        f"{level}_0" for level in range(5)
    }


def test_parameters_of_a_loss_are_trained_as_well(network: UNet) -> None:
    module = torch.nn.ModuleDict({"network": network, "loss": torch.nn.Linear(1, 1)})
    optimizer = make_optimizer(
        partial(torch.optim.SGD, lr=1.0), module, network, layers_of(network, {"lr_factors": {"head": 2}})
    )
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(module.parameters()))


@pytest.mark.parametrize("options", [{}, {"encoder_lr_factor": 1, "lr_factors": None}, {"lr_factors": {"head": 1}}])
def test_factors_of_one_make_one_group(options: dict[str, object], network: UNet) -> None:
    optimizer = make_optimizer(partial(torch.optim.SGD, lr=1.0), network, network, layers_of(network, options))
    (group,) = optimizer.param_groups
    assert "name" not in group
    assert len(group["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("schedule", [warmup_poly, warmup_cosine])
def test_a_schedule_scales_all_groups(schedule: object, network: UNet) -> None:
    layers = layers_of(network, {"lr_factors": {"head": 10}})
    optimizer = make_optimizer(partial(torch.optim.SGD, lr=0.1), network, network, layers)
    scheduler = schedule(optimizer, total_steps=20, steps_per_epoch=5)["scheduler"]  # type: ignore[operator]
    seen = set()
    for _ in range(20):
        others, head = (group["lr"] for group in optimizer.param_groups)
        assert head == pytest.approx(10 * others)
        seen.add(others)
        optimizer.step()
        scheduler.step()
    assert len(seen) == 20


def test_a_plateau_lowers_all_groups(network: UNet) -> None:
    layers = layers_of(network, {"lr_factors": {"head": 10}})
    optimizer = make_optimizer(partial(torch.optim.SGD, lr=0.1), network, network, layers)
    scheduler = plateau(optimizer, total_steps=20, steps_per_epoch=5, patience=0)["scheduler"]
    for value in (0.5, 0.5):
        scheduler.step(value)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"lr_factors": {"haed": 2}},
            r"optimizer\.lr_factors: UNet has no parameters below 'haed'; did you mean 'head'",
        ),
        ({"lr_factors": {"xyz": 2}}, r"no parameters below 'xyz' \(it has stem, encoder, decoder, head\)"),
        ({"lr_factors": {"enc": 2}}, "no parameters below 'enc'"),
    ],
)
def test_a_name_that_is_of_no_parameter(options: dict[str, object], message: str, network: UNet) -> None:
    with pytest.raises(ConfigError, match=message):
        layers_of(network, options)


def test_a_network_without_an_encoder() -> None:
    with pytest.raises(ConfigError, match="OneConv has no encoder"):
        layers_of(OneConv(3, 2), {"encoder_lr_factor": 0.1})
    assert layers_of(OneConv(3, 2), {"lr_factors": {"conv": 2}})


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.lr_factors={head:0}",
        "optimizer.lr_factors={head:-1}",
        "optimizer.lr_factors=[1]",
        "optimizer.encoder_lr_factor=0",
    ],
)
def test_a_factor_that_cannot_be(word: str) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        compose_config("train", word)


def test_a_training_writes_the_learning_rate_of_each_group(tmp_path: Path) -> None:
    words = ("data.image_size=32", "data.dataset.count=12", "scheduler=none", "optimizer.encoder_lr_factor=0.1")
    run = train(tmp_path, *words, "optimizer.lr_factors={encoder.0:0.2,head:10}")
    for row in read_csv(run.metrics):
        assert [float(row[f"lr{name}"]) for name in ("", "/encoder", "/encoder.0", "/head")] == pytest.approx(
            [1e-3, 1e-4, 2e-4, 1e-2]
        )
    (read,) = read_runs([run.path]).runs
    assert read.epochs[0]["lr/head"] == pytest.approx(1e-2)
    assert read.settings["optimizer.lr_factors"] == {"encoder.0": 0.2, "head": 10}
    assert read.deviations["optimizer.encoder_lr_factor"] == 0.1
    # The same command finds it.
    assert train(tmp_path, *words, "optimizer.lr_factors={head:10,encoder.0:0.2}").path == run.path


def test_no_factors_make_no_other_run() -> None:
    settings = [settings_of(compose_config("train", *words), None) for words in ((), ("optimizer.lr_factors={}",))]
    assert leaves(settings[0]) == leaves(settings[1])
