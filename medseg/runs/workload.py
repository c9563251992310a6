"""What decides how long an epoch of a run takes, and how large its folder becomes: its workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medseg.runs.naming import LATER, canonical, flatten, normalized

NO_COST = ("model.encoder_weights", "model.num_classes")
"""Options of a network that hardly change its time and size; the number of classes may be known from the data alone."""

VALIDATION = 3
"""Validation images that count as one of training, which has a backward pass of about two forward passes."""

Counts = Mapping[str, int]
"""Split -> images."""


@dataclass(frozen=True)
class Workload:
    """What a run computes, in parts that are compared.

    Args:
        model: name of the network.
        network: its options.
        data: dataset, split, and what else decides how many images an epoch has; the folds are alike.
        size: height and width of the network's input, in pixels.
        step: batch size, precision and what else changes the speed of a step.
        saved: what a checkpoint holds beside the weights: optimizer and callbacks.
        batch_size: images of a step.
        train_images, val_images: of an epoch, None where they are not known; an image that is validated in every second
            epoch is half an image.
    """

    model: str
    network: str
    data: str
    size: tuple[int, int]
    step: str
    saved: str
    batch_size: int = 1
    train_images: float | None = None
    val_images: float | None = None

    @property
    def images(self) -> float | None:
        """Images of an epoch, those of validation weighted by `VALIDATION`; None where they are not known."""
        known = self.train_images is not None and self.val_images is not None
        return self.train_images + self.val_images / VALIDATION if known else None  # type: ignore[operator]


def workload(model: str, data: str, config: Mapping[str, Any], counts: Counts | None) -> Workload:
    """Return the workload of a run.

    Args:
        model: name of the network.
        data: name of the dataset.
        config: the composed configuration, as plain dictionaries.
        counts: images of the splits `train` and `val`; None where they are not known.
    """
    options, trainer = config["data"], config["trainer"]
    network = {f"model.{key}": value for key, value in flatten(config["model"]).items()}
    network = {
        key: normalized(key, value)
        for key, value in network.items()
        if key not in NO_COST and not (key in LATER and normalized(key, value) == LATER[key])
    }
    parts = {key: options.get(key) for key in ("root", "split", "groups", "fraction", "patches")}
    limits = {key: trainer.get(key) for key in ("limit_train_batches", "limit_val_batches")}
    parts |= {"check_val_every_n_epoch": trainer.get("check_val_every_n_epoch"), **limits}
    if any(limits.values()):
        parts["batch_size"] = options["batch_size"]
    precision = normalized("trainer.precision", trainer.get("precision"))
    switches = [config.get(key, False) for key in ("compile", "activation_checkpointing")]
    size = options["image_size"]
    train, val = (None, None) if counts is None else images_of_epoch(config, counts)
    return Workload(
        model=model,
        network=canonical(network),
        data=canonical([data, {key: value for key, value in parts.items() if value is not None}]),
        size=(size, size) if isinstance(size, int) else (size[0], size[1]),
        step=canonical([options["batch_size"], precision, *switches, trainer.get("devices")]),
        saved=canonical([config["optimizer"].get("_target_"), sorted(config.get("callbacks") or ())]),
        batch_size=options["batch_size"],
        train_images=train,
        val_images=val,
    )


def images_of_epoch(config: Mapping[str, Any], counts: Counts) -> tuple[float, float]:
    """Return how many images an epoch trains on and validates."""
    options, trainer = config["data"], config["trainer"]
    patches, batch_size = options.get("patches"), options["batch_size"]
    train = limited(counts.get("train", 0) * (patches or 1), trainer.get("limit_train_batches"), batch_size)
    # With patches, whole images are validated, one at a time.
    val = limited(counts.get("val", 0), trainer.get("limit_val_batches"), 1 if patches else batch_size)
    return train, val / (trainer.get("check_val_every_n_epoch") or 1)


def limited(images: int, limit: float | None, batch_size: int) -> float:
    """Return how many images are used: `limit` is a number of batches, or, as a float, a part of them."""
    if limit is None:
        return images
    return images * limit if isinstance(limit, float) else min(images, limit * batch_size)
