"""Calibration: whether pixels that are given a probability of 0.8 are right 8 times in 10. Pure functions of arrays.

Each foreground class is taken against the rest, at the size at which the network predicts: probabilities at native size
are interpolations of these. Pixels of `IGNORE_INDEX` are left out.

- Expected calibration error (ECE): pixels are sorted into 15 bins of equal width by the probability of the class; the
  mean over bins, weighted by their pixels, of |mean probability - share of pixels that are of the class| (Naeini et
  al., AAAI 2015; 15 bins: Guo et al., ICML 2017; by class: Kull et al., NeurIPS 2019, here without the background).
- Brier score: the mean squared difference between the probability of the class and 1 or 0 (Brier, 1950).
- Temperature: with a temperature T, softmax(logits / T) replaces softmax(logits). It makes no other class the most
  probable one, and is chosen so that the cross-entropy on validation images is lowest (Guo et al., ICML 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medseg.data.labels import IGNORE_INDEX

BINS = 15
"""Bins of equal width, the upper end of the last one included."""

COLDEST, HOTTEST = 0.05, 20.0
"""Temperatures that are tried. Predictions without any error would be best with 0."""

TINY = np.finfo(np.float32).tiny
"""Probabilities below it count as it, so that they have a logarithm: logits are at most 87 apart."""

SCORES = ("brier", "ece")


@dataclass(frozen=True)
class Calibration:
    """Sums over pixels, which add up over images.

    Attributes:
        bins: C x BINS x 3, of each foreground class: pixels, the sum of their probabilities, pixels of the class.
        squares: C, the sum of squared differences.
    """

    bins: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], truth: NDArray[Any]) -> Calibration:
        """Measure an image.

        Args:
            probabilities: of all classes, the background first, K x h x w.
            truth: class map, h x w integers.
        """
        valid = truth != IGNORE_INDEX
        everywhere = bool(valid.all())
        labels = truth.ravel() if everywhere else truth[valid]
        bins, squares = np.zeros((len(probabilities) - 1, BINS, 3)), np.zeros(len(probabilities) - 1)
        for k, plane in enumerate(probabilities[1:]):
            values = plane.ravel() if everywhere else plane[valid]
            # One histogram for both: the pixels of the class are in its second half. In bytes, in half of the time.
            codes = np.minimum((values * BINS).astype(np.uint8), BINS - 1)
            codes += (labels == k + 1).view(np.uint8) * np.uint8(BINS)
            where, values = codes.astype(np.intp), values.astype(np.float64)
            wrong, right = np.bincount(where, minlength=2 * BINS).reshape(2, BINS)
            of_others, of_class = np.bincount(where, values, minlength=2 * BINS).reshape(2, BINS)
            bins[k] = np.stack([wrong + right, of_others + of_class, right], axis=-1)
            squares[k] = max(0.0, values @ values - 2 * of_class.sum() + right.sum())
        return cls(bins, squares)

    @classmethod
    def sum(cls, parts: Sequence[Calibration]) -> Calibration:
        """Add up images."""
        return cls(np.sum([part.bins for part in parts], axis=0), np.sum([part.squares for part in parts], axis=0))

    @property
    def ece(self) -> NDArray[np.float64]:
        """The expected calibration error of each class, C; NaN without pixels."""
        pixels = self.bins[..., 0].sum(axis=-1)
        return _ratio(np.abs(self.bins[..., 1] - self.bins[..., 2]).sum(axis=-1), pixels)

    @property
    def brier(self) -> NDArray[np.float64]:
        """The Brier score of each class, C; NaN without pixels."""
        return _ratio(self.squares, self.bins[..., 0].sum(axis=-1))

    @property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Both, by their names among the measures."""
        return {name: getattr(self, name) for name in SCORES}


def _ratio(part: ArrayLike, whole: ArrayLike) -> NDArray[np.float64]:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def with_temperature(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.floating]:
    """Return softmax(log p / temperature) of probabilities K x ..., in their type.

    The logarithms stand for the logits, from which they differ by a number for each pixel, which changes nothing.
    """
    relative = np.maximum(probabilities, TINY)
    relative = relative / relative.max(axis=0)
    relative **= 1 / temperature
    return relative / relative.sum(axis=0)


