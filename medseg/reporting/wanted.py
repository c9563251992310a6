"""What a report is asked to divide the test images by: `subgroups` and `sizes`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medseg.errors import ConfigError, DataError

SIZE = "size"
FIXED = frozenset([SIZE, "id", "split", "group"])
"""Names of columns that divide no images where they are not named: the size is that of the target."""

TABLE = re.compile(r"(?P<file>.+\.csv)(?P<colon>:(?P<column>.*))?", re.IGNORECASE)

Known = Mapping[str, Mapping[str, str]]
"""What is known of images: column -> id -> value."""


@dataclass(frozen=True)
class Wanted:
    """What a report is asked to divide images by.

    Args:
        names: `size` and columns, in their order; None for what there is.
        table: columns of the tables that were given.
        files: column -> names of the tables it is from.
        sizes: bounds of the sizes, parts of the image; None for thirds.
        notes: on columns of the tables that are not used.
    """

    names: tuple[str, ...] | None = None
    table: Known = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    sizes: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: str | Sequence[str] | None, sizes: Sequence[float] | None = None) -> Wanted:
        """Read `subgroups` and `sizes`.

        Args:
            given: `size`, a column, `FILE.csv:COLUMN`, `FILE.csv` for all of its columns, or several of these. A
                column of several tables, such as one for each dataset, is one column.
            sizes: bounds, from 0 to 1.

        Raises `ConfigError` for bounds that do not rise, `UserError` where a table cannot be used.
        """
        bounds = None if sizes is None else tuple(float(bound) for bound in sizes)
        if bounds is not None and (list(bounds) != sorted(set(bounds)) or not all(0 < bound < 1 for bound in bounds)):
            raise ConfigError(
                f"sizes={list(bounds)}: bounds that rise are expected, parts of the image between 0 and 1"
            )
        if given is None:
            return cls(sizes=bounds)
        names: list[str] = []
        notes: list[str] = []
        table: dict[str, dict[str, str]] = {}
        files: dict[str, list[str]] = {}
        for one in [given] if isinstance(given, str) else given:
            match = TABLE.fullmatch(one)
            if match is None:
                names.append(one)
                continue
            file = Path(match["file"]).expanduser()
            columns = read_table_columns(one, file, match["column"] if match["colon"] else None)
            if not match["colon"] and (without := [name for name in columns if name in FIXED]):
                columns = {name: of for name, of in columns.items() if name not in FIXED}
                notes.append(f"Not divided by these columns of {file.name}: {', '.join(without)}.")
            for name, values in columns.items():
                merged = table.setdefault(name, {})
                for image, value in values.items():
                    if merged.setdefault(image, value) != value:
                        raise DataError(
                            f"subgroups={one}: '{image}' is of {name} '{value}', and of '{merged[image]}' in "
                            f"{' and '.join(files[name])}"
                        )
                files.setdefault(name, []).append(file.name)
            names += columns
        sources = {name: " and ".join(dict.fromkeys(of)) for name, of in files.items()}
        return cls(tuple(dict.fromkeys(names)), table, sources, bounds, tuple(notes))


def read_table_columns(given: str, file: Path, column: str | None) -> dict[str, dict[str, str]]:
    """Return the columns of a table, or the one that is named. Raises `UserError` where none can divide images."""
    from medseg.data.datasets.splits_csv import read_columns  # not above: reports seldom need it

    if column == "":
        raise ConfigError(f"subgroups={given}: a column is expected after ':'; subgroups={file} takes all of the table")
    columns = read_columns(f"subgroups={given}", file, column)
    if column == SIZE:
        raise ConfigError(f"subgroups={given}: {SIZE} is that of the target; give the column another name")
    if column is None and FIXED.issuperset(columns):
        able = [name for name in columns if name != SIZE]
        choose = f"; subgroups={file}:{able[0]} takes that column" if able else "; give the column another name"
        raise ConfigError(f"subgroups={given}: it has no column beside id, {', '.join(columns)}{choose}")
    return columns
