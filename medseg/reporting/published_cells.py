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
        size = size_of(run) or (256, 256)
        found = find(rows, row.name, column.name, score, split=run.summary.get("split_name"), image_size=max(size))
        name = (found[0].ours or found[0].score) if found else ""
        if name in cell.scores:
            comparable = found[0].ours is not None or found[0].kind == "not stated"
            difference = cell.scores[name].mean - found[0].value if comparable else None
            ours = (comparison.measures[name], cell.scores[name])
            cells.append(PublishedCell(row, column, *ours, found[0], difference, differences(found[0], size)))
    return cells


def differences(published: Published, size: tuple[int, int]) -> tuple[str, ...]:
    """Name what is known to differ between the protocol of a source and ours."""
    theirs = {name: published.row[name] or "not stated" for name in ("split", "image_size")}
    parts = {
        f"split ({theirs['split']})": not published.same_split,
        f"convention ({published.kind})": published.ours is None,
        f"size ({theirs['image_size']})": theirs["image_size"] != str(size[0]) or size[0] != size[1],
    }
    return tuple(part for part, differs in parts.items() if differs)
