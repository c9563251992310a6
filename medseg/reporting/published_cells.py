"""Published scores beside ours: for each cell the one of the closest protocol, averaged as the source averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from medseg.metrics.measures import Measure
from medseg.reporting.comparison import Comparison, Score
from medseg.reporting.costs import size_of
from medseg.reporting.layout import Line
from medseg.reporting.published import Published, find


@dataclass(frozen=True)
class PublishedCell:
    """A cell beside what was published for it.

    Args:
        row, column: the cell.
        measure: ours under the convention of the source.
        ours: its score.
        published: of the source.
        difference: ours - published; None where the two cannot be compared.
        differs_in: what is known to be different in the protocols.
    """

    row: Line
    column: Line
    measure: Measure
    ours: Score
    published: Published
    difference: float | None
    differs_in: tuple[str, ...]


def find_published(comparison: Comparison, rows: Sequence[dict[str, str]]) -> list[PublishedCell]:
    """Find the published scores of the cells; `rows` are those of `read_published`.

    Of an overlap score only: Dice, or IoU where the comparison is about that.
    """
    score = comparison.measure.score if comparison.measure.score in ("dice", "iou") else "dice"
    cells = []
    for row, column in product(comparison.rows, comparison.columns):
        cell = comparison.cells.get((row, column))
        run = next((run for run in cell.runs if run.finished), None) if cell else None
        if cell is None or run is None:
            continue
        height, width = size_of(run) or (256, 256)
        split = run.summary.get("split_name")
        closest = next(iter(find(rows, row.name, column.name, score, split=split, image_size=max(height, width))), None)
        ours = cell.scores.get(closest.ours or closest.score) if closest else None
        if closest is None or ours is None:
            continue
        comparable = closest.ours is not None or closest.kind == "not stated"
        cells.append(
            PublishedCell(
                row=row,
                column=column,
                measure=comparison.measures[closest.ours or closest.score],
                ours=ours,
                published=closest,
                difference=ours.mean - closest.value if comparable else None,
                differs_in=differences(closest, (height, width)),
            )
        )
    return cells


def differences(published: Published, size: tuple[int, int]) -> tuple[str, ...]:
    """Name what is known to differ between the protocol of a source and ours."""
    parts = []
    if not published.same_split:
        parts.append(f"split ({published.split})" if published.split else "split (not stated)")
    if published.ours is None:
        parts.append("convention (not stated)" if published.kind == "not stated" else f"convention ({published.kind})")
    if published.image_size != str(size[0]) or size[0] != size[1]:
        parts.append(f"size ({published.image_size or 'not stated'})")
    return tuple(parts)
