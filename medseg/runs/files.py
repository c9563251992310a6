"""Files of run folders: JSON, YAML and CSV, written whole or not at all, read with one line for what is damaged."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml

from medseg.errors import UserError

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where that is there: a run's configuration takes 2 ms instead of 20."""


MOST_TEXT, MOST_DEPTH, MOST_ALIASES = 4 * 2**20, 100, 100
"""Characters, nested brackets and aliases of a YAML file; more is no configuration, and can end the process."""


def load_yaml(text: str) -> Any:
    """Parse YAML as plain data.

    Raises `ValueError` or `yaml.YAMLError` for what cannot be a configuration: the parser in C crashes on deep nesting,
    and aliases of aliases are more values than memory holds.
    """
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text[:MOST_TEXT]):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    inline = re.search(rf"^[ \t]*(?:[-?:][ \t]+){{{MOST_DEPTH}}}", text[:MOST_TEXT], re.MULTILINE)
    if len(text) > MOST_TEXT or deepest > MOST_DEPTH or inline:
        raise ValueError("too large or too deeply nested")
    if len(re.findall(r"(?:^|[\s,\[{])\*\w", text)) > MOST_ALIASES:
        raise ValueError("too many aliases")
    return yaml.load(text, Loader=YAML_LOADER)


def read_json(file: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """Read a JSON object; with `missing_ok`, a missing file is an empty one.

    Raises `UserError` for a file that is missing or damaged.
    """
    return _object(file, json.loads, missing_ok)


def read_yaml(file: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """Read a YAML mapping as plain data; arguments and errors as of `read_json`."""
    return _object(file, load_yaml, missing_ok)


def _object(file: Path, parse: Any, missing_ok: bool) -> dict[str, Any]:
    try:
        content = parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise UserError(f"{file}: missing") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{file}: damaged ({' '.join(str(error).split())[:120]})") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: damaged (not a mapping of keys to values)")
    return content


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Write a file at the path that this gives, so that a reader, a failure or a kill never leaves half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_text(file: Path) -> Iterator[TextIO]:
    """Write a text file, whole or not at all."""
    with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        yield stream


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    with replacing_text(file) as stream:
        stream.write(json.dumps(content, indent=2, default=str) + "\n")


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV, whole or not at all."""
    with replacing_text(file) as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(file: Path) -> list[dict[str, str]]:
    """Read CSV as a list of rows; empty where there is no file."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
