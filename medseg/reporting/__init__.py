"""Tables, figures and verdicts from run folders alone. Imports no torch.

    runs -> layout -> samples -> comparison -> tables -> render -> Markdown, LaTeX, CSV, HTML
            names       statistics -> rule, ranks, planning       figures, page
                        pairs, ablation, costs, claims, published

    medseg.reporting.compare(medseg.runs.reading.read_runs(["runs/main"])).write("runs/main/report")

`medseg.runs.reading` reads the folders; `layout` sorts runs into rows and columns by their settings; `samples` puts the
scores of a cell together; `rule` is the one verdict, on the arrays of `statistics`; `comparison` is the result as plain
data. `tables` has one entry for each column that is printed, and `render` writes them in every format; `contents` has
the sections, and `report` is the whole, which `compare` returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.reporting.report import compare

__all__ = ["compare"]


def __getattr__(name: str) -> Any:
    # Not above: other programs use a part of this, and numpy and scipy take a while.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from medseg.reporting.report import compare

    return compare
