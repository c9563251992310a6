"""The one LightningModule for all networks: a network, a loss, an optimizer, a schedule, per-image counts."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medseg.data.loading.sampling import sample_seed
from medseg.errors import UserError
from medseg.metrics.counts import count_pixels
from medseg.metrics.measures import headline
from medseg.models.outputs import main_output, output_weights
from medseg.trained.files import KEY
from medseg.training.parameter_groups import Layers, make_optimizer
from medseg.training.windows import predict_in_windows

Batch = dict[str, torch.Tensor]

T = TypeVar("T", bound="OfImage")


class OfImage(Protocol):
    """What was made of an image; `index` is its position in the prepared data."""

    @property
    def index(self) -> int: ...


class Collector(Protocol[T]):
    """Takes the class probabilities of images, each K x h x w, and returns what it made of each."""

    def add(self, index: int, probabilities: NDArray[np.float32]) -> None: ...

    def results(self) -> list[T]: ...


STOPPED = "medseg_stopped"
"""Where a checkpoint keeps whether training has ended before its last epoch, as early stopping does."""


class SegmentationTask(lightning.LightningModule):
    """Train and score a segmentation network.

    Args:
        network: maps N x C x H x W to logits N x num_classes x H x W, or while training to a list of such logits
            (deep supervision: their losses are averaged, or weighted by its attribute `output_weights`; the last one
            counts elsewhere).
        loss: maps logits and a class map N x H x W to a scalar; None where nothing is trained. In training it also
            gets the `weight` of a batch that has one, N x H x W.
        optimizer: makes an optimizer from parameters.
        scheduler: makes Lightning's description of a schedule from (optimizer, total_steps=, steps_per_epoch=).
        class_names: names of the classes, background first.
        sample_ids: id of every position in the prepared data, to name images in messages.
        channels_last: memory layout of weights and images.
        compile: have the network compiled (`torch.compile`), once for training and once for evaluation.
        seed: of the random numbers that the network draws itself, such as dropout.
        checkpoint_metadata: plain values to keep in the checkpoint under `medseg.trained.files.KEY`.
        window: height and width of the windows in which images of validation and test are predicted, one image in a
            batch; None predicts them as a whole.
        window_batch: windows that are predicted at once.
        layers: parts of the network that are trained at other learning rates.

    Counts are kept by image index, so scores depend neither on the batch size nor on the number of processes.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        class_names: Sequence[str],
        loss: nn.Module | None = None,
        optimizer: Callable[..., torch.optim.Optimizer] | None = None,
        scheduler: Callable[..., dict[str, Any]] | None = None,
        sample_ids: Sequence[str] = (),
        channels_last: bool = True,
        compile: bool = False,
        seed: int = 0,
        checkpoint_metadata: dict[str, Any] | None = None,
        window: tuple[int, int] | None = None,
        window_batch: int = 1,
        layers: Sequence[Layers] = (),
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last) if channels_last else network
        if compile:
            self.network.compile(dynamic=False)
        self.compiled_shapes: dict[bool, torch.Size] | None = {} if compile else None
        self.loss = loss
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.layers = layers
        self.class_names = tuple(class_names)
        self.num_classes = len(self.class_names)
        self.sample_ids = sample_ids
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.seed = seed
        self.checkpoint_metadata = checkpoint_metadata or {}
        self.window, self.window_batch = window, window_batch
        self.counts = PerImage()
        self.flips: Sequence[Sequence[int]] = ((),)
        self.scorer: Collector[Any] | None = None  # while a split is tested

    def forward(self, image: torch.Tensor) -> Any:
        image = image.contiguous(memory_format=self.memory_format)
        if self.compiled_shapes is not None:
            # A last batch that is smaller would be compiled for itself; that takes longer than it saves.
            whole = self.compiled_shapes.setdefault(self.training, image.shape)
            if image.shape != whole:
                return self.network.forward(image)
        return self.network(image)

    # Training.
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Every epoch starts from a random state of its number, so a resumed run draws what an unbroken one would.
        # (Lightning leaves `on_train_epoch_start` out in the first epoch after a resumption.)
        if batch_idx == 0:
            torch.manual_seed(sample_seed(self.seed, self.current_epoch, self.global_rank))

    def on_train_epoch_end(self) -> None:
        # Lightning would do this after the checkpoint was written, and a resumed run would miss the step.
        for schedule in self.trainer.lr_scheduler_configs:
            if schedule.reduce_on_plateau and schedule.monitor in self.trainer.callback_metrics:
                schedule.scheduler.step(self.trainer.callback_metrics[schedule.monitor])  # type: ignore[arg-type]

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss = self.compute_loss(self(batch["image"]), batch["mask"], batch.get("weight"))
        # All processes stop together: one that went on alone would wait for the others for ever.
        if not self.trainer.strategy.reduce_boolean_decision(bool(torch.isfinite(loss))):
            raise DivergedError(self.describe_loss(loss.detach(), batch["index"]))
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["index"]), sync_dist=True)
        return loss

    def describe_loss(self, loss: torch.Tensor, index: torch.Tensor) -> str:
        """Say, on every process, of which images the loss is not finite: those of the process that failed."""
        losses, indices = self.all_gather(loss), self.all_gather(index)
        assert isinstance(losses, torch.Tensor)
        assert isinstance(indices, torch.Tensor)
        losses, indices = losses.reshape(-1), indices.reshape(-1, len(index))
        failed = [rank for rank, value in enumerate(losses.tolist()) if not math.isfinite(value)]
        ids = ", ".join(self.sample_ids[position] for position in indices[failed].flatten().tolist())
        where = f"epoch {self.current_epoch}, step {self.global_step}"
        if len(losses) > 1:
            where += f", process {', '.join(map(str, failed))}"
        return (
            f"the loss is {losses[failed[0]].item()} in {where}; "
            f"images of this batch: {ids}; look at them, or lower optimizer.lr or set trainer.gradient_clip_val=1"
        )

    def compute_loss(self, outputs: Any, mask: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of the outputs of the network, weighted; there are several under deep supervision.

        Raises `ConfigError` for weights of another number of outputs.
        """
        assert self.loss is not None
        logits = outputs if isinstance(outputs, list | tuple) else [outputs]
        target = (mask,) if weight is None else (mask, weight)
        losses = [self.loss(output, *target) for output in logits]
        weights = output_weights(self.network, len(losses))
        if weights is None:
            return torch.stack(losses).mean()
        return torch.stack([each * factor for each, factor in zip(losses, weights, strict=True)]).sum()

    def configure_optimizers(self) -> Any:
        assert self.make_optimizer is not None
        assert self.make_scheduler is not None
        # In a mixed precision, Lightning does not clip the gradients of an optimizer that could undo a scaling itself,
        # as fused ones can, even where nothing is scaled.
        clips_mixed = "mixed" in str(self.trainer.precision) and self.trainer.gradient_clip_val is not None
        fused = getattr(self.make_optimizer, "keywords", {}).get("fused")
        unfused = {"fused": False} if fused and clips_mixed else {}
        optimizer = make_optimizer(self.make_optimizer, self, self.network, self.layers, **unfused)
        total_steps = int(self.trainer.estimated_stepping_batches)
        epochs = max(1, self.trainer.max_epochs or 1)
        scheduler = self.make_scheduler(
            optimizer, total_steps=total_steps, steps_per_epoch=max(1, round(total_steps / epochs))
        )
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    # Prediction.
    def probabilities(self, image: torch.Tensor, flips: Sequence[Sequence[int]] = ((),)) -> torch.Tensor:
        """Return class probabilities N x K x H x W float32 of images N x C x H x W, averaged over flips.

        With windows, N is 1, and H and W are any.
        """
        if self.window is None:
            return self.flipped_probabilities(image, flips)
        predict = functools.partial(self.flipped_probabilities, flips=flips)
        return predict_in_windows(predict, image, self.window, self.num_classes, self.window_batch)

    def flipped_probabilities(self, image: torch.Tensor, flips: Sequence[Sequence[int]]) -> torch.Tensor:
        """Return the probabilities of images as large as the network takes them at once."""
        total: Any = 0
        for dims in flips:
            logits = main_output(self(image.flip(tuple(dims))))
            total = total + logits.float().softmax(1).flip(tuple(dims))
        return total / len(flips)

    # Validation.
    def on_validation_epoch_start(self) -> None:
        self.counts = PerImage()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        if self.window is None:
            logits = main_output(self(batch["image"]))
        else:
            # Of the blended probabilities, logits are the logarithms: their softmax is the probabilities.
            logits = self.probabilities(batch["image"]).clamp_min(1e-12).log()
        assert self.loss is not None
        loss = self.loss(logits, batch["mask"])
        self.log("val/loss", loss, on_epoch=True, batch_size=len(batch["index"]), sync_dist=True)
        self.counts.add(batch["index"], count_pixels(logits.argmax(1), batch["mask"], self.num_classes))

    def on_validation_epoch_end(self) -> None:
        _, counts = self.counts.gather(self)
        scores = headline(counts)
        # The same on every process, so nothing is reduced.
        self.log_dict({f"val/{name}": scores[name] for name in ("dice", "iou")}, prog_bar=True, rank_zero_only=False)

    # Test.
    def test_step(self, batch: Batch, batch_idx: int) -> None:
        assert self.scorer is not None
        probabilities = self.probabilities(batch["image"], self.flips).cpu().numpy()
        for index, of_image in zip(batch["index"].tolist(), probabilities, strict=True):
            self.scorer.add(index, of_image)

    def test(
        self,
        trainer: lightning.Trainer,
        datamodule: lightning.LightningDataModule,
        scorer: Collector[T],
        flips: Sequence[Sequence[int]] = ((),),
    ) -> list[T]:
        """Test a split; return what was made of each image, sorted by index, on every process.

        Args:
            trainer: with which.
            datamodule: its test split is loaded.
            scorer: what makes something of the images, such as their scores.
            flips: dimensions to flip the images along; the probabilities are averaged over all of them.
        """
        self.scorer, self.flips = scorer, flips
        trainer.test(self, datamodule=datamodule, verbose=False)
        tested = scorer.results()
        if trainer.world_size > 1:
            # Class maps have different sizes, so they are no tensors that could be gathered.
            every: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(every, tested)
            tested = [image for several in every for image in several]
        self.scorer = None
        # The sampler fills processes up with repeats; the same image has the same scores.
        return [image for _, image in sorted({image.index: image for image in tested}.items())]

    # Checkpoints.
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self.checkpoint_metadata
        checkpoint[STOPPED] = bool(self.trainer.should_stop)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Asked for before trainer.min_epochs, it stands until they are done; Lightning forgets it.
        self.trainer.should_stop = checkpoint.get(STOPPED, False)


class DivergedError(UserError):
    """The loss is not finite."""


class PerImage:
    """Values of images, collected over batches and processes, one per image."""

    def __init__(self) -> None:
        self.indices: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []

    def add(self, indices: torch.Tensor, values: torch.Tensor) -> None:
        """Add the values of a batch; the first dimension is the image."""
        self.indices.append(indices)
        self.values.append(values)

    def gather(self, module: lightning.LightningModule) -> tuple[np.ndarray, np.ndarray]:
        """Return indices and values of all processes, sorted by index, every image once."""
        indices = module.all_gather(torch.cat(self.indices))
        values = module.all_gather(torch.cat(self.values))
        assert isinstance(indices, torch.Tensor)
        assert isinstance(values, torch.Tensor)
        if indices.dim() > 1:  # with a distributed strategy, also of one process
            indices, values = indices.flatten(0, 1), values.flatten(0, 1)
        # The sampler fills processes up with repeats; the same image has the same values.
        unique, first = np.unique(indices.cpu().numpy(), return_index=True)
        return unique, values.cpu().numpy()[first]
