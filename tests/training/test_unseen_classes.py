"""A class that one split has and another has not is told at the start of a training."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from medseg.data.datasets import Folder
from medseg.data.module import SegmentationDataModule
from medseg.training.data_record import warn_of_unseen_classes
from tests.data.own_folder import numbered, own_folder
from tests.training.test_groups import train_own

NAMES = numbered(3, 4)
SPLITS = {"splits.csv": "\n".join(["id,split", *(f"{n},{('train', 'val', 'test')[int(n[2])]}" for n in NAMES)])}


def warnings_of(
    folder: Path, caplog: pytest.LogCaptureFixture, classes: dict[str, tuple[int, ...]], **options: object
) -> list[str]:
    own_folder(folder / "mine", NAMES, files=SPLITS, classes=classes)
    datamodule = SegmentationDataModule(
        dataset=Folder(), data_dir=folder, root=folder / "mine", image_size=32, num_workers=0, **options
    )
    with caplog.at_level(logging.WARNING, logger="medseg.training"):
        warn_of_unseen_classes(datamodule)
    return [record.getMessage() for record in caplog.records if "class '" in record.getMessage()]


def test_classes_that_splits_lack_are_named_with_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Class 1 is everywhere, 2 in the test alone, 3 in training alone, 4 in training and validation."""
    classes = {name: {"0": (1, 3, 4), "1": (1, 4), "2": (1, 2)}[name[2]] for name in NAMES}
    classes["p00_0"] = (1,)
    assert warnings_of(tmp_path, caplog, classes) == [
        "class 'class 2' is never seen in training (images: 0 of 4 train, 0 of 4 val, 4 of 4 test): it "
        "cannot be learnt",
        "class 'class 3' is in no val or test image (images: 3 of 4 train, 0 of 4 val, 0 of 4 test): no score there "
        "tells of it",
        "class 'class 4' is in no test image (images: 3 of 4 train, 4 of 4 val, 0 of 4 test): no score there "
        "tells of it",
    ]


def test_of_two_classes_no_mask_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.data.prepared.dataset.PreparedDataset.masks", property(lambda self: 1 / 0))
    classes = {name: () if name[2] == "0" else (1,) for name in NAMES}
    (line,) = warnings_of(tmp_path, caplog, classes)
    assert line.startswith("class 'foreground' is never seen in training (images: 0 of 4 train, 4 of 4 val")


def test_nothing_is_told_where_every_split_has_every_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_of(tmp_path, caplog, dict.fromkeys(NAMES, (1, 2))) == []


def test_ignored_pixels_are_no_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own_folder(tmp_path / "mine", NAMES, files=SPLITS, classes=dict.fromkeys(NAMES, (1, 2)))
    datamodule = SegmentationDataModule(dataset=Folder(), data_dir=tmp_path, root=tmp_path / "mine", image_size=32)
    masks = np.where(datamodule.prepared.masks == 2, 255, datamodule.prepared.masks)
    datamodule.prepared.__dict__["masks"] = masks.astype(np.uint8)
    assert datamodule.prepared.classes_present.tolist() == [[True, True, False]] * len(NAMES)


def test_a_training_tells_it_before_it_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own_folder(tmp_path / "mine", NAMES, files=SPLITS, classes={n: (1, 2) if n[2] == "2" else (1,) for n in NAMES})
    train_own(tmp_path)
    messages = [record.getMessage() for record in caplog.records]
    told = next(n for n, message in enumerate(messages) if "class 'class 2' is never seen in training" in message)
    assert told < next(n for n, message in enumerate(messages) if message.startswith("epoch 1/1"))
