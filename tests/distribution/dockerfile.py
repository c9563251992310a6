"""A Dockerfile as a list of instructions, and its commands run in a folder instead of an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction: its keyword, its text without line breaks, and the number of its stage from 0, -1 before."""

    keyword: str
    text: str
    stage: int


def parse(file: Path) -> list[Instruction]:
    """Read the instructions of a Dockerfile; comment lines are left out and continued lines joined."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    instructions: list[Instruction] = []
    stage = -1
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        keyword, text = line.split(maxsplit=1)
        stage += keyword == "FROM"
        instructions.append(Instruction(keyword, text, stage))
    return instructions
