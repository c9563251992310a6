"""Class weights that balance the classes of the training split, for losses with `class_weights=balanced`."""

from __future__ import annotations

import logging

import numpy as np
from torch import nn

from medseg.data.module import SegmentationDataModule
from medseg.data.prepared.build import count_classes
from medseg.training.losses import FocalLoss

log = logging.getLogger(__name__)


def balance_classes(loss: nn.Module, datamodule: SegmentationDataModule) -> None:
    """Set the class weights of every part of a loss that has `class_weights="balanced"`.

    They follow from the pixels of the training split as prepared, without those that are ignored and before any
    augmentation.
    """
    parts = [module for module in loss.modules() if isinstance(module, FocalLoss) and module.balanced]
    if not parts:
        return
    pixels = np.zeros(datamodule.prepared.num_classes, np.int64)
    for index in datamodule.indices["train"]:
        pixels += count_classes(datamodule.prepared.masks[index], len(pixels))
    for part in parts:
        part.balance(pixels)
    weights = parts[0].class_weights
    assert weights is not None
    named = zip(datamodule.prepared.class_names, weights.tolist(), strict=True)
    log.info("class weights: %s", ", ".join(f"{name} {weight:.3g}" for name, weight in named))
