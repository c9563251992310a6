"""Compose a configuration from Python, as a command line composes it."""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.conf import HydraConf
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from medseg.config import yaml_files
from medseg.config.explain import explain
from medseg.config.override_checks import check_overrides
from medseg.config.overrides import normalize_overrides
from medseg.errors import ConfigError


def compose(config_name: str, overrides: Sequence[str] = (), *, checked: bool = True) -> tuple[DictConfig, HydraConf]:
    """Compose the configuration of a command; Hydra's global state is neither read nor changed.

    Args:
        config_name: of the command, such as `train`.
        overrides: words of its command line, such as `model=unet` and `optimizer.lr=0.01`.
        checked: whether every value is checked.

    Returns:
        the configuration, and Hydra's part of it: the choices, the overrides, the folder.

    Raises `ConfigError` for a word that is invalid.
    """
    Plugins.instance()  # which knows how files are read
    setup_globals()  # the resolvers that a value may use, such as ${now:...}
    words = normalize_overrides(overrides)
    check_overrides(words, config_name)
    path = ConfigSearchPathImpl()
    for provider, url in (
        ("hydra", "pkg://hydra.conf"),
        ("main", f"file://{yaml_files.config_dir()}"),
        ("medseg", f"file://{yaml_files.config_root()}"),
        ("schema", "structured://"),
    ):
        path.append(provider, url)
    try:
        composed = ConfigLoaderImpl(path).load_configuration(config_name, words, RunMode.RUN, from_shell=False)
        hydra_config, cfg = composed.hydra, composed.copy()
        with open_dict(cfg):
            del cfg["hydra"]
        if checked:
            from medseg.config.checks.check import check

            check(cfg, config_name)
    except Exception as error:
        text = explain(error, config_name, words)
        if text is None:
            raise
        raise ConfigError(text) from error
    return cfg, hydra_config
