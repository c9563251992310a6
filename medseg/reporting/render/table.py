"""A table as columns and records, from which Markdown, LaTeX, CSV, HTML and text for a terminal are all written.

dice = Column("dice", "Dice", lambda run: run.dice)
seed = Column("seed", value=lambda run: run.seed)  # without a title: in CSV alone
as_markdown(Table("runs", "Runs", [dice, seed], runs))
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

R = TypeVar("R")

EMPTY = ("", "-")
"""Texts of a cell without a value."""

CONTROL = dict.fromkeys([*range(32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A)], " ")
"""Code point of each character that is not to be seen -> what it becomes."""


@dataclass(frozen=True)
class Entry:
    """A displayed cell that is more than a text.

    Args:
        text: what is emphasised.
        after: what follows it plainly, with a leading space.
        place: 1 is bold, 2 underlined.
        notes: footnotes; equal ones of a table share a mark.
    """

    text: str
    after: str = ""
    place: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column.

    Args:
        key: its name in CSV; an empty one is displayed only.
        title: its heading where it is displayed, with the unit; an empty one is in CSV only.
        value: record -> raw value, which CSV holds and a page sorts by; by default the record's item `key`.
        show: how a value is displayed. None is a dash; a tuple is a cell of several lines.
        text: record -> what is displayed, where that takes more than the value.
        number: aligned to the right.
        order: by which a page sorts first, `ascending` or `descending`; by default what suits the values.
        repeated: once for each block of the table's `Blocks`.
    """

    key: str
    title: str = ""
    value: Callable[[R], Any] | None = None
    show: Callable[[Any], str] = str
    text: Callable[[R], str | Entry] | None = None
    number: bool = False
    order: str = ""
    repeated: bool = False

    def raw(self, record: R) -> Any:
        """Return the raw value of a record."""
        return self.value(record) if self.value is not None else record[self.key]  # type: ignore[index]

    def entry(self, record: R) -> Entry:
        """Return what is displayed for a record."""
        if self.text is not None:
            entry = self.text(record)
            if isinstance(entry, str):
                return Entry(one_line(entry))
            return replace(entry, text=one_line(entry.text), after=one_line(entry.after))
        value = self.raw(record)
        if isinstance(value, tuple):
            return Entry("\n".join(map(one_line, map(self.show, value))))
        return Entry("-" if value is None else one_line(self.show(value)))


@dataclass(frozen=True)
class Blocks(Generic[R]):
    """How records become a wide table: those with the same `row` share a row, side by side by their `block`.

    CSV keeps one row for each record.

    Args:
        row: record -> its row.
        block: record -> its block.
        headings: block -> heading, in the order in which they are displayed.
    """

    row: Callable[[R], Hashable]
    block: Callable[[R], Hashable]
    headings: Mapping[Any, str]


class Heading(NamedTuple):
    """A displayed heading.

    Args:
        title: of the column.
        number, order: as in `Column`.
        block: counts the groups of columns that stay together, 0 for those that name the row.
        over: heading of the block, where it has several columns.
    """

    title: str
    number: bool
    order: str
    block: int
    over: str = ""

    @property
    def text(self) -> str:
        return f"{self.over}: {self.title}" if self.over else self.title


class Shown(NamedTuple):
    """A displayed cell: its entry, the value that it is sorted by, the numbers of its footnotes."""

    entry: Entry
    value: Any
    marks: tuple[int, ...]

    @property
    def text(self) -> str:
        return self.entry.text + self.entry.after


@dataclass(frozen=True)
class Grid:
    """A table as it is displayed; `footnotes` in the order of their marks, which begin with 1."""

    headings: tuple[Heading, ...]
    rows: tuple[tuple[Shown, ...], ...]
    footnotes: tuple[str, ...]

    def numeric(self, column: int) -> bool:
        """Tell whether all values of a column are numbers; where it has none, what its definition says."""
        known = [row[column].value for row in self.rows if row[column].value is not None]
        return all(isinstance(v, int | float) for v in known) and (self.headings[column].number or bool(known))


