"""The light Hamburger head of SegNeXt: global context by non-negative matrix factorisation.

Geng et al., "Is Attention Better Than Matrix Decomposition?", ICLR 2021 (arXiv:2109.04553), in the form of SegNeXt's
released code: the feature map is approximated by a product of two small non-negative matrices, computed in a few
multiplicative steps, and this low-rank picture of the whole image is added to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.models.layers import make_norm

EPSILON = 1e-6


class NMF(nn.Module):
    """Low-rank approximation of a non-negative feature, N x C x H x W -> the same, X = C x HW by D K^T.

    D (C x rank, the bases) starts from values uniform in [0, 1) whose columns are scaled to length 1, K (HW x rank)
    from softmax(X^T D); `steps` times both are updated by Lee and Seung's rule, and K once more. Gradients flow
    through all the steps.

    In training D is drawn anew in every pass, for every image. The released code does so in evaluation too, so that
    two evaluations of one image differ; here evaluation always starts from the values that `torch.manual_seed(0)`
    leads to, the same for every image of a batch, and draws nothing. They are no part of the state dict.

    Args:
        channels: C.
        rank: number of bases.
        train_steps, eval_steps: number of updates in training and in evaluation.
    """

    fixed_bases: Tensor

    def __init__(self, channels: int, *, rank: int = 16, train_steps: int = 6, eval_steps: int = 7) -> None:
        super().__init__()
        self.train_steps = train_steps
        self.eval_steps = eval_steps
        self.register_buffer("fixed_bases", torch.empty(1, channels, rank), persistent=False)
        self._fill()

    def forward(self, x: Tensor) -> Tensor:
        """Return the approximation, N x C x H x W, in `x`'s type."""
        # In float32 under autocast too. Every step divides sums over all pixels: on a rectified normal feature (256
        # x 1024, 16 bases) bfloat16 leaves the approximation 1.2e-2 of its largest value from the float32 one, where
        # rounding only its input and output costs 2.7e-3; on one ten times as large, 3.7e-2, and float16 overflows.
        device = x.device.type
        autocast = torch.amp.is_autocast_available(device)  # a meta tensor has none to switch off
        with torch.autocast(device, enabled=False) if autocast else nullcontext():
            wide = x.flatten(2).to(torch.promote_types(x.dtype, torch.float32))
            return self._approximate(wide).view_as(x).to(x.dtype)

    def _approximate(self, x: Tensor) -> Tensor:
        """Return the approximation of N x C x HW."""
        if self.training:
            bases = torch.rand(x.shape[0], *self.fixed_bases.shape[1:], dtype=x.dtype, device=x.device)
        else:
            bases = self.fixed_bases.to(x.dtype).expand(x.shape[0], -1, -1)
        bases = F.normalize(bases, dim=1)
        weights = torch.softmax(x.mT @ bases, dim=-1)
        for _ in range(self.train_steps if self.training else self.eval_steps):
            weights = weights * (x.mT @ bases) / (weights @ (bases.mT @ bases) + EPSILON)
            bases = bases * (x @ weights) / (bases @ (weights.mT @ weights) + EPSILON)
        weights = weights * (x.mT @ bases) / (weights @ (bases.mT @ bases) + EPSILON)
        return bases @ weights.mT

    def _fill(self) -> None:
        """Put the fixed bases where the buffer lies; on the meta device there is nothing to fill."""
        draw = torch.rand(
            self.fixed_bases.shape, generator=torch.Generator("cpu").manual_seed(0), dtype=torch.float32, device="cpu"
        )
        with torch.no_grad():
            self.fixed_bases.copy_(draw)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # What moves or converts a module ends here. `to_empty` leaves memory as it finds it, which a state dict would
        # not put right, since the bases are not in it.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._fill()
        return self


class Hamburger(nn.Module):
    """ReLU(x + GN(conv1x1(NMF(ReLU(conv1x1(x)))))), N x C x H x W -> the same."""

    def __init__(self, channels: int, *, rank: int, train_steps: int, eval_steps: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, channels, 1)
        self.nmf = NMF(channels, rank=rank, train_steps=train_steps, eval_steps=eval_steps)
        self.leave = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), make_norm("group", channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature with its context, N x C x H x W."""
        return F.relu(x + self.leave(self.nmf(F.relu(self.enter(x)))))


class LightHamburgerHead(nn.Module):
    """SegNeXt's head: features of several levels, brought to the first one's size -> logits of that size.

    Args:
        in_channels: of the features.
        num_classes: number of classes, background included.
        channels: width of the head. Group norms have 32 groups where that divides it.
        rank, train_steps, eval_steps: see `NMF`.
        dropout: probability that a channel is left out before the classifier, in training.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        channels: int,
        rank: int,
        train_steps: int,
        eval_steps: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.squeeze = _conv_norm_relu(sum(in_channels), channels)
        self.hamburger = Hamburger(channels, rank=rank, train_steps=train_steps, eval_steps=eval_steps)
        self.align = _conv_norm_relu(channels, channels)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits, N x num_classes x the first feature's H x W."""
        size = features[0].shape[-2:]
        resized = [F.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in features]
        x = self.hamburger(self.squeeze(torch.cat(resized, dim=1)))
        return self.classifier(self.dropout(self.align(x)))


def _conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return 1x1 convolution without bias, group norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False), make_norm("group", out_channels), nn.ReLU()
    )
