"""What the options `encoder_weights` and `encoder_name` mean as texts; nothing is looked up, so it takes no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

PACKAGE = "package:"
"""Before the name of an installed package that holds weights."""

HUB = "hf:"
"""Before a repository of the Hugging Face Hub."""

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".npz", ".safetensors")
"""Of files with weights."""

TIMM = "tu-"
"""How segmentation-models-pytorch marks the names of timm's encoders."""

SMP_ENCODERS = frozenset(
    {
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x4d",
        "resnext101_32x8d", "resnext101_32x16d", "resnext101_32x32d", "resnext101_32x48d", "dpn68", "dpn68b",
        "dpn92", "dpn98", "dpn107", "dpn131", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn",
        "vgg19", "vgg19_bn", "senet154", "se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d",
        "se_resnext101_32x4d", "densenet121", "densenet169", "densenet201", "densenet161", "inceptionresnetv2",
        "inceptionv4", "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3",
        "efficientnet-b4", "efficientnet-b5", "efficientnet-b6", "efficientnet-b7", "mobilenet_v2", "xception",
        "timm-efficientnet-b0", "timm-efficientnet-b1", "timm-efficientnet-b2", "timm-efficientnet-b3",
        "timm-efficientnet-b4", "timm-efficientnet-b5", "timm-efficientnet-b6", "timm-efficientnet-b7",
        "timm-efficientnet-b8", "timm-efficientnet-l2", "timm-tf_efficientnet_lite0", "timm-tf_efficientnet_lite1",
        "timm-tf_efficientnet_lite2", "timm-tf_efficientnet_lite3", "timm-tf_efficientnet_lite4", "timm-skresnet18",
        "timm-skresnet34", "timm-skresnext50_32x4d", "mit_b0", "mit_b1", "mit_b2", "mit_b3", "mit_b4", "mit_b5",
        "mobileone_s0", "mobileone_s1", "mobileone_s2", "mobileone_s3", "mobileone_s4",
    }
)  # fmt: skip
"""The encoders of segmentation-models-pytorch itself. They are listed here because the library takes seconds to import,
and the name of a run depends on them."""


def kind_of(source: str) -> Literal["package", "hub", "file", "name"]:
    """Tell what `encoder_weights` names: a package, a repository, a file or folder, or weights known by a name."""
    if source.startswith(PACKAGE):
        return "package"
    if source.startswith(HUB):
        return "hub"
    looks_like_a_file = "/" in source or "\\" in source or source.startswith(("~", "."))
    return "file" if looks_like_a_file or source.lower().endswith(SUFFIXES) else "name"


def without_folder(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a network with the name alone of a file that `encoder_weights` names."""
    source = model.get("encoder_weights")
    if isinstance(source, str) and kind_of(source) == "file":
        return {**model, "encoder_weights": Path(source).name}
    return dict(model)


def full_encoder_name(name: str) -> str:
    """Return the name of an encoder as segmentation-models-pytorch has it, else as timm has it.

    A tag of pretrained weights (`convnext_tiny.fb_in1k`) stays.
    """
    return name if name in SMP_ENCODERS or name.startswith(TIMM) else f"{TIMM}{name}"
