"""The baseline U-Net of ConvUNeXt and AMSUnet (WZMIAOMIAO/deep-learning-for-image-processing, unet)."""

from __future__ import annotations

from functools import partial

from medseg.models.reference.released import Released, Shapes, level, shape_of
from medseg.models.unet import UNet


def build(shapes: Shapes) -> partial[UNet]:
    """Return our U-Net with the arguments read from the shapes."""
    base, in_channels = shape_of("unet", shapes, "in_conv.0.weight", 4)[:2]
    return partial(
        UNet,
        in_channels=in_channels,
        num_classes=shape_of("unet", shapes, "out_conv.0.weight", 4)[0],
        base_channels=base,
        upsampling="transposed" if "up1.up.weight" in shapes else "bilinear",
    )


UNET = Released(
    build,
    {
        r"stem\.": "in_conv.",
        r"encoder\.(\d)\.": level("down", "."),
        r"decoder\.(\d)\.up\.": level("up", ".up."),
        r"decoder\.(\d)\.fuse\.": level("up", ".conv."),
        r"head\.": "out_conv.0.",
    },
)
