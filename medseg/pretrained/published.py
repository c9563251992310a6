"""What segmentation-models-pytorch and timm know of an encoder: its published weights, and their normalisation."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, device

from medseg.config.encoders import TIMM, full_encoder_name
from medseg.errors import ConfigError, close_matches
from medseg.models.smp import check_encoder
from medseg.pretrained.hub import USUAL_FILES

Normalisation = tuple[list[float], list[float]]
"""Mean and standard deviation of red, green and blue, for images in 0..1."""

IMAGENET: Normalisation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
"""What most encoders were trained with."""

SHOWN = 12
"""Most names that a message lists."""

TIMM_NAMES = {"inceptionv4": "inception_v4", "inceptionresnetv2": "inception_resnet_v2", "xception": "legacy_xception"}
"""Encoders of segmentation-models-pytorch that timm has under another name."""


@dataclass(frozen=True)
class Published:
    """Weights in a repository of the Hugging Face Hub.

    Args:
        repository: owner and name.
        revision: branch, tag or commit; None is the main branch.
        files: paths in the repository; the first that is there is taken.
        normalisation: None where the repository's config.json tells it.
    """

    repository: str
    revision: str | None = None
    files: Sequence[str] = USUAL_FILES
    normalisation: Normalisation | None = None


def find_published(name: str, encoder_name: str | None) -> Published:
    """Return the weights of an encoder that are known by a name, such as imagenet, or a tag of timm's.

    Raises `ConfigError` for another name, and an encoder that has none.
    """
    called = f"model.encoder_weights={name}"
    here = f" (there is a file of this name here: give ./{name})" if Path(name).exists() else ""
    others = "a file, package:<name> or hf:<owner>/<repository>, or null for none"
    if encoder_name is None:
        raise ConfigError(f"{called}: only encoders of model=smp have weights known by a name; give {others}{here}")
    check_encoder(encoder_name)
    known = published_weights(encoder_name)
    if not known:
        raise ConfigError(f"{called}: {encoder_name} has no published weights; give {others}{here}")
    if name not in known:
        names = ", ".join(list(known)[:SHOWN]) + (", ..." if len(known) > SHOWN else "")
        hint = here or close_matches(name, known)
        raise ConfigError(f"{called}: {encoder_name} has {names}{hint}; or give {others}")
    return known[name]


def published_weights(encoder_name: str) -> dict[str, Published]:
    """Return the published weights of an encoder of `model=smp` by their names; timm's by tags, the first as imagenet.

    Those of timm's that are not on the Hub are left out.
    """
    name = full_encoder_name(encoder_name)
    if not name.startswith(TIMM):
        import segmentation_models_pytorch as smp  # not above: it takes seconds

        settings = smp.encoders.encoders[name]["pretrained_settings"]
        return {
            key: Published(one["repo_id"], one["revision"], ("model.safetensors",)) for key, one in settings.items()
        }
    import timm

    base, _, tag = name.removeprefix(TIMM).partition(".")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
    known: dict[str, Published] = {}
    default = timm.get_pretrained_cfg(name.removeprefix(TIMM))
    for key in (tag or (default.tag if default else ""), *tags):
        cfg = timm.get_pretrained_cfg(f"{base}.{key}" if key else base, allow_unregistered=False)
        if cfg is not None and cfg.hf_hub_id:
            files = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else USUAL_FILES
            one = Published(cfg.hf_hub_id, None, files, (list(cfg.mean), list(cfg.std)))
            known.setdefault("imagenet", one)
            known.setdefault(key or "imagenet", one)
    return known


def normalisation_of(encoder_name: str | None) -> tuple[Normalisation, str]:
    """Return the normalisation that an encoder's weights are usually trained with, and who tells."""
    if encoder_name is not None:
        import timm

        name = full_encoder_name(encoder_name).removeprefix(TIMM).removeprefix("timm-")
        name = TIMM_NAMES.get(name, name)
        cfg = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
        if cfg is not None and cfg.mean and cfg.std and len(cfg.mean) == len(cfg.std) == 3:
            return (list(cfg.mean), list(cfg.std)), f"timm's {name}"
    return IMAGENET, "ImageNet, as for most encoders"


def normalisation_in(file: Path, called: str) -> Normalisation | None:
    """Return the normalisation in the config.json of a repository; None where it tells none.

    Raises `ConfigError` for weights that take blue, green, red.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content = content.get("pretrained_cfg") or content
        mean, std = ([float(value) for value in content[key]] for key in ("mean", "std"))
        high = float((content.get("input_range") or (0, 1))[1])
        order = str(content.get("input_space", "RGB"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None
    if order.upper() != "RGB":
        raise ConfigError(f"{called}: these weights take images in the order {order}; medseg's are RGB")
    fits = len(mean) == len(std) == 3 and min(std) > 0 and high > 0
    return ([value / high for value in mean], [value / high for value in std]) if fits else None


def convert(encoder_name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return weights of another code under timm's names, where timm can convert them; else None.

    Many of its networks have a function for the names, and the sizes of position embeddings, of their authors' files.
    """
    name = full_encoder_name(encoder_name)
    if not name.startswith(TIMM):
        return None
    import timm

    name = name.removeprefix(TIMM)
    if not timm.is_model(name):  # of a custom class
        return None
    module = sys.modules[timm.model_entrypoint(name.partition(".")[0]).__module__]
    function: Any = getattr(module, "checkpoint_filter_fn", None)
    if function is None:
        return None
    with device("meta"):
        network = timm.create_model(name)
    try:
        converted = function(dict(state), network)
    except Exception:  # these are no weights that it knows
        return None
    return {key: value for key, value in converted.items() if isinstance(value, Tensor)}
