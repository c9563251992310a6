"""Read and write the small files of a run: JSON, YAML, CSV. A file is written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml

from medseg.errors import UserError

YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where that is there: a run's configuration takes 2 ms instead of 20."""

MAX_BYTES = {".json": 256 * 2**20, ".yaml": 4 * 2**20}
"""Size above which a file is not what its name says; a configuration has about 5 kB. YAML takes a second per MB."""

MAX_VALUES = 1_000_000
"""Values above which a YAML file is refused: references can make a few lines as large as one likes, or endless."""


MAX_DEPTH = 400
"""Levels of a YAML file above which it is refused: the reader in C recurses, and would end the process."""


def read_json(file: Path, *, optional: bool = False) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        file: which.
        optional: whether a missing file is an empty object.

    Raises `UserError`, one line with the file's name, where it is missing, damaged or no object.
    """
    try:
        text = read_text(file, MAX_BYTES[".json"], optional=optional)
        return {} if text is None else _as_object(file, json.loads(text))
    except RecursionError:
        raise _damaged(file, "nested too deeply") from None
    except ValueError as error:
        raise _damaged(file, error) from None


def read_yaml(file: Path, *, optional: bool = False) -> dict[str, Any]:
    """Read a YAML file that holds a mapping, by the safe loader.

    Args:
        file: which.
        optional: whether a missing file is an empty mapping.

    Raises `UserError`, one line with the file's name, where it is missing, damaged or no mapping.
    """
    try:
        text = read_text(file, MAX_BYTES[".yaml"], optional=optional)
        return {} if text is None else _as_object(file, parse_yaml(text))
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise _damaged(file, error) from None


def parse_yaml(text: str) -> Any:
    """Parse YAML by the safe loader.

    Raises `yaml.YAMLError`, `TypeError` or `ValueError` for what is damaged, or larger or deeper than a configuration.
    """
    if _nests_deeply(text):
        raise ValueError("nested too deeply")
    try:
        content = yaml.load(text, Loader=YAML_LOADER)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    waiting: list[Any] = [content]
    seen = 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return content


def read_csv(file: Path) -> list[dict[str, str]]:
    """Read a CSV file as a list of rows; empty where there is no file.

    Raises `UserError`, one line with the file's name, where it is damaged, such as by a row that is cut short.
    """
    if not file.exists():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, csv.Error) as error:
        raise _damaged(file, error) from None
    for number, row in enumerate(rows, 1):
        # DictReader fills a short row with None, and puts what is too much under the key None.
        if None in row or None in row.values():
            raise _damaged(file, f"row {number} does not have {len(reader.fieldnames or ())} columns")
    return rows


def _nests_deeply(text: str) -> bool:
    """Tell whether YAML has more than `MAX_DEPTH` levels."""
    # Each level costs one of these characters or a space of indentation; few files need a closer look.
    if sum(map(text.count, "[{-?")) + max(len(line) - len(line.lstrip()) for line in text.splitlines()) <= MAX_DEPTH:
        return False
    depth = 0
    for event in yaml.parse(text, Loader=YAML_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return True
    return False


def read_text(file: Path, most: int, *, optional: bool) -> str | None:
    """Return the text of a file of `most` bytes, which must not be empty; None where there is none, if `optional`.

    Raises `UserError`.
    """
    try:
        size = file.stat().st_size
        if size > most:
            raise _damaged(file, f"{size:,} bytes; {most:,} are allowed")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        if optional:
            return None
        raise UserError(f"{file}: missing") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    if not text.strip():
        raise _damaged(file, "empty")
    return text


def _as_object(file: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise _damaged(file, f"{type(content).__name__} instead of keys with values")
    return content


def _damaged(file: Path, reason: object) -> UserError:
    return UserError(f"{file}: damaged ({' '.join(str(reason).split())})")


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
