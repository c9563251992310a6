"""SegNeXt, whose multi-scale attention inspired AMSUnet's.

The defaults are SegNeXt-T; S, B and L are other numbers for the same arguments, `conf/model/segnext_{s,b,l}.yaml`. The
same function as the released code (Visual-Attention-Network/SegNeXt, Apache-2.0), proved by a golden vector; written
from a description of it. Differences:

- Evaluation repeats. The released head draws the bases of its matrix factorisation at random in every pass; here this
  holds for training only, and evaluation starts from fixed bases (`medseg.models.hamburger.NMF`). It neither uses nor
  changes the global random state.
- The logits, which the released head leaves at 1/8 of the image's size, are resized to it (bilinear, corners not
  aligned), as the released code does outside the network.
- Batch norm instead of synchronised batch norm; in one process they are the same.
- The factorisation runs in float32 under autocast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.blocks import MSCABlock
from medseg.models.facts import NetworkFacts, Size
from medseg.models.hamburger import LightHamburgerHead
from medseg.models.layers import LayerNorm2d, check_size, init_by_fan_out


class Stage(nn.Sequential):
    """A stage of MSCAN: a convolution that makes the feature smaller, blocks, and layer norm.

    N x c x H x W -> N x channels x ceil(H/2) x ceil(W/2), of a stem ceil(H/4) x ceil(W/4). The normalised feature is
    what the next stage and the head take.

    Args:
        down: the convolution, with its norm.
        channels: of the stage.
        mlp_ratio: width of the blocks' hidden layers over `channels`.
        drop_path: rate of stochastic depth of each block.
    """

    def __init__(self, down: nn.Module, channels: int, *, mlp_ratio: int, drop_path: Sequence[float]) -> None:
        super().__init__()
        self.down = down
        self.blocks = nn.Sequential(*(MSCABlock(channels, mlp_ratio=mlp_ratio, drop_path=p) for p in drop_path))
        self.norm = LayerNorm2d(channels)


class SegNeXt(nn.Module):
    """SegNeXt; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 8.

    At least 9 where `head_channels` leaves the group norms one channel per group, as 32 does.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        dims: channels of the four stages, the first of them even.
        depths: number of blocks in the four stages.
        mlp_ratios: width of the blocks' hidden layers over their stage's channels.
        drop_path: rate of stochastic depth of the last block; it grows linearly from 0 at the first one.
        head_channels: width of the head.
        rank: number of bases of the matrix factorisation.
        train_steps, eval_steps: number of its updates in training and in evaluation.
        dropout: probability that a channel is left out before the classifier, in training.
    """

    facts = NetworkFacts(
        about="A convolutional encoder with multi-scale attention (MSCAN) and a light Hamburger head.",
        paper='Guo et al., "SegNeXt: Rethinking Convolutional Attention Design for Semantic Segmentation", NeurIPS 2022'
        " (arXiv:2209.08575)",
        year=2022,
        code="Visual-Attention-Network/SegNeXt",
        sizes=(
            Size("SegNeXt-T", "segnext_t", 4_225_121, 1.563, num_classes=1),
            Size("SegNeXt-S", "segnext_s", 13_894_593, 3.873, num_classes=1),
            Size("SegNeXt-B", "segnext_b", 27_559_873, 8.611, num_classes=1),
            Size("SegNeXt-L", "segnext_l", 48_773_825, 17.312, num_classes=1),
        ),
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        dims: Sequence[int] = (32, 64, 160, 256),
        depths: Sequence[int] = (3, 3, 5, 2),
        mlp_ratios: Sequence[int] = (8, 8, 4, 4),
        drop_path: float = 0.1,
        head_channels: int = 256,
        rank: int = 16,
        train_steps: int = 6,
        eval_steps: int = 7,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not len(dims) == len(depths) == len(mlp_ratios) == 4:
            raise ConfigError(
                f"SegNeXt's dims, depths and mlp_ratios are four numbers each, one per stage, got {list(dims)}, "
                f"{list(depths)} and {list(mlp_ratios)}"
            )
        if min(depths) < 1:
            raise ConfigError(f"SegNeXt's depths are at least 1, got {list(depths)}")
        if dims[0] % 2:
            raise ConfigError(f"the first of SegNeXt's dims must be even, got {dims[0]}")
        if not 0 <= drop_path < 1:
            raise ConfigError(f"SegNeXt's drop_path must be at least 0 and less than 1, got {drop_path}")
        downs = [_stem(in_channels, dims[0]), *(_down(dims[k], dims[k + 1]) for k in range(3))]
        blocks = sum(depths)
        rates = iter([drop_path * k / max(blocks - 1, 1) for k in range(blocks)])
        self.encoder = nn.ModuleList(
            Stage(downs[k], dims[k], mlp_ratio=mlp_ratios[k], drop_path=[next(rates) for _ in range(depths[k])])
            for k in range(4)
        )
        self.head = LightHamburgerHead(
            dims[1:],
            num_classes,
            channels=head_channels,
            rank=rank,
            train_steps=train_steps,
            eval_steps=eval_steps,
            dropout=dropout,
        )
        # The image needs one of the head's pixels, or two where a group of its norms has one channel: a group norm
        # refuses a group of one value.
        groups = cast(nn.GroupNorm, self.head.align[1]).num_groups
        self.min_size = 8 if head_channels > groups else 9
        self._initialise()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, N x num_classes x H x W."""
        return F.interpolate(self.small_logits(image), size=image.shape[-2:], mode="bilinear", align_corners=False)

    def small_logits(self, image: Tensor) -> Tensor:
        """Return the logits as the head makes them, N x num_classes x ceil(H/8) x ceil(W/8)."""
        check_size(self, image, self.min_size)
        features = []
        x = image
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        return self.head(features[1:])

    def _initialise(self) -> None:
        """Draw the weights as the released code does.

        MSCAN's are normal with a variance of 2 / fan-out, which counts the outputs of one group only; the biases are
        0. The head's come from mmcv's ConvModule, which for 1x1 convolutions does the same. The classifier's have a
        standard deviation of 0.01.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_by_fan_out(module)
        nn.init.normal_(self.head.classifier.weight, std=0.01)


def _stem(in_channels: int, channels: int) -> nn.Sequential:
    """Return the stem's convolutions, N x in_channels x H x W -> N x channels x ceil(H/4) x ceil(W/4)."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels // 2, 3, stride=2, padding=1),
        nn.BatchNorm2d(channels // 2),
        nn.GELU(),
        *_down(channels // 2, channels),
    )


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return the convolution at the beginning of a stage, and its norm."""
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1), nn.BatchNorm2d(out_channels))
