"""Drawn images: nothing to download, and as many as wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medseg.config.checks.data import DATASET
from medseg.config.checks.kinds import check_arguments
from medseg.data.datasets.base import OBJECTS, Dataset, Listing, Sample, groups_of
from medseg.data.drawing import STYLES
from medseg.data.sources.source import Source
from medseg.data.splits.random_splits import random_split
from medseg.errors import ConfigError, close_matches


class Synthetic(Dataset):
    """Procedural stand-ins for Kvasir-SEG (`polyp`), ISIC 2018 (`lesion`) and DSB 2018 (`nuclei`).

    A picture is a pure function of (seed, id): the same in every run, process and order of reading, and the same in
    `mixed` as in the style of the picture. Two classes, background and foreground.

    Args:
        style: polyp, lesion, nuclei, or mixed: the three in turn.
        count: number of images.
        size: height and width in pixels, 64 to 1024; every second image is up to an eighth larger or smaller.
        seed: another seed draws other images.
        empty_fraction: share of images without foreground, 0 to 1, spread evenly over each style.

    Raises `ConfigError` for an unknown style and for numbers out of range.
    """

    name = "synthetic"
    title = "synthetic images"
    licence = "CC0-1.0"
    version = 1

    def __init__(
        self,
        *,
        style: str = "polyp",
        count: int = 300,
        size: int = 144,
        seed: int = 0,
        empty_fraction: float = 0.0,
    ) -> None:
        known = [*STYLES, "mixed"]
        if style not in known:
            hint = close_matches(str(style), known)
            raise ConfigError(f"data.dataset.style={style}: no such style{hint} (there are: {', '.join(known)})")
        numbers = {"count": count, "size": size, "seed": seed, "empty_fraction": empty_fraction}
        check_arguments(DATASET, "data.dataset.", **numbers)
        self.style, self.count, self.size, self.seed = style, count, size, seed
        self.empty_fraction = empty_fraction

    @property
    def scores(self) -> tuple[str, ...]:  # type: ignore[override]
        """Of objects, in the style of DSB 2018."""
        return OBJECTS if self.style == "nuclei" else ()

    @property
    def options(self) -> dict[str, object]:
        """Constructor arguments; all of them change the images."""
        return {
            "style": self.style,
            "count": self.count,
            "size": self.size,
            "seed": self.seed,
            "empty_fraction": self.empty_fraction,
        }

    def list_samples(self, source: Source) -> Listing:
        """List the images to draw; the source is not looked at. `type` is the style, which is also in the id."""
        styles = list(STYLES) if self.style == "mixed" else [self.style]
        samples = []
        for number in range(self.count):
            style = styles[number % len(styles)]
            id_ = f"{style}_{number // len(styles):04d}"
            samples.append(Sample(id=id_, image=id_, masks=(id_,), type=style))
        foreground = "foreground" if self.style == "mixed" else self.style
        return Listing(sorted(samples, key=lambda sample: sample.id), ("background", foreground))

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Draw one image (H x W x 3 uint8) and its mask (H x W uint8, 0 and 1)."""
        style, _, digits = sample.id.rpartition("_")
        number = int(digits)
        rng = np.random.default_rng((self.seed, list(STYLES).index(style), number))
        height = width = self.size
        if number % 2:
            reach = self.size // 8
            height, width = (self.size + int(rng.integers(-reach, reach + 1)) for _ in range(2))
        return STYLES[style](rng, (height, width), self._is_empty(number))

    def _is_empty(self, number: int) -> bool:
        """Say whether the image is one of the empty ones, which are spread evenly over its style."""
        share = round(self.empty_fraction * 10_000)  # whole numbers, so that 0.1 of 10 is 1
        return (number + 1) * share // 10_000 > number * share // 10_000

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        """Split 80/10/10, or in five folds, each style in proportion."""
        types = {sample.id: sample.type for sample in samples}
        return random_split(
            self.name, types, split, fold, key=f"synthetic/{self.seed}", types=types, groups=groups_of(samples)
        )
