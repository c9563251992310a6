"""Checks of how masks are read against what they hold."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from medseg.data.datasets.label_census import Census, MaskContent
from medseg.data.datasets.label_rules import described, frequencies, holding_others
from medseg.data.datasets.label_values import Labels, as_colour, plain_name
from medseg.data.labels import IGNORE_INDEX
from medseg.data.sources.decode_masks import COLOUR, colour_value, value_name
from medseg.data.sources.source import Source
from medseg.errors import DataError

log = logging.getLogger(__name__)


def check_described(source: Source, masks: Mapping[str, MaskContent], labels: Labels) -> None:
    """Check a description that the user gave against the masks; log classes that do not occur.

    Raises `DataError` where half of the masks or more hold values of no class, and where all pixels are of one class.
    """
    census = Census.of(list(masks.values()))
    refuse_three_numbers(source, census, labels)
    strays = {value for content in masks.values() for value in labels.unexpected(content.counts)}
    holding = holding_others(masks, labels)
    if 2 * holding >= len(masks):
        raise DataError(
            f"{source.location}: {holding} of {len(masks)} masks hold values of no class in {labels.rule}: "
            f"{frequencies(census, strays)}; name them too, or name no background and they are background"
        )
    present = {int(label) for label in labels.classes_of(np.array(list(census.pixels), np.int64))} - {-1, IGNORE_INDEX}
    if len(present) < 2:
        one = labels.names[present.pop()] if present else "ignored"
        raise DataError(
            f"{source.location}: by {labels.rule} every pixel is {one}; the masks hold "
            f"{frequencies(census, set(census.pixels))}"
        )
    missing = [name for label, name in enumerate(labels.names) if label not in present]
    if missing:
        log.warning("%s: no mask holds %s", source.location, ", ".join(missing))


def refuse_three_numbers(source: Source, census: Census, labels: Labels) -> None:
    """Raise `DataError` where masks hold colours and a class is three values that were to be one: [255, 128, 0]."""
    for name, spans in [*zip(labels.names, labels.values, strict=True), ("data.ignore", labels.ignored)]:
        colour = as_colour(spans)
        greys = {low for low, _ in spans}
        if not colour or max(census.pixels) < COLOUR:
            continue
        if colour_value(colour) in census.pixels or not greys <= census.pixels.keys():
            raise DataError(
                f"{source.location}: {name} is the three values {', '.join(str(low) for low, _ in spans)}, and the "
                f'masks hold colours; write this colour as "{colour}"'
            )


def note_on_inverted(masks: Mapping[str, MaskContent], labels: Labels) -> str:
    """Return how to turn two values around where most pixels are foreground; empty elsewhere."""
    if labels.num_classes != 2 or labels.grey_edges or len(labels.values[1]) != 1:
        return ""
    (background, _), (foreground, _) = labels.values[0][0], labels.values[1][0]
    pixels = Census.of(list(masks.values())).pixels
    if pixels.get(foreground, 0) <= pixels.get(background, 0):
        return ""
    names = [plain_name(name) for name in labels.names]
    return (
        f"foreground, {value_name(foreground)}, covers more than the background, {value_name(background)}; to turn "
        f"them around: {described({names[0]: [foreground], names[1]: [background]})}"
    )
