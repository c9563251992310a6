"""Measure a mask: area, connected components and confidence of each class, from strips of rows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Region:
    """A class in a mask.

    Attributes:
        area: pixels.
        components: connected parts; pixels that touch at a corner are connected.
        confidence: mean over its pixels of its probability; None where it has none.
    """

    area: int
    components: int
    confidence: float | None


class Regions:
    """Measure all foreground classes of a mask that comes in strips, from top to bottom.

    Args:
        num_classes: number of classes, background included.
    """

    def __init__(self, num_classes: int) -> None:
        self.areas = np.zeros(num_classes, np.int64)
        self.sums = np.zeros(num_classes, np.float64)
        self.components = [Components() for _ in range(1, num_classes)]

    def add(self, mask: np.ndarray, confidence: np.ndarray) -> None:
        """Add a strip: classes, rows x W uint8, and the probability of each pixel's class, rows x W float32."""
        count = len(self.areas)
        areas = np.bincount(mask.ravel(), minlength=count)
        self.areas += areas
        self.sums += np.bincount(mask.ravel(), weights=confidence.ravel(), minlength=count)
        for label, components in enumerate(self.components, start=1):
            components.add((mask == label).astype(np.uint8) if areas[label] else None)

    def measured(self) -> list[Region]:
        """Return the measures of each foreground class."""
        return [
            Region(
                area=int(self.areas[label]),
                components=components.count(),
                confidence=float(self.sums[label] / self.areas[label]) if self.areas[label] else None,
            )
            for label, components in enumerate(self.components, start=1)
        ]


class Components:
    """Count the connected parts of a region that comes in strips.

    Each strip is counted by itself; parts that touch across the border of two strips are one.
    """

    def __init__(self) -> None:
        self.total = 0
        self.last_row: np.ndarray | None = None
        self.touching: list[np.ndarray] = []

    def add(self, strip: np.ndarray | None) -> None:
        """Add a strip, rows x W uint8, not 0 in the region; None is one in which it has no pixel."""
        if strip is None:
            self.last_row = None
            return
        count, labels = cv2.connectedComponents(strip, connectivity=8, ltype=cv2.CV_32S)
        first, last = (np.where(row > 0, row + self.total, 0) for row in (labels[0], labels[-1]))
        self.total += count - 1
        if self.last_row is not None:
            above = self.last_row
            # Straight below, to the right and to the left.
            neighbours = ((above, first), (above[:-1], first[1:]), (above[1:], first[:-1]))
            pairs = np.concatenate([np.stack(pair, axis=1) for pair in neighbours])
            self.touching.append(np.unique(pairs[(pairs > 0).all(axis=1)], axis=0))
        self.last_row = last

    def count(self) -> int:
        """Return the number of parts so far."""
        if not self.touching or self.total == 0:
            return self.total
        from scipy.sparse import coo_array  # not above: it takes longer to import than the rest of predicting
        from scipy.sparse.csgraph import connected_components

        pairs = np.concatenate(self.touching) - 1
        graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(self.total, self.total))
        return int(connected_components(graph, directed=False, return_labels=False))  # type: ignore[call-overload]
