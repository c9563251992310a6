"""Networks with several outputs in training: how much the loss of each counts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models import EGEUNet, UNetPlusPlus
from medseg.training.task import SegmentationTask
from tests.helpers import TINY, train


def losses_and_loss(network: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the loss of each output of a network in training, and what its task makes of them."""
    torch.manual_seed(0)
    loss = nn.CrossEntropyLoss()
    task = SegmentationTask(network.train(), loss=loss, class_names=("background", "polyp"))
    image, mask = torch.randn(2, 3, 64, 64), torch.randint(0, 2, (2, 64, 64))
    outputs = network(image)
    each = [loss(output, mask) for output in (outputs if isinstance(outputs, list) else [outputs])]
    return torch.stack(each), task.compute_loss(outputs, mask)


def test_the_outputs_of_egeunet_are_weighted_as_by_its_authors() -> None:
    losses, loss = losses_and_loss(EGEUNet(deep_supervision=True))
    torch.testing.assert_close(loss, (losses * torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 1.0])).sum())
    assert not torch.allclose(loss, losses.mean())


@pytest.mark.parametrize("network", [UNetPlusPlus(base_channels=2, deep_supervision=True), EGEUNet()])
def test_without_weights_or_with_one_output_the_loss_is_the_mean(network: nn.Module) -> None:
    losses, loss = losses_and_loss(network)
    assert torch.equal(loss, losses.mean())


@pytest.mark.parametrize(
    "weights", [(1, 2), (1, 2, 3, -1), (0, 0, 0, 0), (1, 1, 1, math.inf), "1234", (1, 2, 3, "4"), 4]
)
def test_weights_that_do_not_fit_are_one_line(weights: Any) -> None:
    network = UNetPlusPlus(base_channels=2, deep_supervision=True)
    network.output_weights = weights
    with pytest.raises(ConfigError, match=r"UNetPlusPlus.output_weights is .* the network returns 4 outputs") as error:
        losses_and_loss(network)
    assert "\n" not in str(error.value)


def test_egeunet_trains_with_its_masks(tmp_path: Path) -> None:
    small = [word for word in TINY if not word.startswith(("model", "data.image_size"))]
    run = train(tmp_path, *small, "model=egeunet", "model.deep_supervision=true", "data.image_size=32", tiny=False)
    assert run.finished
    weights = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    assert weights["network.masks.0.weight"].shape == (1, 48, 1, 1)
