"""Tables of a user's images: `splits.csv` of a folder, and others with the column id, such as the patients."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medseg.data.splits import SPLIT_FOLDERS
from medseg.errors import ConfigError, DataError

EXTENSIONS = frozenset(["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp", "gif", "pgm", "ppm", "pbm", "pnm", "jp2"])

KNOWN = ("id", "split", "group")
"""Columns that have a meaning; capital letters do not count in their names."""

Columns = dict[str, dict[str, str]]
"""Column -> id -> value; an empty value is not known."""


@dataclass
class Assigned:
    """What a table assigns: id -> split, and the other columns."""

    splits: dict[str, str] = field(default_factory=dict)
    columns: Columns = field(default_factory=dict)


class Ids:
    """The ids of images, which are looked up as people write them: see `variants`.

    Where none is the same, one counts that is the same but for its Unicode form: macOS writes `ü` as two characters.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = frozenset(ids)
        forms = Counter(map(composed, self.ids))
        self.by_form = {composed(id_): id_ for id_ in self.ids if forms[composed(id_)] == 1}

    def find(self, text: str) -> str | None:
        """Return the id that a text means; None where there is none."""
        names = variants(text)
        exact = (name for name in names if name in self.ids)
        alike = (self.by_form[form] for form in map(composed, names) if form in self.by_form)
        return next(exact, None) or next(alike, None)


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
    known = Ids(ids)
    for line, row in rows:
        id_, split = known.find(row["id"]), SPLIT_FOLDERS.get(row["split"].lower())
        if id_ is None:
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


def read_columns(option: str, file: Path, only: str | None = None, ids: Collection[str] = ()) -> Columns:
    """Read a CSV file with the column id and others, a line for each image.

    Args:
        option: as it was given, for messages.
        file: to read.
        only: the column to read; all but id where it is None.
        ids: of the images there are, as far as they are known; a line for another image has the id of `as_id`.

    Raises `ConfigError` where it lacks the columns, `DataError` where it cannot be read or contradicts itself.
    """
    try:
        header, rows = read_table(file.read_bytes(), str(file))
    except OSError as error:
        raise DataError(f"{option}: {file} cannot be read ({error.strerror})") from None
    only = column_name(only) if only else only
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
    known = Ids(ids)
    for line, row in rows:
        add_values(columns, known.find(row["id"]) or as_id(row["id"]), row, f"{file}, line {line}")
    return columns


def add_values(columns: Columns, id_: str, row: Mapping[str, str], where: str) -> None:
    """Add the values that a line of a table has for an image. Raises `DataError` where an earlier line has others."""
    for column, values in columns.items():
        if values.setdefault(id_, row[column]) != row[column]:
            raise DataError(f"{where}: '{row['id']}' is of {column} '{values[id_]}' and of {column} '{row[column]}'")


def read_table(content: bytes, name: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a CSV file: its columns, and the rows with the line of the file that each ends in.

    Blanks around a cell are left out, and rows of empty cells, as Excel adds them; a cell that is absent is empty.
    Cells are separated by commas, or by semicolons or tabs where the columns have no comma. `ID` is the column id.

    Raises `DataError` where it is none, and where two columns have one of the names in `KNOWN`.
    """
    try:
        text = content.decode("utf-8-sig")
        columns = next((line for line in io.StringIO(text, newline="") if line.strip(",; \t\r\n")), "")
        separator = next((one for one in ",;\t" if one in columns), ",")
        # Not the lines of the text: a quoted cell may hold a line break.
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV file in UTF-8 ({error})") from None
    (_, first), *rows = [(line, cells) for line, cells in lines if any(cells)] or [(1, [])]
    header = [column_name(cell) for cell in first]
    for known in KNOWN:
        same = [cell for cell, column in zip(first, header, strict=True) if column == known]
        if len(same) > 1:
            raise DataError(f"{name}: more than one column is {known} ({', '.join(same)}); leave one")
    padded = ((line, cells + [""] * (len(header) - len(cells))) for line, cells in rows)
    return header, [(line, dict(zip(header, cells, strict=False))) for line, cells in padded]


def column_name(text: str) -> str:
    """Return the name of a column: `Group` is the column group; names that are not in `KNOWN` stay as they are."""
    return text.lower() if text.lower() in KNOWN else text


def composed(text: str) -> str:
    """Return a text in Unicode's composed form, NFC, in which it can be compared with another."""
    return unicodedata.normalize("NFC", text)


def as_id(text: str) -> str:
    """Return the id that a person means: with '/' between folders, with or without `images/` above and the ending."""
    return variants(text)[-1]


def variants(text: str) -> list[str]:
    """Return the ids that a text can mean, the first one that there is counts: as it is, without the ending of a file.

    Folders are separated by '/'; `images/` above them is left out.
    """
    parts = [part for part in text.strip().replace("\\", "/").split("/") if part not in ("", ".")]
    parts = parts[1:] if len(parts) > 1 and parts[0].lower() == "images" else parts
    name = "__".join(parts)
    stem, dot, extension = name.rpartition(".")
    return [name, stem] if dot and extension.lower() in EXTENSIONS else [name]
