"""Read and write the small files of a run: JSON, YAML, CSV. A file is written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import yaml

from medseg.errors import UserError
from medseg.system.process import is_alive, is_gone, process_mark

SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where that is there: a run's configuration takes 2 ms instead of 20."""


class YamlLoader(SAFE_LOADER):
    """Refuse a mapping that has a key twice, of which PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping of its node."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is there twice", key.start_mark)
            seen.add((key.tag, key.value))
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


MAX_BYTES = {".json": 256 * 2**20, ".yaml": 4 * 2**20, ".csv": 1024 * 2**20}
"""Size in bytes above which a file is refused; a configuration has about 5 kB. YAML takes a second per MB."""

MAX_VALUES = 1_000_000
"""Values above which a YAML file is refused: references can make a few lines as large as one likes, or endless."""

MAX_DEPTH = 400
"""Levels of a YAML file above which it is refused: the reader in C recurses, and would end the process."""

MAX_NAME = 255
"""Bytes that the name of a file may have on most file systems."""

ABANDONED = 24 * 3600.0
"""Seconds after the last write to a half written file until it counts as left behind, where its machine is unknown."""


def read_json(file: Path, *, optional: bool = False) -> dict[str, Any]:
    """Read a JSON file that holds an object; where it is `optional`, a missing one is an empty object.

    Raises `UserError`, one line with the file's name, where it is missing, damaged or no object.
    """
    return _read_object(file, json.loads, MAX_BYTES[".json"], optional)


def read_yaml(file: Path, *, optional: bool = False) -> dict[str, Any]:
    """Read a YAML file that holds a mapping, by the safe loader; otherwise as `read_json`."""
    return _read_object(file, parse_yaml, MAX_BYTES[".yaml"], optional)


def _read_object(file: Path, parse: Callable[[str], Any], most: int, optional: bool) -> dict[str, Any]:
    text = read_text(file, most)
    if text is None:
        if optional:
            return {}
        raise UserError(f"{file}: missing")
    if text.isspace():
        raise damaged(file, "empty")
    try:
        content = parse(text)
    except RecursionError:
        raise damaged(file, "nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise damaged(file, error) from None
    if not isinstance(content, dict):
        raise damaged(file, f"{type(content).__name__} instead of keys with values")
    return content


def parse_yaml(text: str) -> Any:
    """Parse YAML by the safe loader.

    Raises `yaml.YAMLError`, `TypeError`, `ValueError` or `RecursionError` for what is damaged, or larger or deeper than
    a configuration.
    """
    if _nests_deeply(text):
        raise ValueError("nested too deeply")
    content = yaml.load(text, Loader=YamlLoader)
    waiting: list[Any] = [content]
    seen = 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES:,} values")
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return content


def _nests_deeply(text: str) -> bool:
    """Tell whether YAML has more than `MAX_DEPTH` levels."""
    # Each level costs one of these characters or a space of indentation; few files need a closer look.
    if sum(map(text.count, "[{-?")) + max(len(line) - len(line.lstrip()) for line in text.splitlines()) <= MAX_DEPTH:
        return False
    depth = 0
    for event in yaml.parse(text, Loader=YamlLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            return True
    return False


def read_csv(file: Path, needed: Collection[str] = ()) -> list[dict[str, str]]:
    """Read a CSV file as a list of rows; empty where there is no file. `needed`: columns that it must have.

    Raises `UserError`, one line with the file's name, where it is damaged, such as by a row that is cut short.
    """
    header, rows = read_table(file)
    if not set(needed) <= set(header) and file.exists():
        raise damaged(file, "no header")
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_table(file: Path) -> tuple[list[str], list[list[str]]]:
    """Read the header of a CSV file, and its rows, each as long as the header; both empty where there is no file.

    Raises `UserError` as `read_csv`.
    """
    text = read_text(file, MAX_BYTES[".csv"])
    if text is None:
        return [], []
    if not text.endswith("\n"):  # the last number may lack its end
        raise damaged(file, "cut short")
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""))
    except csv.Error as error:
        raise damaged(file, error) from None
    for line, row in enumerate(rows, start=2):
        if len(row) not in (0, len(header)):
            raise damaged(file, f"line {line} has {len(row)} of {len(header)} cells")
    return header, list(filter(None, rows))


def numbers(cells: Iterable[str]) -> list[float]:
    """Return the numbers in some cells, NaN for an empty one. Raises `ValueError` where one is no number."""
    cells = tuple(cells)
    try:
        return list(map(float, cells))  # half the time
    except ValueError:
        return [float(cell or "nan") for cell in cells]


def read_text(file: Path, most: int | None = None) -> str | None:
    """Return the text of a file of at least a byte; None where there is none. `most`: bytes that it may have.

    Raises `UserError`.
    """
    try:
        size = size_of(file)
        if most is not None and size > most:
            raise damaged(file, f"{size:,} bytes; {most:,} are allowed")
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise damaged(file, error) from None
    if not text:
        raise damaged(file, "empty")
    return text


def size_of(file: Path) -> int:
    """Return the bytes of a file.

    Raises `UserError` for what is no regular file: reading a pipe or a device may never end.
    """
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{file}: cannot be read (no regular file)")
    return found.st_size


def damaged(file: Path, reason: object) -> UserError:
    """Return the error of a file that does not hold what it should, in one line."""
    return UserError(f"{file}: damaged ({' '.join(str(reason).split())[:200]})")


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Write a file at the path that this gives, so that no reader, failure, kill or power cut ever sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(file.parent.absolute())
    partial = file.with_name(partial_name(file.name))
    try:
        yield partial
        sync(partial)
        partial.replace(file)
    except OSError as error:
        # The error of a write does not name the file; and nobody knows the partial one.
        error.filename = str(file) if error.filename in (None, partial, str(partial)) else error.filename
        raise
    finally:
        with suppress(OSError):  # of a name that is too long: reported already
            partial.unlink(missing_ok=True)


def partial_name(name: str) -> str:
    """Return the name of a file while it is half written; that of a long name has the start and a digest of it."""
    end = f".{process_mark()}.partial"
    encoded = os.fsencode(name)
    if len(encoded) + len(end) + 1 > MAX_NAME:
        end = f".{hashlib.sha256(encoded).hexdigest()[:16]}{end}"  # other names may start alike
        name = encoded[: MAX_NAME - len(end) - 1].decode(errors="ignore")  # not half a character
    return f".{name}{end}"


@cache  # once for a folder is enough: a process leaves nothing itself
def remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that were killed have left half written in a folder."""
    for partial in folder.glob(".*.partial"):
        mark = partial.stem.rpartition(".")[2]
        with suppress(OSError):  # of another user
            if is_gone(mark) or (mark.isdecimal() and is_old(partial, int(mark))):
                partial.unlink(missing_ok=True)


