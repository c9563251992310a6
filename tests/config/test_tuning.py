"""What `tuning` may be: its own keys, and the keys and values of its space."""

from __future__ import annotations

from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from medseg.config import yaml_files
from medseg.config.checks.tuning import check_tuning
from medseg.config.overrides import normalize_overrides
from medseg.errors import ConfigError
from tests.helpers import compose_config

SHIPPED: Any = OmegaConf.to_container(OmegaConf.load(yaml_files.config_dir() / "protocol" / "tuned.yaml").tuning)


def of_lr(values: Any, **others: Any) -> dict[str, Any]:
    return {**SHIPPED, "space": {"optimizer": {"lr": values}}, **others}


@pytest.mark.parametrize(
    "tuning",
    [
        None,
        SHIPPED,
        {"trial": "1a2b3c4d", "pruning": None},
        of_lr([1e-3, "x3"]),
        of_lr({"low": 1e-4, "high": 1e-2}, search="optuna", trials=4),
        of_lr({"low": "x0.1", "high": 1, "log": True}, search="optuna"),
        {**SHIPPED, "space": {"loss": ["dice", "focal"], "model": {"depths": [[1, 1], [2, 2]]}}},
    ],
)
def test_what_can_be(tuning: Any) -> None:
    check_tuning(tuning)


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        (5, "tuning is 5; it must be null"),
        ({"space": {"optimizer": {"lr": [1]}}}, "it must be null, or what protocol=tuned sets: add protocol=tuned"),
        ({**SHIPPED, "trails": 5}, "unknown option 'tuning.trails': tuning has search, trials"),
        ({**SHIPPED, "trials": 3}, "tuning.trials is of tuning.search=optuna"),
        ({**SHIPPED, "space": {}}, "it must have keys"),
        ({**SHIPPED, "space": None}, "it must have keys"),
        ({**SHIPPED, "space": {"data": {"image_size": [64, 96]}}}, "data.image_size cannot be tuned"),
        ({**SHIPPED, "space": {"seed": [0, 1]}}, "seed cannot be tuned"),
        ({**SHIPPED, "space": {"model": ["unet", "unext"]}}, "model cannot be tuned"),
        ({**SHIPPED, "space": {"trainer": {"max_epochs": [2]}}, "epochs": 2}, "do not go together"),
        (of_lr(3), "it must be a list of values"),
        (of_lr([]), "it must be a list of values"),
        (of_lr([{"low": 1}]), "it must be a list of values"),
        (of_lr({"low": 1e-3, "high": 1e-2}), "needs tuning.search=optuna"),
        (of_lr({"low": 1, "high": 0}, search="optuna"), "the smaller first"),
        (of_lr({"low": 1}, search="optuna"), "it must have low and high"),
        (of_lr({"low": "a", "high": 1}, search="optuna"), "it must have low and high"),
        (of_lr({"low": 0, "high": float("inf")}, search="optuna"), "it must have low and high"),
        (of_lr({"low": 0, "high": 1, "step": 1}, search="optuna"), "it must have low and high"),
        (of_lr({"low": 0, "high": 1, "log": True}, search="optuna"), "must be above 0 with log=true"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tuning: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_tuning(tuning)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_key_of_the_space_is_added_or_replaced() -> None:
    expected = ["++tuning.space.optimizer.lr=null", "tuning.space.optimizer.lr={low:1,high:2}"]
    for given in ("tuning.space.optimizer.lr={low:1,high:2}", "+tuning.space.optimizer.lr={low:1,high:2}"):
        assert normalize_overrides([given]) == expected
        assert normalize_overrides(normalize_overrides([given])) == expected
    assert normalize_overrides(["~tuning.space.optimizer.lr"]) == ["~tuning.space.optimizer.lr"]


@pytest.mark.parametrize(
    ("words", "space"),
    [
        (["tuning.space.optimizer.lr={low: 1e-5, high: 1e-1}"], {"optimizer": {"lr": {"low": 1e-5, "high": 1e-1}}}),
        (["tuning.space.optimizer={lr: {low: 1, high: 2}}"], {"optimizer": {"lr": {"low": 1, "high": 2}}}),
        (["tuning.space.optimizer=[sgd,adamw]"], {"optimizer": ["sgd", "adamw"]}),
        (["tuning.space={data: {batch_size: [4,8]}}"], {"data": {"batch_size": [4, 8]}}),
        (
            ["~tuning.space.optimizer.lr", "+tuning.space.loss=[dice]", "tuning.space.loss=[focal]"],
            {"optimizer": {}, "loss": ["focal"]},
        ),
    ],
)
def test_a_key_of_the_space_has_what_the_command_line_says_in_each_job(words: list[str], space: Any) -> None:
    parsed = OverridesParser.create().parse_overrides(normalize_overrides([*words, "protocol=tuned"]))
    ((job,),) = BasicSweeper.split_arguments(parsed, None)
    for overrides in (words, job):
        tuning: Any = OmegaConf.to_container(
            compose_config("train", *overrides, "protocol=tuned", "tuning.search=optuna").tuning
        )
        assert tuning["space"] == space
