"""The limits of a trained network, as far as its run tells them. Each is a fact with what follows from it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from medseg.cards.collect import Subject
from medseg.cards.recipe import LIMIT, trainer_options
from medseg.reporting.formatting import count, number, percent
from medseg.runs.evaluations import is_external

LOW = 0.5
"""A Dice below which less than half of an object is segmented, or as much beside it."""

FEW_IMAGES = 100
"""Test images below which the card states that they are few."""

NARROW = re.compile(r"research|educational|non[- ]?commercial|(?<![a-z])nc(?![a-z])", re.IGNORECASE)
"""Words of licences that narrow what may be done with what was made from the data."""


def find_limits(subject: Subject) -> list[str]:
    """Say what the network is not known, or not fit, to do."""
    return [*of_use(subject), *of_test(subject), *of_training(subject), *of_data(subject)]


def of_use(subject: Subject) -> Iterator[str]:
    """Limits of what it may be used for."""
    yield (
        "Not a medical device: it was trained for research, and nothing here shows that it is fit for clinical use. Do "
        "not diagnose or treat anybody by its output."
    )
    licence = subject.data.licence
    if NARROW.search(licence):
        yield f"The licence of the data ({licence}) may bind what is trained on them as well."
    elif not licence:
        yield "The licence of the data is not known here; whoever publishes the network has to know it."


def of_test(subject: Subject) -> Iterator[str]:
    """Limits of what the scores show."""
    data, sample = subject.data, subject.cell.sample
    assert sample is not None
    if data.name == "synthetic":
        yield "Trained and tested on drawn images alone: the scores show nothing about real ones."
    if not any(is_external(run, view.summary) for run, view in subject.elsewhere):
        yield (
            f"No external validation: the test images are of {data.title}, as the training images are. Other "
            "hospitals, devices, protocols and patients may look different, and the scores may then be lower."
        )
    images = len(sample.ids)
    units = sample.unit_count
    few = "; that is few, and the interval may be too short" if units < FEW_IMAGES else ""
    grouped = "" if sample.groups is None else f" in {count(units, 'group')}, such as patients"
    over = f"{count(images, 'test image')}{grouped}{few}"
    yield f"The intervals are over {over}. They hold for images of the same kind only."
    if len(subject.seeds) == 1:
        yield (
            "One training: how much another seed would change the scores is not known, and the intervals do not "
            "hold it."
        )
    elif len(subject.seeds) < 5:
        yield (
            f"{len(subject.seeds)} trainings show little of how much another seed would change; the intervals may be "
            "too short for that."
        )
    dice = sample.per_image("dice")
    if np.isnan(dice).all():  # no test image has a class, and none is predicted
        return
    low = int(np.sum(dice < LOW))
    worst = number(float(np.nanmin(dice)), 3)
    yield (
        f"Not all images are segmented alike: Dice is below {LOW} on {low} of {images} test images; the lowest is "
        f"{worst}, of {worst_id(subject)}."
    )


def worst_id(subject: Subject) -> str:
    """Return the id of the test image with the lowest Dice."""
    sample = subject.cell.sample
    assert sample is not None
    return sample.ids[int(np.nanargmin(sample.per_image("dice")))]


def of_training(subject: Subject) -> Iterator[str]:
    """Limits of how it was trained."""
    limited = trainer_options(subject.config.get("trainer", {})).get(LIMIT)
    if limited is not None:
        number_of = "1 batch" if limited == 1 else f"{limited} batches"
        shown = number_of if isinstance(limited, int) else f"{percent(limited)} of the batches"
        yield f"Each epoch of training saw {shown} only (trainer.limit_train_batches)."
    epochs = [(run.summary.get("best_epoch"), run.summary.get("epochs")) for run in subject.runs]
    last = [best for best, of in epochs if best is not None and best == of]
    if last:
        which = "" if len(subject.runs) == 1 else f" in {len(last)} of {len(subject.runs)} runs"
        yield f"The last epoch was the best on the validation images{which}: longer training may do better."


def of_data(subject: Subject) -> Iterator[str]:
    """Limits of what it has seen."""
    data, fingerprint = subject.data, subject.data.fingerprint
    size = subject.runs[0].summary.get("evaluation_size")
    if size and subject.runs[0].summary.get("patches"):
        yield f"It sees windows of {size[0]} x {size[1]} pixels of an image, and nothing of what is around them."
    elif size:
        native = ""
        if fingerprint:
            height, width = fingerprint["native_height"]["median"], fingerprint["native_width"]["median"]
            native = f" (the originals have a median of {height:.0f} x {width:.0f})"
        yield (
            f"It sees images of {size[0]} x {size[1]} pixels{native}, whatever their aspect ratio. Finer detail is "
            "lost."
        )
    if data.counts:
        what = data.about.partition(": ")[2] or data.about
        kinds = f" It knows no other images than these: {what}" if what else ""
        yield f"Trained on {count(data.counts['train'], 'image')}.{kinds}"
    problems = fingerprint.get("problems", {}) if fingerprint else {}
    if problems.get("near-duplicate across splits"):
        pairs = count(problems["near-duplicate across splits"], "pair")
        yield f"The data hold {pairs} of images in different parts of the default split that show the same thing."
    if fingerprint and fingerprint.get("skipped"):
        yield f"{count(len(fingerprint['skipped']), 'image')} could not be used and were left out."
