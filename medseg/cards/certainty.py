"""How sure the network is of its predictions, and whether rightly: calibration, temperature, error detection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from medseg.cards.collect import Subject
from medseg.metrics.calibration import COLDEST, HOTTEST
from medseg.reporting.certainty import Certainty, certainty_of, ends_of
from medseg.reporting.formatting import count, fixed, number, percent
from medseg.reporting.render.markdown import as_markdown, escape_markdown
from medseg.reporting.render.table import Column, Table
from medseg.reporting.tables.certainty import SURE, mean_of


def describe_certainty(subject: Subject) -> str:
    """Tell how far its probabilities can be taken at their word; empty where the runs have not stored it."""
    certainty = certainty_of(subject.cell)
    if certainty is None:
        return ""
    parts = [of_scores(certainty, subject), of_errors(certainty)]
    if certainty.bins is not None:
        parts += [
            "Of the pixels with a predicted probability of a class, how many are of it; the test images of all runs "
            "and all foreground classes together, at the size at which the network predicts:",
            as_markdown(Table("reliability", "", BINS, bins_of(certainty))),
        ]
    return "\n\n".join(part for part in parts if part)


def of_scores(certainty: Certainty, subject: Subject) -> str:
    """Tell the calibration error, the Brier score and the temperature."""
    means = {name: mean_of(values) for name, values in certainty.values.items()}
    if means.get("ece") is None or means.get("brier") is None:
        return ""
    text = (
        f"Expected calibration error {number(means['ece'], 4)}, Brier score {number(means['brier'], 4)} (each "
        "foreground class against the rest, over pixels)."
    )
    temperature = means.get("temperature")
    if temperature is None:
        return escape_markdown(text)
    runs = "" if len(subject.runs) == 1 else f", the mean of {count(len(subject.runs), 'run')}"
    kind = "too sure of itself" if temperature > 1 else "less sure of itself than it could be"
    text += (
        f" On its validation images the network is {kind}: they fit a temperature of {number(temperature, 2)} best"
        f"{runs}, which predictions use only with temperature=true."
    )
    if certainty.at_limit:
        which = "" if len(subject.runs) == 1 else ", in a run"
        text += f" That is at the limit of the search, {COLDEST:g} to {HOTTEST:g}{which}: the best one may lie beyond."
    if means.get("ece_scaled") is not None and means.get("brier_scaled") is not None:
        text += (
            f" With it, the error is {number(means['ece_scaled'], 4)} and the score {number(means['brier_scaled'], 4)}."
        )
    return escape_markdown(text)


def of_errors(certainty: Certainty) -> str:
    """Tell what its confidence in an image is worth."""
    ratio, every, sure = mean_of(certainty.ratios), certainty.dice_of(1), certainty.dice_of(SURE)
    if every is None or sure is None:
        return ""
    value = (
        "none, since all test images of a seed have the same Dice."
        if ratio is None
        else f"{number(ratio, 2)}, where 1 is the best order of the images and 0 a random one."
    )
    return escape_markdown(
        f"Error detection by the soft Dice of prediction and probabilities: Dice is {number(every, 3)} on all test "
        f"images and {number(sure, 3)} on the {percent(SURE)} that it is most certain of. Rejection ratio: {value}"
    )


class Bin(NamedTuple):
    """A row of the reliability table; shares from 0 to 1."""

    ends: tuple[float, float]
    share: float
    probability: float
    true: float


def bins_of(certainty: Certainty) -> list[Bin]:
    """Return the bins that have pixels."""
    assert certainty.bins is not None
    pixels = certainty.bins[:, 0].sum()
    return [
        Bin(ends_of(k), n / pixels, total / n, true / n)
        for k, (n, total, true) in enumerate(certainty.bins.tolist())
        if n
    ]


def shown_ends(ends: Any) -> str:
    """Write the ends of a bin."""
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


BINS: Sequence[Column[Bin]] = (
    Column("ends", "probability", show=str, text=lambda one: shown_ends(one.ends)),
    Column("share", "of the pixels", show=percent, number=True),
    Column("probability", "mean probability", show=fixed(3), number=True),
    Column("true", "of the class", show=fixed(3), number=True),
)
