"""Text in figures, measured before it is drawn: names of any length and script fit where they are put."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font, LoadFlags

from medseg.reporting.figures.scales import Scale

FILE = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""Comes with matplotlib, so that figures are the same on all machines."""

FAMILY = "DejaVu Sans of medseg"

TITLE, LABEL, SMALL = 10.0, 9.0, 8.0
"""Font sizes in points: titles of panels; axes and legends; ticks and captions."""

LINE = 1.25
"""Height of a line of text, in font sizes."""

LONGEST = 300
"""Characters of a name that are looked at."""


@contextmanager
def plain_font() -> Iterator[None]:
    """Give matplotlib the font `FAMILY`: its default without kerning and ligatures, which cost 40 ms for each PDF."""
    with TTFont(FILE, lazy=True, recalcTimestamp=False) as font, TemporaryDirectory() as folder:
        for table in ("FFTM", "GDEF", "GPOS", "GSUB", "kern"):
            del font[table]
        # Of the other names matplotlib makes a weight that the font does not have.
        font["name"].names = [name for name in font["name"].names if name.nameID in (1, 2, 4, 6)]
        for name in font["name"].names:
            if name.nameID != 2:  # the style
                name.string = FAMILY.replace(" ", "") if name.nameID == 6 else FAMILY
        file = Path(folder, "plain.ttf")
        font.save(file, reorderTables=None)
        fontManager.addfont(file)
        try:
            yield
        finally:
            fontManager.ttflist = [entry for entry in fontManager.ttflist if entry.name != FAMILY]


@cache
def font() -> FT2Font:
    """Return the font, for measuring alone."""
    loaded = FT2Font(str(FILE))
    loaded.set_size(100, 72)
    return loaded


@cache
def drawable(character: str) -> str:
    """Return a character, a space for a blank, nothing for a control, a box for what the font lacks."""
    if character.isspace():
        return " "
    if unicodedata.category(character).startswith("C"):
        return ""
    return character if font().get_char_index(ord(character)) else "\N{WHITE SQUARE}"


def clean(text: str) -> str:
    """Return a text that can be drawn without a warning, on one line."""
    return " ".join("".join(map(drawable, text[:LONGEST])).split())


@cache
def advance(character: str) -> float:
    """Return the width of a character, in font sizes."""
    return float(font().load_char(ord(character), flags=LoadFlags.NO_HINTING).linearHoriAdvance) / 65536 / 100


def text_width(text: str, size: float) -> float:
    """Return the width in inches of a clean text, the longest line of it, in a font of `size` points."""
    return max(sum(map(advance, line)) for line in text.split("\n")) * size / 72


def widest(scales: Iterable[Scale]) -> float:
    """Return the width in inches of the widest label of some axes; 0 of none."""
    return max((text_width(label, SMALL) for scale in scales for label in scale.labels), default=0.0)


def text_height(text: str, size: float) -> float:
    """Return the height in inches of a text of one or more lines, in a font of `size` points; 0 of none."""
    return (text.count("\n") + 1) * size * LINE / 72 if text else 0.0


def wrap(text: str, width: float, size: float, lines: int = 4) -> str:
    """Break a text into at most `lines` lines; what does not fit is left out in the middle, where names differ least.

    Args:
        text: of one line.
        width: in inches.
        size: of the font, in points.
        lines: at most.
    """
    text = clean(text)
    parts = broken(text, width, size)
    length = len(text)
    while len(parts) > lines and length > 2:
        length -= 1
        parts = broken(f"{text[: -(-length // 2)]}…{text[-(length // 2) :]}", width, size)
    return "\n".join(parts)


def broken(text: str, width: float, size: float) -> list[str]:
    """Break a text at blanks; a word that is wider than a line behind punctuation, and where there is none anywhere."""
    lines = [""]

    def add(part: str, *separators: str) -> None:
        if text_width((lines[-1] + part).rstrip(), size) <= width:
            lines[-1] += part
        elif text_width(part.rstrip(), size) <= width or not separators:
            lines.append(part)
        else:
            for piece in filter(None, re.split(separators[0], part)):
                add(piece, *separators[1:])

    for word in re.split(r"(?<= )", text):
        add(word, r"(?<=[,_=./:+-])", r"(?<=.)")
    return [line.strip() for line in lines if line.strip()] or [""]
