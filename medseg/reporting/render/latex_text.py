"""Texts as LaTeX shows them, with pdfTeX and no more packages than it comes with."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from medseg.reporting.render.table import one_line

GREEK = {
    letter: unicodedata.name(letter).split()[-1].lower().replace("lamda", "lambda")
    for letter in "αβγδεζηθικλμνξπρςστυφχψω"
}
"""Letter -> name of its command; that of a capital, where LaTeX has one, is capitalized."""

COMMANDS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''",
    "±": r"$\pm$", "≈": r"$\approx$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "→": r"$\rightarrow$", "−": "$-$",
    "×": r"$\times$", "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "∞": r"$\infty$",
    "…": r"\ldots{}", "✓": r"$\surd$", "✔": r"$\surd$", "✗": r"$\times$", "✘": r"$\times$", "°": r"$^{\circ}$",
    "⁄": "/", "–": "--", "—": "---", "‐": "-", "‑": "-", "‘": "`", "’": "'", "“": "``", "”": "''", "\xa0": "~",
    "ß": r"{\ss}", "ø": r"{\o}", "Ø": r"{\O}", "æ": r"{\ae}", "Æ": r"{\AE}", "œ": r"{\oe}", "Œ": r"{\OE}",
    "ł": r"{\l}", "Ł": r"{\L}", "ı": r"{\i}", "đ": "d", "Đ": "D", "ο": "o",
    **{letter: rf"$\{name}$" for letter, name in GREEK.items()},
    **{letter: rf"$\{GREEK[letter.lower()].capitalize()}$" for letter in "ΓΔΘΛΞΠΣΥΦΨΩ"},
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)),  # those that look like Latin ones
}  # fmt: skip
"""Characters that LaTeX takes for something else, or lacks."""

ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030a": "r ", "\u0327": "c ",
    "\u030c": "v ", "\u0304": "=", "\u0307": ".", "\u030b": "H ", "\u0306": "u ", "\u0323": "d ",
}  # fmt: skip
"""Combining characters -> commands."""

MISSING = "?"
"""For a character that pdfTeX's fonts lack, such as a Chinese one."""

INVISIBLE = ("Mn", "Me", "Cf", "Cc")
"""Categories of characters that have no width."""

WIDTHS = {
    **dict.fromkeys(".,:;'!|il", 0.56), **dict.fromkeys("fjt()[] ", 0.75), **dict.fromkeys("rs-", 0.8),
    **dict.fromkeys("±≈×<>=+−", 1.6), **dict.fromkeys("mw", 1.65), **dict.fromkeys("%MW&", 1.9), "I": 0.75,
}  # fmt: skip
"""Characters that are narrower or wider than others of their kind."""

BOLD = 1.15
"""How much wider bold letters are."""


@lru_cache(10_000)  # the same names are in many cells
def escape_latex(text: str, width: float = 0.0) -> str:
    """Write a text so that LaTeX shows it as it is, accents and Greek letters included.

    Args:
        text: of one line.
        width: as `text_width` counts it; wider words may be broken. 0: no word is.
    """
    text = text.replace("->", "→")
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", unicodedata.normalize("NFC", one_line(text)))  # a minus, not a hyphen
    return " ".join(r"\allowbreak{}".join(map(escape_word, pieces(word, width))) for word in text.split(" "))


def pieces(word: str, width: float) -> list[str]:
    """Return what a word may be broken into where it is wider than a line: after punctuation, else anywhere."""
    if not width or text_width(word) <= width:
        return [word]
    cuts: list[str] = []
    for part in re.findall(r"[^/_=,.:;+-]*[/_=,.:;+-]+|[^/_=,.:;+-]+", word):
        cuts.append("")
        most = width if text_width(part) <= width else 0.9 * width  # surely narrower than a line
        for one in part:
            if cuts[-1] and text_width(cuts[-1] + one) > most:
                cuts.append("")
            cuts[-1] += one
    return cuts


def wrap(text: str, width: float) -> list[str]:
    """Break a text into lines of a width; none of them is wider."""
    lines = [""]
    for number, word in enumerate(text.split(" ")):
        for part, piece in enumerate(pieces(word, width)):
            gap = " " if number and not part else ""
            if lines[-1] and text_width(lines[-1] + gap + piece) > width:
                lines.append(piece)
            else:
                lines[-1] += gap + piece
    return lines


@lru_cache(10_000)
def text_width(text: str, bold: bool = False) -> float:
    """Return about how wide a text is, in digits of the same font (Computer Modern)."""
    width = sum(WIDTHS.get(one, 1.0 if one.islower() or one.isdigit() else 1.45) for one in text)
    return BOLD * width if bold else width


def escape_word(word: str) -> str:
    """Write a word; two hyphens stay two."""
    pairs = zip(f" {word}", word, strict=False)
    return "".join("{}-" if before == here == "-" else character(here) for before, here in pairs)


def character(given: str) -> str:
    """Write a character."""
    if given in COMMANDS or " " <= given <= "~":
        return COMMANDS.get(given, given)
    parts = unicodedata.normalize("NFKD", given)
    base, accents = parts[0], parts[1:]
    if accents and all(accent in ACCENTS for accent in accents) and base.isascii():
        written = {"i": r"\i", "j": r"\j"}.get(base, base)
        for accent in accents:
            written = f"{{\\{ACCENTS[accent]}{written}}}"
        return written
    plain = "".join(COMMANDS.get(one, one) for one in parts if one in COMMANDS or one.isascii())
    if plain and unicodedata.decomposition(given).startswith("<super>"):
        return rf"\textsuperscript{{{plain}}}"
    return plain or ("" if unicodedata.category(given) in INVISIBLE else MISSING)