@dataclass(frozen=True)
class Table(Generic[R]):
    """A table.

    Args:
        name: of its file, and its label in LaTeX.
        title: what it shows.
        columns: of a record.
        records: all of them; CSV has no fewer.
        notes: sentences below it.
        blocks: how records become rows; None for one row each.
        displayed: the records to display where these are not all.
        csv: name of the CSV file, which several displays of the same records may share; by default `name`.
    """

    name: str
    title: str
    columns: Sequence[Column[R]]
    records: Sequence[R]
    notes: tuple[str, ...] = ()
    blocks: Blocks[R] | None = None
    displayed: Sequence[R] | None = None
    csv: str = ""

    @cached_property
    def grid(self) -> Grid:
        """What is displayed. A column without any value is left out, unless it names the row or is repeated."""
        rows, marks = self._rows(), dict[str, int]()
        parts = [
            part
            for part in self._parts()
            if part.column.repeated or part.heading.block == 0 or any(part.entry(row).text not in EMPTY for row in rows)
        ]
        cells = tuple(tuple(part.show(row, marks) for part in parts) for row in rows)
        return Grid(tuple(part.heading for part in parts), cells, tuple(marks))

    def _rows(self) -> list[dict[Any, R]]:
        """Return the record of each block of each row; without blocks, it is the only one, under None."""
        records = self.records if self.displayed is None else self.displayed
        if self.blocks is None:
            return [{None: record} for record in records]
        rows: dict[Hashable, dict[Any, R]] = {}
        for record in records:
            rows.setdefault(self.blocks.row(record), {})[self.blocks.block(record)] = record
        return list(rows.values())

    def _parts(self) -> list[_Part[R]]:
        """Return the displayed columns, those that are repeated once for each block."""
        shown = [column for column in self.columns if column.title]
        if self.blocks is None:
            return [_Part(column, None, _heading(column, min(n, 1), column.title)) for n, column in enumerate(shown)]
        repeated = [column for column in shown if column.repeated]
        first = shown.index(repeated[0])
        parts = [_Part(column, None, _heading(column, 0, column.title)) for column in shown[:first]]
        for block, (key, title) in enumerate(self.blocks.headings.items(), start=1):
            for column in repeated:
                names = (title,) if len(repeated) == 1 else (column.title, title)
                parts.append(_Part(column, key, _heading(column, block, *names)))
        last = len(self.blocks.headings) + 1
        rest = [column for column in shown[first:] if not column.repeated]
        return parts + [_Part(column, None, _heading(column, last, column.title)) for column in rest]


def _heading(column: Column[Any], block: int, title: str, over: str = "") -> Heading:
    return Heading(one_line(title), column.number, column.order, block, one_line(over))


@dataclass(frozen=True)
class _Part(Generic[R]):
    """A displayed column: of one block, or of the row as a whole."""

    column: Column[R]
    key: Any
    heading: Heading

    def record(self, row: Mapping[Any, R]) -> R | None:
        return row.get(self.key) if self.column.repeated else next(iter(row.values()))

    def entry(self, row: Mapping[Any, R]) -> Entry:
        record = self.record(row)
        return Entry("-") if record is None else self.column.entry(record)

    def show(self, row: Mapping[Any, R], marks: dict[str, int]) -> Shown:
        record, entry = self.record(row), self.entry(row)
        numbers = [marks.setdefault(one_line(note), len(marks) + 1) for note in entry.notes]
        return Shown(entry, None if record is None else self.column.raw(record), tuple(sorted(numbers)))


def one_line(text: str) -> str:
    """Put a text on one line; control characters, which no format shows, become spaces.

    So do those that turn the direction of what follows around: a name must not turn the text beside it.
    """
    return text if text.isprintable() else text.translate(CONTROL)
