"""AMSUnet (llluochen/AMSUnet)."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.amsunet import AMSUnet
from medseg.models.reference.released import Released, Shapes, level, shape_of


def build(shapes: Shapes) -> partial[AMSUnet]:
    """Return our AMSUnet with the arguments read from the shapes; dilations do not show in them: the released ones."""
    base, in_channels = shape_of("amsunet", shapes, "in_conv.0.weight", 4)[:2]
    strips = [f"in_conv.3.attn.ams.conv{k}_1.weight" for k in range(3)]
    return partial(
        AMSUnet,
        in_channels=in_channels,
        num_classes=shape_of("amsunet", shapes, "out_conv.0.weight", 4)[0],
        base_channels=base,
        undilated="in_conv.3.attn.ams.conv.weight" in shapes,
        local_kernel=shape_of("amsunet", shapes, "in_conv.3.attn.ams.conv0.weight", 4)[-1],
        strip_kernels=[shape_of("amsunet", shapes, strip, 4)[-1] for strip in strips],
        skip="rsc" if "up1.satt.squeeze.weight" in shapes else "identity",
    )


PARTS = {
    "norm1": "bn1",
    "attention.0": "attn.conv1",
    "attention.2.local": "attn.ams.conv",
    "attention.2.atrous": "attn.ams.conv0",
    "attention.2.mix": "attn.ams.conv3",
    "attention.3": "attn.conv2",
    "norm2": "bn2",
    "ffn.0": "ffn.conv1",
    "ffn.1": "ffn.conv2",
    "ffn.3": "ffn.conv3",
    **{f"attention.2.strips.{k}.{j}": f"attn.ams.conv{k}_{j + 1}" for k in range(3) for j in range(2)},
}
"""Our names of a block's parts -> the released ones."""


def block(match: re.Match[str]) -> str:
    """Rename a part of a block."""
    place = match["place"]
    if place == "stem.3":
        prefix = "in_conv.3"
    elif place.startswith("encoder"):
        prefix = f"down{int(place.split('.')[1]) + 1}.2"
    else:
        prefix = f"up{int(place.split('.')[1]) + 1}.conv.0"
    return f"{prefix}.{PARTS[match['part']]}."


AMSUNET = Released(
    build,
    {
        r"(?P<place>stem\.3|encoder\.\d\.2|decoder\.\d\.fuse\.1)\.(?P<part>"
        + "|".join(re.escape(part) for part in PARTS)
        + r")\.": block,
        r"stem\.": "in_conv.",
        r"encoder\.(\d)\.": level("down", "."),
        r"decoder\.(\d)\.up\.0\.": level("up", ".norm."),
        r"decoder\.(\d)\.skip\.spatial\.": level("up", ".satt.squeeze."),
        r"decoder\.(\d)\.skip\.weigh\.0\.": level("up", ".catt.conv1."),
        r"decoder\.(\d)\.skip\.weigh\.2\.": level("up", ".catt.conv2."),
        r"decoder\.(\d)\.fuse\.0\.": level("up", ".conv1x1."),
        r"head\.": "out_conv.0.",
    },
)
