"""Commas between the values of a sweep: a shell cuts a word at a blank, so there is none beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from medseg.errors import ConfigError

BETWEEN = "\0"
"""Stands between words, which cannot hold it."""


def check_commas(words: Sequence[str]) -> None:
    """Refuse words that begin or end with a comma, such as `model=unet, convunext`. Raises `ConfigError`.

    A comma behind a backslash belongs to the value, and one in the name of a file to that.
    """
    for word in words:
        loose = word.startswith(",") or (word.endswith(",") and not word.endswith("\\,"))
        if loose and not os.path.exists(word):  # noqa: PTH110 - a Path raises where the name is too long
            raise ConfigError(f"'{word}': no space beside a comma, and none at the end: {without_spaces(words)}")


def without_spaces(words: Sequence[str]) -> str:
    """Return the first word that differs where blanks beside commas and commas at the end are taken away."""
    line = BETWEEN.join(words)
    line = re.sub(rf",[{BETWEEN},]*(?={BETWEEN}[^{BETWEEN}=,]+=|$)", "", line)
    line = re.sub(rf"{BETWEEN}*,{BETWEEN}+|{BETWEEN}+,", ",", line)
    return next((word for word in line.split(BETWEEN) if word and word not in words), "model=unet,convunext")
