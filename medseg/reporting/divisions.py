"""How the test images of a dataset are divided into subgroups: by the size of their targets, by what is known of them.

The size of a target is the part of the image that is foreground in the true mask at native size, all classes together.
What else is known of an image are the columns of `images.csv` of the runs, or of a table that the report is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medseg.errors import UserError, close_matches
from medseg.reporting.comparison import Comparison
from medseg.reporting.line import Line
from medseg.reporting.samples import Sample
from medseg.reporting.statistics import Array
from medseg.reporting.wanted import FIXED, SIZE, Known, Wanted

NO_TARGET, NOT_KNOWN = "no target", "not known"

THIRDS = ("small", "medium", "large")

MOST_COLUMNS = 3
"""Columns that are taken of a dataset where none is named, beside the sizes: a report is to be read."""

FEWEST = 4
"""Units from which on a subgroup is compared with others: whichever has fewer is often the best or the worst by chance,
and an interval that allows for it leaves the range of the score."""

USUAL, MOST = 6, 24
"""Subgroups that a column may make where it is not named, and where it is. A column with more numbers makes thirds."""

UNKNOWN = frozenset(["", "na", "n/a", "nan", "null", "?"])
"""Values that mean that nothing is known, in lower case or capitals."""


@dataclass(frozen=True)
class Division:
    """The test images of a dataset in subgroups.

    Args:
        column: the dataset.
        by: `size`, or the name of what is known of the images.
        images: subgroup -> ids of its images, in the order in which subgroups are shown.
        apart: subgroups that are not compared with the others: images without a target, and those not known.
    """

    column: Line
    by: str
    images: Mapping[str, tuple[str, ...]]
    apart: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the images are divided by."""
        return "size of the target" if self.by == SIZE else self.by


def divide(comparison: Comparison, wanted: Wanted) -> tuple[list[Division], list[str]]:
    """Divide the test images of every dataset; return the divisions, and notes on what is not divided.

    What makes a single subgroup of a dataset is left out there. A column of a table that was given is of the table
    alone: what the runs know under its name is not used, whichever dataset the table is of.

    Raises `UserError` for a named column that no dataset has, or that has too many values.
    """
    divisions: list[Division] = []
    notes: list[str] = [*wanted.notes]
    everywhere: Known = {}
    for column in comparison.columns:
        samples = [cell.sample for cell in comparison.column_cells(column) if cell.sample is not None]
        ids = sorted({image for sample in samples for image in sample.ids})
        here = known_of(comparison, column, ids)
        for name, values in wanted.table.items():
            here.pop(name, None)
            listed = {image: values[image] for image in ids if image in values}
            if listed:
                here[name] = listed
            notes.append(source_note(name, wanted.files[name], column, len(listed), len(ids)))
        everywhere = {**here, **everywhere}
        found = [by_size(column, samples, wanted.sizes)] if wanted.names is None or SIZE in wanted.names else []
        asked = here if wanted.names is None else [name for name in wanted.names if name != SIZE]
        found += [by_value(column, name, here[name], ids) for name in asked if name in here]
        if wanted.names is None:
            named = 0 if wanted.sizes is None else 1
            found[named:], left_out = usual(found[named:], samples)
            notes += left_out
        else:
            check_number(found)
            notes += [
                f"{name} is not known of the images of {column.label}."
                for name in asked
                if name not in here and name not in wanted.table
            ]
        notes += [single_note(one) for one in found if len(one.images) == 1 and (wanted.names or one.by == SIZE)]
        divisions += found
    check_known(wanted, everywhere)
    return [division for division in divisions if len(division.images) > 1], list(dict.fromkeys(notes))


def source_note(name: str, file: str, column: Line, listed: int, images: int) -> str:
    """Tell which table a column is from, and of how many images of a dataset it is not known."""
    if not listed:
        return f"{name} is from {file}, which has no image of {column.label}."
    lacking = f"; {images - listed} of {images} images of {column.label} are not in it" if listed < images else ""
    return f"{name} is from {file}{lacking}."


