"""Procedural medical images with exact masks: three styles that stand in for three real datasets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medseg.data.drawing.lesion import draw_lesion
from medseg.data.drawing.nuclei import draw_nuclei
from medseg.data.drawing.polyp import draw_polyp

Draw = Callable[[np.random.Generator, tuple[int, int], bool], tuple[np.ndarray, np.ndarray]]

STYLES: dict[str, Draw] = {"polyp": draw_polyp, "lesion": draw_lesion, "nuclei": draw_nuclei}
"""Style -> function (generator, (height, width), empty) -> image H x W x 3 uint8 RGB, mask H x W uint8 of 0 and 1."""
