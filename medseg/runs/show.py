"""Print the scores of a run, from its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from medseg.data.prepared.reach import describe_reach
from medseg.errors import count, is_or_are, printable
from medseg.metrics.measures import MEASURES
from medseg.runs.folder import PREPARED_SIZE, RunFolder
from medseg.system.files import read_json


def print_scores(summary: Mapping[str, Any], title: str) -> None:
    """Print the scores as a table: mean and deviation over images, one column per foreground class."""
    columns = dict(summary["classes"])
    if len(columns) > 1:
        columns["mean of the classes"] = summary["headline"]
    flips = ", the average over flips" if summary.get("tta") else ""
    height, width = summary["evaluation_size"]
    at = "at native size" if PREPARED_SIZE in summary else f"of {height} x {width}"  # runs of older versions
    title_of_table = f"{summary['data']}, {summary['split']} split: {count(summary['images'], 'image')} {at}{flips}"
    table = Table(title=title_of_table, title_justify="left")
    table.add_column("mean ± deviation over images")
    for name in columns:
        table.add_column(name, justify="right")
    measures = MEASURES.as_measured(summary)
    for measure in (each for each in measures.per_image if each.name in summary["headline"]):
        remark = measure.unit or measure.setting
        name = f"{measure.name} ({remark})" if remark else measure.name
        table.add_row(name, *(cell(scores[measure.name], measure.digits) for scores in columns.values()))
    conventions = summary["conventions"]
    table.add_section()
    table.add_row("other conventions", *[""] * len(columns))
    for measure in measures.of_splits:
        value = conventions.get(measure.name)
        last = "-" if value is None else f"{value:.{measure.digits}f}"
        table.add_row(f"  {measure.title}", *[""] * (len(columns) - 1), last)
    if PREPARED_SIZE in summary and not summary.get("patches"):
        dice = summary[PREPARED_SIZE]["headline"]["dice"]
        table.add_row(f"  Dice at {height} x {width}", *[""] * (len(columns) - 1), cell(dice, 3))
    console = Console()
    console.print(printable(title), soft_wrap=True)
    console.print(table)
    left_out = (summary["distances"] or {}).get("left_out")
    if left_out:
        console.print(
            f"distances leave out {count(left_out, 'mask')} that {is_or_are(left_out)} empty in truth and prediction"
        )
    if summary.get("absent"):
        console.print(printable(f"in no image, and so in no mean: {', '.join(summary['absent'])}"))
    if summary.get("not_finite"):
        first, *others = summary["not_finite"]
        some = f"{count(len(others) + 1, 'image')} ({first}{' and others' * bool(others)})"
        console.print(printable(f"for {some} the network gave pixels that are not finite; they count as background"))
    reach = describe_reach(summary.get("reachable_dice", 1), summary["evaluation_size"])
    if reach:
        console.print(reach)


def cell(score: Mapping[str, float | None], digits: int) -> str:
    """Format mean ± deviation; a dash where no image has the score."""
    if score["mean"] is None:
        return "-"
    return f"{score['mean']:.{digits}f} ± {score['sd']:.{digits}f}"


def print_run(folder: RunFolder) -> None:
    """Print the scores of a finished run and where its files are."""
    if not folder.summary.exists():
        if read_json(folder.record, optional=True).get("trial"):
            return
        reason = folder.status.get("remark", "no test scores: the data have no test split")
        print(printable(f"{folder.path.name}: trained; {reason}"))
        print(printable(f"run:      {folder.path}"))
        print(printable(f"pictures: {folder.images / 'curves.png'}"))
        print(printable(f"scores of the validation split: medseg evaluate {folder.path} split=val"))
        return
    print_scores(read_json(folder.summary), folder.path.name)
    print(printable(f"run:      {folder.path}"))
    print(printable(f"scores:   {folder.per_image}"))
    for name in ("best", "median", "worst", "curves"):
        print(printable(f"{'pictures:' if name == 'best' else '':<10}{folder.images / name}.png"))
