"""Errors that a user can cause: one clear line: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right. The commands print its text as one line and end with `exit_code`."""

    exit_code = 1


class ConfigError(UserError):
    """A wrong option, group or key on the command line or in a configuration file."""

    exit_code = 2


class DataError(UserError):
    """Data that is missing, damaged or not in the dataset's published layout."""


def as_bytes(text: str) -> bytes:
    """Encode a text that may hold the name of a file, which need not be UTF-8."""
    return text.encode(errors="surrogatepass")


def count(amount: int, what: str) -> str:
    """Write an amount of things: `1 image`, `2 images`."""
    return f"{amount} {what}{'' if amount == 1 else 's'}"


def is_or_are(amount: int) -> str:
    """Return the verb that fits an amount."""
    return "is" if amount == 1 else "are"


def printable(text: str) -> str:
    """Return text as a terminal can show it: what would move its cursor or has no character is written as an escape.

    The names of files and folders may hold anything. Line ends stay.
    """
    odd = {each for each in set(text) - {"\n", "\t"} if unicodedata.category(each)[0] == "C"}
    return text.translate({ord(each): each.encode("unicode_escape").decode() for each in odd}) if odd else text


def first_line(error: Exception) -> str:
    """Return the first line of an error that is not empty, with the next one where it ends in a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def close_matches(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'a' or 'b'?` for the known words most like `word`, or nothing."""
    # However it is written: UNet, U-Net and u_net are like unet.
    plain = {name: re.sub(r"[-_ ]", "", name).casefold() for name in known}
    given = re.sub(r"[-_ ]", "", word).casefold()
    alike = [given] if given in plain.values() else difflib.get_close_matches(given, list(plain.values()), 3, 0.6)
    matches = [name for text in dict.fromkeys(alike) for name in plain if plain[name] == text][:3]
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""
