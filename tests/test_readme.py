"""Every command that the README or a `--help` shows composes: it names nothing that does not exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from medseg import benchmark, config, describe, evaluate, import_checkpoint, prepare, report, status, train
from tests.helpers import compose_config

PROJECT = Path(__file__).resolve().parent.parent
SHOWN = (PROJECT / "README.md").read_text(encoding="utf-8").splitlines()
SHOWN += [
    line
    for module in (train, prepare, evaluate, describe, import_checkpoint, status, report, benchmark)
    for line in module.EXAMPLES
]
# Commands within a sentence, but not those with a word to fill in.
SHOWN += [found for line in SHOWN for found in re.findall(r"`(python -m medseg\.[^`]+)`", line) if "NAME" not in found]
COMMANDS = sorted({line.strip() for line in SHOWN if line.strip().startswith("python -m medseg.")})

AS_MEANT = {"describe": describe.as_meant, "report": report.as_meant, "status": report.as_meant}


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("line", COMMANDS)
def test_a_shown_command_composes(line: str) -> None:
    # A remark stands behind two spaces or a hash.
    words = shlex.split(re.split(r"\s{2,}|\s#", line)[0])
    name = words[2].removeprefix("medseg.")
    overrides = config.as_meant([word for word in words[3:] if not word.startswith("-")])
    if name in AS_MEANT:
        overrides = AS_MEANT[name](overrides)
    # Of a sweep, all combinations compose where each value does beside the others' first.
    choices = [
        [f"{word.partition('=')[0]}={value}" for value in word.partition("=")[2].split(",")]
        if "[" not in word
        else [word]
        for word in overrides
    ]
    for number in range(max(map(len, choices), default=1)):
        chosen = [values[min(number, len(values) - 1)] for values in choices]
        cfg = compose_config(name, f"hydra.searchpath=[file://{config.config_root()}]", *chosen)
        if name != "evaluate":
            OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
