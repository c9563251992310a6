"""Attention U-Net (LeeJunHyun/Image_Segmentation, AttU_Net)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from medseg.models.attention_unet import AttentionUNet
from medseg.models.reference.released import Released, Shapes, shape_of


def build(shapes: Shapes) -> partial[AttentionUNet]:
    """Return our Attention U-Net with the arguments read from the shapes."""
    base, in_channels = shape_of("attention_unet", shapes, "Conv1.conv.0.weight", 4)[:2]
    return partial(
        AttentionUNet,
        in_channels=in_channels,
        num_classes=shape_of("attention_unet", shapes, "Conv_1x1.weight", 4)[0],
        base_channels=base,
        skip="attention_gate" if "Att5.psi.0.weight" in shapes else "identity",
    )


def encoder(match: re.Match[str]) -> str:
    """Rename encoder.0.1, the block after the pooling, to Conv2."""
    return f"Conv{int(match[1]) + 2}.conv."


def decoder(prefix: str, suffix: str) -> Callable[[re.Match[str]], str]:
    """Rename decoder.0, the deepest one, to number 5."""
    return lambda match: f"{prefix}{5 - int(match[1])}{suffix}"


ATTENTION_UNET = Released(
    build,
    {
        r"stem\.": "Conv1.conv.",
        r"encoder\.(\d)\.1\.": encoder,
        r"decoder\.(\d)\.up\.": decoder("Up", ".up."),
        r"decoder\.(\d)\.skip\.from_up\.": decoder("Att", ".W_g."),
        r"decoder\.(\d)\.skip\.from_skip\.": decoder("Att", ".W_x."),
        r"decoder\.(\d)\.skip\.psi\.": decoder("Att", ".psi."),
        r"decoder\.(\d)\.fuse\.": decoder("Up_conv", ".conv."),
        r"head\.": "Conv_1x1.",
    },
)
