"""What is known of each image beside its group: its type, the columns of splits.csv, a table (`data.metadata`)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from medseg.data.datasets.base import Dataset
from medseg.data.datasets.splits_csv import KNOWN, Columns, as_id, read_columns
from medseg.data.prepared.dataset import PreparedDataset, first_few
from medseg.data.sources.finding import open_source
from medseg.errors import ConfigError, DataError

log = logging.getLogger(__name__)

FIXED = KNOWN
"""Columns that every list of images has; a table cannot replace them."""


def find_columns(
    file: str | None,
    dataset: Dataset,
    prepared: PreparedDataset,
    source: str | Path | None = None,
    data_dir: Path = Path(),
) -> Columns:
    """Return what is known of the prepared images: `type`, the columns of the folder's splits.csv, those of a table.

    Where two of them have the same column, the last one counts.

    Args:
        file: `data.metadata`: a CSV file with the column id and others; ids as in splits.csv.
        dataset: that was prepared.
        prepared: its images.
        source, data_dir: where the user's folder is, for its splits.csv.

    Raises `ConfigError` where the file has no such columns, `DataError` where it cannot be read, names an image twice
    with other values, or none of the images.
    """
    columns: Columns = {}
    types = {row.id: row.type for row in prepared.samples}
    if any(types.values()):
        columns["type"] = types
    if not dataset.archives:  # a published dataset has no table of the user's
        try:
            columns |= without_fixed(dataset.columns(open_source(dataset, source, data_dir, False)))
        except DataError as error:  # the images were prepared already, so nothing else needs their folder
            log.info("no columns of splits.csv: %s", error)
    if file is not None:
        option = f"data.metadata={file}"
        names = {row.id: as_id(row.image) for row in prepared.samples}
        ids = {*names, *names.values()}
        given = without_fixed(read_columns(option, Path(file).expanduser(), ids=ids))
        if not given:
            raise ConfigError(f"{option}: it has no column beside {', '.join(FIXED[:-1])} and {FIXED[-1]}")
        known = next(iter(given.values()))
        keys = {id_: id_ if id_ in known else name for id_, name in names.items()}
        lacking = [id_ for id_, key in keys.items() if key not in known]
        if len(lacking) == len(keys):
            raise DataError(
                f"{option}: none of its {len(known)} ids is an image of {dataset.title}; it has '{next(iter(known))}', "
                f"the images are such as '{lacking[0]}'"
            )
        if lacking:
            log.warning("%s: %s without a line in it: not known there", option, first_few(lacking, "image"))
        columns |= {column: {id_: of.get(key, "") for id_, key in keys.items()} for column, of in given.items()}
    return columns


def without_fixed(columns: Columns) -> Columns:
    """Return the columns that tell something else than split and group."""
    return {column: of for column, of in columns.items() if column and column not in FIXED}


def as_row(columns: Mapping[str, Mapping[str, str]], id_: str) -> dict[str, str]:
    """Return what is known of an image: column -> value."""
    return {column: of.get(id_, "") for column, of in columns.items()}
