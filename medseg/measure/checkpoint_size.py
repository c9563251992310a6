"""How large the checkpoints of a run will be, from its network built without weights."""

from __future__ import annotations

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from medseg.config.instantiate import instantiate_network

FILES = 2
"""Checkpoints of a run: the best epoch and the last."""


def checkpoint_bytes(cfg: DictConfig, num_classes: int) -> int | None:
    """Return the bytes of the checkpoints of a training: weights, averaged weights and optimizer state, twice.

    The network is built on PyTorch's meta device, which stores no values. None for a class that is not medseg's, whose
    constructor may read or download files, and for a network that cannot be built there.

    Args:
        cfg: configuration of the training.
        num_classes: of the network, where the configuration leaves that to the data.
    """
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.data.num_classes = cfg.data.get("num_classes") or num_classes
    if not str(cfg.model.get("_target_", "")).startswith("medseg."):
        return None
    try:
        with torch.device("meta"):
            network = instantiate_network(cfg.model)
    except Exception:  # whatever a constructor raises: the job builds it again, and reports it
        return None
    weights = sum(each.numel() * each.element_size() for each in network.state_dict().values())
    trained = sum(each.numel() * each.element_size() for each in network.parameters() if each.requires_grad)
    targets = [str(OmegaConf.select(node, "_target_")) for node in cfg.callbacks.values()]
    copies = 1 + sum(target.endswith("WeightAveraging") for target in targets)
    return FILES * (copies * weights + state_per_parameter(cfg.optimizer) * trained)


def state_per_parameter(optimizer: DictConfig) -> int:
    """Return how many values an optimizer keeps for each parameter: of SGD the momentum, of Adam and its kin two.

    It is not built: the first optimizer of a process makes PyTorch import its compiler, which takes seconds.
    """
    if str(optimizer.get("_target_", "")).endswith(".SGD"):
        return 1 if optimizer.get("momentum") else 0
    return 2
