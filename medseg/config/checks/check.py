"""Refuse a configuration with a value that cannot be, before anything is loaded or prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.config.checks.commands import COMMANDS
from medseg.config.checks.data import OF_DATA
from medseg.config.checks.kinds import Settings, checked, shown
from medseg.config.checks.launchers import LAUNCHER_SETTINGS
from medseg.config.checks.training import OF_TRAINING
from medseg.config.checks.tuning import check_tuning
from medseg.config.walk import named_classes
from medseg.errors import ConfigError

MISSING = "???"


def check(cfg: DictConfig, command: str) -> None:
    """Check the values of a composed configuration, and those that must go together.

    What names a class (`_target_`) is checked where the class is one that medseg has settings of; arguments
    that are not among them are left to the class, and so are all of a user's class. Whole numbers where a text is
    wanted (`output=2024`) become texts in `cfg`.

    Args:
        cfg: with the groups of the command, without Hydra's; of that, the launcher of the present command is checked.
        command: name of the command's primary configuration.

    Raises `ConfigError` for the first value that cannot be, and what OmegaConf raises for one that refers to a value
    that is not there.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    check_encoding(plain)
    check_tuning(plain.get("tuning"))
    groups = [("", plain, COMMANDS.get(command, {}))]
    groups += [(f"{key}.", node, settings_of(str(node["_target_"]))) for key, node in named_classes(plain)]
    refused = [(False, error) for key, node in named_classes(plain) for error in extra_keys(key, node)]
    refused += [error for group in groups for error in wrong_values(cfg, *group)]
    # The job of a multirun has none: its configuration was checked with the launcher when it was planned.
    if HydraConfig.initialized() and not OmegaConf.is_missing(HydraConfig.get(), "launcher"):
        launcher: Any = OmegaConf.to_container(HydraConfig.get().launcher)
        refused += wrong_values(None, "hydra.launcher.", launcher, LAUNCHER_SETTINGS.get(launcher.get("_target_"), {}))
    if refused:
        # A value that refers to another one (`${...}`) is wrong where that is; its error comes first.
        raise min(refused, key=lambda error: error[0])[1]
    check_together(plain)


def wrong_values(
    cfg: DictConfig | None, prefix: str, values: Mapping[str, Any], settings: Settings
) -> Iterator[tuple[bool, ConfigError]]:
    """Yield an error for each wrong value of a group, after whether the value refers to another one.

    Args:
        cfg: takes the texts that whole numbers become.
        prefix: what the group's keys begin with.
        values: of the group.
        settings: their kinds.
    """
    for key, kind in settings.items():
        value = values.get(key, MISSING)
        if isinstance(value, str) and value == MISSING:
            continue  # whoever needs it raises
        if isinstance(kind, dict):
            if isinstance(value, Mapping) and "_target_" not in value:
                given = {name: one for name, one in value.items() if one is not None}
                yield from wrong_values(cfg, f"{prefix}{key}.", given, kind)
            continue
        node = OmegaConf.select(cfg, prefix.rstrip(".")) if cfg and prefix else cfg
        refers = OmegaConf.is_interpolation(node, key) if node else False
        try:
            fitting = checked(f"{prefix}{key}", value, kind)
        except ConfigError as error:
            yield refers, error
            continue
        if cfg is not None and isinstance(fitting, str) and fitting != value and not refers:
            OmegaConf.update(cfg, f"{prefix}{key}", fitting)


def check_encoding(node: Any, key: str = "") -> None:
    """Check that all texts can be written to a run's `config.yaml`: the path of a folder need not be UTF-8.

    Raises `ConfigError`.
    """
    if isinstance(node, Mapping | list):
        for name, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            check_encoding(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, str) and not node.isascii():
        try:
            node.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{key} is {shown(node)}; it must be UTF-8: rename the folder, or link to it") from None


def extra_keys(key: str, node: Mapping[str, Any]) -> Iterator[ConfigError]:
    """Yield an error for each key of Hydra in what builds one of the known classes: medseg decides these."""
    for name in node if settings_of(str(node["_target_"])) else ():
        shipped = (key in ("optimizer", "scheduler") and name == "_partial_" and node[name] is True) or (
            name == "_convert_" and node[name] == "all"
        )
        if name in ("_args_", "_partial_", "_recursive_", "_convert_") and not shipped:
            yield ConfigError(f"{key}.{name} is {shown(node[name])}; it must be left out, except for a custom class")


def settings_of(target: str) -> Settings:
    """Return the settings of a class; none for a class that medseg does not know."""
    for name, settings in (OF_TRAINING | OF_DATA).items():
        if target == name or (name.endswith(".") and target.startswith(name)):
            return settings
    return {}


def check_together(plain: Mapping[str, Any]) -> None:
    """Check the values that must go together, as far as the configuration has them.

    Raises `ConfigError`.
    """

    def value(key: str) -> Any:
        node: Any = plain
        for name in key.split("."):
            node = node.get(name) if isinstance(node, Mapping) else None
        return node

    def refuse(key: str, must: str) -> None:
        raise ConfigError(f"{key} is {shown(value(key))}; it must be {must}")

    def ours(group: str) -> bool:
        return bool(settings_of(str(value(f"{group}._target_"))))

    epochs = value("trainer.max_epochs")
    if ours("trainer") and epochs is not None:
        for key in ("trainer.min_epochs", "trainer.check_val_every_n_epoch"):
            if (value(key) or 0) > epochs:
                refuse(key, f"at most trainer.max_epochs, which is {epochs}")
        if ours("scheduler") and (value("scheduler.warmup_epochs") or 0) > epochs:
            refuse("scheduler.warmup_epochs", f"at most trainer.max_epochs, which is {epochs}")
    for key, node in (value("callbacks") or {}).items():
        if isinstance(node, Mapping) and str(node.get("_target_")).endswith(".EarlyStopping"):
            falls = str(node.get("monitor")).endswith("/loss")
            if ours(f"callbacks.{key}") and (node.get("mode", "min") == "min") != falls:
                refuse(f"callbacks.{key}.mode", f"{'min' if falls else 'max'} with monitor={node.get('monitor')}")
    if ours("optimizer") and value("optimizer.nesterov") and not value("optimizer.momentum"):
        refuse("optimizer.momentum", "above 0 with optimizer.nesterov=true")
    if ours("loss"):
        for one, other in (("ce_weight", "dice_weight"), ("bce_weight", "dice_weight"), ("alpha", "beta")):
            if value(f"loss.{one}") == value(f"loss.{other}") == 0:
                refuse(f"loss.{one}", f"above 0 where loss.{other} is 0")
        weights, classes = value("loss.class_weights"), value("data.num_classes")
        if isinstance(weights, list | tuple) and classes is not None and len(weights) != classes:
            refuse("loss.class_weights", f"one number for each of the {classes} classes")
