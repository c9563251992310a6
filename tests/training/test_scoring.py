from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg.data.datasets import Synthetic
from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.mask_archive import encode_mask
from medseg.data.prepared.resize import resize_image
from medseg.metrics.image_scores import ImageScores
from medseg.training import scoring
from medseg.training.image_scorer import ImageScorer, Scored, ScoredImage
from medseg.training.scoring import Scores, draw_test_examples

NO_SCORES = Scored(np.zeros((2, 4), np.int64), {})


def test_pictures_of_the_test_show_what_it_has_predicted(tmp_path: Path, monkeypatch) -> None:
    datamodule = SegmentationDataModule(
        dataset=Synthetic(count=12, size=64), data_dir=tmp_path, image_size=32, test_split="train"
    )
    indices = datamodule.indices["train"]
    ids = [datamodule.prepared.ids[index] for index in indices]
    native = [datamodule.prepared.native_masks[index] for index in indices]
    class_maps = [np.random.default_rng(0).integers(0, 2, mask.shape, np.uint8) for mask in native]
    tested = [
        ScoredImage(int(index), encode_mask(class_map), b"", NO_SCORES, NO_SCORES, (), np.ones(1), None)
        for index, class_map in zip(indices, class_maps, strict=True)
    ]
    dice = np.linspace(0.9, 0.1, len(ids))
    rows = [{"id": id_, "class": "polyp", "dice": value} for id_, value in zip(ids, dice, strict=True)]
    drawn = {}
    monkeypatch.setattr(scoring, "draw_examples", lambda file, title, *pictures: drawn.update({file.name: pictures}))

    draw_test_examples(tmp_path / "images", datamodule, Scores(rows, [], {}, ids, tested))

    assert list(drawn) == ["best.png", "median.png", "worst.png"]
    for name, numbers in {"best.png": [0, 1, 2, 3], "worst.png": range(len(ids))[-4:]}.items():
        images, truths, predictions, captions = drawn[name]
        for position, number in enumerate(numbers):
            np.testing.assert_array_equal(predictions[position], class_maps[number])
            np.testing.assert_array_equal(truths[position], native[number])
            expected = resize_image(datamodule.prepared.images[indices[number]], native[number].shape)
            np.testing.assert_array_equal(images[position], expected)
        assert [caption.split("  ")[0] for caption in captions] == [ids[number] for number in numbers]


def test_pixels_without_finite_output_count_as_certain_background(tmp_path: Path) -> None:
    datamodule = SegmentationDataModule(dataset=Synthetic(count=12, size=64), data_dir=tmp_path, image_size=32)
    prepared, index = datamodule.prepared, int(datamodule.indices["test"][0])
    foreground = np.random.default_rng(0).random((32, 32), np.float32)
    broken = np.stack([1 - foreground, foreground])
    broken[:, :16] = np.nan
    background = broken.copy()
    background[0, :16], background[1, :16] = 1, 0
    scored = []
    for probabilities in (broken, background):
        scorer = ImageScorer(prepared, ImageScores(("dice", "hd95")), temperature=1.5, keep_probabilities=True)
        scorer.add(index, probabilities)
        scored += scorer.results()
    one, other = scored
    assert (one.finite, other.finite) == (False, True)
    np.testing.assert_array_equal(one.class_map, other.class_map)
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    np.testing.assert_array_equal(one.confidence, other.confidence)
    for left, right in ((one.native, other.native), (one.prepared, other.prepared)):
        assert {name: values.tolist() for name, values in left.measured.items()} == {
            name: values.tolist() for name, values in right.measured.items()
        }
    assert one.native.measured["brier"][0] > 0
    for left, right in zip(one.calibration, other.calibration, strict=True):
        np.testing.assert_array_equal(left.bins, right.bins)
