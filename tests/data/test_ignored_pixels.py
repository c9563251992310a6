"""Data whose right half is 255: losses, scores, statistics and pictures are those of the left half."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from medseg.data.datasets import Folder
from medseg.data.datasets.base import connected_components
from medseg.data.module import SegmentationDataModule
from medseg.data.overlay import HATCHING, hatched, outline
from medseg.data.prepared.border_weights import balance, border_weights
from medseg.inspecting.facts import collect
from medseg.inspecting.sections import at_a_glance
from medseg.metrics import ImageScores, count_pixels
from medseg.runs.predictions import read_predictions
from medseg.training.losses import CrossEntropyLoss
from medseg.training.panels import error_map
from tests.data.image_files import encode, picture
from tests.data.tiny import write_folder
from tests.helpers import train

SIZE = 32


def left_mask(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    mask = np.zeros((SIZE, SIZE // 2), np.uint8)
    y, x = random.integers(2, 16), random.integers(1, 6)
    mask[y : y + 12, x : x + 8] = 1
    return mask


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Images with a mask whose right half is 255, and their left halves alone."""
    top = tmp_path_factory.mktemp("ignored")
    whole, left = {}, {}
    for number in range(15):
        mask, image = left_mask(number), picture(number, SIZE, SIZE)
        image[:, :16][mask > 0] //= 3
        whole |= {
            f"images/{number:02d}.png": encode(image),
            f"masks/{number:02d}.png": encode(np.hstack([mask, np.full((SIZE, 16), 255, np.uint8)])),
        }
        left |= {f"images/{number:02d}.png": encode(image[:, :16]), f"masks/{number:02d}.png": encode(mask)}
    return write_folder(top / "whole", whole), write_folder(top / "left", left)


def module_of(folder: Path, width: int, *, border: bool = False, skip_bad: bool = False, **options: object):
    return SegmentationDataModule(
        dataset=Folder(**options),
        data_dir=folder.parent,
        source=folder,
        image_size=(SIZE, width),
        num_workers=0,
        border_weights=border,
        skip_bad=skip_bad,
    )


