"""UNet++ (4uiiurz1/pytorch-nested-unet, NestedUNet)."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.reference.released import Released, Shapes, level, shape_of
from medseg.models.unetpp import UNetPlusPlus


def build(shapes: Shapes) -> partial[UNetPlusPlus]:
    """Return our UNet++ with the arguments read from the shapes; four heads mean deep supervision."""
    base, in_channels = shape_of("unetpp", shapes, "conv0_0.conv1.weight", 4)[:2]
    deep_supervision = "final1.weight" in shapes
    head = "final4.weight" if deep_supervision else "final.weight"
    return partial(
        UNetPlusPlus,
        in_channels=in_channels,
        num_classes=shape_of("unetpp", shapes, head, 4)[0],
        base_channels=base,
        deep_supervision=deep_supervision,
    )


def node(match: re.Match[str]) -> str:
    """Rename a layer of a node's double convolution."""
    return f"conv{match['node']}.{('conv1', 'bn1', '', 'conv2', 'bn2')[int(match['layer'])]}."


UNETPP = Released(
    build,
    {
        r"nodes\.(?P<node>\d_\d)\.(?P<layer>\d)\.": node,
        r"heads\.(\d)\.": level("final", "."),
        r"head\.": "final.",
    },
)
