"""What is predicted of an image, and how it is shown."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from medseg.data.overlay import as_rgb, colour_of, outline
from medseg.data.prepared.restore import most_probable
from medseg.trained.predicting.measures import Regions

LONGEST_SIDE = 1600
"""Of a picture that is shown, in pixels."""

SWATCH = "display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em; border-radius: 2px;"


@dataclass(frozen=True, repr=False, eq=False)
class Prediction:
    """What is predicted of an image of H x W pixels; a notebook shows the image with the outlines of its mask.

    Attributes:
        image: H x W x C uint8, RGB, or the channels of the files.
        mask: H x W uint8, the class of each pixel: the most probable one, the first among equals.
        probabilities: classes x H x W float32, of sum 1.
        class_names: the background first.
    """

    image: np.ndarray
    mask: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]

    def overlay(self) -> np.ndarray:
        """Return the image with the outlines of its mask, H x W x 3 uint8 RGB."""
        return outline(self.image, self.mask)

    def __repr__(self) -> str:
        shares = np.bincount(self.mask.ravel(), minlength=len(self.class_names)) / self.mask.size
        named = ", ".join(f"{name} {share:.1%}" for name, share in zip(self.class_names, shares, strict=True))
        return f"Prediction({self.mask.shape[0]} x {self.mask.shape[1]} pixels: {named})"

    def _repr_png_(self) -> bytes:
        picture = outline(reduced(as_rgb(self.image), cv2.INTER_AREA), reduced(self.mask, cv2.INTER_NEAREST_EXACT))
        return encode_png(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def _repr_html_(self) -> str:
        data = base64.b64encode(self._repr_png_()).decode()
        table = describe_classes(self.class_names, self.mask, most_probable(self.probabilities)[1])
        return f'<img alt="the image with the outlines of its mask" src="data:image/png;base64,{data}">{table}'


def describe_classes(
    class_names: Sequence[str], mask: np.ndarray, confidence: np.ndarray, label: int | None = None
) -> str:
    """Write colour, area, connected parts and mean probability of each foreground class, or of one, as HTML table.

    Args:
        class_names: the background first.
        mask: H x W uint8.
        confidence: H x W float32, the probability of each pixel's class.
        label: of the one class; None for all.
    """
    regions = Regions(len(class_names))
    regions.add(mask, confidence)
    rows = []
    for number, (name, region) in enumerate(zip(class_names[1:], regions.measured(), strict=True), start=1):
        if label not in (None, number):
            continue
        cells = (
            f"{region.area:,}",
            f"{100 * region.area / mask.size:.1f} %",
            f"{region.components}",
            "" if region.confidence is None else f"{region.confidence:.3f}",
        )
        swatch = f"{SWATCH} background: rgb{colour_of(number)} !important"
        head = f'<th scope="row"><i style="{swatch}"></i>{html.escape(name)}</th>'
        rows.append(f"<tr>{head}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(f'<th scope="col">{word}</th>' for word in ("class", "pixels", "share", "parts", "probability"))
    return f'<table class="regions"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def reduced(picture: np.ndarray, interpolation: int) -> np.ndarray:
    """Return a picture with no side longer than `LONGEST_SIDE`."""
    height, width = picture.shape[:2]
    factor = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return picture if factor == 1 else cv2.resize(picture, size, interpolation=interpolation)


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode pixels as OpenCV has them: blue, green, red."""
    # Level 1 takes a third of the default's time and 10 % more space.
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return data.tobytes()
