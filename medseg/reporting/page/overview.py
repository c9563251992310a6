"""The start of the page: for each dataset a sentence of verdict and a plot of the networks with their intervals.

The plot is drawn without a script, so that it is printed, and seen where scripts are blocked. Positions across are
percentages, so that texts keep their size on a phone and on a wide screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from medseg.metrics.measures import Measure
from medseg.reporting.conclusions import BEST, Conclusion, Standing, kind_of, kinds_of
from medseg.reporting.figures.scales import Scale, linear
from medseg.reporting.formatting import count, number
from medseg.reporting.page.markup import faint
from medseg.reporting.pairs import MOST_NETWORKS
from medseg.reporting.render.html import plain
from medseg.reporting.render.latex_text import wrap
from medseg.reporting.render.table import one_line

LEFT, RIGHT = 39.0, 84.0
"""Where the scores are drawn, in percent of the width; names are on their left, numbers on their right."""

NAME = 17.0
"""Width of a name, in digits: what there is on a phone."""

MOST_LINES = 3
"""Of a name."""

LINE, GAP, FOOT = 15, 9, 22
"""Height of a line of a name, of the gap between two networks, and of the labels of the axis, in pixels."""

KEYS = {"best": "◆", "alike": "●", "behind": "○", "ahead": "▲", "unjudged": "×"}
"""Kind of a network, which is a class of `report.css` -> its mark in the legend."""


def overview_html(conclusions: Sequence[Conclusion], sentences: Sequence[str], measure: Measure) -> str:
    """Write a verdict and a plot for each dataset; `sentences`: on claims."""
    cards = "\n".join(map(card_html, conclusions, [measure] * len(conclusions)))
    lines = "".join(f'<p>{plain(sentence)} <a href="#claims">Claims</a></p>\n' for sentence in sentences)
    shown = [standing for one in conclusions if len(one.standings) > 1 for standing in one.standings]
    keys = "".join(
        f'<span class="key"><span class="{kind}" aria-hidden="true">{KEYS[kind]}</span> {escape(word)}</span>'
        for kind, word in kinds_of(shown, measure).items()
    )
    about = "Point: mean over test images and seeds. Line: its 95 % interval, where it is known."
    if {kind_of(one) for one in shown} - {"unjudged"}:
        about += (
            " The colour is the verdict on the difference, which is of the same images: networks whose lines overlap "
            "may well differ."
        )
    legend = f'<p class="keys">{keys}</p>\n' if keys else ""
    return f'{legend}<div class="overview">\n{cards}\n</div>\n{faint(about) if keys else ""}\n{lines}'


def card_html(conclusion: Conclusion, measure: Measure) -> str:
    """Write the sentences on a dataset, and its plot; no plot of a single network."""
    drawn = plot_svg(conclusion, measure) if len(conclusion.standings) > 1 else ""
    return f"<div>\n<h3>{plain(conclusion.column.label)}</h3>\n<p>{plain(conclusion.text)}</p>\n{drawn}</div>"


def plot_svg(conclusion: Conclusion, measure: Measure) -> str:
    """Draw the networks of a dataset below one another, the best first; of very many, the best ones."""
    standings = conclusion.standings[:MOST_NETWORKS]
    ends = [end for one in standings for end in (one.score.mean, one.score.low, one.score.high) if end is not None]
    scale = linear(ends, most=4)
    names = [lines_of(one.row.label) for one in standings]
    heights = [LINE * len(lines) + GAP for lines in names]
    tops = [sum(heights[:k]) for k in range(len(heights) + 1)]
    bottom = tops[-1]
    left_out = len(conclusion.standings) - len(standings)
    column = one_line(conclusion.column.label)
    label = escape(f"{measure.heading} of {count(len(standings), 'network')} on {column}, best first")
    best = across(standings[0].score.mean, scale) if standings[0].state == BEST else ""
    parts = [
        f'<svg class="standings" width="100%" style="height: {bottom + FOOT}px" role="img" aria-label="{label}">',
        *(tick(value, text, scale, bottom) for value, text in zip(scale.ticks, scale.labels, strict=True)),
        f'<line class="level" x1="{best}" x2="{best}" y1="0" y2="{bottom}"/>' if best else "",
        *(
            row_svg(one, lines, top, height, scale, measure)
            for one, lines, top, height in zip(standings, names, tops, heights, strict=False)
        ),
        "</svg>",
        faint(f"The best {len(standings)} of {len(conclusion.standings)} networks.") if left_out else "",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def tick(value: float, text: str, scale: Scale, bottom: int) -> str:
    """Draw a line of the grid and its label."""
    x = across(value, scale)
    return (
        f'<line class="rule" x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>'
        f'<text class="tick" x="{x}" y="{bottom + 15}" text-anchor="middle">{escape(text)}</text>'
    )


def row_svg(standing: Standing, lines: Sequence[str], top: int, height: int, scale: Scale, measure: Measure) -> str:
    """Draw a network: its name, its interval, its mark and its score."""
    kind, score, middle = kind_of(standing), standing.score, top + height / 2
    first = middle - LINE * (len(lines) - 1) / 2 + 4
    spans = "".join(
        f'<tspan x="0" y="{first + LINE * k:g}">{escape(line)}</tspan>' for k, line in enumerate(map(one_line, lines))
    )
    ends = (
        f'<line x1="{across(score.low, scale)}" x2="{across(score.high, scale)}" y1="{middle:g}" y2="{middle:g}"/>'
        if score.low is not None and score.high is not None
        else ""
    )
    # A nested picture, since only its position can be a percentage.
    mark = f'<svg class="mark-of" x="{across(score.mean, scale)}" y="{middle:g}">{MARKS[kind]}</svg>'
    return (
        f'<g class="{kind}"><title>{plain(standing.row.label)}</title><text class="name">{spans}</text>{ends}{mark}'
        f'<text class="score" x="100%" y="{middle + 4:g}" text-anchor="end">{number(score.mean, measure.digits)}'
        "</text></g>"
    )


MARKS = {
    "best": '<path d="M0,-6.5L6.5,0L0,6.5L-6.5,0z"/>',
    "alike": '<circle r="4.5"/>',
    "behind": '<circle r="4"/>',
    "ahead": '<path d="M0,-5.5L5.5,4.5L-5.5,4.5z"/>',
    "unjudged": '<path d="M-4,-4L4,4M4,-4L-4,4"/>',
}
"""Around 0, in pixels."""


def across(value: float, scale: Scale) -> str:
    """Return the horizontal position of a value."""
    share = (value - scale.low) / (scale.high - scale.low)
    return f"{LEFT + (RIGHT - LEFT) * share:.2f}%"


def lines_of(name: str) -> list[str]:
    """Break a name into few lines; what does not fit is left out in the middle, where names differ least."""
    name = one_line(name)
    lines, length = wrap(name, NAME), len(name)
    while len(lines) > MOST_LINES:
        length -= 1 + length // 16
        lines = wrap(f"{name[: -(-length // 2)]}…{name[-(length // 2) :]}", NAME)
    return lines
