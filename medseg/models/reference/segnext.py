"""SegNeXt (Visual-Attention-Network/SegNeXt), its four sizes alike."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.reference.released import Released, Renames, Shapes, count_of, shape_of
from medseg.models.segnext import SegNeXt

STAGES = range(1, 5)


def build(shapes: Shapes) -> partial[SegNeXt]:
    """Return our SegNeXt with the arguments read from the shapes.

    Three are not in them. The rank of the factorisation goes with the head's width in the released configurations: 64
    where that is 512 (B) or 1024 (L), 16 where it is less (T, S); so does the rate of stochastic depth, 0.3 for L and
    0.1 for the others. The dropout is the same in all.
    """
    name = "segnext"
    encoder, head = parts(shapes)
    hidden = [shape_of(name, shapes, f"{encoder}.block{k}.0.mlp.fc1.weight", 4)[:2] for k in STAGES]
    num_classes, head_channels = shape_of(name, shapes, f"{head}.conv_seg.weight", 4)[:2]
    return partial(
        SegNeXt,
        in_channels=shape_of(name, shapes, f"{encoder}.patch_embed1.proj.0.weight", 4)[1],
        num_classes=num_classes,
        dims=[channels for _, channels in hidden],
        depths=[count_of(shapes, rf"{encoder}\.block{k}\.\d+\.layer_scale_1") for k in STAGES],
        mlp_ratios=[width // channels for width, channels in hidden],
        head_channels=head_channels,
        rank=64 if head_channels >= 512 else 16,
        drop_path=0.3 if head_channels >= 1024 else 0.1,
    )


def parts(shapes: Shapes) -> tuple[str, str]:
    """Return what encoder and head are called: as in a checkpoint of the released code, or `b` and `h` for short."""
    short = any(key.startswith(("b.", "h.")) for key in shapes)
    return ("b", "h") if short else ("backbone", "decode_head")


def renames(shapes: Shapes) -> Renames:
    """Return the renames for a state, which depend on what it calls encoder, head and the norms of the head."""
    encoder, head = parts(shapes)
    # mmcv's ConvModule calls its norm by the kind of it.
    norm = "gn" if f"{head}.squeeze.gn.weight" in shapes else "norm"

    def stage(match: re.Match[str]) -> str:
        number = int(match["stage"]) + 1
        if match["part"] == "norm":
            return f"{encoder}.norm{number}."
        if match["part"] == "blocks":
            return f"{encoder}.block{number}.{match['index']}.{BLOCK[match['layer']]}"
        layer = f"proj.{match['index']}" if number == 1 else ("proj", "norm")[int(match["index"])]
        return f"{encoder}.patch_embed{number}.{layer}."

    block = "|".join(map(re.escape, BLOCK))
    return {
        rf"encoder\.(?P<stage>\d)\.(?P<part>blocks)\.(?P<index>\d+)\.(?P<layer>{block})": stage,
        r"encoder\.(?P<stage>\d)\.(?P<part>down)\.(?P<index>\d)\.": stage,
        r"encoder\.(?P<stage>\d)\.(?P<part>norm)\.": stage,
        r"head\.(squeeze|align)\.0\.": rf"{head}.\1.conv.",
        r"head\.(squeeze|align)\.1\.": rf"{head}.\1.{norm}.",
        r"head\.hamburger\.enter\.": f"{head}.hamburger.ham_in.conv.",
        r"head\.hamburger\.leave\.0\.": f"{head}.hamburger.ham_out.conv.",
        r"head\.hamburger\.leave\.1\.": f"{head}.hamburger.ham_out.{norm}.",
        r"head\.classifier\.": f"{head}.conv_seg.",
    }


BLOCK = {
    "norm1.": "norm1.",
    "attention.0.": "attn.proj_1.",
    "attention.2.local.": "attn.spatial_gating_unit.conv0.",
    **{
        f"attention.2.strips.{strip}.{part}.": f"attn.spatial_gating_unit.conv{strip}_{part + 1}."
        for strip in range(3)
        for part in range(2)
    },
    "attention.2.mix.": "attn.spatial_gating_unit.conv3.",
    "attention.3.": "attn.proj_2.",
    "norm2.": "norm2.",
    "ffn.0.": "mlp.fc1.",
    "ffn.1.": "mlp.dwconv.dwconv.",
    "ffn.3.": "mlp.fc2.",
    "scale1": "layer_scale_1",
    "scale2": "layer_scale_2",
}
"""Beginning of a name in our block -> in the released one."""

SEGNEXT = Released(build, renames)