@dataclass(frozen=True)
class Temperature:
    """A temperature, and the mean cross-entropy of the pixels that it was chosen by.

    Attributes:
        temperature: above 1 where the network is too sure of itself.
        nll: without it, in nats per pixel.
        nll_scaled: with it.
        pixels: how many there were.
    """

    temperature: float
    nll: float
    nll_scaled: float
    pixels: int


def at_limit(temperature: float) -> bool:
    """Tell whether a temperature is at an end of the range that it was chosen from: a better one may lie beyond."""
    return not 1.01 * COLDEST < temperature < HOTTEST / 1.01


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[Any]) -> Temperature | None:
    """Choose the temperature with the lowest mean cross-entropy, from 0.05 to 20; None without pixels.

    Args:
        probabilities: K x pixels.
        labels: the true class of each pixel; those of `IGNORE_INDEX` are left out, and pixels without finite
            probabilities.
    """
    from scipy.optimize import minimize_scalar  # not above: it takes a while to import

    valid = (labels != IGNORE_INDEX) & np.isfinite(probabilities).all(axis=0)
    if not valid.any():
        return None
    logits = np.log(np.maximum(probabilities[:, valid], TINY).astype(np.float64))
    logits -= np.take_along_axis(logits, labels[valid].astype(np.intp)[None], axis=0)
    highest = logits.max(axis=0)
    logits -= highest

    def cross_entropy(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float(np.mean(inverse * highest + np.log(np.exp(inverse * logits).sum(axis=0))))

    # It is convex in 1 / T, so there is one minimum.
    found = minimize_scalar(
        cross_entropy, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-4}
    )
    return Temperature(float(np.exp(found.x)), cross_entropy(0.0), float(found.fun), int(valid.sum()))


ByTemperature = Mapping[float, Calibration]
"""A split as it was predicted, first, at temperature 1; then with the network's temperature where it has one."""


def calibration_rows(measured: ByTemperature, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each foreground class, temperature and bin.

    Columns: class, temperature, bin (from 1), low and high (its ends), pixels, mean_probability and share_true (None in
    an empty bin).
    """
    rows = []
    for k, name in enumerate(class_names[1:]):
        for temperature, of in measured.items():
            for number, (pixels, total, right) in enumerate(of.bins[k].tolist()):
                row: dict[str, Any] = {"class": name, "temperature": temperature, "bin": number + 1}
                row |= {"low": number / BINS, "high": (number + 1) / BINS, "pixels": int(pixels)}
                row["mean_probability"] = total / pixels if pixels else None
                row["share_true"] = right / pixels if pixels else None
                rows.append(row)
    return rows


def summarise_calibration(measured: ByTemperature, class_names: Sequence[str], absent: Sequence[str]) -> dict[str, Any]:
    """Summarise a split; all values can be written as JSON.

    Args:
        measured: of all images together.
        class_names: the background first.
        absent: foreground classes that occur nowhere in the split; they have no value.

    Returns:
        temperature; brier and ece, mean over the foreground classes that have one; brier_scaled and ece_scaled, with
        the temperature; classes: foreground class -> the same. None where there is no value.
    """
    temperatures = list(measured)
    there = np.array([name not in absent for name in class_names[1:]])
    values = {f"{name}{end}": np.full(len(there), np.nan) for name in SCORES for end in ("", "_scaled")}
    for end, of in zip(("", "_scaled"), measured.values(), strict=False):
        values |= {f"{name}{end}": np.where(there, found, np.nan) for name, found in of.scores.items()}

    def number(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    def mean(of: NDArray[np.float64]) -> float | None:
        known = of[~np.isnan(of)]
        return float(known.mean()) if len(known) else None

    return {
        "temperature": temperatures[1] if len(temperatures) > 1 else None,
        **{key: mean(of) for key, of in values.items()},
        "classes": {name: {key: number(of[k]) for key, of in values.items()} for k, name in enumerate(class_names[1:])},
    }
