"""The scores of a card: all of them, each class, each run, other data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medseg.cards.collect import Subject, is_external
from medseg.metrics.measures import MEASURES, Measure
from medseg.reporting.comparison import Score
from medseg.reporting.render import Heading, Table, as_markdown, escape_markdown
from medseg.reporting.words import account, count, interval, number, spread


def describe_scores(subject: Subject) -> str:
    """Tell how well it does: all scores, each class, each seed, other data."""
    scores, seeds = subject.cell.scores, len(subject.seeds)
    sample = subject.cell.sample
    assert sample is not None
    over = "images and seeds" if seeds > 1 else "images"
    parts = [
        f"On {count(len(sample.ids), 'test image')}. In brackets the 95 % bootstrap interval over {over}"
        f"{'; ± is the deviation over seeds' if seeds > 1 else ''}.",
        score_table("scores", [m for m in MEASURES.values() if m.convention == "per_image"], {"mean": scores}),
    ]
    if subject.classes:
        shown = [m for m in MEASURES.values() if m.convention == "per_image"]
        present = (sample.counts[0, :, :, 0] + sample.counts[0, :, :, 2] > 0).sum(axis=0)  # tp + fn
        there = ", ".join(f"{name} is in {many}" for name, many in zip(subject.classes, present.tolist(), strict=True))
        note = (
            f"Of the {len(sample.ids)} test images, {there}; where a class is neither there nor predicted it counts 1."
        )
        parts += ["### Each class", escape_markdown(note), score_table("classes", shown, subject.classes)]
    others = [m for m in MEASURES.values() if m.convention != "per_image" and m.name in scores]
    parts += [
        "### Other conventions",
        "What other papers call by the same names, from the pixels of all test images together:",
        score_table("conventions", others, {"value": scores}),
    ]
    if len(subject.runs) > 1:
        parts += ["### Each run", run_table(subject)]
    if subject.cell.unfinished:
        parts.append(escape_markdown(f"Not finished, and not in these scores: {account(subject.cell.unfinished)}."))
    if subject.elsewhere:
        parts += ["### Other evaluations", evaluation_table(subject)]
    return "\n\n".join(parts)


def score_table(name: str, measures: Sequence[Measure], columns: Mapping[str, Mapping[str, Score]]) -> str:
    """Write scores with their intervals: a row for each measure, a column for each set of scores."""
    rows = []
    for measure in measures:
        found = [scores.get(measure.name) for scores in columns.values()]
        if any(found):
            rows.append((measure.heading, *("-" if score is None else in_full(score, measure) for score in found)))
    headings = (Heading("score"), *(Heading(column) for column in columns))
    return as_markdown(Table(name, "", headings, tuple(rows)))


def in_full(score: Score, measure: Measure) -> str:
    """Write a score with deviation and interval."""
    return f"{number(score.mean, measure.digits)}{spread(score, measure)}{interval(score, measure)}"


def run_table(subject: Subject) -> str:
    """Write the Dice of each run."""
    rows = []
    for run in subject.runs:
        dice = run.summary["headline"]["dice"]["mean"]
        validation = max((row["val/dice"] for row in run.epochs), default=None)
        rows.append((run.name, number(validation, 3), number(dice, 3)))
    headings = (Heading("run"), Heading("Dice, validation", number=True), Heading("Dice, test", number=True))
    return as_markdown(Table("runs", "", headings, tuple(rows)))


def evaluation_table(subject: Subject) -> str:
    """Write what `medseg.evaluate` found on other data and splits."""
    rows = []
    for label, summary in subject.elsewhere.items():
        means = [summary["headline"].get(name, {}).get("mean") for name in ("dice", "iou")]
        of = "other data" if is_external(summary, subject) else f"the same data, {summary['split']}"
        rows.append((label, of, str(summary["images"]), *(number(mean, 3) for mean in means)))
    headings = ("evaluation", "of", "images", "Dice", "IoU")
    kinds = tuple(Heading(title, number=title in ("images", "Dice", "IoU")) for title in headings)
    return as_markdown(Table("evaluations", "", kinds, tuple(rows)))
