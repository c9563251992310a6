"""MK-UNet (SLDGroup/MK-UNet), its sizes alike."""

from __future__ import annotations

import re
from functools import partial

from medseg.models.mkunet import MKUNet
from medseg.models.reference.released import Released, Shapes, count_of, level, shape_of

LEVELS = range(1, 6)


def build(shapes: Shapes) -> partial[MKUNet]:
    """Return our MK-UNet with the arguments read from the shapes; the heads of deep supervision are kept."""
    name, first = "mkunet", "encoder1.0"
    hidden, in_channels = shape_of(name, shapes, f"{first}.pconv1.0.weight", 4)[:2]
    branches = count_of(shapes, rf"{re.escape(first)}\.multi_scale_dwconv\.dwconvs\.\d+\.0\.weight")
    kernels = [f"{first}.multi_scale_dwconv.dwconvs.{j}.0.weight" for j in range(branches)]
    return partial(
        MKUNet,
        in_channels=in_channels,
        num_classes=shape_of(name, shapes, "out4.weight", 4)[0],
        channels=[shape_of(name, shapes, f"encoder{k}.0.pconv2.0.weight", 4)[0] for k in LEVELS],
        depths=[count_of(shapes, rf"encoder{k}\.\d+\.pconv1\.0\.weight") for k in LEVELS],
        kernels=[shape_of(name, shapes, kernel, 4)[-1] for kernel in kernels],
        expansion=hidden // in_channels,
        gate_kernel=shape_of(name, shapes, "AG1.W_g.0.weight", 4)[-1],
        deep_supervision="out1.weight" in shapes,
    )


def block(match: re.Match[str]) -> str:
    """Rename a part of a block, of the encoder, or of the decoder, whose stages have one."""
    stage = f"{match['stage']}{int(match['level']) + 1}.{match['index'] or 0}"
    branch = f"multi_scale_dwconv.dwconvs.{match['branch']}"
    part = {"expand": "pconv1", "project": "pconv2", "shortcut": "conv1x1"}.get(match["part"], branch)
    return f"{stage}.{part}."


MKUNET = Released(
    build,
    {
        r"(?P<stage>encoder|decoder)\.(?P<level>\d)\.(?:(?P<index>\d+)\.)?"
        r"(?P<part>expand|project|shortcut|branches\.(?P<branch>\d+))\.": block,
        r"channel_attention\.(\d)\.weigh\.0\.": level("CA", ".fc1."),
        r"channel_attention\.(\d)\.weigh\.2\.": level("CA", ".fc2."),
        r"spatial_attention\.": "SA.",
        r"gates\.(\d)\.from_up\.": level("AG", ".W_g."),
        r"gates\.(\d)\.from_skip\.": level("AG", ".W_x."),
        r"gates\.(\d)\.psi\.": level("AG", ".psi."),
        r"auxiliary_heads\.(\d)\.": level("out", "."),
        r"head\.": "out4.",
    },
)
