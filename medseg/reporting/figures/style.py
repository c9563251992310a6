"""What all figures have in common: colours, markers, scales of axes, how they are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from medseg.metrics.measures import Measure
from medseg.reporting.figures.text import FAMILY, text_width
from medseg.runs.files import replacing

if TYPE_CHECKING:
    from medseg.reporting.layout import Line

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind can tell apart; without yellow, which is faint on white."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
"""They change with another period than the colours: two networks of one colour have different markers."""

DASHES = ("-", "--", ":", "-.")

TITLE, LABEL, SMALL = 10.0, 9.0, 8.0
"""Font sizes in points: titles of panels; axes and legends; ticks and captions."""

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

FORMATS = ("png", "pdf", "svg")


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


def title_of(measure: Measure) -> str:
    """Name a score on an axis, with its unit."""
    return f"{measure.title}, {measure.unit}" if measure.unit else measure.title


@dataclass(frozen=True)
class Scale:
    """The range of an axis, and where its ticks are."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    @property
    def width(self) -> float:
        """Inches that the widest label of a tick takes."""
        return max((text_width(label, SMALL) for label in self.labels), default=0.0)


def linear(values: Iterable[float], *, margin: float = 0.06, most: int = 5) -> Scale:
    """Return a scale that holds all finite values and at most `most` ticks; `margin`: of the range, on each side."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = (high - low) * margin if high - low > 1e-9 * max(abs(low), abs(high), 1e-9) else max(abs(high) * 0.05, 0.01)
    low, high = low - room, high + room
    size = 10.0 ** math.floor(math.log10(high - low))
    step = next(s * size for s in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if inside(low, high, s * size) <= most)
    ticks = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return Scale(low, high, tuple(ticks), tuple(labelled(ticks, step)))


def inside(low: float, high: float, step: float) -> int:
    """Count the multiples of a step in a range."""
    return math.floor(high / step) - math.ceil(low / step) + 1


def labelled(ticks: Sequence[float], step: float) -> list[str]:
    """Write ticks with as many digits as their step needs."""
    largest = max(map(abs, ticks), default=1.0)
    if 1e-3 <= largest < 1e5:
        digits = next(n for n in range(16) if n == 15 or math.isclose(round(step, n), step, rel_tol=1e-6))
        return [f"{tick + 0.0:.{digits}f}" for tick in ticks]
    return [f"{tick + 0.0:.{math.ceil(math.log10(max(largest / step, 1))) + 2}g}" for tick in ticks]


def whole(high: int, *, most: int = 6) -> Scale:
    """Return a scale for whole numbers from 1 to `high`, such as epochs."""
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if high // step <= most)
    ticks = [tick for tick in range(0, high + 1, step) if tick] or [1]
    room = max(0.4, (high - 1) * 0.03)
    return Scale(1 - room, high + room, tuple(map(float, ticks)), tuple(map(str, ticks)))


def logarithmic(values: Sequence[float]) -> Scale:
    """Return a logarithmic scale for positive values, with few ticks at numbers of one digit."""
    low, high = min(values) / 1.6, max(values) * 1.6
    ticks = round_numbers(low, high)
    return Scale(low, high, tuple(ticks), tuple(f"{tick:g}" for tick in ticks))


def round_numbers(low: float, high: float) -> list[float]:
    """Return numbers of one digit between two positive numbers; few where the two are far apart."""
    for digits in ((1, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 3), (1,)):
        every = [digit * 10.0**power for power in range(-9, 13) for digit in digits]
        chosen = [value for value in every if low <= value <= high]
        if len(chosen) <= 6:
            return chosen
    return chosen[:: -(-len(chosen) // 6)]


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS, *, photos: bool = False) -> Path:
    """Write a figure in several formats beside one another, and return the PNG.

    Args:
        figure: whose artists all have their positions: no layout is computed.
        stem: the files without their endings.
        formats: of `FORMATS`.
        photos: whether the figure has more colours than a palette holds.

    The files hold no date and no version of matplotlib.
    """
    figure.set_dpi(DPI)
    for form in formats:
        with replacing(stem.with_name(f"{stem.name}.{form}")) as partial:
            write_figure(figure, partial, form, photos=photos)
    return stem.with_name(f"{stem.name}.png")


def write_figure(figure: Figure, file: Path, form: str, *, photos: bool) -> None:
    """Write a figure in one format; not by `savefig`, which draws everything once more to see what the layout is."""
    if form == "png":
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        with_palette(image, photos=photos).save(file, format="PNG", dpi=(DPI, DPI), compress_level=3)
    elif form == "pdf":
        canvas = FigureCanvasPdf(figure)
        with file.open("wb") as stream:
            canvas.print_pdf(stream, metadata={"Creator": None, "Producer": None, "CreationDate": None})
    else:
        canvas = FigureCanvasSVG(figure)
        with file.open("w", encoding="utf-8", newline="\n") as text:
            canvas.print_svg(text, metadata={"Creator": None, "Date": None})


def with_palette(image: Image.Image, *, photos: bool) -> Image.Image:
    """Reduce an image to 256 colours, unless it holds photos: a third of the size, written in a third of the time."""
    if photos:
        return image
    reduced = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.asarray(reduced.getpalette()).reshape(-1, 3)
    palette[palette.min(axis=1) > 248] = 255  # the octree's nearest to white is not quite white
    reduced.putpalette(palette.ravel().tolist())
    return reduced
