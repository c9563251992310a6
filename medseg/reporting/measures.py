"""What a report can show of a test: which scores, under which convention a dataset's score is made of its images'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medseg.errors import ConfigError


@dataclass(frozen=True)
class Measure:
    """A score under a convention.

    Args:
        name: in files.
        title: in tables.
        convention: per_image (mean over images), pooled (counts of all images together), mean_iou_with_background
            (pooled, mean over all classes) or accuracy (pooled, part of all pixels).
        score: of the single images.
        digits: after the point.
        unit: of the values.
        higher_is_better: which of two is better.
    """

    name: str
    title: str
    convention: str
    score: str
    digits: int = 3
    unit: str = ""
    higher_is_better: bool = True

    @property
    def heading(self) -> str:
        """The title with the unit and the direction where that is not up."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.title}{unit}{'' if self.higher_is_better else ' ↓'}"

    @property
    def points(self) -> float:
        """What a difference is multiplied with to be in points: percentage points for fractions, else as it is."""
        return 1.0 if self.unit else 100.0

    @property
    def point_unit(self) -> str:
        """The unit of a difference."""
        return self.unit or "points"


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("dice", "Dice", "per_image", "dice"),
        Measure("iou", "IoU", "per_image", "iou"),
        Measure("precision", "precision", "per_image", "precision"),
        Measure("recall", "recall", "per_image", "recall"),
        Measure("specificity", "specificity", "per_image", "specificity"),
        Measure("hd95", "HD95", "per_image", "hd95", digits=1, unit="pixels", higher_is_better=False),
        Measure("assd", "ASSD", "per_image", "assd", digits=1, unit="pixels", higher_is_better=False),
        Measure("pooled_dice", "pooled Dice", "pooled", "dice"),
        Measure("pooled_iou", "pooled IoU", "pooled", "iou"),
        Measure("mean_iou_with_background", "mean IoU with background", "mean_iou_with_background", "iou"),
        Measure("accuracy", "accuracy", "accuracy", "accuracy"),
    )
}
"""Every measure by its name, in the order of the tables."""


def learn(described: Mapping[str, Mapping[str, Any]]) -> None:
    """Add scores of the user's own, as the summaries of runs describe them, to the measures.

    Args:
        described: name -> higher_is_better, unit.
    """
    for name, what in described.items():
        if name not in MEASURES:
            title, unit = name.replace("_", " "), str(what.get("unit", ""))
            better = bool(what.get("higher_is_better", True))
            MEASURES[name] = Measure(name, title, "per_image", name, unit=unit, higher_is_better=better)


CONVENTIONS = tuple(dict.fromkeys(measure.convention for measure in MEASURES.values()))


def choose_measure(score: str | None, convention: str) -> Measure:
    """Return the measure that a score and a convention name; without a score, Dice or what the convention has.

    Raises `ConfigError`.
    """
    if convention not in CONVENTIONS:
        raise ConfigError(f"convention is {convention!r}; it must be one of {', '.join(CONVENTIONS)}")
    under = [measure for measure in MEASURES.values() if measure.convention == convention]
    if score is None:
        return under[0]
    for measure in under:
        if score in (measure.score, measure.name):
            return measure
    known = ", ".join(measure.score for measure in under)
    raise ConfigError(f"score is {score!r}; with convention={convention} it must be one of {known}")
