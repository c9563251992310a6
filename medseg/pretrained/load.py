"""Pretrained weights put into the encoder of a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from medseg.config.encoders import kind_of
from medseg.errors import UserError
from medseg.models.encoder import encoder_of
from medseg.models.reference.released import Released
from medseg.models.reference.segnext import SEGNEXT
from medseg.models.segnext import SegNeXt
from medseg.pretrained.matching import Encoder, Match, match_by_name, match_by_order, match_renamed
from medseg.pretrained.published import convert
from medseg.pretrained.sources import EncoderWeights

log = logging.getLogger(__name__)

RELEASED_ENCODERS: dict[type[nn.Module], Released] = {SegNeXt: SEGNEXT}
"""Networks whose authors have released files of the encoder alone, with other names of weights."""

SHOWN = 4
"""Most names that a message lists."""


@dataclass(frozen=True)
class Loaded:
    """What was loaded.

    Args:
        source: as the user named it; of a file, its name.
        file: name of the file.
        sha256: of the file.
        tensors: how many were loaded, which is all of the encoder.
        matched: how they were matched.
        unused: names in the file that the encoder has no use for.
        first_convolution: how it was fitted to the channels of the images; empty where it fits.
        mean, std: per channel, of images in 0..1; None where the data's are taken.
        normalisation_of: who tells mean and std.
    """

    source: str
    file: str
    sha256: str
    tensors: int
    matched: str
    unused: list[str]
    first_convolution: str
    mean: list[float] | None
    std: list[float] | None
    normalisation_of: str

    def __str__(self) -> str:
        file = "" if self.source == self.file else f", {self.file}"
        listed = f" ({', '.join(self.unused[:SHOWN])}{', ...' if len(self.unused) > SHOWN else ''})"
        normalised = f"mean {rounded(self.mean)} and std {rounded(self.std)} are those of {self.normalisation_of}"
        parts = [
            f"encoder: all {self.tensors} tensors loaded from {self.source}{file}, SHA-256 {self.sha256[:12]}",
            f"matched {self.matched}",
            f"{len(self.unused) or 'none'} of the file not used{listed if self.unused else ''}",
            self.first_convolution,
            normalised if self.mean else "mean and std are those of the training split",
        ]
        return "; ".join(part for part in parts if part)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a file."""
        return asdict(self)


def load_encoder(
    network: nn.Module, weights: EncoderWeights, *, in_channels: int = 3, encoder_name: str | None = None
) -> Loaded:
    """Load pretrained weights into all of a network's encoder, and log in one line what was loaded.

    Tensors are matched by name; by the names of the authors' code where medseg or timm knows them; or else by order and
    shape. See `medseg.pretrained.matching`.

    Args:
        network: as it was built; see `medseg.models.encoder` for which part is its encoder.
        weights: from `read_weights`.
        in_channels: of the images. The first convolution of weights for others is fitted to them.
        encoder_name: of `model=smp`; None for another network.

    Raises `UserError`, naming the first difference, where not every parameter of the encoder has a tensor in the file.
    The network is as it was then.
    """
    tensors = {
        f"{part}.{name}": value
        for part, module in encoder_of(network).items()
        for name, value in module.state_dict().items()
    }
    encoder = Encoder(tensors, in_channels)
    try:
        match, state = find_match(type(network), encoder, weights, encoder_name)
    except UserError as error:
        raise UserError(
            f"model.encoder_weights={weights.source}: {weights.file.name} does not fit the encoder of "
            f"{encoder_name or type(network).__name__}: {error}"
        ) from None
    adapted = ""
    with torch.no_grad():
        for name, other in match.names.items():
            value = state[other]
            if value.ndim == tensors[name].ndim == 4 and value.shape[1] != tensors[name].shape[1]:
                adapted = f"first convolution fitted from {value.shape[1]} to {tensors[name].shape[1]} channels"
                value = with_channels(value, tensors[name].shape[1])
            tensors[name].copy_(value.reshape(tensors[name].shape))
    mean, std = weights.normalisation_for(in_channels) or (None, None)
    loaded = Loaded(
        source=weights.file.name if kind_of(weights.source) == "file" else weights.source,
        file=weights.file.name,
        sha256=weights.sha256,
        tensors=len(match.names),
        matched=match.how,
        unused=list(match.unused),
        first_convolution=adapted,
        mean=mean,
        std=std,
        normalisation_of=weights.normalisation_of,
    )
    log.info("%s", loaded)
    return loaded


def find_match(
    network: type[nn.Module], encoder: Encoder, weights: EncoderWeights, encoder_name: str | None
) -> tuple[Match, Mapping[str, Tensor]]:
    """Match weights to an encoder; return also the weights under the names that were matched.

    Raises `UserError` naming the first difference.
    """
    state = weights.state
    by_name = match_by_name(encoder, state)
    if isinstance(by_name, Match):
        return by_name, state
    released = RELEASED_ENCODERS.get(network)
    if released is not None:
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        rename = partial(released.rename, shapes=shapes)
        match = match_renamed(encoder, state, rename, "by the names of the authors' code")
        if match is not None:
            return match, state
    converted = convert(encoder_name, state) if encoder_name is not None else None
    if converted:
        match_converted = match_by_name(encoder, converted, "by name, as timm converts them")
        if isinstance(match_converted, Match):
            return match_converted, converted
    if not weights.ordered:
        raise UserError(
            by_name or "the names differ, and a safetensors file does not keep the order of the network to match by"
        )
    by_order = match_by_order(encoder, state)
    if isinstance(by_order, Match):
        return by_order, state
    raise UserError(by_name or f"neither the names fit nor the order: {by_order}")


def with_channels(weight: Tensor, channels: int) -> Tensor:
    """Fit the weights of a first convolution to images with other channels, out x in x height x width.

    For grey images they are summed, as if all channels were the same; for others they are repeated in turn, and scaled
    to the same sum, as segmentation-models-pytorch and timm do it.
    """
    given = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, torch.arange(channels) % given] * (given / channels)


def rounded(values: list[float] | None) -> list[float]:
    """Return numbers with four digits."""
    return [round(value, 4) for value in values or ()]
