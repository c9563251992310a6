"""Networks and their parts. Torch only: no files, no configuration objects."""

from medseg.models.convunext import ConvUNeXt
from medseg.models.reference import import_reference
from medseg.models.unet import UNet

__all__ = ["ConvUNeXt", "UNet", "import_reference"]
