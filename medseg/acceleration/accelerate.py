"""Put the faster operations into a network."""

from __future__ import annotations

from torch import nn

from medseg.acceleration.depthwise import DepthwiseConv2d, has_slow_gradient
from medseg.acceleration.dilated import DilatedConv2d, is_dilated
from medseg.acceleration.upsampling import LINEAR_MODES, BicubicUpsample, Upsample, is_bicubic


def accelerate(network: nn.Module) -> nn.Module:
    """Let a network compute on a CPU what PyTorch computes slowly there another way, and return the network.

    It stays the same function of the same parameters, under the same names: wide and dilated depth-wise convolutions
    become `DepthwiseConv2d`, other dilated ones `DilatedConv2d`, linear up-samplings `Upsample`, bicubic ones
    `BicubicUpsample`. They differ from PyTorch's in the backward pass on a CPU only.
    """
    for module in network.modules():
        if has_slow_gradient(module):
            module.__class__ = DepthwiseConv2d
        elif is_dilated(module):
            module.__class__ = DilatedConv2d
        elif type(module) is nn.Upsample and module.mode in LINEAR_MODES:
            module.__class__ = Upsample
        elif is_bicubic(module):
            module.__class__ = BicubicUpsample
    return network
