"""Images on the page with their outlines, which a reader can switch off class by class."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from medseg.data.labels import COLOURS, IGNORE_INDEX
from medseg.inspecting.samples import outlines, shrunk
from medseg.pages import picture

SMALL, LARGE = 256, 512
"""Prepared images up to the first side are shown small at first, larger ones larger: they have more to see."""


def figure(image: np.ndarray, mask: np.ndarray, caption: str, label: str) -> str:
    """Show an image, H x W x C uint8, under the outlines of its mask, H x W uint8.

    Args:
        image, mask: of one size.
        caption: HTML.
        label: plain text for screen readers.
    """
    small, labels = shrunk(image, mask)
    height, width = labels.shape
    paths = "".join(
        f'<path class="{"ignored" if label == IGNORE_INDEX else f"class-{label}"}" d="{path}"/>'
        for label, path in outlines(labels).items()
    )
    drawn = f'<svg aria-hidden="true" viewBox="0 0 {width} {height}">{paths}</svg>' if paths else ""
    shown = picture(small, "webp", quality=82)
    return (
        f'<figure><div class="shot"><img alt="{escape(label)}" width="{width}" height="{height}" src="{shown}">{drawn}'
        f"</div><figcaption>{caption}</figcaption></figure>"
    )


def legend(class_names: Sequence[str]) -> str:
    """Make the switches of the outlines, one for each foreground class, and the pattern of what is ignored."""
    switches = "".join(
        f'<label><input type="checkbox" id="show-{number}" checked><span class="swatch class-{number}"></span>'
        f"{escape(name)}</label>"
        for number, name in enumerate(class_names[1:], start=1)
    )
    pattern = (
        '<svg class="patterns" aria-hidden="true"><defs><pattern id="hatching" width="8" height="8" '
        'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="8"/></pattern>'
        "</defs></svg>"
    )
    size = '<label class="size">size of images<input type="range" id="card-size" min="80" max="380"></label>'
    return f'<div class="legend" role="group" aria-label="images"><span>outlines</span>{switches}{size}</div>{pattern}'


def styles(num_classes: int, image_size: tuple[int, int]) -> str:
    """Return the style of the outlines, which hides those that are switched off, and how wide images are at first."""
    wide, narrow = (145, 113) if max(image_size) <= SMALL else (240, 173)
    rules = [f"main {{ --card: {wide}px; }}", f"@media (max-width: 600px) {{ main {{ --card: {narrow}px; }} }}"]
    for number in range(1, num_classes):
        colour = "rgb({} {} {})".format(*COLOURS[(number - 1) % len(COLOURS)])
        rules.append(f".class-{number} {{ --own: {colour}; }}")
        rules.append(f"main:has(#show-{number}:not(:checked)) path.class-{number} {{ display: none; }}")
    return "\n".join(rules)
