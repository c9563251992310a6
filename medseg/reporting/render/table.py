"""A table as columns and records, from which Markdown, LaTeX, CSV, HTML and text for a terminal are all written.

dice = Column("dice", "Dice")  # of each record its `dice`, an item or an attribute
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

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def one_line(text: str) -> str:
    """Put a text on one line; control characters, which no format shows, become spaces.

    So do those that turn the direction of what follows around: a name must not turn the text beside it.
    """
    return text if text.isprintable() else text.translate(CONTROL)


def superscript(*numbers: int) -> str:
    """Return the marks of footnotes."""
    return " ".join(str(number).translate(SUPERSCRIPTS) for number in numbers)


@dataclass(frozen=True)
class Entry:
    """A displayed cell: what is emphasised (`rank` 1 is bold, 2 underlined), what follows it plainly, footnotes."""

    text: str
    after: str = ""
    rank: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column(Generic[R]):
    """A column.

    Args:
        key: its name in CSV; an empty one is displayed only.
        title: its heading where it is displayed, with the unit; an empty one is in CSV only.
        value: record -> raw value, for CSV and sorting; by default the item or attribute `key` of the record.
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

    def value_of(self, record: R) -> Any:
        """Return the raw value of a record."""
        if self.value is not None:
            return self.value(record)
        return record[self.key] if isinstance(record, Mapping) else getattr(record, self.key)

    def entry(self, record: R) -> Entry:
        """Return what is displayed for a record."""
        if self.text is None:
            value = self.value_of(record)
            lines = value if isinstance(value, tuple) else (value,)
            return Entry("\n".join("-" if line is None else one_line(self.show(line)) for line in lines))
        entry = self.text(record)
        if isinstance(entry, str):
            return Entry(one_line(entry))
        return replace(entry, text=one_line(entry.text), after=one_line(entry.after))


@dataclass(frozen=True)
class Blocks(Generic[R]):
    """How records become a wide table: those with the same `row` share a row, side by side by their `block`.

    CSV keeps one row for each record. `headings`: block -> heading, in the order in which they are displayed.
    """

    row: Callable[[R], Hashable]
    block: Callable[[R], Hashable]
    headings: Mapping[Any, str]


class Heading(NamedTuple):
    """A displayed heading.

    Args:
        column: that it is of.
        title: its text.
        block: counts the groups of columns that stay together, 0 for those that name the row.
        key: of the block, where the column is repeated.
        over: heading of the block, where it has several columns.
    """

    column: Column[Any]
    title: str
    block: int
    key: Any = None
    over: str = ""

    @property
    def text(self) -> str:
        return f"{self.over}: {self.title}" if self.over else self.title

    def of(self, row: Mapping[Any, Any]) -> tuple[Entry, Any]:
        """Return the entry and the value of a row: block -> record."""
        record = row.get(self.key) if self.column.repeated else next(iter(row.values()))
        return (Entry("-"), None) if record is None else (self.column.entry(record), self.column.value_of(record))


class GridCell(NamedTuple):
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
    rows: tuple[tuple[GridCell, ...], ...]
    footnotes: tuple[str, ...]

    @property
    def titles(self) -> list[str]:
        """The texts of the headings."""
        return [heading.text for heading in self.headings]

    def numeric(self, column: int) -> bool:
        """Tell whether all values of a column are numbers; where it has none, what its definition has."""
        known = [row[column].value for row in self.rows if row[column].value is not None]
        return all(isinstance(v, int | float) for v in known) and (self.headings[column].column.number or bool(known))


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
        rows: dict[Hashable, dict[Any, R]] = {}
        for number, record in enumerate(self.records if self.displayed is None else self.displayed):
            row, block = (self.blocks.row(record), self.blocks.block(record)) if self.blocks else (number, None)
            rows.setdefault(row, {})[block] = record
        every = [(heading, [heading.of(row) for row in rows.values()]) for heading in self._headings()]
        shown = [
            (heading, cells)
            for heading, cells in every
            if heading.block == 0 or heading.column.repeated or any(entry.text not in EMPTY for entry, _ in cells)
        ]
        marks: dict[str, int] = {}

        def marked(entry: Entry, value: Any) -> GridCell:
            numbers = [marks.setdefault(one_line(note), len(marks) + 1) for note in entry.notes]
            return GridCell(entry, value, tuple(sorted(numbers)))

        lines = tuple(
            tuple(marked(*cell) for cell in line) for line in zip(*(cells for _, cells in shown), strict=True)
        )
        return Grid(tuple(heading for heading, _ in shown), lines, tuple(marks))

    @property
    def all_notes(self) -> list[str]:
        """The notes, and the footnotes behind their marks."""
        return [*self.notes, *(f"{superscript(k)} {note}" for k, note in enumerate(self.grid.footnotes, start=1))]

    def _headings(self) -> list[Heading]:
        """Return all headings, those of columns that are repeated once for each block."""
        columns = [replace(column, title=one_line(column.title)) for column in self.columns if column.title]
        if self.blocks is None:
            return [Heading(column, column.title, min(number, 1)) for number, column in enumerate(columns)]
        repeated = [column for column in columns if column.repeated]
        first = columns.index(repeated[0])
        headings = [Heading(column, column.title, 0) for column in columns[:first]]
        for block, (key, title) in enumerate(self.blocks.headings.items(), start=1):
            over = one_line(title)
            for column in repeated:
                names = (column.title, block, key, over) if repeated[1:] else (over, block, key)
                headings.append(Heading(column, *names))
        rest = [column for column in columns[first:] if not column.repeated]
        return headings + [Heading(column, column.title, len(self.blocks.headings) + 1) for column in rest]