def single_note(division: Division) -> str:
    """Tell why a dataset is not divided where all of its images are in one subgroup."""
    (name,) = division.images
    of = f"the images of {division.column.label}"
    if name == NOT_KNOWN:
        return f"Not divided by {division.title}: it is not known of {of}."
    return f"Not divided by {division.title}: all of {of} are of one subgroup, {name}."


def check_number(divisions: Sequence[Division]) -> None:
    """Raise `UserError` where a named column has more values than can be shown."""
    most = max(divisions, key=lambda one: len(one.images), default=None)
    if most is not None and len(most.images) > MOST:
        raise UserError(
            f"subgroups={most.by}: it has {len(most.images)} values on {most.column.label}, and {MOST} can be shown; "
            "join them in a column of a table, subgroups=FILE.csv:COLUMN"
        )


def known_of(comparison: Comparison, column: Line, ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return what the runs of a dataset know of its test images: column -> id -> value."""
    known: dict[str, dict[str, str]] = {}
    there = set(ids)
    for cell in comparison.column_cells(column):
        for run in cell.runs:
            names = [name for name in (run.images[0] if run.finished and run.images else ()) if name not in FIXED]
            for row in run.images if names else ():
                if row["id"] in there:
                    for name in names:
                        known.setdefault(name, {}).setdefault(row["id"], row[name])
    return known


def usual(divisions: Sequence[Division], samples: Sequence[Sample]) -> tuple[list[Division], list[str]]:
    """Return the divisions to show where none was named, and notes on the others.

    Without those by what the images are grouped by, such as the patient, by what has many values, and those whose
    subgroups are too small.
    """
    groups = {tuple(sample.ids): {*members_of(sample)} for sample in samples if sample.groups}
    able = [one for one in divisions if len(one.images) > 1 and {*one.images.values()} not in groups.values()]
    few = [one for one in able if len(one.images) <= USUAL]
    large = [one for one in few if not too_small(one, samples)]
    columns = [one for one in large if one.by != SIZE]
    notes = [
        f"Not divided by {one.title}, which has {len(one.images)} values on {one.column.label}."
        for one in able
        if one not in few
    ]
    units = "groups of images" if groups else "images"
    notes += [
        f"Not divided by {one.title}: of the {len(one.images)} subgroups of {one.column.label}, fewer than 2 have "
        f"{FEWEST} {units}; subgroups={one.by} shows them."
        for one in few
        if one not in large
    ]
    notes += [
        f"Not shown of {one.column.label}: the subgroups by {one.by}; subgroups={one.by} shows them."
        for one in columns[MOST_COLUMNS:]
    ]
    return [one for one in large if one not in columns[MOST_COLUMNS:]], notes


def too_small(division: Division, samples: Sequence[Sample]) -> bool:
    """Tell whether no two subgroups have `FEWEST` units, and most have fewer; those that are apart do not count."""
    units = {image: unit for sample in samples for image, unit in zip(sample.ids, sample.units.tolist(), strict=True)}
    compared = [ids for name, ids in division.images.items() if name not in division.apart]
    large = sum(len({units[image] for image in ids}) >= FEWEST for ids in compared)
    return large < 2 and large < len(compared) - large


def members_of(sample: Sample) -> list[tuple[str, ...]]:
    """Return the ids of the images of each unit."""
    return [tuple(np.array(sample.ids)[sample.units == unit].tolist()) for unit in range(sample.unit_count)]


def check_known(wanted: Wanted, known: Known) -> None:
    """Raise `UserError` where nothing is known of what was named."""
    for name in wanted.names or ():
        if name == SIZE or name in known:
            continue
        if name in wanted.table:
            raise UserError(
                f"subgroups: none of the {len(wanted.table[name])} ids of {wanted.files[name]} is a test image of "
                f"these runs, the first is '{next(iter(wanted.table[name]))}'; its column id has to have the names of "
                "the images"
            )
        there = [SIZE, *known]
        raise UserError(
            f"subgroups={name}: the runs do not know that of their images{close_matches(name, there)}; they know "
            f"{', '.join(there)}, and subgroups=FILE.csv:{name} takes it from a table with the columns id,{name}"
        )


def by_size(column: Line, samples: Sequence[Sample], bounds: Sequence[float] | None) -> Division:
    """Divide images by the size of their targets: in thirds, or at some bounds; those without a target are apart."""
    sizes: dict[str, float] = {}
    for sample in samples:
        sizes |= dict(zip(sample.ids, target_sizes(sample).tolist(), strict=True))
    empty = tuple(sorted(image for image, size in sizes.items() if size == 0))
    there = {image: size for image, size in sizes.items() if size > 0}
    images = {}
    for place, ids in cut(there, bounds).items():
        shown = [100 * there[image] for image in ids]
        if bounds is None:
            name = f"{THIRDS[place]}, {min(shown):.2g} to {max(shown):.2g} %"
        else:
            ends = [f"{100 * bound:.3g}" for bound in bounds]
            name = f"up to {ends[0]} %" if place == 0 else f"above {ends[-1]} %"
            name = f"{ends[place - 1]} to {ends[place]} %" if 0 < place < len(ends) else name
        images[name] = ids
    return Division(column, SIZE, images | ({NO_TARGET: empty} if empty else {}), (NO_TARGET,) if empty else ())


def target_sizes(sample: Sample) -> Array:
    """Return the part of each image that is foreground in truth, of the pixels that count, N."""
    counts = sample.counts[0]  # N x C x 4; the truth is the same for all seeds
    pixels = counts[:, 0].sum(axis=1)
    size: Array = counts[..., [0, 2]].sum(axis=(1, 2)) / np.maximum(pixels, 1)
    return size


def cut(values: Mapping[str, float], bounds: Sequence[float] | None = None) -> dict[int, tuple[str, ...]]:
    """Divide images by their values at some bounds, or in thirds; equal values are together, empty parts left out.

    Returns part -> ids, the part of the lowest values first. A value at a given bound is below it.
    """
    ordered = sorted(values.values())
    if bounds is None:
        ends = np.cumsum([len(part) for part in np.array_split(ordered, len(THIRDS))])[:-1]
        places = {
            image: sum(value >= ordered[end] for end in ends if end < len(ordered)) for image, value in values.items()
        }
    else:
        places = {image: sum(value > bound for bound in bounds) for image, value in values.items()}
    return {place: tuple(sorted(i for i, of in places.items() if of == place)) for place in sorted({*places.values()})}


def by_value(column: Line, by: str, known: Mapping[str, str], ids: Sequence[str]) -> Division:
    """Divide images by what is known of them: by each value, or in thirds where it is a number of many values."""
    values = {image: value for image in ids if (value := known.get(image, "")).lower() not in UNKNOWN}
    read = {image: as_number(value) for image, value in values.items()}
    numbers = {image: number for image, number in read.items() if number is not None and math.isfinite(number)}
    numeric = bool(numbers) and None not in read.values()
    images: dict[str, tuple[str, ...]] = {}
    if numeric:
        values = {image: values[image] for image in numbers}  # an infinite age is none
    if numeric and len({*numbers.values()}) > USUAL:
        for part in cut(numbers).values():
            low, high = (values[end(part, key=numbers.__getitem__)] for end in (min, max))
            images[low if low == high else f"{low} to {high}"] = part
    elif numeric:
        for number in sorted({*numbers.values()}):
            alike = tuple(image for image in ids if numbers.get(image) == number)
            images[min((values[image] for image in alike), key=lambda text: (len(text), text))] = alike
    else:
        for value in sorted({*values.values()}):
            images[value] = tuple(image for image in ids if values.get(image) == value)
    lacking = tuple(image for image in ids if image not in values)
    return Division(column, by, images | ({NOT_KNOWN: lacking} if lacking else {}), (NOT_KNOWN,) if lacking else ())


def as_number(text: str) -> float | None:
    """Return a number, which may be infinite or NaN; None where a text is none."""
    try:
        return float(text)
    except ValueError:
        return None
