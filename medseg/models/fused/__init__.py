"""Parts of networks in a form that is fast on a CPU and keeps little for the backward pass; the same functions.

A module with an attribute `fused` has such a form and uses it where `can_fuse` says that it may.
"""

from medseg.models.fused.banded import banded
from medseg.models.fused.choice import can_fuse, use_fused
from medseg.models.fused.convolutions import DepthwiseConv2d, PointwiseConv2d, pointwise
from medseg.models.fused.statistics import fold, fold_into, measure, scale_and_shift, uses_batch

__all__ = [
    "DepthwiseConv2d",
    "PointwiseConv2d",
    "banded",
    "can_fuse",
    "fold",
    "fold_into",
    "measure",
    "pointwise",
    "scale_and_shift",
    "use_fused",
    "uses_batch",
]
