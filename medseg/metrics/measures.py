"""The table of scores: what each is called, its unit and range, which of two values is better, how it is computed.

Whatever prints, compares, draws or writes scores goes by this table. To add a score, add one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.errors import ConfigError
from medseg.metrics.boundary import boundary_iou
from medseg.metrics.distances import assd, assd_mm, hd95, hd95_mm, nsd
from medseg.metrics.mask_pair import MaskPair
from medseg.metrics.objects import aggregated_jaccard, average_precision, panoptic_quality
from medseg.metrics.scores import accuracy, dice, iou, mcc, precision, recall, specificity, volumetric_similarity
from medseg.metrics.skeleton import cldice

Function = Callable[[NDArray[Any]], NDArray[np.float64]]


@dataclass(frozen=True)
class Measure:
    """A score under a convention.

    Args:
        name: in files and options.
        title: in tables.
        convention: per_image (mean over images of the mean over the foreground classes), or how the pixel counts of
            all images together make one number: pooled (mean over the foreground classes), mean_iou_with_background and
            mean_dice_with_background (mean over all classes), accuracy (share of all pixels).
        score: name among the scores under that convention, as the option `score=` has it.
        function: of counts. per_image: ... x 4 (tp, fp, fn, tn of a class) to ...; the other conventions: ... x classes
            x 4, the background first, to ... . None for a score that is not made of counts: of masks, or of the
            probabilities at the prepared size (`medseg.metrics.calibration`).
        of_masks: of the two masks of one class of one image; None for a score of counts or a custom one.
        optional: measured only where it is chosen, by the option `scores` or by the dataset; a score of distances in mm
            is measured where the spacing is known.
        digits: after the point.
        unit: of the values; empty for a fraction.
        setting: what else it depends on and was measured with, such as a tolerance.
        higher_is_better: which of two values is better.
        lowest, highest: ends of the range; None where there is none.
    """

    name: str
    title: str
    convention: str
    score: str
    function: Function | None = None
    of_masks: Callable[[MaskPair], float] | None = None
    optional: bool = False
    digits: int = 3
    unit: str = ""
    setting: str = ""
    higher_is_better: bool = True
    lowest: float | None = 0.0
    highest: float | None = 1.0

    @property
    def heading(self) -> str:
        """The title with the unit, and an arrow where lower is better."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.title}{unit}{'' if self.higher_is_better else ' ↓'}"

    @property
    def points(self) -> float:
        """Factor from a difference to points: hundredths for fractions, the unit itself for anything else."""
        return 1.0 if self.unit else 100.0

    @property
    def point_unit(self) -> str:
        """The unit of a difference."""
        return self.unit or "points"


class Measures(dict[str, Measure]):
    """A table of measures by name, in the order of the reports; it is passed on, never changed."""

    def __init__(self, measures: Iterable[Measure]) -> None:
        super().__init__({measure.name: measure for measure in measures})

    @property
    def per_image(self) -> list[Measure]:
        """The scores of single images."""
        return [measure for measure in self.values() if measure.convention == "per_image"]

    @property
    def of_counts(self) -> dict[str, Function]:
        """Scores that every image has from its pixel counts: name -> function of ... x 4 counts."""
        return {
            measure.name: measure.function for measure in self.per_image if measure.function and not measure.optional
        }

    @property
    def of_masks(self) -> dict[str, Callable[[MaskPair], float]]:
        """Scores of single images that are made of masks: name -> function of the two masks of a class."""
        return {measure.name: measure.of_masks for measure in self.per_image if measure.of_masks is not None}

    @property
    def of_splits(self) -> list[Measure]:
        """The scores that only all images together have."""
        return [measure for measure in self.values() if measure.convention != "per_image"]

    @property
    def conventions(self) -> list[str]:
        """Every convention once."""
        return list(dict.fromkeys(measure.convention for measure in self.values()))

    def as_measured(self, summary: Mapping[str, Any]) -> Measures:
        """Return the table as a test or an evaluation was scored by it.

        Args:
            summary: of that, `summary.json`: its `own_metrics` are added, name -> higher_is_better, unit, where the
                table does not have the name; NSD has the tolerance in its title.
        """
        tolerance, nsd = summary.get("nsd_tolerance"), self.get("nsd")
        known = dict(self)
        if tolerance is not None and nsd is not None and not nsd.setting:
            setting = f"{tolerance:g} px"
            known["nsd"] = replace(nsd, title=f"{nsd.title} ({setting})", setting=setting)
        own = [
            Measure(
                name,
                name.replace("_", " "),
                "per_image",
                name,
                unit=str(what.get("unit", "")),
                higher_is_better=bool(what.get("higher_is_better", True)),
                lowest=None,
                highest=None,
            )
            for name, what in (summary.get("own_metrics") or {}).items()
            if name not in self
        ]
        return Measures([*known.values(), *own])

    def choose(self, score: str | None, convention: str) -> Measure:
        """Return the measure that the options `score` and `convention` name; without a score, the convention's first.

        Raises `ConfigError` for an unknown name.
        """
        if convention not in self.conventions:
            raise ConfigError(f"convention is {convention!r}; it must be one of {', '.join(self.conventions)}")
        under = [measure for measure in self.values() if measure.convention == convention]
        if score is None:
            return under[0]
        for measure in under:
            if score in (measure.score, measure.name):
                return measure
        known = ", ".join(measure.score for measure in under)
        raise ConfigError(f"score is {score!r}; with convention={convention} it must be one of {known}")


