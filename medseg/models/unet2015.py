"""U-Net as its paper published it.

23 convolutional layers: 18 of 3x3, unpadded, with bias, ReLU and no norm; 4 transposed ones of 2x2, which halve the
channels; one of 1x1. Max pooling; the encoder features are cut to the decoder's size and concatenated. 150.4 GMAC for
the paper's 572 x 572 pixels, of which 388 x 388 come out; an image of 256 x 256 is mirrored to 444 x 444. The baseline
that others call U-Net is `unet.py`.

Written from the paper; there are no golden vectors, and the sizes of every level are tested instead. The paper leaves
open, and this network decides:

- the rate of the dropout at the end of the contracting path, and where that is: 0.5, after the two deepest levels, so
  on the deepest skip connection as well;
- the initial biases: 0. Weights are drawn from N(0, sqrt(2 / N)), N being the incoming nodes of a neuron, as the paper
  has it: 576 for 3x3 on 64 channels. A neuron of a transposed 2x2 convolution of stride 2 sees one pixel, so there N
  is the number of channels that come in;
- whether the up-sampled feature or the skip connection comes first in the concatenation: the skip connection.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.facts import NetworkFacts, Size
from medseg.models.layers import check_size, crop_to
from medseg.models.overlap_tile import ValidSizes, predict_mirrored
from medseg.models.skips import make_skip
from medseg.models.unet import UNET_PAPER
from medseg.models.ushape import DecoderStage, UShape

SIZES = ValidSizes(margin=92, step=16, smallest=4)
"""572 -> 388: every map that is pooled must have an even size, so inputs have 16 k + 12 pixels, 188 at least."""

POINTWISE_SKIPS = ("identity", "attention_gate", "convunext_gate")
"""Skip modules that see one pixel at a time, so that tiles come out as the whole image does."""


class UNet2015(UShape):
    """U-Net 2015; maps N x in_channels x H x W to logits N x num_classes x H x W, for H and W of at least 1 pixel.

    The image is mirrored by 92 pixels on each side, and on to the next size that the network takes; the logits are cut
    back. `valid` is the network without that. In evaluation it can work tile by tile, which gives the same logits
    with less memory.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: channels of the first level; each of the four levels below has twice as many.
        dropout: probability, after the two deepest levels of the contracting path.
        skip: the module on the skip connections, one of `medseg.models.skips.SKIPS`; it gets the cut feature.
        deep_supervision: see `UShape`; the logits of the coarser stages are aligned with the others exactly.
        tile: None, or the height and width of the tiles in evaluation, 16 k + 4 pixels, 20 at least (388 in the paper).
    """

    facts = NetworkFacts(
        about="U-Net as its paper published it: valid convolutions, and mirrored borders around what they cannot see.",
        paper=UNET_PAPER,
        year=2015,
        sizes=(Size("U-Net 2015", "unet2015", 31_030_658, 78.270, in_channels=1),),
    )

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 64,
        dropout: float = 0.5,
        skip: str = "identity",
        deep_supervision: bool = False,
        tile: int | None = None,
    ) -> None:
        if not 0 <= dropout < 1:
            raise ConfigError(f"U-Net's dropout must be a probability from 0, below 1, got {dropout}")
        if tile is not None:
            SIZES.check_tile(tile)
            if skip not in POINTWISE_SKIPS:
                raise ConfigError(
                    f"tile={tile} does not go with skip={skip}, which looks at the whole image: give tile=null, or one "
                    f"of {', '.join(POINTWISE_SKIPS)}"
                )
        widths = [base_channels * 2**k for k in range(5)]
        encoder = [nn.Sequential(nn.MaxPool2d(2), valid_convolutions(widths[k], widths[k + 1])) for k in range(4)]
        for stage in encoder[2:]:
            stage.append(nn.Dropout(dropout))
        decoder = [
            DecoderStage(
                up=nn.ConvTranspose2d(2 * width, width, 2, stride=2),
                skip=make_skip(skip, width),
                fuse=valid_convolutions(2 * width, width),
                out_channels=width,
                crop=True,
            )
            for width in widths[3::-1]
        ]
        super().__init__(
            stem=valid_convolutions(in_channels, widths[0]),
            encoder=encoder,
            decoder=decoder,
            num_classes=num_classes,
            min_size=1,
            deep_supervision=deep_supervision,
        )
        self.tile = tile
        # Skip modules keep their weights.
        own = [part for stage in decoder for part in (stage.up, stage.fuse)]
        for part in [self.stem, self.encoder, *own, self.head, self.auxiliary_heads]:
            part.apply(initialise)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Return the logits of images N x in_channels x H x W; raises `UserError` for images without pixels."""
        check_size(self, image, self.min_size)
        if not (self.training and self.auxiliary_heads):
            return predict_mirrored(self.main, image, SIZES, None if self.training else self.tile)
        # All outputs side by side as one, to be cut back to the image's size together.
        outputs = predict_mirrored(lambda padded: torch.cat(self.outputs(padded), dim=1), image, SIZES)
        return list(outputs.chunk(len(self.decoder), dim=1))

    def valid(self, image: Tensor) -> Tensor:
        """Return the logits of the inner part of images: N x in_channels x H x W -> N x num_classes x H-184 x W-184.

        Raises `UserError` for a height or width other than 16 k + 12 pixels, and for less than 188.
        """
        SIZES.check_input(image, "U-Net with valid convolutions")
        return self.main(image)

    def main(self, image: Tensor) -> Tensor:
        """Do the work of `valid`, the size being known to fit."""
        return self.head(self.decode(image)[-1])

    def outputs(self, image: Tensor) -> list[Tensor]:
        """Return the logits of all decoder stages for images that fit, the deepest first, all at the size of the last.

        Every stage's feature lies centred on the image, a pixel of it standing for `factor` x `factor` pixels. So
        enlarging by that factor and cutting the centre out puts all logits where they belong.
        """
        features = self.decode(image)
        logits = self.head(features[-1])
        auxiliary = []
        for k, head in enumerate(self.auxiliary_heads):
            factor = 2 ** (len(features) - 1 - k)
            resized = F.interpolate(head(features[k]), scale_factor=factor, mode="bilinear", align_corners=False)
            auxiliary.append(crop_to(resized, logits.shape[-2:]))
        return [*auxiliary, logits]


def valid_convolutions(in_channels: int, out_channels: int) -> nn.Sequential:
    """Build the block of U-Net 2015, unpadded 3x3 convolution and ReLU twice: N x C x H x W -> N x C' x H-4 x W-4."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3),
        nn.ReLU(inplace=True),
    )


def initialise(module: nn.Module) -> None:
    """Draw the weights of a convolution from N(0, sqrt(2 / N)), N being the incoming nodes; set its biases to 0."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        # Of a transposed convolution of stride 2 and kernel 2, one tap leads to each output pixel.
        taps = 1 if isinstance(module, nn.ConvTranspose2d) else module.kernel_size[0] * module.kernel_size[1]
        nn.init.normal_(module.weight, std=(2 / (module.in_channels * taps)) ** 0.5)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
