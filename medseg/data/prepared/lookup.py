"""Whether the data of a configuration are prepared, without preparing, downloading or writing anything."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medseg.config.checks.data import is_url
from medseg.config.instantiate import instantiate
from medseg.data.datasets.base import Dataset
from medseg.data.prepared.dataset import PreparedDataset, is_complete
from medseg.data.prepared.prepare import Request, checked_channels, checked_size, newest_prepared
from medseg.data.sources.finding import missing_archives, open_source
from medseg.data.splits.grouping import find_groups
from medseg.errors import UserError

PREPARED, TO_PREPARE, TO_DOWNLOAD, MISSING = "prepared", "to be prepared", "to be downloaded", "missing"
"""States of data."""


@dataclass(frozen=True)
class DataState:
    """What there is of a dataset.

    Args:
        label: dataset and image size, as in the name of the prepared folder.
        state: one of the states above.
        detail: why the data are missing, what is downloaded; may be empty.
        counts: split -> images that the configuration uses; None where the data are not prepared.
        num_classes: with the background; None where the data are not prepared.
    """

    label: str
    state: str
    detail: str = ""
    counts: Mapping[str, int] | None = None
    num_classes: int | None = None


def look_up(data: DictConfig) -> DataState:
    """Tell whether the data that a `data` configuration describes are prepared.

    Raises `UserError` for a dataset, a size or a number of channels that cannot be.
    """
    plain, dataset, request = described(data)
    folder = find_prepared(plain, dataset, request)
    if isinstance(folder, DataState):
        return folder
    try:
        prepared = PreparedDataset(folder)
    except UserError:  # damaged, so it is made anew
        return DataState(request.label, TO_PREPARE)
    return DataState(request.label, PREPARED, "", counts(plain, dataset, prepared), prepared.num_classes)


def why_missing(data: DictConfig) -> str | None:
    """Return why the data that a `data` configuration describes are missing; None where they are not.

    Raises `UserError` as `look_up` does.
    """
    state = find_prepared(*described(data))
    return state.detail if isinstance(state, DataState) and state.state == MISSING else None


def described(data: DictConfig) -> tuple[dict[str, Any], Dataset, Request]:
    """Return the options of a `data` configuration, its dataset, and what is prepared of it."""
    plain: Any = OmegaConf.to_container(data, resolve=True, throw_on_missing=True)
    dataset: Dataset = instantiate(data.dataset)
    size = None if plain["patches"] else checked_size(plain["image_size"])
    return plain, dataset, Request(dataset, size, checked_channels(plain["in_channels"]), plain["skip_bad"])


def find_prepared(plain: Mapping[str, Any], dataset: Dataset, request: Request) -> Path | DataState:
    """Return the folder of prepared data, or the state of data that are not prepared."""
    data_dir, source = Path(plain["data_dir"]).expanduser(), plain["source"]
    missing = missing_archives(dataset, data_dir) if dataset.archives else []
    if source is None and missing:
        folder = newest_prepared(request, data_dir / "prepared")
        if folder is not None:
            return folder
    by_address = source is not None and is_url(source)
    if missing and (by_address or (source is None and plain["download"])):
        return DataState(request.label, TO_DOWNLOAD, ", ".join(archive.file for archive in missing))
    try:
        opened = open_source(dataset, None if by_address else source, data_dir, download=False)
    except UserError as error:
        return DataState(request.label, MISSING, str(error))
    folder = data_dir / "prepared" / f"{request.label}-{request.key(opened.identity)}"
    return folder if is_complete(folder) else DataState(request.label, TO_PREPARE)


def counts(options: Mapping[str, Any], dataset: Dataset, prepared: PreparedDataset) -> dict[str, int] | None:
    """Count the images of each split that a `data` configuration uses; None for a split that the data do not have."""
    split, fold, groups = options["split"], options["fold"], options["groups"]
    with suppress(UserError):  # the job raises it
        if split is None and fold is None and groups is None:
            images = dict(prepared.fingerprint["default_split"])
        else:
            grouped = find_groups(groups, dataset, prepared, options["source"], Path(options["data_dir"]).expanduser())
            indices = prepared.split_indices(dataset, split, fold, grouped)
            images = {name: len(of) for name, of in indices.items()}
        return {**images, "train": round(images["train"] * options["fraction"])}
    return None