def _mean(score: Function, *, background: bool = False) -> Function:
    """Return the mean over the classes that occur; those of the background may be unknown, and so is the mean then."""
    if background:
        return lambda counts: _known(counts, mean_of_present(score, counts))
    return lambda counts: mean_of_present(score, counts[..., 1:, :])


def mean_of_present(score: Function, counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of a score over the classes that occur, in truth or prediction; NaN where none does.

    Args:
        score: of ... x 4 counts.
        counts: ... x classes x 4.
    """
    absent, values = ~occurs(counts), score(counts)
    number = np.asarray((~absent).sum(axis=-1))
    total = np.where(absent, 0.0, values).sum(axis=-1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def occurs(counts: ArrayLike) -> NDArray[np.bool_]:
    """Tell whether a class has a pixel in truth or prediction. ... x 4 counts -> ... ."""
    return np.asarray(np.asarray(counts)[..., :3].sum(axis=-1) != 0)


def has_score(counts: ArrayLike) -> NDArray[np.bool_]:
    """Tell which classes of which images of a split have a score. N x C x 4 counts -> N x C.

    A class that the truth of the split does not have has one only where it is predicted, which is wrong.
    """
    array = np.asarray(counts)
    in_truth = (array[..., 0] + array[..., 2]).sum(axis=0) > 0
    return np.asarray(in_truth | occurs(array))


def _known(counts: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace by NaN what was made of unknown counts: a file may lack those of the background."""
    return np.where(np.isnan(np.asarray(counts, dtype=np.float64)).any(axis=(-2, -1)), np.nan, values)


VS = "volumetric_similarity"
MEAN_IOU, MEAN_DICE = "mean_iou_with_background", "mean_dice_with_background"

DISTANCE: dict[str, Any] = {"digits": 1, "unit": "pixels", "higher_is_better": False, "highest": None}
DISTANCE_MM: dict[str, Any] = {**DISTANCE, "digits": 2, "unit": "mm"}

MEASURES = Measures(
    [
        Measure("dice", "Dice", "per_image", "dice", dice),
        Measure("iou", "IoU", "per_image", "iou", iou),
        Measure("precision", "precision", "per_image", "precision", precision),
        Measure("recall", "recall", "per_image", "recall", recall),
        Measure("specificity", "specificity", "per_image", "specificity", specificity),
        Measure("hd95", "HD95", "per_image", "hd95", of_masks=hd95, **DISTANCE),
        Measure("assd", "ASSD", "per_image", "assd", of_masks=assd, **DISTANCE),
        Measure("hd95_mm", "HD95", "per_image", "hd95_mm", of_masks=hd95_mm, optional=True, **DISTANCE_MM),
        Measure("assd_mm", "ASSD", "per_image", "assd_mm", of_masks=assd_mm, optional=True, **DISTANCE_MM),
        Measure("nsd", "NSD", "per_image", "nsd", of_masks=nsd, optional=True),
        Measure("boundary_iou", "boundary IoU", "per_image", "boundary_iou", of_masks=boundary_iou, optional=True),
        Measure("cldice", "clDice", "per_image", "cldice", of_masks=cldice, optional=True),
        Measure("ap", "AP", "per_image", "ap", of_masks=average_precision, optional=True),
        Measure("pq", "PQ", "per_image", "pq", of_masks=panoptic_quality, optional=True),
        Measure("aji", "AJI", "per_image", "aji", of_masks=aggregated_jaccard, optional=True),
        Measure("mcc", "MCC", "per_image", "mcc", mcc, optional=True, lowest=-1.0),
        Measure(VS, "volumetric similarity", "per_image", VS, volumetric_similarity, optional=True),
        Measure("brier", "Brier score", "per_image", "brier", digits=4, higher_is_better=False),
        Measure("ece", "ECE", "per_image", "ece", digits=4, higher_is_better=False),
        Measure("pooled_dice", "pooled Dice", "pooled", "dice", _mean(dice)),
        Measure("pooled_iou", "pooled IoU", "pooled", "iou", _mean(iou)),
        Measure(MEAN_IOU, "mean IoU with background", MEAN_IOU, "iou", _mean(iou, background=True)),
        Measure(MEAN_DICE, "mean Dice with background", MEAN_DICE, "dice", _mean(dice, background=True)),
        Measure("accuracy", "accuracy", "accuracy", "accuracy", lambda counts: _known(counts, accuracy(counts))),
    ]
)
"""The scores of medseg."""


CHOOSABLE = tuple(measure.name for measure in MEASURES.values() if measure.optional and measure.unit != "mm")
"""Names of the optional scores, which the option `scores` and a dataset choose from."""


def mean_over_classes(values: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over the classes that have a value, NaN where none has. N x C -> N."""
    array = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(array)
    total = np.where(present, array, 0.0).sum(axis=1)
    return np.divide(total, present.sum(axis=1), out=np.full(len(array), np.nan), where=present.any(axis=1))


def mean_over_images(values: ArrayLike) -> float:
    """Return the mean over the images that have a value, NaN where none has. N -> a number."""
    array = np.asarray(values, dtype=np.float64)
    present = array[~np.isnan(array)]
    return float(present.mean()) if len(present) else float("nan")


def headline(counts: ArrayLike) -> dict[str, float]:
    """Return the mean over images, of the mean over foreground classes, of every score that all images have.

    Over the classes and images that have a score (`has_score`); NaN where none has.

    Args:
        counts: N x classes x 4, the background first, N at least 1.
    """
    foreground = np.asarray(counts)[:, 1:]
    scored = has_score(foreground)
    return {
        name: mean_over_images(mean_over_classes(np.where(scored, score(foreground), np.nan)))
        for name, score in MEASURES.of_counts.items()
    }
