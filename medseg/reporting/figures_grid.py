"""The figure of predictions: for each dataset, the images that the networks disagree most on."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from medseg.errors import UserError
from medseg.labels import IGNORE_INDEX
from medseg.metrics.measures import MEASURES
from medseg.reporting.figures_style import save, title_of
from medseg.reporting.kept import Candidate, find_candidates, most_disputed, open_prepared
from medseg.reporting.layout import Layout, Line
from medseg.runs.predictions import read_predictions

if TYPE_CHECKING:
    from medseg.data.prepared import PreparedDataset

log = logging.getLogger("medseg")

Pixels = NDArray[np.uint8]

RIGHT, TOO_MUCH, MISSED = (0, 158, 115), (213, 94, 0), (86, 180, 233)
"""Okabe and Ito's green, vermilion and sky blue."""

MEANING = {"right": RIGHT, "too much": TOO_MUCH, "missed or of another class": MISSED}


def draw_grids(layout: Layout, folder: Path, score: str) -> list[Path]:
    """Draw a grid for each dataset whose runs kept their predictions and whose prepared data are still there."""
    drawn = []
    for column in layout.columns:
        file = folder / f"grid_{re.sub(r'[^A-Za-z0-9._-]+', '_', column.label)}.png"
        try:
            candidates = find_candidates(layout, column, score)
            prepared = open_prepared([candidate.run for candidate in candidates])
            drawn.append(draw_grid(file, column, candidates, prepared, score))
        except UserError as error:
            log.warning("no grid of %s: %s", column.label, error)
    return drawn


def draw_grid(file: Path, column: Line, candidates: Sequence[Candidate], prepared: PreparedDataset, score: str) -> Path:
    """Draw a row for each disputed image: image, truth, each network's prediction with its score."""
    images = most_disputed(candidates)
    predictions = [
        read_predictions(candidate.run.folder / "test" / "predictions.npz", images) for candidate in candidates
    ]
    position = {image: place for place, image in enumerate(prepared.ids)}
    if any(image not in position or any(image not in stored for stored in predictions) for image in images):
        raise UserError("the kept predictions are not of the test images")
    rows = []
    for image in images:
        picture, truth = as_rgb(prepared.images[position[image]]), np.asarray(prepared.masks[position[image]])
        rows.append([picture, paint(picture, truth, truth), *(paint(picture, truth, p[image]) for p in predictions)])
    titles = ["image", "truth", *(candidate.row.label for candidate in candidates)]
    captions = [
        [shortened(image), "", *(score_text(candidate.scores[image], score) for candidate in candidates)]
        for image in images
    ]
    run = candidates[0].run
    trained = f"seed {run.seed}" + (f", fold {run.fold}" if run.fold is not None else "")
    title = f"{column.label}: the test images that the networks disagree most on ({trained})"
    return save(mosaic(title, titles, rows, captions), file)


def mosaic(
    title: str, titles: Sequence[str], rows: Sequence[Sequence[Pixels]], captions: Sequence[Sequence[str]]
) -> Figure:
    """Set pictures of equal size, H x W x 3, in rows and columns, with titles above and captions below.

    All are one picture: an axis for each would take seconds.
    """
    height, width = rows[0][0].shape[:2]
    inch = max(96.0, width) / min(1.7, 14 / len(titles))  # pixels of the pictures per inch of the figure
    gap, below = int(0.06 * inch), int(0.22 * inch)
    step_x, step_y = width + gap, height + below
    canvas = np.full((step_y * len(rows), step_x * len(titles) - gap, 3), 255, dtype=np.uint8)
    for line, pictures in enumerate(rows):
        for place, picture in enumerate(pictures):
            y, x = line * step_y, place * step_x
            canvas[y : y + height, x : x + width] = picture
    wide, high = canvas.shape[1] / inch, canvas.shape[0] / inch
    headings = [wrapped(heading, width / inch) for heading in titles]
    top = 0.42 + 0.14 * max(heading.count("\n") + 1 for heading in headings)
    edge, bottom = 0.08, 0.3
    size = (wide + 2 * edge, high + top + bottom)
    figure = Figure(figsize=size)
    figure.set_layout_engine("none")
    axis: Any = figure.add_axes((edge / size[0], bottom / size[1], wide / size[0], high / size[1]))
    axis.imshow(canvas, interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    for place, heading in enumerate(headings):
        axis.text(place * step_x + width / 2, -0.05 * inch, heading, ha="center", va="bottom", fontsize=8.5)
        for line, words in enumerate(captions):
            y = line * step_y + height + 0.03 * inch
            axis.text(place * step_x + width / 2, y, words[place], ha="center", va="top", fontsize=7.5)
    figure.text(0.5, 1 - 0.08 / size[1], title, ha="center", va="top", fontsize=10)
    handles = [Patch(color="#{:02x}{:02x}{:02x}".format(*colour), label=name) for name, colour in MEANING.items()]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), fontsize=8)
    return figure


def as_rgb(image: Pixels) -> Pixels:
    """Return an image, H x W x C, as H x W x 3."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else np.asarray(image)


def paint(image: Pixels, truth: Pixels, predicted: Pixels) -> Pixels:
    """Colour what is right, too much and missed over the darkened grey image; ignored pixels stay black."""
    grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.55, 3, axis=2)
    present, found = truth != 0, predicted != 0
    for region, colour in (
        (present & (truth == predicted), RIGHT),
        (~present & found, TOO_MUCH),
        (present & (truth != predicted), MISSED),
    ):
        grey[region] = 0.45 * grey[region] + 0.55 * np.asarray(colour)
    grey[truth == IGNORE_INDEX] = 0
    return grey.astype(np.uint8)


def score_text(value: float, score: str) -> str:
    """Write a score below a picture."""
    measure = MEASURES[score]
    return "-" if np.isnan(value) else f"{title_of(score).split(',')[0]} {value:.{measure.digits}f}"


def shortened(image: str, length: int = 18) -> str:
    """Shorten an id to what fits below a picture."""
    return image if len(image) <= length else f"{image[: length - 3]}..."


def wrapped(title: str, width: float) -> str:
    """Break a label so that it fits above a picture of so many inches."""
    lines = [""]
    for part in re.split(r"(?<=[,_=.])", title):
        if len(lines[-1] + part) > width * 13:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.strip() for line in lines)
