"""medseg: find out whether a segmentation network is really better."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from medseg.trained.predicting.predictor import Predictor

__version__ = "0.1.0"


def load(
    checkpoint: str | Path | Sequence[str | Path],
    *,
    tta: bool = False,
    scale: float | None = None,
    tile: int | None = None,
    overlap: float = 0.25,
    device: str = "auto",
    precision: str | None = None,
    trust: bool = False,
) -> Predictor:
    """Load a trained network, or several to be averaged, to predict images with.

    `medseg.load("runs/main/RUN").predict(image)` has a `mask` (H x W uint8, class indices), `probabilities` (classes
    x H x W float32) and `class_names`; a notebook shows it as the image with the outlines of its mask. `image` is a
    file, an array (H x W or H x W x (1, 3 or 4), uint8 or uint16, RGB), or a list of these, which gives a list. All
    that the network needs to know about images is in its checkpoint.

    Args:
        checkpoint: a run folder, a checkpoint file, a pattern with `*` that finds some, or a list of these.
        tta: average over the image and its three flips.
        scale: None resizes the whole image to the size that the network was trained at; a number keeps the image's own
            resolution, times this number, and cuts it into overlapping windows.
        tile: side of these windows, in pixels as the network sees them; given without `scale` it means scale 1.
        overlap: by which part of its side a window overlaps its neighbours, 0 to 0.5.
        device: `auto`, `cpu`, `gpu`, `cuda:<number>` or `mps`.
        precision: `32-true`, `bf16-mixed` or `16-mixed`; None is that of the training.
        trust: build networks that are not medseg's own.

    Raises `medseg.errors.UserError` for what cannot be found, read, trusted or averaged.
    """
    from medseg.trained.predicting import predictor  # torch takes seconds, and not every use of medseg needs it

    return predictor.load(
        checkpoint, device=device, precision=precision, trust=trust, tta=tta, scale=scale, tile=tile, overlap=overlap
    )
