"""The table of prepared images, `samples.csv`: one row for each, in the order of the arrays."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medseg.data.datasets.base import Sample
from medseg.errors import DataError
from medseg.system.files import write_rows


@dataclass(frozen=True, slots=True)
class Row:
    """One prepared image: a line of `samples.csv`."""

    index: int
    """Position in the prepared arrays."""
    id: str
    image: str
    """Name of the image file in the source."""
    type: str
    """Kind of image; empty where it is not known."""
    split: str
    """`train`, `val` or `test` where the data assign it."""
    group: str
    """The patient, video or other unit that images share; empty where it is not known."""
    height: int
    """Native height in pixels."""
    width: int
    """Native width in pixels."""
    foreground: float
    """Fraction of the prepared class map that is not background, of the pixels that are not to be ignored."""
    reachable: float
    """Dice at native size that a perfect prediction at the prepared size reaches; see `restore.reachable_dice`."""
    sums: tuple[int, ...]
    """Sum of the prepared image's values, 0..255, per channel."""
    square_sums: tuple[int, ...]
    """Sum of their squares per channel."""
    sha256: str
    """Of the image file; of the decoded pixels where the image has no separate file."""
    dhash: int
    """64-bit difference hash; see `medseg.data.prepared.duplicates`."""

    def pixels(self, size: tuple[int, int] | None) -> int:
        """Return the number of pixels of the image as it was prepared, at `size` or, where that is None, native."""
        height, width = size or (self.height, self.width)
        return height * width


def mean_std(rows: Sequence[Row], size: tuple[int, int] | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, of values in 0..1, over all pixels of some images.

    `size`: height and width of the prepared images; None is the native size of each.
    """
    if not rows:
        raise DataError("mean and standard deviation of no image at all were asked for: the split is empty")
    count = sum(row.pixels(size) for row in rows)
    # Python's integers are exact, so that the difference of two large sums loses nothing.
    sums = [sum(values) for values in zip(*(row.sums for row in rows), strict=True)]
    squares = [sum(values) for values in zip(*(row.square_sums for row in rows), strict=True)]
    means = tuple(total / count / 255 for total in sums)
    stds = tuple(
        (count * square - total * total) ** 0.5 / count / 255 for total, square in zip(sums, squares, strict=True)
    )
    return means, stds


def as_samples(rows: Iterable[Row]) -> list[Sample]:
    """Return what splits and groups go by: id, image name, type, split and group of each row."""
    return [Sample(row.id, row.image, type=row.type, split=row.split, group=row.group) for row in rows]


def incomplete(folder: Path, why: str) -> DataError:
    """Make the error for a folder that cannot be trusted."""
    return DataError(f"{folder}: not complete prepared data ({why}); delete the folder and prepare again")


def write_samples(path: Path, rows: Sequence[Row]) -> None:
    """Write `samples.csv`."""
    channels = range(len(rows[0].sums))
    header = ["index", "id", "image", "type", "split", "group", "height", "width", "foreground", "reachable"]
    header += [f"sum_{channel}" for channel in channels] + [f"sumsq_{channel}" for channel in channels]
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        lines: list[list[Any]] = [[*header, "sha256", "dhash"]]
        for row in rows:
            about = [row.index, row.id, row.image, row.type, row.split, row.group]
            size = [row.height, row.width, repr(row.foreground), repr(row.reachable)]
            lines.append([*about, *size, *row.sums, *row.square_sums, row.sha256, f"{row.dhash:016x}"])
        write_rows(file, lines)


def read_samples(path: Path) -> list[Row]:
    """Read `samples.csv`; raises `DataError` where it is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            lines = csv.reader(file)
            channels = sum(name.startswith("sum_") for name in next(lines))
            return [read_row(line, channels) for line in lines]
    except FileNotFoundError:
        raise incomplete(path.parent, f"{path.name} is missing") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, IndexError, StopIteration, csv.Error):
        raise incomplete(path.parent, f"{path.name} is damaged") from None


def read_row(line: list[str], channels: int) -> Row:
    """Read one line of `samples.csv`."""
    numbers = [int(value) for value in line[10 : 10 + 2 * channels]]
    return Row(
        index=int(line[0]),
        id=line[1],
        image=line[2],
        type=line[3],
        split=line[4],
        group=line[5],
        height=int(line[6]),
        width=int(line[7]),
        foreground=float(line[8]),
        reachable=float(line[9]),
        sums=tuple(numbers[:channels]),
        square_sums=tuple(numbers[channels:]),
        sha256=line[-2],
        dhash=int(line[-1], 16),
    )
