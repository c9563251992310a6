"""The pretrained encoder of a run that begins. One that goes on has its weights, and the normalisation, already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from torch import nn

from medseg.config.targets import reserved_options
from medseg.errors import ConfigError
from medseg.pretrained import EncoderWeights, Loaded, load_encoder, read_weights
from medseg.trained.checkpoint import Checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pretrained:
    """What a run takes from `model.encoder_weights`.

    Args:
        weights: to be loaded into the encoder; None where there are none, and where the run goes on.
        normalisation: mean and standard deviation per channel; None takes those of the training split.
        in_channels: of the images.
        encoder_name: of `model=smp`.
    """

    weights: EncoderWeights | None = None
    normalisation: tuple[Sequence[float], Sequence[float]] | None = None
    in_channels: int = 3
    encoder_name: str | None = None

    def load_into(self, network: nn.Module) -> Loaded | None:
        """Load the weights, if there are any. Raises `UserError` where they do not fit."""
        if self.weights is None:
            return None
        return load_encoder(network, self.weights, in_channels=self.in_channels, encoder_name=self.encoder_name)


def find_pretrained(cfg: DictConfig, resume: Checkpoint | None) -> Pretrained:
    """Read what `model.encoder_weights` names, unless the run goes on from a checkpoint.

    Args:
        cfg: of the training.
        resume: the checkpoint that the run goes on from.

    Raises `UserError`.
    """
    source = reserved_options("model", cfg.model).get("encoder_weights")
    if source is None or source is False:
        return Pretrained()
    if cfg.initial_weights is not None:
        raise ConfigError(
            f"model.encoder_weights={source}: initial_weights={cfg.initial_weights} has weights for the encoder as "
            "well; give one of the two"
        )
    if resume is not None:
        return Pretrained(normalisation=resume.metadata.normalisation)
    channels, encoder_name = cfg.data.in_channels, cfg.model.get("encoder_name")
    weights = read_weights(str(source), encoder_name)
    normalisation = weights.normalisation_for(channels)
    if normalisation is None:
        log.info("%d channels: images are normalised with mean and std of the training split", channels)
    return Pretrained(weights, normalisation, channels, encoder_name)
