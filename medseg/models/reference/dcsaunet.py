"""DCSAU-Net (xq141839/DCSAU-Net)."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.dcsaunet import DCSAUNet
from medseg.models.reference.released import Released, Shapes, shape_of


def build(shapes: Shapes) -> partial[DCSAUNet]:
    """Return our DCSAU-Net with the arguments read from the shapes."""
    stem_channels, in_channels = shape_of("dcsaunet", shapes, "pfc.input_layer.0.weight", 4)[:2]
    encoder_widths, decoder_widths = (
        [shape_of("dcsaunet", shapes, f"{side}{k}.0.conv1.weight", 4)[0] for k in range(1, 5)]
        for side in ("down", "up")
    )
    return partial(
        DCSAUNet,
        in_channels=in_channels,
        num_classes=shape_of("dcsaunet", shapes, "out_conv.weight", 4)[0],
        stem_channels=stem_channels,
        encoder_widths=encoder_widths,
        decoder_widths=decoder_widths,
    )


def bottleneck(match: re.Match[str]) -> str:
    """Rename a layer of a bottleneck. In our encoder stages, the pooling is before the two."""
    number, index = int(match["stage"]) + 1, int(match["index"])
    side, index = ("down", index - 1) if match["side"] == "encoder" else ("up", index)
    return f"{side}{number}.{index}.{BOTTLENECK[match['layer']]}."


BOTTLENECK = {
    "squeeze.0": "conv1",
    "squeeze.1": "bn1",
    "attention.split.0": "conv2.conv",
    "attention.split.1": "conv2.bn0",
    "attention.second.0": "conv2.conv2",
    "attention.second.1": "conv2.bn2",
    "attention.weigh.0": "conv2.fc1",
    "attention.weigh.1": "conv2.bn1",
    "attention.weigh.3": "conv2.fc2",
    "expand.0": "conv3",
    "expand.1": "bn3",
    "shortcut.0": "downsample.1",
    "shortcut.1": "downsample.2",
}
"""Layer of our bottleneck -> of the released one."""

LAYER = "|".join(map(re.escape, BOTTLENECK))

DCSAUNET = Released(
    build,
    {
        r"stem\.input\.": "pfc.input_layer.",
        r"stem\.": "pfc.",
        rf"(?P<side>encoder|decoder)\.(?P<stage>\d)\.(?:fuse\.)?(?P<index>\d)\.(?P<layer>{LAYER})\.": bottleneck,
        r"head\.": "out_conv.",
    },
)
