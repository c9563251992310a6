"""Scores of a segmentation: per-image pixel counts, what is made of them, surface distances. Pure functions.

    class maps -> count_pixels -> N x classes x 4 counts -> scores, headline, pooled scores -> summarise
    class maps -> surface_distances -> HD95 and ASSD in pixels

The scores of empty masks, everywhere the same. For one class of one image:

    | truth   | prediction | Dice, IoU | precision | recall | HD95, ASSD                    |
    |---------|------------|-----------|-----------|--------|-------------------------------|
    | empty   | empty      | 1         | 1         | 1      | NaN: left out, and counted    |
    | empty   | something  | 0         | 0         | 0      | diagonal of the image         |
    | present | empty      | 0         | 0         | 0      | diagonal of the image         |
    | present | disjoint   | 0         | 0         | 0      | measured                      |

Specificity is 1 where no pixel lies outside the class. An image whose pixels are all ignored has two empty masks.
Only `count_pixels` needs torch, and only when it is given tensors: a report can use the rest without it.
"""

from medseg.metrics.counts import count_pixels
from medseg.metrics.distances import surface_distances
from medseg.metrics.measures import MEASURES, Measure, Measures, headline
from medseg.metrics.scores import pool
from medseg.metrics.summary import per_image_rows, summarise

__all__ = [
    "MEASURES", "Measure", "Measures", "count_pixels", "headline", "per_image_rows", "pool", "summarise",
    "surface_distances",
]  # fmt: skip
