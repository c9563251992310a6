"""ConvUNeXt (1914669687/ConvUNeXt)."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.convunext import ConvUNeXt
from medseg.models.reference.released import Released, Shapes, count_of, level, shape_of


def build(shapes: Shapes) -> partial[ConvUNeXt]:
    """Return our ConvUNeXt with the arguments read from the shapes."""
    base, in_channels = shape_of("convunext", shapes, "in_conv.0.weight", 4)[:2]
    return partial(
        ConvUNeXt,
        in_channels=in_channels,
        num_classes=shape_of("convunext", shapes, "out_conv.0.weight", 4)[0],
        base_channels=base,
        kernel_size=shape_of("convunext", shapes, "in_conv.3.dwconv.weight", 4)[-1],
        depths=[count_of(shapes, rf"down{k}\.\d+\.dwconv\.weight") for k in range(1, 5)],
    )


def block(match: re.Match[str]) -> str:
    """Rename a part of a block."""
    released = {"depthwise": "dwconv", "expand": "pwconv1", "project": "pwconv2"}
    place = match["place"]
    if place.startswith("stem"):
        prefix = place.replace("stem", "in_conv")
    elif place.startswith("encoder"):
        _, number, index = place.split(".")
        prefix = f"down{int(number) + 1}.{index}"
    else:
        _, number, _, index = place.split(".")
        prefix = f"up{int(number) + 1}.conv.{int(index) - 1}"
    return f"{prefix}.{released.get(match['part'], match['part'])}."


CONVUNEXT = Released(
    build,
    {
        r"(?P<place>.*)\.(?P<part>depthwise|norm1|expand|project|norm2)\.": block,
        r"stem\.": "in_conv.",
        r"encoder\.(\d)\.": level("down", "."),
        r"decoder\.(\d)\.up\.0\.": level("up", ".norm."),
        r"decoder\.(\d)\.skip\.gate\.": level("up", ".gate."),
        r"decoder\.(\d)\.skip\.keep\.": level("up", ".linear1."),
        r"decoder\.(\d)\.skip\.mix\.": level("up", ".linear2."),
        r"decoder\.(\d)\.fuse\.0\.": level("up", ".conv1x1."),
        r"head\.": "out_conv.0.",
    },
)
