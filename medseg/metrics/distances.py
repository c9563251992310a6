"""Surface distances: HD95 and ASSD. `medseg.metrics` gives the scores of empty masks.

Tools differ by their definitions, so here are ours:

- border of a mask: its pixels with a 4-neighbour outside the mask; beyond the image is outside (a mask minus its
  erosion with a cross, as in MONAI and MedPy);
- directed distances: from each border pixel of one mask to the nearest border pixel of the other, between pixel
  centres;
- HD95: the larger of the two directed 95th percentiles, linearly interpolated (MONAI). `pooled=True` takes the
  percentile of both directions together (MedPy), which a few stray pixels move far less: 6.8 against 12.9 px in one
  measured case. The two must not be mixed in one table;
- ASSD: the mean of both directions together (MONAI), not of the two means (MedPy).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medseg.metrics.mask_pair import MaskPair

Directed = tuple[NDArray[np.float64], NDArray[np.float64]]


def hd95(pair: MaskPair, *, pooled: bool = False) -> float:
    """Return the 95th percentile of the surface distances in pixels."""
    return _distance(pair, lambda directed: _hd95(directed, pooled))


def assd(pair: MaskPair) -> float:
    """Return the average symmetric surface distance in pixels."""
    return _distance(pair, _mean)


def nsd(pair: MaskPair) -> float:
    """Return the normalised surface distance: the share of both borders that is within the tolerance of the other.

    NaN where both masks are empty, 0 where one is. (Nikolov et al., arXiv:1809.04430.)
    """
    if any(pair.empty):
        return float("nan") if all(pair.empty) else 0.0
    return float((np.concatenate(pair.surface_distances) <= pair.tolerance).mean())


def hd95_mm(pair: MaskPair) -> float:
    """Return HD95 in mm; NaN where the spacing is not known."""
    return _distance_mm(pair, lambda directed: _hd95(directed, pooled=False))


def assd_mm(pair: MaskPair) -> float:
    """Return ASSD in mm; NaN where the spacing is not known."""
    return _distance_mm(pair, _mean)


def _distance(pair: MaskPair, of: Callable[[Directed], float]) -> float:
    if any(pair.empty):
        return float("nan") if all(pair.empty) else pair.diagonal
    return of(pair.surface_distances)


def _distance_mm(pair: MaskPair, of: Callable[[Directed], float]) -> float:
    if any(pair.empty) or pair.spacing is None:
        return float("nan") if all(pair.empty) else pair.diagonal_mm
    return of(pair.surface_distances_mm)


def _hd95(directed: Directed, pooled: bool) -> float:
    if pooled:
        return float(np.percentile(np.concatenate(directed), 95))
    return float(max(np.percentile(distances, 95) for distances in directed))


def _mean(directed: Directed) -> float:
    return float(np.concatenate(directed).mean())
