"""What a run folder keeps of its data, so that nobody has to ask the dataset again: `data.json` and `images.csv`."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

from medseg.data import datasets
from medseg.data.datasets.base import Dataset
from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.dataset import first_few
from medseg.data.splits import SPLITS
from medseg.runs.folder import RunFolder
from medseg.system.files import write_csv, write_json

log = logging.getLogger(__name__)


def write_data(folder: RunFolder, datamodule: SegmentationDataModule) -> None:
    """Write `data.json` and `images.csv` of a run."""
    write_json(folder.data, describe_data(datamodule))
    write_csv(folder.splits, image_rows(datamodule))


def describe_data(datamodule: SegmentationDataModule) -> dict[str, Any]:
    """Describe the data that a run is trained on, as plain values."""
    dataset, prepared = datamodule.dataset, datamodule.prepared
    fingerprint = prepared.fingerprint
    return {
        "name": dataset.name,
        "title": f"own images ({Path(fingerprint['source']).stem})"
        if isinstance(dataset, datasets.Folder)
        else dataset.title,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "about": about(dataset),
        "class_names": list(prepared.class_names),
        "data_identity": prepared.identity,
        "source_identity": fingerprint["source_identity"],
        "split_name": datamodule.split,
        "fold": datamodule.fold,
        "counts": {split: len(indices) for split, indices in datamodule.indices.items()},
        "fingerprint": fingerprint,
    }


def about(dataset: Dataset) -> str:
    """Return one sentence on what the images of one of medseg's datasets are; empty for any other."""
    shipped = getattr(datasets, type(dataset).__name__, None) is type(dataset)
    if isinstance(dataset, datasets.Folder) or not shipped:
        return ""
    return (inspect.getdoc(inspect.getmodule(type(dataset))) or "").partition("\n")[0]


def image_rows(datamodule: SegmentationDataModule) -> list[dict[str, str]]:
    """List id, split and group of every image of a run; the group is empty where the dataset has none."""
    ids, groups = datamodule.prepared.ids, datamodule.groups
    return [
        {"id": ids[index], "split": split, "group": groups.get(ids[index], "")}
        for split, indices in datamodule.indices.items()
        for index in indices
    ]


def warn_of_cut_groups(datamodule: SegmentationDataModule) -> None:
    """Log one line where images of one patient or video are both learnt from and tested on."""
    groups, ids = datamodule.groups, datamodule.prepared.ids
    if not groups:
        return
    train, val, test = ({groups[ids[index]] for index in datamodule.indices[split]} for split in SPLITS)
    cut = sorted(test & (train | val))
    if cut:
        few = first_few(cut).replace("id", "group", 1)
        log.warning("%s in the test split and in training or validation too: the scores may be too high", few)
