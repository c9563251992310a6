"""ResUNet (rishikksh20/ResUnet). Its sigmoid at the end is no part of ours, which returns logits."""

from __future__ import annotations

from functools import partial

from medseg.models.reference.released import Released, Shapes, level, shape_of
from medseg.models.resunet import ResUNet


def build(shapes: Shapes) -> partial[ResUNet]:
    """Return our ResUNet with the arguments read from the shapes."""
    base, in_channels = shape_of("resunet", shapes, "input_layer.0.weight", 4)[:2]
    num_classes = shape_of("resunet", shapes, "output_layer.0.weight", 4)[0]
    return partial(ResUNet, in_channels=in_channels, num_classes=num_classes, base_channels=base)


RESUNET = Released(
    build,
    {
        r"stem\.main\.": "input_layer.",
        r"stem\.shortcut\.": "input_skip.0.",
        r"encoder\.2\.main\.": "bridge.conv_block.",
        r"encoder\.2\.shortcut\.": "bridge.conv_skip.",
        r"encoder\.(\d)\.main\.": level("residual_conv_", ".conv_block."),
        r"encoder\.(\d)\.shortcut\.": level("residual_conv_", ".conv_skip."),
        r"decoder\.(\d)\.up\.": level("upsample_", ".upsample."),
        r"decoder\.(\d)\.fuse\.main\.": level("up_residual_conv", ".conv_block."),
        r"decoder\.(\d)\.fuse\.shortcut\.": level("up_residual_conv", ".conv_skip."),
        r"head\.": "output_layer.0.",
    },
)
