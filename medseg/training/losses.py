"""Losses of a segmentation, all from logits N x K x H x W and class maps N x H x W to a scalar.

Everywhere here: K is the number of classes with the background (at least 2), class probabilities are the softmax of
the logits, mask pixels of 255 are ignored, an image without any other pixel counts nowhere (a batch of nothing else
gives 0), and the arithmetic is float32 even under autocast.

Dice and Tversky are taken per image, then averaged over the classes and over the images. For a class c that occurs
in the image, that is the plain 1 - tp / (tp + alpha fp + beta fn) over its probabilities p and its pixels g:
tp = sum p g, fp = sum p (1 - g), fn = sum (1 - p) g; nothing is added for smoothing, as the denominator is never 0.

A class that does not occur needs care. There tp = fn = 0, and the formula is 1 whatever is predicted: an image without
foreground would cost the same with a perfect answer, and teach nothing. The usual constant (1, or 1e-5) in numerator
and denominator does not help, because the softmax never gets to 0: probabilities of 0.001 on 256 x 256 pixels sum to
66, so a perfect answer still costs 1 - 1 / 67. So the constant grows with the image: it is `smooth` times half the
number of pixels, and only for classes that do not occur. With the default 0.01 and alpha = 0.5 such a class costs
q / (q + 0.01), q being its mean probability: 0.09 at q = 0.001, 0.5 at 1 % false positives, 0.98 at q = 0.5. Value
and gradient are those of an image in which an object of 0.5 % of the area was segmented and the rest are false
positives. `smooth=0` is the constant 1 of the released ConvUNeXt code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.config.checks.kinds import check_arguments
from medseg.config.checks.training import LOSS
from medseg.data.labels import IGNORE_INDEX
from medseg.data.prepared.border_weights import balance
from medseg.errors import ConfigError

ClassWeights = Sequence[float] | Literal["balanced"] | None
"""One weight per class, background first; None weighs all alike; "balanced" is set by `FocalLoss.balance`."""


class SegmentationLoss(nn.Module):
    """What all losses share: float32, and only the images that have pixels to learn from."""

    takes_weight: bool = False
    """Whether `forward` also takes the weight of every pixel, N x H x W; it is then called with it in training."""

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the scalar loss of logits N x K x H x W against class maps N x H x W."""
        with torch.autocast(logits.device.type, enabled=False):
            return self.compute(logits.float(), mask)

    def compute(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Do the work of `forward`, on float32 logits."""
        raise NotImplementedError


class TverskyLoss(SegmentationLoss):
    """Tversky loss per image (Salehi et al. 2017, arXiv:1706.05721), see the top of this file.

    Args:
        alpha: cost of false positives.
        beta: cost of false negatives; more than `alpha` favours recall.
        include_background: average over the background as well. Not the default here: with two classes, a false
            positive of one is a false negative of the other, so the average would undo the asymmetry.
        smooth: what a class that does not occur is measured by, as a part of the image; see the top of this file.
    """

    def __init__(
        self, *, alpha: float = 0.3, beta: float = 0.7, include_background: bool = False, smooth: float = 0.01
    ) -> None:
        super().__init__()
        check_arguments(LOSS, alpha=alpha, beta=beta, smooth=smooth)
        if alpha + beta == 0:
            raise ConfigError("alpha is 0; it must be above 0 where beta is 0")
        self.alpha = alpha
        self.beta = beta
        self.include_background = include_background
        self.smooth = smooth

    def compute(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of float32 logits."""
        valid = mask != IGNORE_INDEX  # N H W
        p = logits.softmax(1) * valid[:, None]  # N K H W
        g = _one_hot(mask, logits.shape[1])
        tp, predicted, present = (p * g).sum((2, 3)), p.sum((2, 3)), g.sum((2, 3))  # N K
        pixels = valid.sum((1, 2))  # N
        smooth = 0.5 * self.smooth * pixels.clamp_min(1)[:, None] * (present == 0)
        wrong = self.alpha * (predicted - tp) + self.beta * (present - tp)
        # The last bound is for a probability that underflows with smooth = 0.
        loss = 1 - (tp + smooth) / (tp + wrong + smooth).clamp_min(1e-12)
        if not self.include_background:
            loss = loss[:, 1:]
        learnable = (pixels > 0).to(loss.dtype)
        return (loss.mean(1) * learnable).sum() / learnable.sum().clamp_min(1)


class DiceLoss(TverskyLoss):
    """Soft Dice loss per image: the Tversky loss with alpha = beta = 0.5, over all classes by default."""

    def __init__(self, *, include_background: bool = True, smooth: float = 0.01) -> None:
        super().__init__(alpha=0.5, beta=0.5, include_background=include_background, smooth=smooth)


class FocalLoss(SegmentationLoss):
    """Focal loss (Lin et al. 2017, arXiv:1708.02002): -(1 - p)^gamma log p, p the probability of the true class.

    The weighted mean over pixels; gamma = 0 is cross-entropy. (The one of segmentation-models-pytorch takes every logit
    for a separate binary one, so that softmax probabilities come out too sharp, and is NaN where all pixels are
    ignored.)

    Args:
        gamma: how much less the pixels that are right already count.
        class_weights: one weight per class, background first; None weighs all alike; "balanced" takes the weights of
            `balance`.
    """

    class_weights: Tensor | None

    def __init__(self, *, gamma: float = 2.0, class_weights: ClassWeights = None) -> None:
        super().__init__()
        check_arguments(LOSS, gamma=gamma, class_weights=class_weights)
        self.gamma = gamma
        self.balanced = class_weights == "balanced"
        given = None if isinstance(class_weights, str) else class_weights
        weights = None if given is None else torch.tensor(given, dtype=torch.float32)
        # Not persistent: a checkpoint is the network's.
        self.register_buffer("class_weights", weights, persistent=False)

    def balance(self, class_pixels: Sequence[int] | np.ndarray) -> None:
        """Set the class weights to n / (K n_c), from the number of pixels n_c of each class, background first.

        n is the number of all pixels and K that of the classes that occur; a class without pixels gets 0.
        """
        self.class_weights = torch.from_numpy(balance(np.asarray(class_pixels)))

    def compute(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of float32 logits."""
        weights = self.class_weights
        if weights is None and self.balanced:
            raise ConfigError("class_weights=balanced: call balance() with the number of pixels of each class first")
        if weights is not None and len(weights) != logits.shape[1]:
            raise ConfigError(f"class_weights has {len(weights)} numbers, but there are {logits.shape[1]} classes")
        valid = mask != IGNORE_INDEX
        # Without reduction: the library's mean is NaN when all is ignored.
        loss = F.cross_entropy(logits, mask, reduction="none", ignore_index=IGNORE_INDEX)
        if self.gamma:
            # Not below 0 by rounding, and not at 0, where the gradient of a power below 1 is infinite.
            loss = loss * (-torch.expm1(-loss)).clamp_min(1e-7) ** self.gamma
        weight = valid.float() if weights is None else weights[mask.masked_fill(~valid, 0)] * valid
        return (loss * weight).sum() / weight.sum().clamp_min(1e-12)


class CrossEntropyLoss(FocalLoss):
    """Cross-entropy, the weighted mean over the pixels of the batch.

    Args:
        class_weights: as in `FocalLoss`.
    """

    def __init__(self, *, class_weights: ClassWeights = None) -> None:
        super().__init__(gamma=0.0, class_weights=class_weights)


class WeightedCrossEntropyLoss(SegmentationLoss):
    """Cross-entropy with a weight for every pixel, as U-Net 2015 trains with its border weights.

    The mean of weight * cross-entropy over the pixels that are not ignored. The paper writes a sum; the mean is the
    same up to a factor, and lets learning rates carry over from other image sizes and losses. It is not divided by the
    sum of the weights, so an image with many borders counts for more. Without weights, as in validation, it is the
    plain cross-entropy.
    """

    takes_weight = True

    def forward(self, logits: Tensor, mask: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the scalar loss of logits N x K x H x W against class maps N x H x W, weights N x H x W float32."""
        with torch.autocast(logits.device.type, enabled=False):
            loss = F.cross_entropy(logits.float(), mask, reduction="none", ignore_index=IGNORE_INDEX)
            weighted = loss if weight is None else loss * weight
            return weighted.sum() / (mask != IGNORE_INDEX).sum().clamp_min(1)


class CEDiceLoss(SegmentationLoss):
    """Cross-entropy plus soft Dice per image: the default, and the loss of the ConvUNeXt and AMSUnet code.

    Args:
        ce_weight: factor of the cross-entropy.
        dice_weight: factor of the Dice loss.
        class_weights: of the cross-entropy, as in `FocalLoss`.
        include_background: whether the Dice loss averages over the background as well.
        smooth: of the Dice loss, see the top of this file.
    """

    def __init__(
        self,
        *,
        ce_weight: float = 1.0,
        dice_weight: float = 1.0,
        class_weights: ClassWeights = None,
        include_background: bool = True,
        smooth: float = 0.01,
    ) -> None:
        super().__init__()
        check_arguments(LOSS, ce_weight=ce_weight, dice_weight=dice_weight)
        self.ce_weight = ce_weight
        self.dice_weight = dice_weight
        self.cross_entropy = CrossEntropyLoss(class_weights=class_weights)
        self.dice = DiceLoss(include_background=include_background, smooth=smooth)

    def compute(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of float32 logits."""
        return self.ce_weight * self.cross_entropy(logits, mask) + self.dice_weight * self.dice(logits, mask)


class BCEDiceLoss(SegmentationLoss):
    """Half a binary cross-entropy plus Dice, both over the foreground alone, as the UNeXt family trains.

    Those networks have one sigmoid output. A softmax over two logits is the sigmoid of their difference, so with two
    classes this is that loss on z1 - z0. With more, each foreground class is told from all others together: its
    binary logit is log(p / (1 - p)), and its loss is averaged over the foreground classes. Dice is per image.

    Args:
        bce_weight: factor of the binary cross-entropy.
        dice_weight: factor of the Dice loss.
        smooth: of the Dice loss, see the top of this file.
    """

    def __init__(self, *, bce_weight: float = 0.5, dice_weight: float = 1.0, smooth: float = 0.01) -> None:
        super().__init__()
        check_arguments(LOSS, bce_weight=bce_weight, dice_weight=dice_weight)
        self.bce_weight = bce_weight
        self.dice_weight = dice_weight
        self.dice = DiceLoss(include_background=False, smooth=smooth)

    def compute(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of float32 logits."""
        classes = range(logits.shape[1])
        valid = (mask != IGNORE_INDEX).float()
        binary = torch.stack(
            [logits[:, c] - logits[:, [k for k in classes if k != c]].logsumexp(1) for c in classes[1:]], dim=1
        )
        bce = F.binary_cross_entropy_with_logits(binary, _one_hot(mask, len(classes))[:, 1:], reduction="none")
        bce = (bce.mean(1) * valid).sum() / valid.sum().clamp_min(1)
        return self.bce_weight * bce + self.dice_weight * self.dice(logits, mask)


class LovaszLoss(SegmentationLoss):
    """Lovasz-softmax loss (Berman et al. 2018, arXiv:1705.08790), a smooth stand-in for 1 - IoU, per image.

    The mean over the classes that occur in the image, by segmentation-models-pytorch. In an image without foreground
    that is the background alone, whose loss is the mean foreground probability: 0 if nothing is predicted.
    """

    def compute(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of float32 logits."""
        # Here, since it takes seconds and most runs have another loss.
        from segmentation_models_pytorch.losses import LovaszLoss as ImageLovaszLoss

        # The library cannot average over an image without valid pixels.
        learnable = (mask != IGNORE_INDEX).flatten(1).any(1)
        if not learnable.any():
            return logits.sum() * 0.0
        loss: Tensor = ImageLovaszLoss("multiclass", per_image=True, ignore_index=IGNORE_INDEX)(
            logits[learnable], mask[learnable]
        )
        return loss


def _one_hot(mask: Tensor, num_classes: int) -> Tensor:
    """Class maps N x H x W -> float32 N x K x H x W; ignored pixels are 0 in every class."""
    classes = torch.arange(num_classes, device=mask.device)[:, None, None]
    return (mask[:, None] == classes).float()
