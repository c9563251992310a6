"""Networks and their parts. Torch only: no files, no configuration objects."""

from medseg.models.amsunet import AMSUnet
from medseg.models.attention_unet import AttentionUNet
from medseg.models.cmunext import CMUNeXt
from medseg.models.composed import ComposedUShape
from medseg.models.convunext import ConvUNeXt
from medseg.models.reference import import_reference
from medseg.models.resunet import ResUNet
from medseg.models.unet import UNet

__all__ = [
    "AMSUnet",
    "AttentionUNet",
    "CMUNeXt",
    "ComposedUShape",
    "ConvUNeXt",
    "ResUNet",
    "UNet",
    "import_reference",
]
