"""The figure of predictions: for each dataset, the images that the networks disagree most on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from medseg.data.labels import IGNORE_INDEX
from medseg.data.overlay import as_rgb, hatched
from medseg.errors import UserError
from medseg.metrics.measures import Measure
from medseg.reporting.figures.content import Content
from medseg.reporting.figures.sheet import EDGE, GAP, NARROWEST, Legend, inches, write
from medseg.reporting.figures.style import DPI, save
from medseg.reporting.figures.text import SMALL, TITLE, text_height, wrap
from medseg.reporting.file_names import file_names
from medseg.reporting.pictures import Candidate, most_disputed, open_prepared
from medseg.runs.packed.archive import with_files
from medseg.runs.predictions import read_predictions

if TYPE_CHECKING:
    from medseg.data.prepared.dataset import PreparedDataset
    from medseg.reporting.line import Line

log = logging.getLogger("medseg")

Pixels = NDArray[np.uint8]

RIGHT, TOO_MUCH, MISSED = (0, 158, 115), (213, 94, 0), (86, 180, 233)
"""Okabe and Ito's green, vermilion and sky blue."""

MEANING = {"right": RIGHT, "too much": TOO_MUCH, "missed or of another class": MISSED}

WIDTH = 1.6
"""Of a picture, in inches, about."""

SIDE = 256
"""Of a picture of images that were prepared at their native size, in pixels."""

WIDEST = 17.0
"""Of all pictures beside one another, in inches."""

NETWORKS = 8
"""Most predictions beside one another; more networks go below, with the image and the truth again."""


def draw_grids(content: Content, folder: Path) -> list[Path]:
    """Draw a grid for each dataset whose runs have predictions and whose prepared data are still there."""
    drawn: list[Path] = []
    names = file_names(f"grid_{column.label}" for column in content.candidates)
    for name, (column, candidates) in zip(names, content.candidates.items(), strict=True):
        try:
            prepared = open_prepared([candidate.run for candidate in candidates])
            drawn += draw_grid(folder / name, column, candidates, prepared, content.image_measure)
        except UserError as error:
            log.warning("no grid of %s: %s", column.label, with_files(str(error)))
    return drawn


def draw_grid(
    stem: Path, column: Line, candidates: Sequence[Candidate], prepared: PreparedDataset, measure: Measure
) -> list[Path]:
    """Draw a row for each disputed image: image, truth, each network's prediction with its score."""
    images = most_disputed(candidates, higher_is_better=measure.higher_is_better)
    predictions = [read_predictions(one.run.predictions, images) for one in candidates]
    position = {image: n for n, image in enumerate(prepared.ids)}
    if any(image not in position or any(image not in stored for stored in predictions) for image in images):
        raise UserError("the stored predictions are not of the test images")
    from medseg.data.prepared.resize import resize_image, resize_mask  # not above: it imports OpenCV

    size = prepared.image_size or (SIDE, SIDE)
    bands = []
    for chosen in in_bands(range(len(candidates))):
        rows, captions = [], []
        for image in images:
            truth = resize_mask(prepared.masks[position[image]], size)
            picture = resize_image(as_rgb(prepared.images[position[image]]), size)
            painted = [paint(picture, truth, resize_mask(predictions[k][image], truth.shape)) for k in chosen]
            rows.append([picture, paint(picture, truth, truth), *painted])
            captions.append([image, "", *(score_text(candidates[k].scores[image], measure) for k in chosen)])
        bands.append(Band(["image", "truth", *(candidates[k].row.label for k in chosen)], rows, captions))
    run = candidates[0].run
    trained = f"seed {run.seed}" + (f", fold {run.fold}" if run.fold is not None else "")
    which = "that the networks disagree most on" if len(candidates) > 1 else "with the worst scores"
    return save_mosaic(*mosaic(f"{column.label}: the test images {which} ({trained})", bands), stem)


@dataclass(frozen=True)
class Band:
    """Pictures in rows and columns.

    Args:
        titles: of the columns.
        rows: pictures, each H x W x 3.
        captions: below each of them.
    """

    titles: Sequence[str]
    rows: Sequence[Sequence[Pixels]]
    captions: Sequence[Sequence[str]]


