"""What all figures have in common: colours, markers, how they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from medseg.reporting.figures.text import FAMILY, LABEL, plain_font
from medseg.reporting.line import Line
from medseg.system.files import replacing

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind can tell apart; without yellow, which is faint on white."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""They change with another period than the colours: two networks of one colour have different markers."""

DASHES = ("-", "--", ":", "-.")

STYLE: Any = {
    "backend": "agg",  # else matplotlib looks for a screen
    "font.family": FAMILY,
    "font.size": LABEL,
    "text.parse_math": False,  # names may have a $
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType: what journals take, and what can be edited
    "svg.fonttype": "path",  # the same letters on each machine
    "svg.hashsalt": "medseg",  # else its ids change with each file
}

DPI = 300


@contextmanager
def in_style() -> Iterator[None]:
    """Draw in the style of the report, whatever the user has set for matplotlib."""
    with plain_font(), matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


@dataclass(frozen=True)
class Look:
    """How a network is drawn in every figure."""

    colour: str
    marker: str
    dashes: str


def looks(rows: Sequence[Line]) -> dict[Line, Look]:
    """Give each row of the report a look that no other has."""
    steps = len(COLOURS)
    return {
        row: Look(COLOURS[n % steps], MARKERS[(n + n // steps) % steps], DASHES[n // steps % len(DASHES)])
        for n, row in enumerate(rows)
    }


def save(
    figure: Figure, stem: Path, formats: Sequence[str] = ("png", "pdf", "svg"), *, photos: bool = False
) -> list[Path]:
    """Write a figure in several formats beside one another, and return the files.

    Args:
        figure: whose artists all have their positions: no layout is computed.
        stem: the files without their endings.
        formats: which.
        photos: whether the figure has more colours than a palette holds.

    The files hold no date and no version of matplotlib.
    """
    figure.set_dpi(DPI)
    files = {form: stem.with_name(f"{stem.name}.{form}") for form in formats}
    for form, file in files.items():
        with replacing(file) as partial:
            write_figure(figure, partial, form, photos=photos)
    return list(files.values())


def write_figure(figure: Figure, file: Path, form: str, *, photos: bool) -> None:
    """Write a figure in one format; not by `savefig`, which draws everything once more to see what the layout is."""
    if form == "png":
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
        image = Image.fromarray(pixels).convert("RGB")
        image = image if photos else image.quantize(palette=palette_of(pixels), dither=Image.Dither.NONE)
        image.save(file, format="PNG", dpi=(DPI, DPI), compress_level=3)
    elif form == "pdf":
        canvas = FigureCanvasPdf(figure)
        with file.open("wb") as stream:
            canvas.print_pdf(stream, metadata={"Creator": None, "Producer": None, "CreationDate": None})
    else:
        canvas = FigureCanvasSVG(figure)
        with file.open("w", encoding="utf-8", newline="\n") as text:
            canvas.print_svg(text, metadata={"Creator": None, "Date": None})


def palette_of(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return a picture in 256 colours of a figure, H x W x 4: a third of the size, written in a third of the time.

    They are chosen from every third pixel of every third line, which takes a tenth of the time.
    """
    sampled = Image.fromarray(np.ascontiguousarray(pixels[::3, ::3, :3]))
    chosen = sampled.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.asarray(chosen.getpalette()).reshape(-1, 3)
    palette[palette.min(axis=1) > 248] = 255  # the octree's nearest to white is not quite white
    chosen.putpalette(palette.ravel().tolist())
    return chosen
