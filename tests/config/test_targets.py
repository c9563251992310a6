"""The classes that a configuration names, checked before anything is loaded."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from torch import nn

from medseg.config import yaml_files
from medseg.config.instantiate import instantiate_network
from medseg.config.targets import check_targets, fitting
from medseg.errors import ConfigError
from tests.helpers import compose_config, train


class Natural(nn.Module):
    """A network with the names that people give."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(n_channels, n_classes, 3, padding=1)

    def forward(self, x):
        return self.layer(x)


class Fixed(Natural):
    """A network of one kind of images."""

    def __init__(self) -> None:
        super().__init__(3, 2)


class Wide(Natural):
    """A network that needs more."""

    def __init__(self, in_channels: int, num_classes: int, width: int) -> None:
        super().__init__(in_channels, num_classes)


@pytest.fixture(autouse=True)
def mynet(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("mynet")
    module.__dict__.update(MyNet=Natural, Fixed=Fixed, Wide=Wide, number=3)
    monkeypatch.setitem(sys.modules, "mynet", module)


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, option) for group in yaml_files.groups() for option in yaml_files.options(group) if option != "custom"],
)
def test_every_option_names_what_is_there(group: str, option: str) -> None:
    check_targets(compose_config("train", f"{group}={option}", *(["data.root=x"] if option == "folder" else [])))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["+model._target_=mynet.Wide"], "Wide needs width: give '+model.width=...'"),
        (["+model._target_=mynet.MyNte"], "mynet has no 'MyNte'; did you mean 'MyNet'?"),
        (["+model._target_=mynet"], "must name a class with its module: my_package.MyClass"),
        (["+model._target_=5"], "must name a class with its module"),
        (["+model._target_=mynet.number"], "is a int, no class and no function"),
        (["+model._target_=no_such_module.MyNet"], "No module named 'no_such_module'"),
        (["model=custom"], "model=custom needs your class: +model._target_=my_package.MyNet"),
        (["+model.base_chanels=3"], "takes no 'base_chanels'; did you mean 'base_channels'"),
        (["+optimizer.larning_rate=3"], "optimizer.larning_rate: AdamW takes no 'larning_rate'"),
        (["+trainer.max_epoch=3"], "trainer.max_epoch: Trainer takes no 'max_epoch'; did you mean 'max_epochs'"),
        (["+loss.gama=3"], "loss.gama: CEDiceLoss takes no 'gama'"),
        (["+callbacks.mine._target_=os.nothing_of_this_name"], "os has no 'nothing_of_this_name'"),
    ],
)
def test_what_cannot_be_built_is_said_before_the_data_are_prepared(
    words: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        train(tmp_path, *words, tiny=False)
    assert message in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_network_with_natural_names(tmp_path: Path) -> None:
    """It is told the two words, which then work, and stay with the run."""
    own = "+model._target_=mynet.MyNet"
    small = ("data.image_size=32", "data.dataset.count=10", "data.num_workers=0", "trainer.max_epochs=1", "logger=csv")
    with pytest.raises(ConfigError) as caught:
        train(tmp_path, own, *small, "trainer=cpu", tiny=False)
    words = ["+model.n_channels=${data.in_channels}", "+model.n_classes=${data.num_classes}"]
    given = " ".join(map(repr, words))
    told = str(caught.value)
    assert f"MyNet needs n_channels and n_classes, not in_channels and num_classes: give {given}" in told
    assert "`n_channels: ${data.in_channels}` and `n_classes: ${data.num_classes}`" in told
    assert not (tmp_path / "data").exists()
    run = train(tmp_path, own, *words, *small, "trainer=cpu", tiny=False)
    assert run.finished
    assert "in_channels: 3\n  num" not in run.config.read_text().partition("model:")[2].partition("data:")[0]


def test_a_network_of_fixed_numbers_gets_none() -> None:
    model = compose_config("train", "+model._target_=mynet.Fixed").model
    assert list(fitting(model)) == ["_target_"]
    assert isinstance(instantiate_network(model), Fixed)


def test_initial_weights_are_looked_for_first(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no such run folder or checkpoint"):
        train(tmp_path, f"initial_weights={tmp_path / 'nothing'}", tiny=False)
    assert not (tmp_path / "data").exists()


def test_batch_norm_needs_more_than_one_value(tmp_path: Path) -> None:
    words = ("data.image_size=16", "data.dataset.count=10", "data.batch_size=1")
    with pytest.raises(ConfigError, match=r"data.batch_size=1: the batch norm of UNet cannot train on one image"):
        train(tmp_path, *words)
    assert not (tmp_path / "runs").exists()
    assert train(tmp_path, *words[1:], "data.image_size=32", "trainer.max_epochs=1").finished
