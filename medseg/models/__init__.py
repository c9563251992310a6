"""Networks and their parts. Torch only: no files, no configuration objects."""

from medseg.models.amsunet import AMSUnet
from medseg.models.attention_unet import AttentionUNet
from medseg.models.cmunext import CMUNeXt
from medseg.models.composed import ComposedUShape
from medseg.models.convunext import ConvUNeXt
from medseg.models.dcsaunet import DCSAUNet
from medseg.models.egeunet import EGEUNet
from medseg.models.mkunet import MKUNet
from medseg.models.reference import import_reference
from medseg.models.resunet import ResUNet
from medseg.models.segnext import SegNeXt
from medseg.models.sliding_window import SlidingWindowNet
from medseg.models.smp import SMPNetwork
from medseg.models.tinyunet import TinyUNet
from medseg.models.unet import UNet
from medseg.models.unet2015 import UNet2015
from medseg.models.unetpp import UNetPlusPlus
from medseg.models.unext import UNeXt

__all__ = [
    "AMSUnet",
    "AttentionUNet",
    "CMUNeXt",
    "ComposedUShape",
    "ConvUNeXt",
    "DCSAUNet",
    "EGEUNet",
    "MKUNet",
    "ResUNet",
    "SMPNetwork",
    "SegNeXt",
    "SlidingWindowNet",
    "TinyUNet",
    "UNeXt",
    "UNet",
    "UNet2015",
    "UNetPlusPlus",
    "import_reference",
]
