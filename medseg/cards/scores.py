"""The scores of a card: all of them, each class, each run, other data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from medseg.cards.collect import Subject
from medseg.cards.subgroups import describe_subgroups
from medseg.metrics.measures import Measure
from medseg.reporting.cells import Score
from medseg.reporting.evaluated import dice_interval
from medseg.reporting.evaluation_columns import DATASET, checkpoint_of, dataset_options, target_of
from medseg.reporting.formatting import count, describe_runs, describe_unused, fixed, interval, number, spread
from medseg.reporting.render.markdown import as_markdown, escape_markdown
from medseg.reporting.render.table import Column, Table
from medseg.runs.evaluations import View, is_external, tests_as_trained
from medseg.runs.run import Run


def describe_scores(subject: Subject) -> str:
    """Tell how well it does: all scores, each class, subgroups of the images, each seed, other data."""
    scores, seeds = subject.cell.scores, len(subject.seeds)
    sample, measures = subject.cell.sample, subject.runs[0].measures
    assert sample is not None
    units = "images" if sample.groups is None else f"{count(sample.unit_count, 'group')} of images"
    over = f"{units} and seeds" if seeds > 1 else units
    parts = [
        f"On {count(len(sample.ids), 'test image')}. In brackets the 95 % t interval over {over}"
        f"{'; ± is the deviation over seeds' if seeds > 1 else ''}.",
        score_table(measures.per_image, {"mean": scores}),
    ]
    if subject.classes:
        present = (sample.counts[0, :, :, 0] + sample.counts[0, :, :, 2] > 0).sum(axis=0)  # tp + fn
        there = ", ".join(f"{name} is in {many}" for name, many in zip(subject.classes, present.tolist(), strict=True))
        note = (
            f"Of the {len(sample.ids)} test images, {there}. Where a class that others of them have is neither there "
            "nor predicted, it counts 1; a class that none of them has is in no mean but where it is predicted."
        )
        parts += ["### Each class", escape_markdown(note), score_table(measures.per_image, subject.classes)]
    parts += describe_subgroups(subject.subgroups)
    others = [m for m in measures.of_splits if m.name in scores]
    parts += [
        "### Other conventions",
        "What other papers call by the same names, from the pixels of all test images together:",
        score_table(others, {"value": scores}),
    ]
    if len(subject.runs) > 1:
        parts += ["### Each run", as_markdown(Table("runs", "", RUNS, subject.runs))]
    if subject.cell.unfinished:
        parts.append(
            escape_markdown(f"Not finished, and not in these scores: {describe_runs(subject.cell.unfinished)}.")
        )
    if subject.cell.unused:
        parts.append(f"Finished, but not in these scores: {describe_unused(subject.cell.unused)}.")
    if subject.elsewhere:
        parts += ["### Other evaluations", evaluation_table(subject)]
    return "\n\n".join(filter(None, parts))


def score_table(measures: Sequence[Measure], columns: Mapping[str, Mapping[str, Score]]) -> str:
    """Write scores with their intervals: a row for each measure, a column for each set of scores; empty without any."""

    def column(title: str, scores: Mapping[str, Score]) -> Column[Measure]:
        def text(measure: Measure) -> str:
            score = scores.get(measure.name)
            return "-" if score is None else in_full(score, measure)

        return Column(title, title, text=text, value=lambda measure: None)

    shown = [measure for measure in measures if any(measure.name in scores for scores in columns.values())]
    if not shown:
        return ""
    names = [Column[Measure]("score", "score", lambda measure: measure.heading)]
    return as_markdown(Table("scores", "", [*names, *(column(*one) for one in columns.items())], shown))


def in_full(score: Score, measure: Measure) -> str:
    """Write a score with deviation and interval."""
    return f"{number(score.mean, measure.digits)}{spread(score, measure)}{interval(score, measure)}"


def validation_dice(run: Run) -> float | None:
    """Return the best Dice of a run on the validation images."""
    return max((row["val/dice"] for row in run.epochs if not math.isnan(row["val/dice"])), default=None)


RUNS: Sequence[Column[Run]] = (
    Column("run", "run", lambda run: run.name),
    Column("validation", "Dice, validation", validation_dice, fixed(3), number=True),
    Column("test", "Dice, test", lambda run: run.summary["headline"]["dice"]["mean"], fixed(3), number=True),
)


def evaluation_table(subject: Subject) -> str:
    """Write what `medseg evaluate` measured on other data and splits; one row for each evaluation of a run."""

    def of(evaluation: Evaluation) -> str:
        run, view = evaluation
        if is_external(run, view.summary):
            return "other data"
        return "the same test images" if tests_as_trained(run, view) else "the same data"

    def mean(name: str) -> Callable[[Evaluation], float | None]:
        return lambda evaluation: evaluation[1].summary["headline"].get(name, {}).get("mean")

    def bounds(evaluation: Evaluation) -> str:
        ends = dice_interval(evaluation[1].per_image, evaluation[1].groups)
        return "-" if ends is None else f"[{ends.low:.3f}, {ends.high:.3f}]"

    columns: Sequence[Column[Evaluation]] = (
        Column("evaluation", "evaluation", lambda evaluation: describe_evaluation(*evaluation)),
        *([Column[Evaluation]("seed", "seed", seed_of)] if len(subject.runs) > 1 else []),
        Column("of", "of", of),
        Column("images", "images", lambda evaluation: evaluation[1].summary["images"], number=True),
        Column("dice", "Dice", mean("dice"), fixed(3), number=True),
        Column("interval", "95 % interval", text=bounds, value=lambda evaluation: None),
        Column("iou", "IoU", mean("iou"), fixed(3), number=True),
    )
    return as_markdown(Table("evaluations", "", columns, subject.elsewhere))


def describe_evaluation(run: Run, view: View) -> str:
    """Name an evaluation: its data, the split, and what else is not as in the test of the run."""
    summary = view.summary
    parts = [target_of(view), summary["split"]]
    if summary.get("split_name"):
        parts.append(f"data.split={summary['split_name']}")
    if target_of(view) == run.data:
        chosen = dataset_options(view).items()
        parts += [f"{k.removeprefix(DATASET)}={v}" for k, v in chosen if v != str(run.settings.get(k))]
    size = summary.get("evaluation_size")
    if size and size != run.summary.get("evaluation_size"):
        parts.append(f"{size[0]} x {size[1]}")
    if summary.get("tta"):
        parts.append("averaged over flips")
    if checkpoint_of(summary) != "best":
        parts.append(f"checkpoint {checkpoint_of(summary)}")
    return ", ".join(parts)


def seed_of(evaluation: Evaluation) -> str:
    """Return the seed of an evaluated run, with its fold."""
    run, _ = evaluation
    return str(run.seed) if run.fold is None else f"{run.seed}, fold {run.fold}"


Evaluation = tuple[Run, View]
"""A run and one of its evaluations."""
