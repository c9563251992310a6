"""`model.freeze_encoder`: the encoder is not trained, in the first epochs or at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from medseg.models.encoder import encoder_of

log = logging.getLogger(__name__)


class FrozenEncoder(Callback):
    """Keep the encoder of a network as it is: its weights have no gradients, and its modules are in eval mode.

    So batch norms keep their running statistics and use them, and nothing is dropped in it. An optimizer leaves weights
    without gradients alone, its weight decay included.

    Args:
        network: whose encoder, see `medseg.models.encoder`.
        epochs: in so many epochs from the first one; None for all.

    Raises `ConfigError` for a network without an encoder.
    """

    def __init__(self, network: nn.Module, epochs: int | None) -> None:
        self.parts = encoder_of(network)
        self.epochs = epochs
        self.frozen = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        number = sum(parameter.numel() for part in self.parts.values() for parameter in part.parameters())
        ends = self.epochs is not None and self.epochs < (trainer.max_epochs or 0)
        until = f" until epoch {self.epochs + 1}" if self.epochs and ends else ""
        log.info("the encoder is frozen%s: %s, %s parameters", until, ", ".join(self.parts), f"{number:,}")
        if not ends:
            # DDP takes no account of weights that have no gradients when it begins.
            for part in self.parts.values():
                part.requires_grad_(False)
        elif isinstance(trainer.strategy, DDPStrategy):
            # Weights that begin without gradients and have some later: DDP has to look which ones have.
            trainer.strategy._ddp_kwargs["find_unused_parameters"] = True

    # Lightning leaves `on_train_epoch_start` out in the first epoch after a resumption.
    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx > 0:
            return
        frozen = self.epochs is None or trainer.current_epoch < self.epochs
        if self.frozen and not frozen:
            log.info("the encoder is trained from epoch %d on", trainer.current_epoch + 1)
        self.set_frozen(frozen)

    def set_frozen(self, frozen: bool) -> None:
        """Freeze or train the encoder."""
        # Not in the epochs after the last frozen one: a network may have modules in eval mode itself.
        if frozen or self.frozen:
            for part in self.parts.values():
                part.requires_grad_(not frozen)
                part.train(not frozen)
        self.frozen = frozen


def frozen_encoder(network: nn.Module, freeze: bool | int) -> list[Callback]:
    """Return the callback that `model.freeze_encoder` asks for, if any.

    Args:
        network: of the training.
        freeze: false, true, or a number of epochs.
    """
    if freeze is False or freeze == 0:
        return []
    return [FrozenEncoder(network, None if freeze is True else freeze)]


def unfused(make_optimizer: Callable[..., Any], freeze: bool | int) -> Callable[..., Any]:
    """Return an optimizer that takes weights whose gradients begin after some epochs.

    PyTorch's fused SGD raises where some weights have a momentum and others have none yet.
    """
    keywords = getattr(make_optimizer, "keywords", {})
    begins_later = not isinstance(freeze, bool) and freeze > 0
    raises = begins_later and keywords.get("fused") and keywords.get("momentum")
    return partial(make_optimizer, fused=False) if raises else make_optimizer
