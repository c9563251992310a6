"""Pictures of a run: its best, median and worst test images, and its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from lightning import Trainer

from medseg.data.labels import IGNORE_INDEX
from medseg.data.module import SegmentationDataModule
from medseg.data.overlay import as_rgb, hatched, outline
from medseg.errors import printable
from medseg.training.task import SegmentationTask

CORRECT, FALSE_POSITIVE, FALSE_NEGATIVE = (60, 180, 75), (230, 60, 60), (60, 110, 240)
"""Colours of the error map, RGB."""

PAGE, DPI = 1100, 110
"""Width of a picture of examples, pixels, and pixels in an inch, which the size of the letters is given in."""

HEADING, CAPTION, MARGIN = 64, 24, 8
"""Pixels above the examples, below each of them, and around their pictures."""


@torch.inference_mode()
def predict(
    trainer: Trainer, task: Any, datamodule: SegmentationDataModule, indices: Sequence[int] | np.ndarray
) -> list[np.ndarray]:
    """Predict the class maps, H x W uint8, of some prepared images, on this process's device and precision."""
    assert isinstance(task, SegmentationTask)
    was_training = task.training
    task.eval()
    predicted: list[np.ndarray] = []
    images = datamodule.images()
    batch_size = 1 if task.window else datamodule.batch_size
    for start in range(0, len(indices), batch_size):
        drawn = [(int(index), 0) for index in indices[start : start + batch_size]]
        fetched = {key: value.to(task.device) for key, value in images.__getitems__(drawn).items()}
        batch = datamodule.on_after_batch_transfer(fetched, 0)
        with trainer.precision_plugin.forward_context():
            probabilities = task.probabilities(batch["image"])
        predicted += list(probabilities.argmax(1).to(torch.uint8).cpu().numpy())
    task.train(was_training)
    return predicted


def choose_examples(dice: np.ndarray, count: int = 4) -> dict[str, np.ndarray]:
    """Choose the positions of the best, the median and the worst images by Dice, each in falling order.

    Args:
        dice: one value per image.
        count: how many of each at the most; fewer images give fewer.
    """
    order = np.argsort(-dice, kind="stable")
    count = min(count, len(order))
    middle = max(0, (len(order) - count) // 2)
    return {"best": order[:count], "median": order[middle : middle + count], "worst": order[len(order) - count :]}


def draw_examples(
    file: Path,
    title: str,
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    captions: Sequence[str],
) -> None:
    """Draw one row per image: image, ground truth, prediction, error map.

    Args:
        file: the PNG to write.
        title: above the picture.
        images: H x W x C uint8.
        truths, predictions: class maps H x W; 255 in a truth counts nowhere.
        captions: one per row.
    """
    from matplotlib.figure import Figure  # not above, nor below: only what draws needs it

    columns = ("image", "ground truth", "prediction", "errors")
    height, width = images[0].shape[:2]
    side = (PAGE - MARGIN) // len(columns) - MARGIN
    tall = max(1, round(side * height / width))
    lefts = [MARGIN + column * (side + MARGIN) for column in range(len(columns))]
    tops = [HEADING + row * (tall + CAPTION) for row in range(len(images))]
    # Pasted, not drawn: the axes of 16 pictures would take half a second.
    page = np.full((HEADING + len(images) * (tall + CAPTION), PAGE, 3), 255, np.uint8)
    for top, image, truth, prediction in zip(tops, images, truths, predictions, strict=True):
        for left, picture in zip(lefts, example(image, truth, prediction), strict=True):
            page[top : top + tall, left : left + side] = cv2.resize(
                picture, (side, tall), interpolation=cv2.INTER_NEAREST
            )
    figure = Figure(figsize=(PAGE / DPI, len(page) / DPI), dpi=DPI)
    figure.figimage(page)

    def write(x: float, y: float, text: str, size: float, **options: Any) -> None:
        figure.text(x / PAGE, 1 - y / len(page), text, fontsize=size, parse_math=False, va="top", **options)

    heading = f"{printable(title)}\nerrors: green correct, red false positive, blue false negative or wrong class"
    write(PAGE / 2, MARGIN, heading, 9, ha="center")
    for left, column in zip(lefts, columns, strict=True):
        write(left + side / 2, HEADING - 18, column, 9, ha="center")
    for top, caption in zip(tops, captions, strict=True):
        write(lefts[0], top + tall + 4, printable(caption), 8, ha="left")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def example(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return an image, its truth, its prediction and the errors as pictures, H x W x 3 uint8 each.

    Args:
        image: H x W x C uint8.
        truth, prediction: class maps H x W; 255 in the truth counts nowhere.
    """
    rgb = np.array(as_rgb(image))
    counted = np.where(truth == IGNORE_INDEX, truth, prediction)
    return rgb, outline(rgb, truth), outline(rgb, counted), error_map(rgb, truth, prediction)


def error_map(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Colour the foreground pixels by whether they are right, over the darkened grey image; hatch what is ignored."""
    grey = image.mean(axis=2, keepdims=True) * 0.45
    shown = np.repeat(grey, 3, axis=2)
    counted = truth != IGNORE_INDEX
    foreground, predicted = counted & (truth != 0), counted & (prediction != 0)
    for region, colour in (
        (foreground & (truth == prediction), CORRECT),
        (~foreground & predicted, FALSE_POSITIVE),
        (foreground & (truth != prediction), FALSE_NEGATIVE),
    ):
        shown[region] = 0.4 * shown[region] + 0.6 * np.asarray(colour)
    return hatched(shown.astype(np.uint8), ~counted)


def draw_curves(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw losses and validation scores over the epochs of `metrics.csv`."""
    from matplotlib.figure import Figure

    epochs = [int(row["epoch"]) + 1 for row in rows]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, names in ((left, ("train/loss", "val/loss")), (right, ("val/dice", "val/iou"))):
        for name in names:
            values = [float(row[name]) if row[name] != "" else np.nan for row in rows]
            axis.plot(epochs, values, label=name, marker="." if len(rows) < 30 else "")
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    left.set_ylabel("loss")
    right.set_ylabel("mean over images")
    right.set_ylim(0, 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
