"""Tables of a user's images: `splits.csv` of a folder, and others with the column id, such as the patients."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medseg.data.splits import SPLIT_FOLDERS
from medseg.errors import ConfigError, DataError

EXTENSIONS = frozenset(["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "gif", "pgm", "ppm", "pbm", "pnm", "jp2"])

Columns = dict[str, dict[str, str]]
"""Column -> id -> value; an empty value is not known."""


@dataclass
class Assigned:
    """What a table assigns: id -> split, and the other columns."""

    splits: dict[str, str] = field(default_factory=dict)
    columns: Columns = field(default_factory=dict)


def read_splits(content: bytes, name: str, ids: Collection[str]) -> Assigned:
    """Read a table with the columns id,split and others, a line for each image.

    Args:
        content: of the file.
        name: of the file, for messages.
        ids: of the images there are.

    Raises `DataError`, naming the line.
    """
    header, rows = read_table(content, name)
    if not rows or not {"id", "split"} <= set(header):
        has = f"; it has {', '.join(header)}: groups without a split are given as data.groups=FILE.csv"
        raise DataError(f"{name}: the columns id,split are expected{has if header else ''}")
    found = Assigned(columns={column: {} for column in header if column not in ("id", "split")})
    for line, row in enumerate(rows, start=2):
        id_, split = as_id(row["id"]), SPLIT_FOLDERS.get(row["split"].lower())
        if id_ not in ids:
            raise DataError(f"{name}, line {line}: there is no image '{row['id']}'")
        if split is None:
            raise DataError(f"{name}, line {line}: split '{row['split']}' is not train, val or test")
        if found.splits.setdefault(id_, split) != split:
            raise DataError(f"{name}, line {line}: '{row['id']}' is in {found.splits[id_]} and in {split}")
        add_values(found.columns, id_, row, f"{name}, line {line}")
    unsplit = sorted(set(ids) - set(found.splits))
    if unsplit:
        some = "1 image has" if len(unsplit) == 1 else f"{len(unsplit)} images have"
        raise DataError(f"{name}: {some} no line in it, the first is '{unsplit[0]}'")
    return found


def read_columns(option: str, file: Path, only: str | None = None) -> Columns:
    """Read a CSV file with the column id and others, a line for each image.

    Args:
        option: as it was given, for messages.
        file: to read.
        only: the column to read; all but id where it is None.

    Raises `ConfigError` where it lacks the columns, `DataError` where it cannot be read or contradicts itself.
    """
    try:
        header, rows = read_table(file.read_bytes(), str(file))
    except OSError as error:
        raise DataError(f"{option}: {file} cannot be read ({error.strerror})") from None
    others = [name for name in header if name not in ("", "id")]
    if "id" not in header or not others or only not in (None, *others):
        wanted = f"id and {only}" if only else "id and at least one other"
        choose = (
            f"; {option.partition('=')[0]}={file}:{others[0]} takes that column" if "id" in header and others else ""
        )
        raise ConfigError(
            f"{option}: the columns {wanted} are expected, {file} has {', '.join(header) or 'none'}{choose}"
        )
    if not rows:
        raise DataError(f"{option}: {file} has a line of columns and no line of an image")
    columns: Columns = {name: {} for name in (others if only is None else [only])}
    for line, row in enumerate(rows, start=2):
        add_values(columns, as_id(row["id"]), row, f"{file}, line {line}")
    return columns


def add_values(columns: Columns, id_: str, row: Mapping[str, str], where: str) -> None:
    """Add the values that a line of a table has for an image. Raises `DataError` where an earlier line has others."""
    for column, values in columns.items():
        if values.setdefault(id_, row[column]) != row[column]:
            raise DataError(f"{where}: '{row['id']}' is of {column} '{values[id_]}' and of {column} '{row[column]}'")


def read_table(content: bytes, name: str) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file: its columns, and the rows, without blanks around a cell; a cell that is absent is empty.

    Cells are separated by commas, or by semicolons or tabs where the columns have no comma. `ID` is the column id.

    Raises `DataError` where it is none.
    """
    try:
        text = content.decode("utf-8-sig").splitlines()
        columns = next((line for line in text if line.strip()), "")
        separator = next((one for one in ",;\t" if one in columns), ",")
        lines = list(csv.reader(text, delimiter=separator))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV file in UTF-8 ({error})") from None
    header, *rows = [[cell.strip() for cell in line] for line in lines if line] or [[]]
    if "id" not in header:
        header = ["id" if name.lower() == "id" else name for name in header]
    return header, [dict(zip(header, row + [""] * (len(header) - len(row)), strict=False)) for row in rows]


def as_id(text: str) -> str:
    """Return the id that a person means: with '/' between folders, with or without `images/` above and the ending."""
    parts = [part for part in text.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    parts = parts[1:] if len(parts) > 1 and parts[0].lower() == "images" else parts
    name = "__".join(parts)
    stem, dot, extension = name.rpartition(".")
    return stem if dot and extension.lower() in EXTENSIONS else name
