"""Where the configuration lives, what can be chosen in it, and what a misspelt choice was meant to be."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from medseg.errors import ConfigError, UserError

if TYPE_CHECKING:
    from torch import nn


def config_root() -> Path:
    """Return the folder that holds `conf/` and `experiments/`: the package when installed, else the checkout."""
    package = Path(__file__).resolve().parent
    return package if (package / "conf").is_dir() else package.parent


def config_dir() -> Path:
    """Return the folder of Hydra's groups."""
    return config_root() / "conf"


def groups() -> list[str]:
    """Name the groups of the configuration, sorted."""
    return sorted(path.name for path in config_dir().iterdir() if path.is_dir() and any(path.glob("*.yaml")))


def options(group: str) -> dict[str, str]:
    """Map each option of a group to its one-line description, the first comment line of its file."""
    files = sorted((config_dir() / group).glob("*.yaml"))
    return {file.stem: describe(file) for file in files if not file.stem.startswith("_")}


def describe(file: Path) -> str:
    """Return the first line of a YAML file where it is a comment, without the hash; Hydra's own comes before it."""
    text = file.read_text(encoding="utf-8")
    first = re.sub(r"\A# @package .*\n", "", text).partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def close_matches(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'a' or 'b'?` for the known words most like `word`, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""


def flat_keys(cfg: DictConfig, prefix: str = "") -> list[str]:
    """List every key of a configuration with its dots: `optimizer`, `optimizer.lr`, ..."""
    keys: list[str] = []
    for key in map(str, cfg):
        name = f"{prefix}{key}"
        keys.append(name)
        if not OmegaConf.is_missing(cfg, key) and not OmegaConf.is_interpolation(cfg, key):
            child = cfg._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none():
                keys += flat_keys(child, f"{name}.")
    return keys


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Say that `key` is unknown and which known key or group is like it."""
    known = list(known)
    # The last part of a dotted key may be known under another parent: weight_decay -> optimizer.weight_decay.
    last = key.rpartition(".")[2]
    under_other = [name for name in known if name.rpartition(".")[2] == last]
    hint = close_matches(key, known) or (f"; did you mean {under_other[0]!r}?" if under_other else "")
    return f"unknown option '{key}'{hint or '; --help lists the groups, --cfg job every key'}"


def explain(error: Exception, config_name: str, overrides: list[str]) -> str | None:
    """Turn what Hydra or OmegaConf raised into one line for the user; None where the error is not theirs to mend."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        known = [option for option in error.options or [] if not option.startswith("_")]
        if not known:
            return unknown_key(group or name, groups())
        return f"unknown {group} '{name}'{close_matches(name, known)} (there are: {', '.join(known)})"
    if isinstance(error, ConfigCompositionException):
        match = re.search(r"Could not (?:override|delete|append to config\.? ?)[^']*'([^']+)'", str(error))
        if match:
            return unknown_key(match.group(1).partition("@")[0], known_keys(config_name, overrides))
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': write key=value, and quote a value with special characters"
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return f"'{error.full_key}' has no value; give {error.full_key}=..."
    if isinstance(error, InterpolationResolutionError):
        match = re.search(r"Missing mandatory value: (\S+)", str(error))
        if match:
            return f"'{match.group(1)}' has no value; give {match.group(1)}=..."
    if isinstance(error, HydraException | OmegaConfBaseException):
        return " ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return None


def instantiation_error(error: InstantiationException) -> str:
    """Say which part of the configuration could not be built and why, without Hydra's own frame."""
    key = re.search(r"full_key: (\S+)", str(error))
    where = f"{key.group(1)}: " if key else ""
    cause = error.__cause__
    return f"{where}{cause}" if cause is not None else " ".join(str(error).split())


def instantiate(node: DictConfig, **extra: Any) -> Any:
    """Build what a node's `_target_` names, with plain lists and dictionaries as arguments.

    Raises the constructor's own `UserError`, or `ConfigError` for anything else that keeps it from being built.
    """
    try:
        return hydra.utils.instantiate(node, _convert_="all", **extra)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise ConfigError(instantiation_error(error)) from error


def instantiate_network(model: DictConfig) -> nn.Module:
    """Build the network of a `model` configuration.

    Raises `ConfigError` where that names no network.
    """
    if "_target_" not in model:
        raise ConfigError("model=custom needs your class: +model._target_=my_package.MyNet")
    from torch import nn  # not above: torch takes seconds, and most commands can fail without it

    network = instantiate(model)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"{model._target_} made a {type(network).__name__}; a network must be a torch.nn.Module")
    return network


def known_keys(config_name: str, overrides: list[str]) -> list[str]:
    """List the groups, and the keys of a command's configuration with the options chosen on its command line."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    # An earlier, failed composition may have left Hydra initialised.
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(config_dir()), version_base="1.3"):
        known = {f"{group}={option}" for group in groups() for option in options(group)}
        cfg = compose(config_name, overrides=[override for override in overrides if override in known])
    return sorted({*groups(), *flat_keys(cfg)})


def as_meant(arguments: list[str]) -> list[str]:
    """Return command-line arguments as Hydra needs them to be.

    `+model._target_=package.Class` stands alone: without a choice of `model` it means `model=custom`. A home folder,
    `key=~/folder`, is filled in: the shell leaves it alone there, and Hydra cannot read it. Beside `budget=...`,
    `+experiments=...` takes its place before the budget: Hydra would compose it last, and its numbers would win.
    """
    meant = [re.sub(r"^([^=]+)=(~[^,=]*)$", lambda m: f"{m[1]}={Path(m[2]).expanduser()}", word) for word in arguments]
    own = any(re.match(r"\+*model\._target_=", word) for word in meant)
    chosen = any(word.startswith("model=") for word in meant)
    if any(word.startswith("budget=") for word in meant):
        meant = [re.sub(r"^\+experiments=", "experiments@_global_=", word) for word in meant]
    return [*meant, "model=custom"] if own and not chosen else meant


@functools.cache
def primary(config_name: str) -> tuple[dict[str, str | None], dict[str, str]]:
    """Read a command's primary file: its groups with their defaults, and its plain keys with value and comment."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    cfg = OmegaConf.create(text)
    assert isinstance(cfg, DictConfig)
    chosen = {key: value for entry in cfg.defaults if isinstance(entry, DictConfig) for key, value in entry.items()}
    # `group@package` is a place for another group's options.
    defaults = {str(group): value for group, value in chosen.items() if not re.search("^override |@", str(group))}
    comments = dict(re.findall(r"^(\w+): [^#\n]*#\s*(.*)$", text, flags=re.MULTILINE))
    plain: dict[str, str] = {}
    for key, value in OmegaConf.to_container(cfg, resolve=False).items():  # type: ignore[union-attr]
        if key not in ("defaults", "hydra") and not isinstance(value, dict):
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            plain[str(key)] = f"{shown:<12} {comments.get(str(key), '')}".rstrip()
    return defaults, plain


@functools.cache
def usual_choices(protocol: str) -> dict[str, str | None]:
    """Map each group of a training configuration to the option it has under a protocol where nothing else is said."""
    defaults, _ = primary("train")
    return defaults | _overridden(config_dir() / "protocol" / f"{protocol}.yaml")


def _overridden(file: Path) -> dict[str, str]:
    """Map each group that a file, or a file beside it that it builds on, overrides to the option it chooses."""
    if not file.exists():  # the user's own, in another folder
        return {}
    found: dict[str, str] = {}
    for entry in OmegaConf.to_container(OmegaConf.load(file), resolve=False).get("defaults", []):  # type: ignore[union-attr]
        if isinstance(entry, dict):
            found |= {group.removeprefix("override /"): option for group, option in entry.items()}
        elif entry != "_self_":
            found = _overridden(file.with_stem(entry)) | found
    return found


@functools.cache
def top_level_keys(config_name: str) -> set[str]:
    """Return the keys that a command's configuration may have at its top."""
    defaults, _ = primary(config_name)
    cfg = OmegaConf.load(config_dir() / f"{config_name}.yaml")
    return {str(key) for key in cfg} | set(defaults)