def in_bands(items: Sequence[int], most: int = NETWORKS) -> list[Sequence[int]]:
    """Divide items into as few groups of at most `most` as there can be, of about the same size."""
    count = -(-len(items) // most)
    size = -(-len(items) // count)
    return [items[start : start + size] for start in range(0, len(items), size)]


def mosaic(title: str, bands: Sequence[Band]) -> tuple[Figure, list[AxesImage]]:
    """Set bands below one another; return the figure and the images in it.

    All pictures of a band are one image, in their pixels: an axis for each picture would take seconds.
    """
    height, width = bands[0].rows[0][0].shape[:2]
    columns = max(len(band.titles) for band in bands)
    # A whole number of the PNG's pixels for each of the pictures', if that is not too wide.
    inch = max(DPI / max(1, round(WIDTH * DPI / width)), columns * width / WIDEST)
    gap, below = round(0.06 * inch), round(0.2 * inch)
    step_x, step_y = width + gap, height + below
    headings = [[wrap(text, width / inch, SMALL, lines=5) for text in band.titles] for band in bands]
    heads = [max(text_height(text, SMALL) for text in texts) + 0.04 for texts in headings]
    wide = max((step_x * columns - gap) / inch, NARROWEST - 2 * EDGE)
    title = wrap(title, wide, TITLE)
    legend = Legend([(text, mark_of(colour)) for text, colour in MEANING.items()], wide)
    pictures = step_y * sum(len(band.rows) for band in bands) / inch
    whole = text_height(title, TITLE) + sum(heads) + pictures + GAP * (len(bands) + 1) + legend.height
    figure = Figure(figsize=(wide + 2 * EDGE, whole + 2 * EDGE))
    centre, top = wide / 2 + EDGE, whole + EDGE
    write(figure, centre, top, title, size=TITLE, va="top")
    top -= text_height(title, TITLE) + GAP
    images = []
    for band, head, texts in zip(bands, heads, headings, strict=True):
        # With the alpha that matplotlib would add in several slow steps.
        canvas = np.full((step_y * len(band.rows), step_x * len(band.titles) - gap, 4), 255, dtype=np.uint8)
        high, across = (pixels / inch for pixels in canvas.shape[:2])
        left, top = centre - across / 2, top - head
        for n, text in enumerate(texts):
            middle = left + (n * step_x + width / 2) / inch
            write(figure, middle, top + 0.03, text, size=SMALL, va="bottom")
            for line, (pictures_of, captions) in enumerate(zip(band.rows, band.captions, strict=True)):
                y, x = line * step_y, n * step_x
                canvas[y : y + height, x : x + width, :3] = pictures_of[n]
                caption = wrap(captions[n], step_x / inch, SMALL - 0.5, lines=1)
                write(figure, middle, top - (y + height) / inch - 0.02, caption, size=SMALL - 0.5, va="top")
        top -= high
        axis: Any = figure.add_axes(inches(figure, left, top, across, high))
        images.append(axis.imshow(canvas, aspect="auto"))
        axis.set_axis_off()
        top -= GAP
    legend.draw(figure, centre - legend.width / 2, top + GAP / 2)
    return figure, images


def mark_of(colour: tuple[int, int, int]) -> dict[str, Any]:
    """Return the options of `Line2D` for a square in a colour."""
    return {"color": "#{:02x}{:02x}{:02x}".format(*colour), "marker": "s", "linestyle": "", "markersize": 7}


def save_mosaic(figure: Figure, images: Sequence[AxesImage], stem: Path) -> list[Path]:
    """Write the grid: in the PDF as many pixels as the pictures have, in the PNG as many as it has itself."""
    for image in images:
        image.set_interpolation("none")
    pdf = save(figure, stem, ("pdf",))
    for image in images:
        pixels = image.axes.get_position().width * figure.get_figwidth() * DPI / image.get_size()[1]
        image.set_interpolation("nearest" if abs(pixels - round(pixels)) < 1e-6 else "auto")
    return save(figure, stem, ("png",), photos=True) + pdf


def paint(image: Pixels, truth: Pixels, predicted: Pixels) -> Pixels:
    """Colour what is right, too much and missed over the darkened grey image; ignored pixels are hatched."""
    grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.55, 3, axis=2)
    counted = truth != IGNORE_INDEX
    present, positive = counted & (truth != 0), counted & (predicted != 0)
    for region, colour in (
        (present & (truth == predicted), RIGHT),
        (~present & positive, TOO_MUCH),
        (present & (truth != predicted), MISSED),
    ):
        grey[region] = 0.45 * grey[region] + 0.55 * np.asarray(colour)
    return hatched(grey.astype(np.uint8), ~counted)


def score_text(value: float, measure: Measure) -> str:
    """Write a score below a picture."""
    return "-" if np.isnan(value) else f"{measure.title} {value:.{measure.digits}f}"
