"""Scores of a segmentation: per-image pixel counts, what is made of them, surface distances. Pure functions.

    class maps -> count_pixels -> N x classes x 4 counts -> scores, headline, pooled scores -> summarise
    class maps -> ImageScores -> HD95, ASSD, and the optional scores that are chosen -> summarise

The scores of empty masks, everywhere the same. For one class of one image:

    | truth   | prediction | overlap | HD95, ASSD                 | NSD      | MCC      | specificity |
    |---------|------------|---------|----------------------------|----------|----------|-------------|
    | empty   | empty      | 1       | NaN: left out, and counted | NaN      | 1        | 1           |
    | empty   | something  | 0       | diagonal of the image      | 0        | 0        | measured    |
    | present | empty      | 0       | diagonal of the image      | 0        | 0        | 1           |
    | present | disjoint   | 0       | measured                   | measured | measured | measured    |

Overlap: Dice, IoU, precision, recall, boundary IoU, clDice, AP, PQ, AJI; and volumetric similarity, which is measured
where the masks are disjoint. Specificity is 1 where no pixel lies outside the class, and MCC as in `mcc` where a mask
is all of the image. Pixels that are to be ignored belong to no mask, no border and no object; an image of nothing else
has two empty masks.
A class that the truth of a split does not have has a score only in the images where it is predicted, which is wrong; so
one that is not predicted either has none, and is in no mean (`has_score`).
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
