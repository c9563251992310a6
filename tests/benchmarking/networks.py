"""What the tests of benchmarks measure."""

from __future__ import annotations

import os
import signal

import torch
from hydra.core.hydra_config import HydraConfig
from torch import Tensor, nn

from medseg.benchmarking.network import NetworkBenchmark
from medseg.benchmarking.setting import Setting, find_settings
from tests.helpers import compose_config
from tests.networks import OneConv

QUICK = ("image_size=32", "batch_size=2", "repeats=2", "seconds=0.02", "trainer=cpu")


class Greedy(OneConv):
    """Keeps 64 MiB for the backward pass, and as much again while it runs."""

    def forward(self, image: Tensor) -> Tensor:
        kept = torch.ones(2**24, requires_grad=self.training)
        return super().forward(image) + 1e-9 * (kept * kept).mean()


class Killed(OneConv):
    """Is ended by the system as soon as it trains."""

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(image)


def settings(*overrides: str) -> list[Setting]:
    """Return what the command line would have measured."""
    cfg = compose_config("benchmark", *overrides)
    return find_settings(cfg.models, HydraConfig.get().overrides.task)


def setting(network: type[nn.Module] = OneConv, *overrides: str) -> Setting:
    (one,) = settings(f"+model._target_={network.__module__}.{network.__qualname__}", *QUICK, *overrides)
    return one


def network_benchmark(network: type[nn.Module] = OneConv, *overrides: str) -> NetworkBenchmark:
    return NetworkBenchmark(setting(network, *overrides), seconds=0.01)
