"""Any network of segmentation-models-pytorch, with any of its encoders and of timm's that fits it.

The networks of the library, with three differences: images of any size are padded to what the encoder takes and the
logits cropped, where most of its networks refuse them; timm's encoders of one image size, Swin among them, are opened
to others where timm can; what does not exist or fit together is refused in one line.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from medseg.config.encoders import TIMM, full_encoder_name
from medseg.errors import ConfigError, close_matches, first_line
from medseg.models.facts import NetworkFacts
from medseg.models.layers import check_size, pad_to, pad_to_multiple

NO_ONNX = dict.fromkeys(
    ("pspnet", "upernet"), "it pools to a fixed number of cells, for which ONNX has no operator that takes any size"
)
"""Networks that cannot be exported to ONNX, and why."""


class SMPNetwork(nn.Module):
    """A network of the library; maps N x in_channels x H x W to logits N x num_classes x H x W.

    H and W are at least `min_size`, which depends on the network and is measured by trials when it is built: 32 for
    most, 8 for pspnet and deeplabv3, 128 for pan. A few encoders have windows of one size, maxvit for example: images
    are padded to multiples of 224 or 256 for them. In training, deeplabv3, deeplabv3plus, pan and upernet need two
    images in a batch, since they pool to one pixel before a batch norm.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        arch: the library's name of a network: unet, unetplusplus, manet, linknet, fpn, pspnet, deeplabv3,
            deeplabv3plus, pan, upernet, segformer or dpt.
        encoder_name: one of the library's encoders, such as resnet18, or one of timm's, such as convnext_tiny or
            swin_tiny_patch4_window7_224; `tu-` before the name means timm's where the library has one of that name
            as well. Plain vision transformers fit dpt only, which takes no encoder but timm's.
        options: further arguments of the network, such as decoder_attention_type="scse", and of timm's encoder.

    Raises `ConfigError` for names, options and combinations that the library does not have.
    """

    facts = NetworkFacts(
        about="Any network of segmentation-models-pytorch, with any of its encoders and of timm's that fits it.",
        paper="Iakubovskii, segmentation-models-pytorch (github.com/qubvel-org/segmentation_models.pytorch, MIT); "
        "Wightman, timm (github.com/huggingface/pytorch-image-models, Apache-2.0)",
        code="qubvel-org/segmentation_models.pytorch",
    )

    encoder_parts = ("network.encoder",)
    """See `medseg.models.encoder`."""

    min_size: int
    """Smallest height and width that the network takes, in pixels."""

    multiple: int
    """Images are padded to multiples of this number of pixels."""

    no_onnx: str
    """Why the network cannot be exported to ONNX; empty where it can."""

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        arch: str = "unet",
        encoder_name: str = "resnet18",
        **options: Any,
    ) -> None:
        # Importing the library takes seconds, which only its users should wait for.
        import segmentation_models_pytorch as smp

        super().__init__()
        arch = arch.lower()
        _check_arch(arch)
        check_encoder(encoder_name)
        encoder_name = full_encoder_name(encoder_name)
        _check_options(arch, encoder_name, options)
        try:
            self.network: nn.Module = smp.create_model(
                arch,
                encoder_name,
                None,
                in_channels,
                num_classes,
                **_size_options(encoder_name) | options,
            )
        except Exception as error:
            raise ConfigError(f"{_called(arch, encoder_name)} cannot be built: {first_line(error)}") from error
        self.no_onnx = NO_ONNX.get(arch, "")
        # dpt halves the features of vision transformers down to 1/32, whatever the size of their patches.
        stride = math.lcm(int(self.network.encoder.output_stride), 32 if arch == "dpt" else 1)
        self.min_size, self.multiple = _sizes(self.network, stride, in_channels, _called(arch, encoder_name))

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits of images N x in_channels x H x W; raises `UserError` for images below `min_size`."""
        check_size(self, image, self.min_size)
        return pad_to(self.network(pad_to_multiple(image, self.multiple)), image.shape[-2:])


