"""Where the configuration lives, what can be chosen in it, and how what it names is built."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf


def config_root() -> Path:
    """Return the folder that holds `conf/` and `experiments/`: the package when installed, else the checkout."""
    package = Path(__file__).resolve().parent.parent
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


def keys_of(group: str, option: str) -> set[str]:
    """Return the keys of an option of a group, with those of the options that it is made from."""
    cfg: Any = OmegaConf.to_container(OmegaConf.load(config_dir() / group / f"{option}.yaml"), resolve=False)
    parents = [
        name for name in cfg.pop("defaults", []) if isinstance(name, str) and not name.startswith(("_self_", "/"))
    ]
    return set(map(str, cfg)).union(*(keys_of(group, name) for name in parents))


def describe(file: Path) -> str:
    """Return the first line of a YAML file where it is a comment, without the hash; that of Hydra comes before it."""
    text = file.read_text(encoding="utf-8")
    first = re.sub(r"\A# @package .*\n", "", text).partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


@functools.cache
def primary(config_name: str) -> tuple[dict[str, str | None], dict[str, str]]:
    """Read a command's primary file: its groups with their defaults, and its plain keys with value and comment."""
    text = (config_dir() / f"{config_name}.yaml").read_text(encoding="utf-8")
    cfg = OmegaConf.create(text)
    assert isinstance(cfg, DictConfig)
    chosen = {key: value for entry in cfg.defaults if isinstance(entry, DictConfig) for key, value in entry.items()}
    # `group@package` takes another group's options.
    defaults = {str(group): value for group, value in chosen.items() if not re.search("^override |@", str(group))}
    comments = dict(re.findall(r"^(\w+): [^#\n]*#\s*(.*)$", text, flags=re.MULTILINE))
    plain: dict[str, str] = {}
    for key, value in OmegaConf.to_container(cfg, resolve=False).items():  # type: ignore[union-attr]
        if key not in ("defaults", "hydra") and not isinstance(value, dict):
            shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            plain[str(key)] = f"{shown:<12} {comments.get(str(key), '')}".rstrip()
    return defaults, plain


def plain_keys(config_name: str, key: str) -> list[str]:
    """Return the keys that a command's primary file has below a top-level key, without those that name a class."""
    cfg = OmegaConf.load(config_dir() / f"{config_name}.yaml")
    assert isinstance(cfg, DictConfig)
    node = cfg.get(key)
    return [str(name) for name in node if name != "_target_"] if isinstance(node, DictConfig) else []


@functools.cache
def usual_choices(protocol: str) -> dict[str, str | None]:
    """Map each group of a training configuration to the option it has under a protocol by default."""
    defaults, _ = primary("train")
    return defaults | _overridden(config_dir() / "protocol" / f"{protocol}.yaml")


def _overridden(file: Path) -> dict[str, str]:
    """Map each group that a file, or a file beside it that it builds on, overrides to the option it chooses."""
    if not file.exists():  # a custom file, in another folder
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


def command_title(config_name: str) -> str:
    """Return what a command is called on a command line."""
    return config_name.replace("_", "-")
