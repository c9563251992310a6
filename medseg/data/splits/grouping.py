"""Which images belong together: `data.groups`, a column, a table, a pattern, the near-duplicates, or what is known.

Images of one patient or video are not independent. Splits that are drawn never cut a group, and the statistics count
groups. The groups are texts: `007` and `7` are two, and blanks and commas are as good as any other character.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from medseg.config.checks.data import groups_table
from medseg.data.datasets.base import Dataset, Sample
from medseg.data.datasets.splits_csv import as_id, column_name, read_columns
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.duplicates import find_duplicates, thumbnail
from medseg.data.prepared.samples import as_samples
from medseg.data.sources.finding import open_source
from medseg.errors import ConfigError, DataError, close_matches

NEAR_DUPLICATES = "near_duplicates"


def find_groups(
    wanted: str | None,
    dataset: Dataset,
    prepared: PreparedDataset,
    source: str | Path | None = None,
    data_dir: Path = Path(),
) -> dict[str, str]:
    """Map each id to its group; empty where no group is known.

    Args:
        wanted: `data.groups`: None for what the dataset knows; `near_duplicates` for that with images that show the
            same thing in one group; `FILE.csv` with the columns id,group, or `FILE.csv:COLUMN`; a column of the
            folder's splits.csv; or a regular expression of which a group, the named one or the first, is the image's.
        dataset: that was prepared.
        prepared: its images.
        source, data_dir: where the user's folder is, for its splits.csv.

    Raises `ConfigError` for what is none of these, `DataError` for images that are without a group then.
    """
    if wanted is None:
        return prepared.groups(dataset)
    samples = as_samples(prepared.samples)
    if wanted == NEAR_DUPLICATES:
        return group_duplicates(prepared, prepared.groups(dataset))
    table = groups_table(wanted)
    if table is not None:
        file, column = table
        names = {name for sample in samples for name in (sample.id, as_id(sample.image))}
        return complete(
            wanted,
            samples,
            read_columns(f"data.groups={wanted}", Path(file).expanduser(), column, names)[column_name(column)],
            f"line in {file}",
        )
    # A published dataset has no table of the user's.
    columns = {} if dataset.archives else dataset.columns(open_source(dataset, source, data_dir, False))
    column = column_name(wanted)
    if column in columns:
        return complete(wanted, samples, columns[column], f"{column} in splits.csv")
    if "(" in wanted:
        return match_pattern(wanted, samples)
    known = f"; splits.csv has {', '.join(columns)}" if columns else ""
    raise ConfigError(
        f"data.groups={wanted}: no such column of a splits.csv{close_matches(wanted, list(columns))}{known}; give a "
        f"column, a file FILE.csv with id,group, a pattern on ids such as '(p\\d+)_.*', or {NEAR_DUPLICATES}"
    )


def describe_groups(groups: Mapping[str, str]) -> str:
    """Describe groups, id -> group, in words: how many there are, and of how many images."""
    sizes = sorted(Counter(groups.values()).values())
    if not sizes:
        return "none known"
    return f"{len(sizes)}, of {sizes[0]} to {sizes[-1]} images each (median {statistics.median(sizes):g})"


def complete(wanted: str, samples: Sequence[Sample], groups: Mapping[str, str], lacking: str) -> dict[str, str]:
    """Return the group of each sample; raises `DataError` where one has none, `lacking` it."""
    found = {sample.id: groups.get(sample.id) or groups.get(as_id(sample.image), "") for sample in samples}
    without = [id_ for id_, group in found.items() if not group]
    if without:
        raise DataError(
            f"data.groups={wanted}: {len(without)} of {len(samples)} images have no {lacking}, the first is "
            f"'{without[0]}'; an image that is of no group has its id as its group"
        )
    return found


def match_pattern(wanted: str, samples: Sequence[Sample]) -> dict[str, str]:
    """Match ids, or names of image files where these fit better, as a whole.

    Raises `ConfigError` for an expression that is none, `DataError` for images that do not match.
    """
    try:
        pattern = re.compile(wanted)
    except re.error as error:
        raise ConfigError(f"data.groups={wanted}: not a regular expression ({error})") from None
    if not pattern.groups or len(pattern.groupindex) > 1:
        what = "none" if not pattern.groups else ", ".join(pattern.groupindex)
        raise ConfigError(f"data.groups={wanted}: one group in brackets is expected, such as (p\\d+)_.*; it has {what}")
    number = next(iter(pattern.groupindex.values()), 1)

    def matched(name_of: Callable[[Sample], str]) -> dict[str, str]:
        found = {sample.id: pattern.fullmatch(name_of(sample)) for sample in samples}
        return {id_: match[number] for id_, match in found.items() if match and match[number]}

    names: list[Callable[[Sample], str]] = [
        lambda sample: sample.id,
        lambda sample: sample.image,
        lambda sample: PurePosixPath(sample.image).name,
    ]
    groups = max(map(matched, names), key=len)
    without = [sample.id for sample in samples if sample.id not in groups]
    if without:
        raise DataError(
            f"data.groups={wanted}: {len(without)} of {len(samples)} images do not match, the first is '{without[0]}' "
            f"(the whole id has to, so a pattern often ends in .*)"
        )
    return groups


def group_duplicates(prepared: PreparedDataset, known: Mapping[str, str]) -> dict[str, str]:
    """Put images that show the same thing into one group, and the groups that they are of."""
    ids = prepared.ids
    thumbnails = [thumbnail(np.asarray(image)) for image in prepared.images]
    pairs = find_duplicates(prepared.samples, thumbnails, ids)  # each image as a separate split
    root = list(range(len(ids)))

    def find(position: int) -> int:
        while root[position] != position:
            position = root[position]
        return position

    def join(one: int, other: int) -> None:
        first, second = sorted((find(one), find(other)))
        root[second] = first

    of_group: dict[str, int] = {}
    for position, id_ in enumerate(ids):
        join(of_group.setdefault(known.get(id_, id_), position), position)
    for pair in pairs:
        join(pair.first, pair.second)
    names = {position: known.get(ids[position], ids[position]) for position in set(map(find, range(len(ids))))}
    return {id_: names[find(position)] for position, id_ in enumerate(ids)}
