"""The predicted and the true mask of one class of one image, and what several scores need of both, each made once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

EXACT = 2048
"""Distances below are exact: their squares are whole numbers that float32 tells apart."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)

# OpenCV and SciPy are imported where they are used: much that reads the table of scores measures no mask.


class MaskPair:
    """Two masks of the same image; pixels to be ignored are in neither.

    Args:
        prediction, truth: H x W bool.
        spacing: height and width of a pixel in mm; None where it is not known.
        instances: the dataset's objects of the class, H x W integers, 0 where there is none; None where the connected
            components of the truth are the objects.
        tolerance: of the normalised surface distance, in pixels.
    """

    def __init__(
        self,
        prediction: Mask,
        truth: Mask,
        *,
        spacing: tuple[float, float] | None = None,
        instances: np.ndarray | None = None,
        tolerance: float = 2.0,
    ) -> None:
        self.prediction, self.truth = prediction, truth
        self.spacing, self.tolerance = spacing, tolerance
        self.instances = instances

    @cached_property
    def empty(self) -> tuple[bool, bool]:
        """Whether prediction and truth are empty."""
        return not self.prediction.any(), not self.truth.any()

    @property
    def diagonal(self) -> float:
        """Of the image, in pixels."""
        return float(np.hypot(*self.truth.shape))

    @property
    def diagonal_mm(self) -> float:
        """Of the image, in mm; NaN where the spacing is not known."""
        return float("nan") if self.spacing is None else float(np.hypot(*(np.array(self.truth.shape) * self.spacing)))

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the smallest box around both masks; empty where both are."""
        either = self.prediction | self.truth
        rows, columns = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
        if not len(rows):
            return slice(0, 0), slice(0, 0)
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    @cached_property
    def cropped(self) -> tuple[Mask, Mask]:
        """Prediction and truth inside `box`: what depends on the masks alone is the same there, and faster."""
        return self.prediction[self.box], self.truth[self.box]

    @cached_property
    def borders(self) -> tuple[Mask, Mask]:
        """The pixels of each mask with a 4-neighbour outside it, inside `box`; beyond the image is outside."""
        return border(self.cropped[0]), border(self.cropped[1])

    @cached_property
    def objects(self) -> tuple[np.ndarray, np.ndarray]:
        """The predicted and the true objects inside `box`, each a number from 1; 0 is outside."""
        predicted, true = self.cropped
        return regions(predicted), regions(true) if self.instances is None else self.instances[self.box]

    @cached_property
    def surface_distances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """From each border pixel of one mask to the other border, and back, in pixels; neither mask is empty."""
        return self._between_borders(None)

    @cached_property
    def surface_distances_mm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same in mm; `spacing` is known."""
        return self._between_borders(self.spacing)

    def _between_borders(self, spacing: tuple[float, float] | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        predicted, true = self.borders
        return distance_to(true, spacing)[predicted], distance_to(predicted, spacing)[true]


def regions(mask: Mask) -> NDArray[np.int32]:
    """Number the connected regions of a mask, H x W bool, from 1; 0 is outside. Along edges, not across corners."""
    import cv2

    return np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1], dtype=np.int32)


def border(mask: Mask) -> Mask:
    """Return the pixels of a mask, H x W bool, that have a 4-neighbour outside it."""
    import cv2

    inner = cv2.erode(mask.astype(np.uint8), _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inner == 0)


def distance_to(mask: Mask, spacing: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Return the distance of every pixel to the nearest one of a mask that is not empty, between pixel centres.

    Args:
        mask: H x W bool.
        spacing: height and width of a pixel in mm; None for distances in pixels.
    """
    if spacing is not None and spacing[0] != spacing[1]:
        from scipy import ndimage

        distances: NDArray[np.float64] = ndimage.distance_transform_edt(~mask, sampling=spacing)
        return distances
    import cv2

    # Three times as fast as SciPy's, and other threads can run beside it.
    near = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    exact = np.where(near < EXACT, np.sqrt(np.rint(near * near)), near)
    return exact if spacing is None else exact * spacing[0]
