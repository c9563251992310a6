"""EGE-UNet (JCruan519/EGE-UNet). Its sigmoids at the end are no part of ours, which returns logits."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.egeunet import EGEUNet
from medseg.models.reference.released import Released, Shapes, level, shape_of


def build(shapes: Shapes) -> partial[EGEUNet]:
    """Return our EGE-UNet with the arguments read from the shapes; deep supervision is not in them."""
    outputs = [*(f"encoder{k}.0.weight" for k in (1, 2, 3)), *(f"encoder{k}.0.ldw.2.weight" for k in (4, 5, 6))]
    return partial(
        EGEUNet,
        in_channels=shape_of("egeunet", shapes, outputs[0], 4)[1],
        num_classes=shape_of("egeunet", shapes, "final.weight", 4)[0],
        channels=[shape_of("egeunet", shapes, output, 4)[0] for output in outputs],
    )


def block(match: re.Match[str]) -> str:
    """Rename a part of a block with learned maps; what has no other name is called the same."""
    return f"{match['side']}{int(match['stage']) + 1}.0.{BLOCK.get(match['part'], match['part'])}"


def bridge(match: re.Match[str]) -> str:
    """Rename a part of a bridge; the released ones are numbered from the shallowest."""
    part = match["part"]
    if part == "project":
        part = "pre_project"
    elif part == "mix":
        part = "tail_conv"
    else:
        part = part.replace("groups.", "g")
    return f"GAB{5 - int(match['number'])}.{part}."


BLOCK = {
    "map_hw": "params_xy",
    "map_h": "params_zx",
    "map_w": "params_zy",
    "conv_hw": "conv_xy",
    "conv_h": "conv_zx",
    "conv_w": "conv_zy",
    "local": "dw",
    "mix": "ldw",
}
"""Part of our block -> of the released one."""

EGEUNET = Released(
    build,
    {
        rf"(?P<side>encoder|decoder)\.(?P<stage>\d)\.0\.(?P<part>{'|'.join(BLOCK)}|norm\d)(?=\.|$)": block,
        r"encoder\.(\d)\.0\.": level("encoder", ".0."),
        r"encoder\.(\d)\.1\.": level("ebn", "."),
        r"decoder\.(\d)\.0\.": level("decoder", ".0."),
        r"decoder\.(\d)\.1\.": level("dbn", "."),
        r"masks\.(\d)\.": level("gt_conv", ".0."),
        r"bridges\.(?P<number>\d)\.(?P<part>project|mix|groups\.\d)\.": bridge,
        r"head\.": "final.",
    },
)
