"""Build what a run needs from its configuration: the network, the trainer; and check that they fit the data."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from typing import Any

import lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from omegaconf import DictConfig
from torch import nn

from medseg.acceleration import accelerate, checkpoint_activations
from medseg.acceleration.precision import pick_precision
from medseg.config.instantiate import instantiate, instantiate_network
from medseg.data.module import SegmentationDataModule
from medseg.errors import ConfigError, UserError
from medseg.metrics.custom import Metric, as_metric, check_metrics
from medseg.models.outputs import main_output
from medseg.system.process import available_cores
from medseg.training.checkpoints import CheckpointFiles
from medseg.training.hardware import describe_device, pick_accelerator

log = logging.getLogger(__name__)


def build_network(
    model: DictConfig, datamodule: SegmentationDataModule, *, activation_checkpointing: bool = False
) -> nn.Module:
    """Build the network of a `model` configuration and check that it takes the data's images.

    `activation_checkpointing`: see `medseg.acceleration.checkpointing`.

    Raises `ConfigError` when it cannot take this image size or number of channels, or returns another shape than
    N x num_classes x H x W.
    """
    network = accelerate(instantiate_network(model))
    check_network(network, datamodule)
    if min(datamodule.batch_size, datamodule.training_samples) == 1:
        check_batch_of_one(network, datamodule)
    return checkpoint_activations(network, empty_image(datamodule)) if activation_checkpointing else network


def empty_image(datamodule: SegmentationDataModule) -> torch.Tensor:
    """Return an image of zeros as large as those that the network is given, 1 x C x H x W."""
    return torch.zeros(1, datamodule.prepared.in_channels, *datamodule.input_size)


def check_network(network: nn.Module, datamodule: SegmentationDataModule) -> None:
    """Raise `ConfigError` unless a network takes one empty image of the data and returns logits of the right shape."""
    prepared = datamodule.prepared
    height, width = datamodule.input_size
    image = empty_image(datamodule)
    named = f"{type(network).__name__} cannot take {prepared.in_channels} x {height} x {width} images"
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            logits = main_output(network(image))
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(f"{named}: {error}") from error
    finally:
        network.train(was_training)
    expected = (1, prepared.num_classes, height, width)
    if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ConfigError(f"{type(network).__name__} returns {got} where {expected} is needed: N x classes x H x W")


def check_batch_of_one(network: nn.Module, datamodule: SegmentationDataModule) -> None:
    """Raise `ConfigError` if a network cannot train on one image: batch norm needs more than one value a channel."""
    height, width = datamodule.input_size
    trial = copy.deepcopy(network).train()  # batch norm changes when it trains
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            trial(empty_image(datamodule))
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise ConfigError(
                f"data.batch_size=1: the batch norm of {type(network).__name__} cannot train on one image of "
                f"{height} x {width}, which becomes one pixel; give data.batch_size=2 or a larger data.image_size"
            ) from error
        raise


def build_metrics(node: DictConfig) -> dict[str, Metric]:
    """Build the user's metrics, by name; raise `ConfigError` if one cannot be built or called."""
    metrics = {str(name): as_metric(instantiate(one)) for name, one in node.items()}
    check_metrics(metrics)
    return metrics


def check_weights(loss: nn.Module, datamodule: SegmentationDataModule) -> None:
    """Raise `ConfigError` unless the data have a weight for every pixel where the loss takes one, and only there."""
    takes = getattr(loss, "takes_weight", False)
    if takes and not datamodule.border_weights:
        raise ConfigError(
            f"{type(loss).__name__} needs a weight for every pixel, and the data have none: give "
            "data.border_weights=true, or choose another loss"
        )
    if datamodule.border_weights and not takes:
        raise ConfigError(
            f"data.border_weights=true, but {type(loss).__name__} cannot use weights: choose loss=weighted_ce, or "
            "data.border_weights=false"
        )


def check_limits(trainer: DictConfig, datamodule: SegmentationDataModule) -> None:
    """Raise `ConfigError` if a part of the batches, `limit_train_batches=0.1`, is not at least one of them."""
    for split in ("train", "val"):
        part = trainer.get(f"limit_{split}_batches")
        samples = datamodule.training_samples if split == "train" else len(datamodule.indices[split])
        batch_size = 1 if datamodule.patches and split == "val" else datamodule.batch_size
        whole, rest = divmod(samples, batch_size)
        batches = max(1, whole) if split == "train" else whole + (rest > 0)
        if isinstance(part, float) and int(part * batches) < 1:
            number = "1 batch" if batches == 1 else f"{batches} batches"
            least = math.ceil(1000 / batches) / 1000
            raise ConfigError(
                f"trainer.limit_{split}_batches is {part}, of {number} in an epoch; it must be at least {least:g} or "
                "a whole number of batches"
            )


def build_trainer(cfg: DictConfig, precision: tuple[str, str] | None = None, **extra: Any) -> lightning.Trainer:
    """Build the trainer, with device and precision picked where they are `auto`, and log them.

    `precision`: Lightning's name of one, and why it is taken, instead of that of `cfg`.

    Raises `ConfigError` for a device that is not there.
    """
    accelerator = pick_accelerator(str(cfg.accelerator))
    if accelerator == "cpu" and cfg.devices in (-1, "-1", "auto"):
        raise ConfigError("trainer.devices=-1 means all GPUs, and there is none; give the number: trainer.devices=2")
    if accelerator == "cpu" and str(cfg.devices).isdigit() and int(cfg.devices) > available_cores():
        log.warning(
            "trainer.devices=%s: so many processes share %d CPU core%s; one process alone uses all of them",
            cfg.devices,
            available_cores(),
            "" if available_cores() == 1 else "s",
        )
    name, reason = precision or pick_precision(str(cfg.precision), accelerator)
    log.info("device: %s; precision: %s (%s)", describe_device(accelerator), name, reason)
    trainer = instantiate(
        cfg,
        **{"accelerator": accelerator, "precision": name, **extra},
        # Ours: the sampler shares the images out, the callbacks write the files, a summary would repeat the log.
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        # Below SLURM, Lightning would take one task for each process; medseg starts a job's processes itself.
        plugins=[LightningEnvironment(), CheckpointFiles()],
        # A part of the test split would not be its score.
        limit_test_batches=1.0,
        enable_model_summary=False,
    )
    assert isinstance(trainer, lightning.Trainer)
    return trainer


def quiet_libraries() -> None:
    """Silence advice of the libraries that does not apply here; their warnings about real trouble stay."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # That a process of a distributed run has died, and so the others are killed.
    logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script").setLevel(logging.INFO)
    for message in (
        # How many loading processes pay was chosen in `medseg.data.module`.
        ".*does not have many workers.*",
        # Small data sets have few batches in an epoch.
        ".*The number of training batches.*",
        # Scores are made of the counts of all processes.
        r".*recommended to use `self.log\(.*sync_dist=True.*",
        # Resuming reuses the checkpoint folder on purpose.
        ".*Checkpoint directory .* exists and is not empty.*",
        # A run that is resumed from the end of an epoch.
        ".*resuming from a checkpoint that ended.*",
        # A run beside SLURM, on a machine that has it.
        ".*`srun` command is available.*",
        # A best epoch is looked for after an epoch without validation as well.
        ".*could not find the monitored key in the returned metrics.*",
        # How Lightning itself uses PyTorch.
        ".*LeafSpec.* is deprecated.*",
        # The test runs on one device as well as on several: every image counts once.
        ".*it is recommended to use .*devices=1.*",
    ):
        warnings.filterwarnings("ignore", message=message)
