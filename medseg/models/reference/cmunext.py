"""CMUNeXt (FengheTan9/CMUNeXt)."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.cmunext import CMUNeXt
from medseg.models.reference.released import Released, Shapes, count_of, shape_of

LEVELS = range(1, 6)


def build(shapes: Shapes) -> partial[CMUNeXt]:
    """Return our CMUNeXt with the arguments read from the shapes."""
    kernels = [f"encoder{k}.block.0.0.fn.0.weight" for k in LEVELS]
    return partial(
        CMUNeXt,
        in_channels=shape_of("cmunext", shapes, "stem.conv.0.weight", 4)[1],
        num_classes=shape_of("cmunext", shapes, "Conv_1x1.weight", 4)[0],
        channels=[shape_of("cmunext", shapes, f"encoder{k}.up.conv.0.weight", 4)[0] for k in LEVELS],
        depths=[count_of(shapes, rf"encoder{k}\.block\.\d+\.0\.fn\.0\.weight") for k in LEVELS],
        kernels=[shape_of("cmunext", shapes, kernel, 4)[-1] for kernel in kernels],
    )


def block(match: re.Match[str]) -> str:
    """Rename a part of a block. Before the blocks of a stage, ours has the pooling, or in the stem a convolution."""
    index, layer = int(match["index"]) - 1, int(match["layer"])
    part = f"0.fn.{layer}" if match["part"] == "depthwise" else f"{layer + 1}"
    return f"encoder{number(match)}.block.{index}.{part}."


def widening(match: re.Match[str]) -> str:
    """Rename the convolution that closes a stage."""
    return f"encoder{number(match)}.up.conv."


def number(match: re.Match[str]) -> int:
    """Return the number of a stage in the released code: the stem's blocks are the first stage."""
    return int(match["level"]) + 2 if match["level"] else 1


STAGE = r"(?:stem|encoder\.(?P<level>\d))\.(?P<index>\d+)\."

CMUNEXT = Released(
    build,
    {
        r"stem\.0\.": "stem.conv.",
        STAGE + r"(?P<part>depthwise|pointwise)\.(?P<layer>\d+)\.": block,
        STAGE: widening,
        r"decoder\.(\d)\.up\.1\.(\d)\.": lambda match: f"Up{5 - int(match[1])}.up.{int(match[2]) + 1}.",
        r"decoder\.(\d)\.fuse\.": lambda match: f"Up_conv{5 - int(match[1])}.conv.",
        r"head\.": "Conv_1x1.",
    },
)
