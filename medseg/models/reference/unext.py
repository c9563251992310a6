"""UNeXt and UNeXt-S (jeya-maria-jose/UNeXt-pytorch, UNext and UNext_S)."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.reference.released import Released, Shapes, level, shape_of
from medseg.models.unext import UNeXt


def build(shapes: Shapes) -> partial[UNeXt]:
    """Return our UNeXt with the arguments read from the shapes."""
    convolutions = ("encoder1", "encoder2", "encoder3", "patch_embed3.proj", "patch_embed4.proj")
    shapes_of = [shape_of("unext", shapes, f"{name}.weight", 4) for name in convolutions]
    return partial(
        UNeXt,
        in_channels=shapes_of[0][1],
        num_classes=shape_of("unext", shapes, "final.weight", 4)[0],
        channels=[shape[0] for shape in shapes_of],
    )


def block(match: re.Match[str]) -> str:
    """Rename a part of a shifted block, in the encoder or after a sum in the decoder."""
    prefix = {"tokens": "block", "mixers": "dblock"}[match["place"]]
    parts = {"norm": "norm2", "mlp.1": "mlp.fc1", "mlp.2": "mlp.dwconv.dwconv", "mlp.5": "mlp.fc2"}
    return f"{prefix}{int(match['number']) + 1}.0.{parts[match['part']]}."


def tokens(match: re.Match[str]) -> str:
    """Rename a tokenised stage's patch embedding and closing norm; the released numbers begin at 3."""
    number = int(match[1]) + 3
    return f"norm{number}." if match[2] == "3" else f"patch_embed{number}.{'proj' if match[2] == '0' else 'norm'}."


UNEXT = Released(
    build,
    {
        r"encoder\.(\d)\.0\.": level("encoder", "."),
        r"encoder\.(\d)\.1\.": level("ebn", "."),
        r"(?P<place>tokens|mixers)\.(?P<number>\d)\.\d\.(?P<part>norm|mlp\.\d)\.": block,
        r"tokens\.(\d)\.(\d)\.": tokens,
        r"mixers\.(\d)\.1\.": lambda match: f"dnorm{int(match[1]) + 3}.",
        r"decoder\.(\d)\.0\.": level("decoder", "."),
        r"decoder\.(\d)\.1\.": level("dbn", "."),
        r"head\.": "final.",
    },
)
