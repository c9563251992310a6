"""How a sweep hands a job the configuration that it planned, so that the job composes nothing again.

A command line has only part of it: `--config-name`, `--config-dir`, `hydra.*`, the environment and the files that it
is composed of count as well, and may be others when the job begins. So the planned configuration itself goes to the
launcher, as one more override, and from there to the job, as what it reads on standard input.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import sys
import tempfile
import zlib
from collections.abc import Sequence
from typing import IO, Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from medseg.errors import ConfigError

KEY = "medseg_planned"
"""Of the override that carries a planned configuration through a launcher."""

MAGIC = b"medseg job\n"
"""What a job's standard input begins with."""

OUTSIDE = re.compile(r"\$\{\s*(now|oc\.env|hydra|oc\.decode|python_version)\s*:")
"""Interpolations whose value is not in the configuration, and may be another one when the job begins."""

LATER = re.compile(r"\$\{\s*hydra\s*:\s*job\.(num|id)\s*\}")
"""Interpolations that have no value yet."""

PARTS = ("runtime", "overrides", "run", "job")
"""Of Hydra's part of a configuration: what medseg and Lightning read."""


def resolve_values(composed: DictConfig) -> None:
    """Replace each value of a composed configuration that time, environment or Hydra decides by that value.

    Raises `ConfigError` for one that has no value yet.
    """
    for key in composed:
        if key != "hydra":
            _resolve(composed, key)
    with read_write(composed.hydra):
        _resolve(composed.hydra.overrides, "task")


def _resolve(parent: Any, key: Any) -> None:
    node = parent._get_node(key)
    value = node._value()
    if isinstance(value, str):
        if LATER.search(value):
            raise ConfigError(
                f"{value}: the number of a job is not known before it begins, and is another one when the sweep goes "
                "on; use the seed, or another key"
            )
        if OUTSIDE.search(value):
            parent[key] = parent[key]
    elif OmegaConf.is_config(node) and value is not None:
        for child in node if OmegaConf.is_dict(node) else range(len(node)):
            _resolve(node, child)


def pack(composed: DictConfig) -> str:
    """Write a composed configuration, with Hydra's part, as one override."""
    content = composed.copy()
    with read_write(content), open_dict(content):
        content.hydra = {part: composed.hydra._get_node(part) for part in PARTS}
    text = zlib.compress(OmegaConf.to_yaml(content).encode(), 9)
    return f"+{KEY}='{base64.urlsafe_b64encode(text).decode()}'"


def unpack(text: str) -> DictConfig:
    """Return a configuration, with Hydra's part, from the value of the override."""
    cfg = OmegaConf.create(zlib.decompress(base64.urlsafe_b64decode(text)).decode())
    assert isinstance(cfg, DictConfig)
    cfg.hydra = OmegaConf.merge(OmegaConf.structured(HydraConf), cfg.hydra)
    return cfg


def use_config(text: str) -> DictConfig:
    """Make the handed configuration this process's, and return it without Hydra's part."""
    full = unpack(text)
    HydraConfig.instance().set_config(full)
    cfg = full.copy()
    del cfg["hydra"]
    OmegaConf.set_struct(cfg, True)
    return cfg


def standard_input(program: Sequence[str], arguments: Sequence[str], text: str) -> IO[bytes]:
    """Return a file, without a name, that hands a configuration to the process that is started with these arguments."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(MAGIC + json.dumps([list(program), list(arguments), text]).encode())
    file.flush()  # and stays at its end: whoever else asks for input finds none
    return file


def read_planned_config(program: Sequence[str]) -> DictConfig | None:
    """Return the configuration that a sweep has handed to this process; None where none has.

    The further processes of a distributed job have its standard input as well, and its arguments before theirs.
    What else a job may start does not.
    """
    try:
        if not stat.S_ISREG(os.fstat(0).st_mode):
            return None
        content = os.pread(0, os.fstat(0).st_size, 0)
    except OSError:
        return None
    if not content.startswith(MAGIC):
        return None
    started, arguments, text = json.loads(content[len(MAGIC) :])
    if started != list(program) or sys.argv[1 : len(arguments) + 1] != arguments:
        return None
    return use_config(text)