def _sizes(network: nn.Module, stride: int, in_channels: int, called: str) -> tuple[int, int]:
    """Find by trying the smallest size that a network takes, and of which number sizes must be multiples.

    That is the stride, unless an encoder needs windows of one size. Raises `ConfigError` where there is no such size.
    """
    device = next(network.parameters()).device
    reasons = []

    def takes(size: int) -> bool:
        try:
            height, width = network(torch.zeros(1, in_channels, size, size, device=device)).shape[-2:]
        except Exception as error:
            reasons.append(first_line(error))
            return False
        reasons.append(f"it returns {height} x {width} pixels for {size} x {size}")
        return height == width == size

    made_for = _native_size(network) // stride * stride
    network.eval()
    with torch.no_grad():
        for size in sorted({stride, 2 * stride, 4 * stride, 8 * stride, made_for or stride}):
            if takes(size):
                for multiple in (stride, size):
                    if takes(size + multiple):
                        network.train()
                        return size, multiple
                raise ConfigError(
                    f"{called} takes images of {size} x {size} pixels only: choose another encoder ({reasons[-1]})"
                )
    raise ConfigError(f"{called} does not work: choose another arch, encoder or option ({reasons[-1]})")


def _called(arch: str, encoder_name: str) -> str:
    """Name a network in a message."""
    return f"segmentation-models-pytorch's {arch} with encoder {encoder_name}"


def _check_arch(arch: str) -> None:
    """Raise `ConfigError` unless the library has a network `arch`."""
    known = _architectures()
    if arch not in known:
        raise ConfigError(f"unknown arch '{arch}'{close_matches(arch, known)} (there are: {', '.join(known)})")


def check_encoder(encoder_name: str) -> None:
    """Raise `ConfigError` unless the library or timm has this encoder; `TIMM` before the name means timm's.

    timm would also take addresses of models on the Hugging Face Hub, and folders, which are refused here: pretrained
    weights are another option.
    """
    import segmentation_models_pytorch as smp
    import timm

    own = smp.encoders.get_encoder_names()
    name = encoder_name.removeprefix(TIMM)
    if encoder_name in own or (":" not in name and timm.is_model(name)):
        return
    known = [*own, *timm.list_models()]
    raise ConfigError(
        f"unknown encoder_name '{encoder_name}'{close_matches(encoder_name, known)} (there are"
        f" {len(own)} of segmentation-models-pytorch, such as {own[0]}, and {len(known) - len(own)} of timm)"
    )


def _check_options(arch: str, encoder_name: str, options: Iterable[str]) -> None:
    """Raise `ConfigError` for an argument that the network does not have, which the library would overlook.

    With an encoder of timm's, the unknown ones are timm's to judge, but none that selects what is loaded. An activation
    and a second output are no options, since medseg's losses take logits.
    """
    import timm

    own = set(inspect.signature(_architectures()[arch]).parameters) - {"kwargs"}
    own -= {"encoder_name", "encoder_weights", "in_channels", "classes", "activation", "aux_params"}
    for key in options:
        loads = key in inspect.signature(timm.create_model).parameters or key.startswith(("pretrained", "_"))
        excluded = key in ("activation", "aux_params") or loads
        if key not in own and (excluded or not encoder_name.startswith(TIMM)):
            raise ConfigError(
                f"{_called(arch, encoder_name)} takes no '{key}'{close_matches(key, own)}"
                f" (it takes: {', '.join(sorted(own))})"
            )


def _size_options(encoder_name: str) -> dict[str, Any]:
    """Return the arguments that make an encoder take images of any size, where it needs and has such."""
    import timm

    name = encoder_name.removeprefix(TIMM)
    known = timm.get_pretrained_cfg(name) if encoder_name.startswith(TIMM) else None
    if known is None or not known.fixed_input_size:
        return {}
    with torch.device("meta"):
        encoder = timm.create_model(name)
    return {"dynamic_img_size": True} if "dynamic_img_size" in inspect.signature(type(encoder)).parameters else {}


def _native_size(network: nn.Module) -> int:
    """Return the image size that a network's encoder was made for, in pixels; 0 for one that is not timm's."""
    made_for = getattr(getattr(network.encoder, "model", None), "pretrained_cfg", None) or {}
    return int(made_for.get("input_size", (0, 0, 0))[-1])


def _architectures() -> dict[str, type[nn.Module]]:
    """Return the library's networks by their names."""
    import segmentation_models_pytorch as smp

    return smp.MODEL_ARCHITECTURES_MAPPING
