"""Small charts as SVG in the colours of the page, light or dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.errors import count

WIDTH, HEIGHT = 360, 170
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 20, 34
"""Room around the bars, in units of the drawing, which are about CSS pixels."""

BINS = 24


def histogram(values: ArrayLike, title: str, unit: str, *, whole: bool = False, zero: bool = False) -> str:
    """Draw how values are spread.

    Args:
        values: at least one.
        title: of the axis; what the values are.
        unit: of the values.
        whole: they are whole numbers, and so are the edges of the bars.
        zero: the axis begins at 0.
    """
    given = np.asarray(values, dtype=np.float64)
    edges = make_edges(given, whole=whole, zero=zero)
    counts, _ = np.histogram(given, edges)
    scale = (WIDTH - LEFT - RIGHT) / (edges[-1] - edges[0])
    top, ticks = round_axis(int(counts.max()))
    drawn = [text(LEFT, 11, "images", "start"), grid(ticks, top), axis(edges[0], edges[-1], title, unit)]
    for images, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        if images:
            length = (HEIGHT - TOP - BOTTOM) * images / top
            tip = f"{number(low)} to {number(high)}{unit}: {count(images, 'image')}"
            drawn.append(
                f'<rect class="bar" x="{LEFT + (low - edges[0]) * scale + 0.5:.1f}" '
                f'y="{HEIGHT - BOTTOM - length:.1f}" width="{max(1.0, (high - low) * scale - 1):.1f}" '
                f'height="{length:.1f}"><title>{escape(tip)}</title></rect>'
            )
    low, middle, high = np.quantile(given, [0, 0.5, 1])
    label = (
        f"{title}: {number(low)} to {number(high)}{unit}, median {number(middle)}{unit}, {count(given.size, 'image')}"
    )
    return svg(drawn, label)


def make_edges(values: NDArray[np.float64], *, whole: bool, zero: bool) -> NDArray[np.float64]:
    """Return the edges of about `BINS` bars around all values."""
    low, high = (0.0 if zero else float(values.min())), float(values.max())
    if whole:
        step = max(1.0, np.ceil((high - low + 1) / BINS))
        return np.arange(low, high + step + 0.5, step)
    if high <= low:
        high = low + (abs(low) or 1.0)
    return np.linspace(low, high, BINS + 1)


def ranges(groups: Mapping[str, ArrayLike], title: str, unit: str, *, zero: bool = False) -> str:
    """Draw the range of values of each group with any, one below the other; at least one has; `zero`: begin there.

    A thin line from the lowest to the highest, a thick one over the middle half, a mark at the median.
    """
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in groups.items() if np.size(values)}
    everything = np.concatenate(list(arrays.values()))
    lowest, highest = make_edges(everything, whole=False, zero=zero)[[0, -1]]
    left, row = 88, 30
    height = TOP + row * len(arrays) + BOTTOM
    scale = (WIDTH - left - RIGHT) / (highest - lowest)
    drawn = [axis(lowest, highest, title, unit, left, height)]
    for line, (name, values) in enumerate(arrays.items()):
        y = TOP + row * (line + 0.5)
        low, quarter, middle, three, high = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
        xs = [left + (value - lowest) * scale for value in (low, quarter, middle, three, high)]
        tip = f"{name}: median {number(middle)}{unit}, half of them {number(quarter)} to {number(three)}{unit}"
        drawn.append(
            f"<g><title>{escape(tip)}, all {number(low)} to {number(high)}{unit}</title>"
            f'<line class="thin" x1="{xs[0]:.1f}" x2="{xs[4]:.1f}" y1="{y}" y2="{y}"/>'
            f'<rect class="bar" x="{xs[1]:.1f}" y="{y - 7}" width="{max(1.0, xs[3] - xs[1]):.1f}" height="14"/>'
            f'<line class="mark" x1="{xs[2]:.1f}" x2="{xs[2]:.1f}" y1="{y - 10}" y2="{y + 10}"/></g>'
        )
        drawn.append(text(left - 8, y + 4, name, "end"))
    return svg(drawn, f"{title} of {', '.join(arrays)}", height)


def curves(lines: Mapping[str, ArrayLike], title: str) -> str:
    """Draw how often the values 0 to 255 occur, four of them together; the CSS class of each line is its name.

    A peak at either end, of black rims or of what is burnt out, is cut off where it is more than twice as high as all
    else, which could not be seen beside it.
    """
    arrays = {name: np.asarray(values, dtype=np.float64).reshape(64, 4).sum(axis=1) for name, values in lines.items()}
    highest = max(float(values.max()) for values in arrays.values())
    inside = max(float(values[1:-1].max()) for values in arrays.values())
    highest = min(highest, 2 * inside) if inside else highest
    bottom, scale = HEIGHT - BOTTOM, (WIDTH - LEFT - RIGHT) / 255
    drawn = [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>']
    for name, values in arrays.items():
        at = np.arange(1.5, 255, 4)
        heights = bottom - (bottom - TOP) * np.minimum(values / highest, 1)
        points = " ".join(f"{LEFT + x * scale:.1f},{y:.1f}" for x, y in zip(at, heights, strict=True))
        drawn.append(f'<polyline class="curve {name.lower()}" points="{points}"><title>{name}</title></polyline>')
    drawn += [text(LEFT + value * scale, bottom + 14, str(value)) for value in (0, 64, 128, 192, 255)]
    drawn.append(text(LEFT + 127 * scale, HEIGHT - 4, title))
    return svg(drawn, f"{title}: {', '.join(arrays)}")


def axis(low: float, high: float, title: str, unit: str, left: float = LEFT, height: float = HEIGHT) -> str:
    """Draw the numbers of an axis of values, and its title with the unit."""
    scale = (WIDTH - left - RIGHT) / (high - low)
    numbers = [
        text(left + (value - low) * scale, height - BOTTOM + 14, number(value)) for value in axis_values(low, high)
    ]
    label = f"{title}, {unit.strip()}" if unit else title
    return "".join(numbers) + text(left + (WIDTH - left - RIGHT) / 2, height - 4, label)


def grid(ticks: Sequence[int], top: int) -> str:
    """Draw horizontal lines with their numbers."""
    drawn = []
    for value in ticks:
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(text(LEFT - 6, y + 4, str(value), "end"))
    return "".join(drawn)


def round_axis(highest: int) -> tuple[int, list[int]]:
    """Return the end of an axis of counts, and up to five round numbers on it from 0."""
    step = next(
        step for power in range(12) for step in (10**power, 2 * 10**power, 5 * 10**power) if step * 4 >= highest
    )
    ticks = list(range(0, highest + step, step))
    return ticks[-1], ticks


def axis_values(low: float, high: float) -> list[float]:
    """Return round numbers from low to high, at most seven."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [float(n * step) for n in range(int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9)) + 1)]


def number(value: float) -> str:
    """Write a number with three digits that count, and all of its whole ones."""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def text(x: float, y: float, content: str, anchor: str = "middle") -> str:
    """Write into a drawing."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def svg(parts: Sequence[str], label: str, height: float = HEIGHT) -> str:
    """Make a drawing of its parts; screen readers read out the label."""
    box = f'viewBox="0 0 {WIDTH} {height:.0f}"'
    return f'<svg class="chart" role="img" aria-label="{escape(label)}" {box}>{"".join(parts)}</svg>'
