"""The baseline U-Net of ConvUNeXt and AMSUnet (WZMIAOMIAO/deep-learning-for-image-processing, unet).

Also the same network under the names of milesial/Pytorch-UNet, from which that one was made.
"""

from __future__ import annotations

from functools import partial

from medseg.models.reference.released import Released, Renames, Shapes, level, shape_of
from medseg.models.unet import UNet


def build(shapes: Shapes) -> partial[UNet]:
    """Return our U-Net with the arguments read from the shapes."""
    first, last = ("inc.double_conv.0", "outc.conv") if is_milesial(shapes) else ("in_conv.0", "out_conv.0")
    base, in_channels = shape_of("unet", shapes, f"{first}.weight", 4)[:2]
    return partial(
        UNet,
        in_channels=in_channels,
        num_classes=shape_of("unet", shapes, f"{last}.weight", 4)[0],
        base_channels=base,
        upsampling="transposed" if "up1.up.weight" in shapes else "bilinear",
    )


def is_milesial(shapes: Shapes) -> bool:
    """Tell whether a state has the names of milesial/Pytorch-UNet."""
    return any(name.startswith("inc.") for name in shapes)


def renames(shapes: Shapes) -> Renames:
    """Return the renames for a state, which depend on whose names it has."""
    if is_milesial(shapes):
        return {
            r"stem\.": "inc.double_conv.",
            r"encoder\.(\d)\.1\.": level("down", ".maxpool_conv.1.double_conv."),
            r"decoder\.(\d)\.up\.": level("up", ".up."),
            r"decoder\.(\d)\.fuse\.": level("up", ".conv.double_conv."),
            r"head\.": "outc.conv.",
        }
    return {
        r"stem\.": "in_conv.",
        r"encoder\.(\d)\.": level("down", "."),
        r"decoder\.(\d)\.up\.": level("up", ".up."),
        r"decoder\.(\d)\.fuse\.": level("up", ".conv."),
        r"head\.": "out_conv.0.",
    }


UNET = Released(build, renames)
