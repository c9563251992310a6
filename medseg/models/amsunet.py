"""AMSUnet.

What it changes in ConvUNeXt: AMSE blocks (SegNeXt's attention with smaller strips and a dilated local convolution,
stage by stage 1, 1, 1, 3, 5), one block per stage, a 3x3 stem, and RSC instead of the gate.

The same function as the released code, proved by golden vectors; written from a description of it (the code has no
licence). Where paper and code disagree (RSC squares the feature, one shortcut per block), the code is the default and
the paper's reading an argument. The logits are returned as they are, not in a dict; the released option of transposed
convolutions is left out, since it cannot run there. Initial weights are PyTorch's defaults, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from medseg.errors import ConfigError
from medseg.models.blocks import AMSEBlock, choose_block, widening
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import make_norm
from medseg.models.stages import make_encoder_stage, make_normed_decoder_stage, normed_stem, smallest_image
from medseg.models.ushape import UShape


class AMSUnet(UShape):
    """AMSUnet; maps N x in_channels x H x W to logits N x num_classes x H x W, H and W at least 16.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; the levels below have 2, 4, 8 and 8 times as many.
        dilations: of the stem and the four encoder stages; the decoder's are 1.
        local_kernel, undilated, strip_kernels, norm, norm_placement, shortcuts, closing_gelu: of the blocks, see
            `medseg.models.blocks.AMSEBlock`.
        downsampling: `conv`, a norm and a strided convolution, or `pool`, the maximum.
        encoder, skip, decoder: parts instead of the default ones (`amse`, `rsc`, `amse`): blocks of
            `medseg.models.blocks.BLOCKS`, a skip module of `medseg.models.skips.SKIPS`. The arguments of the blocks
            above are those of `amse` alone.
        deep_supervision: see `UShape`.
    """

    facts = NetworkFacts(
        about="ConvUNeXt's frame with atrous multi-scale attention blocks and residual attention on the skips.",
        paper='Yin, Han, Jian et al., "AMSUnet: A neural network using atrous multi-scale convolution for medical image'
        ' segmentation", Computers in Biology and Medicine, 2023 (doi 10.1016/j.compbiomed.2023.107120)',
        year=2023,
        code="llluochen/AMSUnet",
        sizes=(
            Size("AMSUnet", "amsunet", 2_619_898, 6.001),
            Size("AMSUnet 16", "amsunet model.base_channels=16", 686_974, 1.692),
            Size("AMSUnet 64", "amsunet model.base_channels=64", 10_223_602, 22.470),
        ),
        # No public ResUNet has the 5.54 million parameters that 47.3 % would need.
        claims={"60.6 % of U-Net": "U-Net", "74.6 % of ConvUNeXt": "ConvUNeXt", "47.3 % of ResUNet": None},
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 32,
        dilations: Sequence[int] = (1, 1, 1, 3, 5),
        local_kernel: int = 3,
        undilated: bool = True,
        strip_kernels: Sequence[int] = (5, 7, 11),
        norm: str = "batch",
        norm_placement: str = "before",
        shortcuts: int = 1,
        closing_gelu: bool = True,
        downsampling: str = "conv",
        encoder: str | None = None,
        skip: str | None = None,
        decoder: str | None = None,
        deep_supervision: bool = False,
    ) -> None:
        if len(dilations) != 5:
            raise ConfigError(f"AMSUnet's dilations are five numbers, stem and four stages, got {list(dilations)}")
        own = partial(
            AMSEBlock,
            local_kernel=local_kernel,
            undilated=undilated,
            strip_kernels=strip_kernels,
            norm=norm,
            norm_placement=norm_placement,
            shortcuts=shortcuts,
            closing_gelu=closing_gelu,
        )
        encode = [
            choose_block("encoder", encoder or "amse", amse=widening(partial(own, dilation=d))) for d in dilations
        ]
        decode = choose_block("decoder", decoder or "amse", amse=widening(own))
        c = base_channels
        down = [c, 2 * c, 4 * c, 8 * c, 8 * c]
        up = [8 * c, 4 * c, 2 * c, c, c]
        super().__init__(
            stem=normed_stem(
                nn.Conv2d(in_channels, c, 3, padding=1, padding_mode="reflect"), make_norm(norm, c), encode[0](c, c)
            ),
            encoder=[
                make_encoder_stage(encode[k + 1], down[k], down[k + 1], downsampling=downsampling, norm=norm)
                for k in range(4)
            ],
            decoder=[
                make_normed_decoder_stage(decode, up[k], up[k + 1], skip=skip or "rsc", norm=norm) for k in range(4)
            ],
            num_classes=num_classes,
            min_size=smallest_image(4, encode[-1], decode, norm=norm, channels=8 * c),
            deep_supervision=deep_supervision,
        )
