"""What a run folder keeps of its data, so that nobody has to ask the dataset again: `data.json` and `images.csv`."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

from medseg.data import datasets
from medseg.data.datasets.base import Dataset
from medseg.data.metadata import FIXED, as_row
from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.dataset import first_few
from medseg.data.prepared.samples import Row
from medseg.data.splits import SPLITS
from medseg.errors import DataError, UserError
from medseg.runs.folder import RunFolder
from medseg.runs.schema import DATA, read_checked
from medseg.system.files import read_csv, write_csv, write_json

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
        "images": sorted({short_digest(row) for row in prepared.samples}),
        "fingerprint": fingerprint,
    }


def short_digest(row: Row) -> str:
    """Return what tells an image from others, whatever its name and the size that it is prepared at."""
    return row.sha256[:12]


def count_known(datamodule: SegmentationDataModule, folder: RunFolder) -> int | None:
    """Count the images of the test split that are among the data of a run, in any split; None where it is not known."""
    try:
        known = read_checked(folder.data, DATA).get("images")
    except UserError:  # a damaged file, which nothing else here needs
        known = None
    if known is None:
        return None
    prepared, of_run = datamodule.prepared, {*known}
    return sum(short_digest(prepared.samples[index]) in of_run for index in datamodule.indices[datamodule.test_split])


def about(dataset: Dataset) -> str:
    """Return one sentence on what the images of one of medseg's datasets are; empty for any other."""
    shipped = getattr(datasets, type(dataset).__name__, None) is type(dataset)
    if isinstance(dataset, datasets.Folder) or not shipped:
        return ""
    return (inspect.getdoc(inspect.getmodule(type(dataset))) or "").partition("\n")[0]


def image_rows(datamodule: SegmentationDataModule) -> list[dict[str, str]]:
    """List id, split, group and what else is known of every image of a run; what is not known is empty."""
    ids, groups, columns = datamodule.prepared.ids, datamodule.groups, datamodule.columns
    return [
        {"id": ids[index], "split": split, "group": groups.get(ids[index], ""), **as_row(columns, ids[index])}
        for split, indices in datamodule.indices.items()
        for index in indices
    ]


def check_parts(datamodule: SegmentationDataModule) -> None:
    """Check that there are images to train on and to select by; log that there is no test where none are to be tested.

    Raises `DataError`.
    """
    counts = {split: len(indices) for split, indices in datamodule.indices.items()}
    title = datamodule.dataset.title
    for split, what in (("train", "train on"), ("val", "select the best epoch by")):
        if not counts[split]:
            held = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise DataError(
                f"{title}: no images to {what} ({held}); data.split=random splits all of them anew, and "
                "medseg evaluate RUN data=folder data.root=FOLDER scores a trained network on them"
            )
    if not counts["test"]:
        log.warning("%s: no test split: the run ends without test scores (data.split=random has one)", title)


def warn_of_cut_groups(datamodule: SegmentationDataModule) -> None:
    """Log one line where images of one patient or video are both learnt from and tested on."""
    groups, ids = datamodule.groups, datamodule.prepared.ids
    if not groups:
        return
    train, val, test = ({groups[ids[index]] for index in datamodule.indices[split]} for split in SPLITS)
    tested, validated = sorted(test & (train | val)), sorted(train & val)
    for cut, where, what in (
        (tested, "in the test split and in training or validation too", "the scores"),
        (validated, "in training and in validation", "the scores of the validation"),
    ):
        if cut:
            few = first_few(cut, "group")
            log.warning("%s %s (of %d): %s may be too high", few, where, len(train | val | test), what)


def warn_of_unseen_classes(datamodule: SegmentationDataModule) -> None:
    """Log one line for each class that one split has and another has not: it is not learnt, or has no score."""
    present = datamodule.prepared.classes_present
    counts = {split: present[indices].sum(axis=0).tolist() for split, indices in datamodule.indices.items()}
    for label, name in enumerate(datamodule.prepared.class_names):
        here = {split: of[label] for split, of in counts.items() if len(datamodule.indices[split])}
        held = ", ".join(f"{count} of {len(datamodule.indices[split])} {split}" for split, count in here.items())
        if not any(here.values()):
            log.warning("class '%s' is in no image of these splits", name)
        elif not here.get("train"):
            log.warning("class '%s' is never seen in training (images: %s): it cannot be learnt", name, held)
        elif not all(here.values()):
            without = " or ".join(split for split, images in here.items() if not images)
            log.warning("class '%s' is in no %s image (images: %s): no score there tells of it", name, without, held)


def check_same_split(folder: RunFolder, datamodule: SegmentationDataModule) -> None:
    """Raise `UserError` where an interrupted run began with other images in a split, or in other groups.

    A splits.csv or a file of groups may have changed since.
    """
    if not folder.splits.exists():
        return
    began, now = (
        [{column: row[column] for column in FIXED} for row in rows]
        for rows in (read_csv(folder.splits, FIXED), image_rows(datamodule))
    )
    other = [one["id"] for one, before in zip(now, began, strict=False) if one != before]
    if other or len(began) != len(now):
        first = f", the first is '{other[0]}'" if other else ""
        raise UserError(
            f"{folder.splits}: the interrupted run began with other splits or groups than there are now{first}; put "
            "them back, or begin anew with force=true"
        )
