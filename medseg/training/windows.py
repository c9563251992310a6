"""Predict a whole image of any size in overlapping windows, as a network that was trained on patches needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from medseg.models.mirror import mirror_pad
from medseg.trained.predicting.tiling import OVERLAP, blend


def predict_in_windows(
    predict: Callable[[Tensor], Tensor], image: Tensor, window: tuple[int, int], num_classes: int, batch_size: int
) -> Tensor:
    """Return the class probabilities of one image, 1 x K x H x W float32.

    Windows, their overlap and how they are blended are those of `medseg predict`.

    Args:
        predict: maps N x C x h x w to probabilities N x K x h x w, N at most `batch_size`.
        image: 1 x C x H x W, of any size. Where it is smaller than a window, it is mirrored to its right and bottom.
        window: height h and width w of a window in pixels.
        num_classes: K.
        batch_size: windows that are predicted at once.
    """
    height, width = image.shape[-2:]

    def predict_row(rows: slice, columns: Sequence[slice]) -> Iterator[np.ndarray]:
        for start in range(0, len(columns), batch_size):
            several = torch.cat([image[..., rows, span] for span in columns[start : start + batch_size]])
            tall, wide = several.shape[-2:]
            several = mirror_pad(several, 0, window[0] - tall, 0, window[1] - wide)
            yield from predict(several)[..., :tall, :wide].cpu().numpy()

    strips = blend((height, width), window, OVERLAP, num_classes, predict_row)
    return torch.from_numpy(np.concatenate(list(strips), axis=1)[None]).to(image.device)
