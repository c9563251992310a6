"""What a training begins with: new weights, those of a file, or the checkpoint of an earlier training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from torch import nn

from medseg.data.module import SegmentationDataModule
from medseg.errors import ConfigError, UserError
from medseg.pretrained import Loaded
from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan, are_other_weights, weights_it_began_with
from medseg.trained.checkpoint import Checkpoint
from medseg.training.continuing import earlier_run
from medseg.training.data_record import check_same_split
from medseg.training.initial_weights import InitialWeights
from medseg.training.pretrained import Pretrained, find_pretrained
from medseg.training.resuming import checkpoint_to_resume


@dataclass(frozen=True)
class StartingPoint:
    """What a training begins with.

    Args:
        folder: of the run.
        checkpoint: to go on from; None for a training from the first step.
        earlier: the run of `continue_from`, whose checkpoint it is; None where it is of this run.
        weights: those of `initial_weights`; None without, and where there is a checkpoint.
        pretrained: those of `model.encoder_weights`.
    """

    folder: RunFolder
    checkpoint: Checkpoint | None
    earlier: RunFolder | None
    weights: InitialWeights | None
    pretrained: Pretrained

    @property
    def is_resumed(self) -> bool:
        """Whether the run itself has begun before."""
        return self.checkpoint is not None and self.earlier is None

    @property
    def step(self) -> int:
        """Optimizer steps that are done."""
        return 0 if self.checkpoint is None else int(self.checkpoint.content["global_step"])

    def normalisation(self, in_channels: int) -> tuple[Sequence[float], Sequence[float]] | None:
        """Return the mean and deviation per channel that the weights need; None for those of the training split."""
        if self.weights is not None:
            return self.weights.normalisation(in_channels)
        if self.checkpoint is not None:
            return self.checkpoint.metadata.normalisation
        return self.pretrained.normalisation

    def check_data(self, datamodule: SegmentationDataModule, continue_from: str | None) -> None:
        """Raise `UserError` if the checkpoint is of a training with other data or another split."""
        if self.checkpoint is None:
            return
        if self.checkpoint.metadata.data_identity != datamodule.prepared.identity:
            if self.earlier is not None:
                raise ConfigError(
                    f"continue_from={continue_from}: this run was trained on other data than there are now"
                )
            raise UserError(
                f"{self.checkpoint.file}: the interrupted run was trained on other data than "
                f"{datamodule.prepared.folder}; give it those again, or begin anew with force=true"
            )
        check_same_split(self.earlier or self.folder, datamodule)

    def load_into(
        self, network: nn.Module, cfg: DictConfig, datamodule: SegmentationDataModule, model: str
    ) -> Loaded | None:
        """Load the weights of the files, if any; return which of an encoder were. The checkpoint is left to Lightning.

        `model`: the option. Raises `UserError` where the weights do not fit.
        """
        loaded = self.pretrained.load_into(network)
        if self.weights is not None:
            self.weights.load_into(network, cfg, datamodule, model)
        return loaded


def find_starting_point(cfg: DictConfig, plan: RunPlan) -> StartingPoint:
    """Read what a training begins with. Raises `UserError` for a file that is missing, damaged, or does not fit."""
    earlier = earlier_run(plan)
    if earlier is not None:
        checkpoint = checkpoint_to_resume(earlier)  # which every process can read at once
    else:
        checkpoint = None if cfg.force else checkpoint_to_resume(plan.folder)
    if checkpoint is not None and earlier is None:
        began = weights_it_began_with(plan.folder)
        if are_other_weights(cfg.initial_weights, began):
            raise UserError(
                f"{plan.folder.path}: the interrupted run began with initial_weights={began}; give it these, or begin "
                "anew with force=true, or as another experiment"
            )
    # A run that goes on has its weights and its normalisation in its checkpoint.
    begins = cfg.initial_weights is not None and checkpoint is None
    weights = InitialWeights.read(cfg.initial_weights) if begins else None
    return StartingPoint(plan.folder, checkpoint, earlier, weights, find_pretrained(cfg, checkpoint))