def is_old(partial: Path, pid: int) -> bool:
    """Tell whether a half written file of an earlier version, whose name has no machine, is nobody's any more."""
    return not is_alive(pid) and time.time() - partial.stat().st_mtime > ABANDONED


def sync(path: Path) -> None:
    """Have the disk write a file, or the entries of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing_text(file: Path) -> Iterator[TextIO]:
    """Write a text file, whole or not at all."""
    with (
        replacing(file) as partial,
        partial.open(
            "w",
            newline="",
            encoding="utf-8",
            errors="backslashreplace",  # names of files may be no text
        ) as stream,
    ):
        yield stream


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    with replacing_text(file) as stream:
        stream.write(json.dumps(content, indent=2, default=str) + "\n")


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as CSV, whole or not at all. Raises `ValueError` where a row has other keys."""
    header = list(rows[0]) if rows else []
    other = next((key for row in rows for key in row.keys() ^ set(header)), None)
    if other is not None:
        raise ValueError(f"not all rows have a column {other}")
    with replacing_text(file) as stream:
        write_rows(stream, [header, *([row[key] for key in header] for row in rows)])


def write_rows(stream: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of CSV.

    `csv` leaves a carriage return, which the name of a file may have, without quotes; its reader ends the row there.
    """
    usual, quoted = (csv.writer(stream, lineterminator="\n", quoting=how) for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in rows:
        (quoted if any(isinstance(value, str) and "\r" in value for value in row) else usual).writerow(row)
