"""TinyU-Net (ChenJunren-Lab/TinyU-Net)."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.reference.released import Released, Shapes, shape_of
from medseg.models.tinyunet import TinyUNet


def build(shapes: Shapes) -> partial[TinyUNet]:
    """Return our TinyU-Net with the arguments read from the shapes."""
    return partial(
        TinyUNet,
        in_channels=shape_of("tinyunet", shapes, "encoder1.cmrf.pwconv1.conv.weight", 4)[1],
        num_classes=shape_of("tinyunet", shapes, "final_conv.weight", 4)[0],
        channels=[shape_of("tinyunet", shapes, f"encoder{k}.cmrf.pwconv2.conv.weight", 4)[0] for k in range(1, 5)],
    )


def block(match: re.Match[str]) -> str:
    """Rename a layer of a block; on the encoder's levels below the stem, the pooling goes before it."""
    if match["decoder"]:
        stage = f"decoder{4 - int(match['decoder'])}"
    else:
        stage = f"encoder{int(match['encoder']) + 2 if match['encoder'] else 1}"
    part = {"squeeze": "pwconv1", "expand": "pwconv2"}.get(match["part"], f"m.{match['number']}")
    return f"{stage}.cmrf.{part}.{('conv', 'bn')[int(match['layer'])]}."


TINYUNET = Released(
    build,
    {
        r"(?:stem|encoder\.(?P<encoder>\d)\.1|decoder\.(?P<decoder>\d)\.fuse)\."
        r"(?P<part>squeeze|expand|cascade\.(?P<number>\d))\.(?P<layer>[01])\.": block,
        r"head\.": "final_conv.",
    },
)
