"""Scores of a segmentation: per-image pixel counts, what is made of them, surface distances. Pure functions.

    class maps -> count_pixels -> N x classes x 4 counts -> scores, headline, pooled scores -> summarise
    class maps -> ImageScores -> HD95, ASSD and other scores that are made of masks -> summarise

The scores of empty masks, everywhere the same. For one class of one image:

    | truth   | prediction | Dice, IoU | precision | recall | HD95, ASSD                    |
    |---------|------------|-----------|-----------|--------|-------------------------------|
    | empty   | empty      | 1         | 1         | 1      | NaN: left out, and counted    |
    | empty   | something  | 0         | 0         | 0      | diagonal of the image         |
    | present | empty      | 0         | 0         | 0      | diagonal of the image         |
    | present | disjoint   | 0         | 0         | 0      | measured                      |

Specificity is 1 where no pixel lies outside the class. An image whose pixels are all ignored has two empty masks.
A class that occurs nowhere in a split, neither in truth nor in prediction, has no score and is in no mean; one that
only the prediction has counts as any other, so it is wrong where it is predicted.
Only `count_pixels` needs torch, and only when it is given tensors: a report can use the rest without it.
"""

from medseg.metrics.counts import count_pixels
from medseg.metrics.image_scores import ImageScores
from medseg.metrics.mask_pair import MaskPair
from medseg.metrics.measures import MEASURES, Measure, Measures, headline
from medseg.metrics.scores import pool
from medseg.metrics.summary import per_image_rows, summarise

__all__ = [
    "MEASURES", "ImageScores", "MaskPair", "Measure", "Measures", "count_pixels", "headline", "per_image_rows", "pool",
    "summarise",
]  # fmt: skip
