"""`splits.csv` of a user's folder: id, split, and further columns such as the patient of an image."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass, field

from medseg.data.splits import SPLIT_FOLDERS
from medseg.errors import DataError

EXTENSIONS = frozenset(["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "gif", "pgm", "ppm", "pbm", "pnm", "jp2"])


@dataclass
class Assigned:
    """What a table assigns: id -> split, and column -> id -> value for the others."""

    splits: dict[str, str] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)


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
        for column, values in found.columns.items():
            if values.setdefault(id_, row[column]) != row[column]:
                raise DataError(
                    f"{name}, line {line}: '{row['id']}' is of {column} '{values[id_]}' and of {column} '{row[column]}'"
                )
    unsplit = sorted(set(ids) - set(found.splits))
    if unsplit:
        raise DataError(f"{name}: {len(unsplit)} images have no line in it, the first is '{unsplit[0]}'")
    return found


def read_table(content: bytes, name: str) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV file: its columns, and the rows, without blanks around a cell; a cell that is absent is empty.

    Raises `DataError` where it is none.
    """
    try:
        lines = list(csv.reader(content.decode("utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV file in UTF-8 ({error})") from None
    header, *rows = [[cell.strip() for cell in line] for line in lines if line] or [[]]
    return header, [dict(zip(header, row + [""] * (len(header) - len(row)), strict=False)) for row in rows]


def as_id(text: str) -> str:
    """Return the id that a person means: with '/' between folders, with or without `images/` above and the ending."""
    parts = [part for part in text.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    parts = parts[1:] if len(parts) > 1 and parts[0].lower() == "images" else parts
    name = "__".join(parts)
    stem, dot, extension = name.rpartition(".")
    return stem if dot and extension.lower() in EXTENSIONS else name
