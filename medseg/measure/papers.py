"""The networks that the papers propose, compare with or build on, and what the papers claim of their sizes.

A row names a file of `conf/model/` and what to change in it. The claims are AMSUnet's and ConvUNeXt's: of AMSUnet that
it has 60.6 % of the parameters of U-Net, 74.6 % of ConvUNeXt and 47.3 % of ResUNet, of ConvUNeXt that it has 20 % fewer
than U-Net. Their U-Net is the bilinear one with 32 channels, as the counts tell. No public ResUNet has the 5.54 million
parameters that 47.3 % would need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """What a paper says of a network's parameters, and how to count it.

    Args:
        says: the paper's words, shortened.
        count: the network's parameters and those of all rows by name -> the same, counted.
    """

    says: str
    count: Callable[[int, Mapping[str, int]], str]


@dataclass(frozen=True)
class Row:
    """A network of the size table.

    Args:
        name: for people.
        overrides: how to ask for it, `unet model.base_channels=64` for `model=unet model.base_channels=64`.
        num_classes: the number of outputs that the paper or its code counts with.
        in_channels: likewise.
        claims: what papers say of its size.
    """

    name: str
    overrides: str
    num_classes: int
    in_channels: int = 3
    claims: tuple[Claim, ...] = ()


def _share(of: str) -> Callable[[int, Mapping[str, int]], str]:
    return lambda own, others: f"{100 * own / others[of]:.1f} %"


def _fewer(than: str) -> Callable[[int, Mapping[str, int]], str]:
    return lambda own, others: f"{100 - 100 * own / others[than]:.1f} % fewer"


ROWS = (
    Row("U-Net", "unet", 2),
    Row("U-Net, transposed convolutions", "unet model.upsampling=transposed", 2),
    Row("U-Net 64", "unet model.base_channels=64", 2),
    Row("U-Net 64, transposed convolutions", "unet model.base_channels=64 model.upsampling=transposed", 2),
    Row("U-Net 2015", "unet2015", 2, in_channels=1),
    Row("Attention U-Net", "attention_unet", 1),
    Row("Attention U-Net 32", "attention_unet model.base_channels=32", 2),
    Row("UNet++", "unetpp", 1),
    Row("UNet++, deep supervision", "unetpp model.deep_supervision=true", 1),
    Row("ResUNet", "resunet", 1),
    Row("ResUNet 32", "resunet model.base_channels=32", 1),
    Row("ConvUNeXt", "convunext", 2, claims=(Claim("20 % fewer than U-Net", _fewer("U-Net")),)),
    Row("ConvUNeXt 16", "convunext model.base_channels=16", 2),
    Row("ConvUNeXt 64", "convunext model.base_channels=64", 2),
    Row(
        "AMSUnet",
        "amsunet",
        2,
        claims=(
            Claim("60.6 % of U-Net", _share("U-Net")),
            Claim("74.6 % of ConvUNeXt", _share("ConvUNeXt")),
            Claim("47.3 % of ResUNet", lambda own, others: "unknown: which ResUNet is not public"),
        ),
    ),
    Row("AMSUnet 16", "amsunet model.base_channels=16", 2),
    Row("AMSUnet 64", "amsunet model.base_channels=64", 2),
    Row("UNeXt", "unext", 1),
    Row("UNeXt-S", "unext_s", 1),
    Row("UNeXt-L", "unext_l", 1),
    Row("CMUNeXt-S", "cmunext_s", 1),
    Row("CMUNeXt", "cmunext", 1),
    Row("CMUNeXt-L", "cmunext_l", 1),
    Row("SegNeXt-T", "segnext_t", 1),
    Row("SegNeXt-S", "segnext_s", 1),
    Row("SegNeXt-B", "segnext_b", 1),
    Row("SegNeXt-L", "segnext_l", 1),
)