def test_statistics_are_those_of_the_other_half(folders):
    whole, left = module_of(folders[0], SIZE, ignore=255), module_of(folders[1], SIZE // 2)
    assert (np.asarray(whole.prepared.masks[0][:, 16:]) == 255).all()
    for key in ("class_fractions", "foreground_fraction", "problems", "class_names"):
        assert whole.prepared.fingerprint[key] == left.prepared.fingerprint[key]
    facts, expected = collect(whole), collect(left)
    np.testing.assert_allclose(facts.shares, expected.shares)
    assert (facts.ignored, expected.ignored) == (0.5, 0)
    assert "ignored, of all pixels" in at_a_glance(facts, "random")
    assert "ignored, of all pixels" not in at_a_glance(expected, "random")


def test_a_mask_without_foreground_is_empty_and_one_that_counts_nowhere_is_refused(folders, tmp_path):
    files = {str(path.relative_to(folders[0])): path.read_bytes() for path in folders[0].rglob("*.png")}
    empty = np.zeros((SIZE, SIZE), np.uint8)
    empty[:, 16:] = 255
    files["masks/03.png"] = encode(empty)
    files["masks/04.png"] = encode(np.full((SIZE, SIZE), 255, np.uint8))
    module = module_of(write_folder(tmp_path / "mine", files), SIZE, skip_bad=True, ignore=255)
    assert module.prepared.fingerprint["problems"] == {"empty mask": 1, "unexpected label": 1}
    assert "every pixel is to be ignored" in (module.prepared.folder / "problems.csv").read_text()
    assert collect(module).empty.tolist() == [3]


def test_border_weights_are_those_of_the_other_half():
    left = np.zeros((SIZE, 16), np.uint8)
    left[4:12, 2:7] = left[4:12, 8:13] = left[20:30, 3:9] = 1
    right = np.zeros((SIZE, 16), np.uint8)
    right[2:30, 1:12] = 1
    whole = np.hstack([left, np.full_like(right, 255)])
    weights = balance(np.array([(left == 0).sum(), (left == 1).sum()]))
    expected, _ = border_weights(left, connected_components(left), weights)
    found, separated = border_weights(whole, connected_components(np.hstack([left, right])), weights)
    np.testing.assert_allclose(found[:, :16], expected)
    assert not found[:, 16:].any()
    assert (separated[:, 16:] == 255).all()
    np.testing.assert_array_equal(connected_components(whole)[:, :16], connected_components(left))
    assert not connected_components(whole)[:, 16:].any()


def test_border_maps_of_a_folder_leave_them_out(folders):
    whole = module_of(folders[0], SIZE, border=True, ignore=255)
    left = module_of(folders[1], SIZE // 2, border=True)
    np.testing.assert_array_equal(whole.border.masks[:, :, :16], left.border.masks)
    assert (whole.border.masks[:, :, 16:] == 255).all()
    np.testing.assert_array_equal(whole.border.closeness[:, :, :16], left.border.closeness)
    np.testing.assert_array_equal(whole.class_weights, left.class_weights)
    batch = whole.on_after_batch_transfer(whole.images(training=True).__getitems__([(0, 1), (1, 1)]), 0)
    assert not batch["weight"][:, :, 16:].any()
    assert batch["weight"][:, :, :16].any()


def test_pictures_hatch_them():
    image = picture(1, SIZE, SIZE)
    mask = np.hstack([left_mask(1), np.full((SIZE, 16), 255, np.uint8)])
    prediction = np.hstack([left_mask(2), left_mask(3)])
    left = np.ascontiguousarray(image[:, :16])
    np.testing.assert_array_equal(outline(image, mask)[:, :16], outline(left, left_mask(1)))
    errors = error_map(image, mask, prediction)
    np.testing.assert_array_equal(errors[:, :16], error_map(left, left_mask(1), left_mask(2)))
    for drawn in (outline(image, mask), errors):
        lines = (drawn[:, 16:] == HATCHING).all(axis=2)
        assert 0.3 < lines.mean() < 0.7
    dark = np.repeat(image.mean(axis=2, keepdims=True) * 0.45, 3, axis=2).astype(np.uint8)
    np.testing.assert_array_equal(errors[:, 16:][~lines], dark[:, 16:][~lines])


def test_pictures_without_them_take_the_memory_of_a_copy():
    image, region = picture(1, 1000, 1000), np.zeros((1000, 1000), bool)
    tracemalloc.start()
    drawn = hatched(image, region)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(drawn, image)
    assert drawn is not image
    assert peak < 1.1 * image.nbytes


def test_a_training_scores_the_other_half_alone(folders, tmp_path):
    run = train(
        tmp_path, "data=folder", f"data.root={folders[0]}", "data.ignore=255", f"data.image_size={SIZE}",
        "data.num_workers=0", "model=unet", "model.base_channels=4", "trainer=cpu", "trainer.max_epochs=1",
        "logger=csv", "augmentation=none", tiny=False,
    )  # fmt: skip
    prepared = module_of(folders[0], SIZE, ignore=255).prepared
    rows = list(csv.DictReader((run.path / "test" / "per_image.csv").open()))
    predictions = read_predictions(run.path / "test" / "predictions.npz", [row["id"] for row in rows])
    for row in rows:
        whole = prepared.native_masks[prepared.ids.index(row["id"])]
        truth, predicted = whole[:, :16], predictions[row["id"]][:, :16]
        tp, fp, fn, _ = count_pixels(predicted[None], truth[None], 2)[0, 1]
        assert float(row["dice"]) == pytest.approx(2 * tp / (2 * tp + fp + fn))
        sides = ((0, 0), (0, 16))
        alone = ImageScores().measure(np.pad(predicted, sides), np.pad(truth, sides), 2)
        for name, values in ImageScores().measure(predictions[row["id"]], whole, 2).items():
            np.testing.assert_allclose(values, alone[name])


def test_the_loss_is_that_of_the_other_half():
    logits = torch.randn(3, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor(np.stack([left_mask(k) for k in range(3)])).long()
    whole = torch.cat([truth, torch.full_like(truth, 255)], dim=2)
    loss = CrossEntropyLoss()
    assert loss(logits, whole).item() == pytest.approx(loss(logits[..., :16], truth).item(), rel=1e-6)
