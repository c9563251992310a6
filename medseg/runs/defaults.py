"""What the chosen options have by default, and where a run deviates from it.

Written into the run folder when a run begins, so that a report can tell "7 (default)" from "9" years later, whatever
the files in `conf/` are by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medseg.config import yaml_files
from medseg.runs.naming import SETTING_FILES, canonical, leaves


@dataclass(frozen=True)
class Options:
    """The chosen options of a command, and where they are defined.

    Args:
        config_name: of the primary file.
        sources: (provider, URL) of each folder that Hydra looks into, in its order.
        words: `group=option` of each group of the primary file, without `SETTING_FILES`.
    """

    config_name: str
    sources: tuple[tuple[str, str], ...]
    words: tuple[str, ...]


def choices_of(hydra_config: Any) -> dict[str, Any]:
    """Return what was chosen in each group, from the `hydra` part of a configuration: an option, several as a list."""
    groups = groups_of(hydra_config.job.config_name)
    # Hydra does not tell several options of a group, `callbacks=[ema,early_stopping]`, which the command line does.
    lists = [re.fullmatch(r"\+?(\w+)=\[([\w,/ -]+)\]", word) for word in hydra_config.overrides.task]
    several = {found[1]: [option.strip() for option in found[2].split(",")] for found in lists if found}
    # `group@package` is the same group in another package.
    chosen = {
        group.partition("@")[0]: option
        for group, option in hydra_config.runtime.choices.items()
        if option is not None and not group.startswith("hydra/")
    }
    return chosen | {group: options for group, options in several.items() if group in groups and group not in chosen}


def groups_of(name: str) -> Iterable[str]:
    """Return the groups of a primary file; a custom one is built on that of `medseg train`."""
    return yaml_files.primary(name if (yaml_files.config_dir() / f"{name}.yaml").is_file() else "train")[0]


def options_of(hydra_config: Any) -> Options:
    """Read the options from the `hydra` part of a composed configuration."""
    name, runtime = str(hydra_config.job.config_name), hydra_config.runtime
    chosen = choices_of(hydra_config)
    words = [
        f"{group}=[{','.join(chosen[group])}]" if isinstance(chosen[group], list) else f"{group}={chosen[group]}"
        for group in groups_of(name)
        if group in chosen and group not in SETTING_FILES
    ]
    sources = tuple((str(source.provider), f"{source.schema}://{source.path}") for source in runtime.config_sources)
    return Options(name, sources, tuple(words))


@cache
def default_values(options: Options) -> Mapping[str, Any]:
    """Compose the options by themselves: flat key -> value, with interpolations as they are written.

    Once for each combination of options: composing takes as long as all else that planning a run does.
    """
    path = ConfigSearchPathImpl()
    for provider, url in options.sources:
        path.append(provider, url)
    composed = ConfigLoaderImpl(path).load_configuration(options.config_name, list(options.words), RunMode.RUN)
    return leaves(OmegaConf.to_container(composed))  # type: ignore[arg-type]


def deviations(cfg: DictConfig, options: Options) -> dict[str, Any]:
    """Return each key whose value is not the default of the chosen options, with that default.

    Args:
        cfg: the composed configuration, interpolations not resolved.
        options: what was chosen for it.

    Returns:
        flat key -> default value; None for a key that has none. A key that follows another one by interpolation does
        not deviate by itself. Keys that make no other run (`naming.IGNORED`) are left out.
    """
    values: Mapping[str, Any] = leaves(OmegaConf.to_container(cfg))  # type: ignore[arg-type]
    defaults = default_values(options)
    found = {}
    for key in dict.fromkeys([*values, *defaults]):
        value, default = values.get(key), defaults.get(key)
        if canonical(value) != canonical(default):
            default = resolved(default, cfg)
            if canonical(resolved(value, cfg)) != canonical(default):
                found[key] = default
    return found


def resolved(value: Any, cfg: DictConfig) -> Any:
    """Return a value as it is where it stands in `cfg`: interpolations filled in, None where that has no value."""
    if value == "???":
        return None
    if "${" not in str(value):
        return value
    try:
        node = OmegaConf.create({"value": value}, parent=cfg)
        return OmegaConf.to_container(node, resolve=True)["value"]  # type: ignore[index, call-overload]
    except OmegaConfBaseException:
        return None
