"""ConvUNeXt.

What it changes in U-Net: 7x7 depth-wise blocks with an inverted bottleneck, stage depths 1:1:1:3:1, down-sampling by a
strided convolution after a norm, and a gate through which the decoder filters the encoder feature.

The same function as the released code, proved by golden vectors (in float32 to 2e-5, which the order of summation alone
makes); written from a description of it (the code has no licence).
Differences: 1x1 convolutions instead of Linear layers on permuted data; the logits are returned as they are, not in a
dict; the released option of transposed convolutions is left out, since it cannot run there. Initial weights are
PyTorch's defaults, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from medseg.errors import ConfigError
from medseg.models.blocks import ConvUNeXtBlock, choose_block, widening
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import make_norm
from medseg.models.stages import make_encoder_stage, make_normed_decoder_stage, normed_stem, smallest_image
from medseg.models.ushape import UShape


class ConvUNeXt(UShape):
    """ConvUNeXt; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 64.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; the levels below have 2, 4, 8 and 8 times as many.
        kernel_size: of the depth-wise convolutions, odd. The borders are reflected, so the deepest level must be
            larger than half a kernel: `min_size` is 16 * (kernel_size // 2 + 1).
        depths: number of blocks in the four encoder stages after the stem.
        norm: one of `medseg.models.layers.NORMS`.
        closing: where the last activation of a block stands, one of `medseg.models.blocks.convunext.CLOSINGS`.
        downsampling: `conv`, a norm and a strided convolution, or `pool`, the maximum.
        encoder, skip, decoder: parts instead of the default ones (`convunext`, `convunext_gate`, `convunext`): blocks
            of `medseg.models.blocks.BLOCKS`, a skip module of `medseg.models.skips.SKIPS`. Kernel size, norm and
            closing are those of `convunext` alone.
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="A U-Net of large-kernel ConvNeXt blocks with gated skip connections.",
        paper='Han, Jian, Wang, "ConvUNeXt: An efficient convolution neural network for medical image segmentation", '
        "Knowledge-Based Systems 253:109512, 2022 (doi 10.1016/j.knosys.2022.109512)",
        year=2022,
        code="1914669687/ConvUNeXt",
        sizes=(
            Size("ConvUNeXt", "convunext", 3_505_730, 7.124),
            Size("ConvUNeXt 16", "convunext model.base_channels=16", 901_154, 1.951),
            Size("ConvUNeXt 64", "convunext model.base_channels=64", 13_825_154, 27.133),
        ),
        claims={"20 % fewer than U-Net": "U-Net"},
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 32,
        kernel_size: int = 7,
        depths: Sequence[int] = (1, 1, 3, 1),
        norm: str = "batch",
        closing: str = "after_add",
        downsampling: str = "conv",
        encoder: str | None = None,
        skip: str | None = None,
        decoder: str | None = None,
        deep_supervision: bool = False,
    ) -> None:
        if len(depths) != 4 or min(depths) < 1:
            raise ConfigError(
                f"ConvUNeXt's depths are four numbers of at least 1, one per encoder stage, got {list(depths)}"
            )
        own = widening(
            partial(ConvUNeXtBlock, kernel_size=kernel_size, norm=norm, closing=closing), min_size=kernel_size // 2 + 1
        )
        encode = choose_block("encoder", encoder or "convunext", convunext=own)
        decode = choose_block("decoder", decoder or "convunext", convunext=own)
        c = base_channels
        down = [c, 2 * c, 4 * c, 8 * c, 8 * c]
        up = [8 * c, 4 * c, 2 * c, c, c]
        super().__init__(
            stem=normed_stem(
                nn.Conv2d(in_channels, c, 7, padding=3, padding_mode="reflect"), make_norm(norm, c), encode(c, c)
            ),
            encoder=[
                make_encoder_stage(encode, down[k], down[k + 1], downsampling=downsampling, norm=norm, depth=depths[k])
                for k in range(4)
            ],
            decoder=[
                make_normed_decoder_stage(decode, up[k], up[k + 1], skip=skip or "convunext_gate", norm=norm)
                for k in range(4)
            ],
            num_classes=num_classes,
            min_size=smallest_image(4, encode, decode, norm=norm, channels=8 * c),
            deep_supervision=deep_supervision,
        )
