from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg.data.datasets import Synthetic
from medseg.data.module import SegmentationDataModule
from medseg.training import scoring
from medseg.training.scoring import Scores, draw_test_examples


def test_pictures_of_the_test_show_what_it_has_predicted(tmp_path: Path, monkeypatch) -> None:
    datamodule = SegmentationDataModule(
        dataset=Synthetic(count=12, size=64), data_dir=tmp_path, image_size=32, test_split="train"
    )
    indices = datamodule.indices["train"]
    ids = [datamodule.prepared.ids[index] for index in indices]
    class_maps = np.random.default_rng(0).integers(0, 2, (len(ids), 32, 32), np.uint8)
    dice = np.linspace(0.9, 0.1, len(ids))
    rows = [{"id": id_, "class": "polyp", "dice": value} for id_, value in zip(ids, dice, strict=True)]
    drawn = {}
    monkeypatch.setattr(scoring, "draw_examples", lambda file, title, *pictures: drawn.update({file.name: pictures}))

    draw_test_examples(tmp_path / "images", datamodule, Scores(rows, {}, ids, indices, class_maps))

    assert list(drawn) == ["best.png", "median.png", "worst.png"]
    for name, numbers in {"best.png": [0, 1, 2, 3], "worst.png": range(len(ids))[-4:]}.items():
        images, truths, predictions, captions = drawn[name]
        np.testing.assert_array_equal(predictions, class_maps[numbers])
        np.testing.assert_array_equal(images, datamodule.prepared.images[indices[numbers]])
        np.testing.assert_array_equal(truths, datamodule.prepared.masks[indices[numbers]])
        assert [caption.split("  ")[0] for caption in captions] == [ids[number] for number in numbers]
