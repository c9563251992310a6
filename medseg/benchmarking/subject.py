"""The network that is measured, in the process that measures it."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from medseg.acceleration import accelerate
from medseg.benchmarking.memory import MEBIBYTE, PeakMemory
from medseg.benchmarking.operators import biggest_operators, bytes_through_operators
from medseg.benchmarking.released import release
from medseg.benchmarking.setting import Setting
from medseg.benchmarking.timing import Clock
from medseg.config.instantiate import instantiate, instantiate_network
from medseg.errors import ConfigError
from medseg.measure import measure_cost
from medseg.runs.environment import processor
from medseg.training.hardware import check_compiler, pick_accelerator, pick_precision

PRECISIONS: dict[str, torch.dtype | None] = {
    "32-true": None,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}
"""Lightning's names, and what its autocast computes in."""


class Subject:
    """A network with random images, and the steps that are measured. Each public method measures one thing.

    A training step is what the trainer does with a batch: forward, loss, backward, a step of the optimizer. Batches
    are on the device already, so loading, augmentation and the way to the device are not in it.

    Raises `ConfigError` for a device that is not there and a precision that is not known here, and what the network
    raises.
    """

    def __init__(self, setting: Setting, seconds: float) -> None:
        self.setting = setting
        accelerator = pick_accelerator(setting.accelerator)
        self.precision, _ = pick_precision(setting.precision, accelerator)
        if self.precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise ConfigError(f"trainer.precision is {self.precision!r}; the benchmark knows auto, {known}")
        if setting.compile:
            check_compiler(accelerator)
        self.device = torch.device("cuda" if accelerator in ("gpu", "cuda") else accelerator)
        self.layout = torch.channels_last if setting.channels_last else torch.contiguous_format
        self.rehearse()
        self.memory = PeakMemory(self.device)
        torch.manual_seed(0)
        self.image = self.put(torch.randn(setting.batch_size, setting.in_channels, *setting.image_size))
        self.inference_image = self.image
        if setting.inference_batch_size != setting.batch_size:
            images = torch.randn(setting.inference_batch_size, setting.in_channels, *setting.image_size)
            self.inference_image = self.put(images)
        mask = torch.randint(setting.num_classes, (setting.batch_size, *setting.image_size)).to(self.device)
        self.network = self.build().to(self.device).to(memory_format=self.layout)
        self.loss = instantiate(OmegaConf.create(setting.loss_arguments)).to(self.device)
        takes_weight = getattr(self.loss, "takes_weight", False)
        self.target = (mask, torch.ones(mask.shape, device=self.device)) if takes_weight else (mask,)
        self.optimizer = instantiate(OmegaConf.create(setting.optimizer_arguments))(self.network.parameters())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "16-mixed")
        if setting.compile:
            self.network.compile(dynamic=False)
        self.clocks = {
            "train": Clock(self.train_step, self.device, seconds),
            "inference": Clock(lambda: self.infer(self.inference_image), self.device, seconds),
            "latency": Clock(lambda: self.infer(self.image[:1]), self.device, seconds),
        }

    def rehearse(self) -> None:
        """Have the libraries loaded and set up, so that what they take is not counted as the network's."""
        # Without values there is nothing to take memory for. A network that cannot be built so is loaded all the same.
        with suppress(Exception), torch.device("meta"):
            self.build()
        conv = nn.Conv2d(8, 8, 3, padding=1).to(self.device)
        optimizer = torch.optim.AdamW(conv.parameters())
        with self.autocast():
            conv(torch.zeros(1, 8, 16, 16, device=self.device)).sum().backward()
        optimizer.step()

    def build(self) -> nn.Module:
        """Build the network on the CPU, as the variant has it."""
        arguments = dict(self.setting.arguments)
        if "encoder_weights" in arguments:
            arguments["encoder_weights"] = None  # nothing is downloaded; random ones are as fast
        network = instantiate_network(OmegaConf.create(arguments))
        if self.setting.acceleration:
            accelerate(network)
        return release(network) if self.setting.released_operations else network

    def put(self, image: torch.Tensor) -> torch.Tensor:
        """Put images on the device, in its memory layout."""
        return image.to(self.device).contiguous(memory_format=self.layout)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return what the network runs in under this precision."""
        dtype = PRECISIONS[self.precision]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def train_step(self) -> None:
        """Train on the batch once."""
        self.network.train()
        self.optimizer.zero_grad()
        with self.autocast():
            outputs = self.network(self.image)
            # Deep supervision: the mean of the losses, as in training.
            logits = outputs if isinstance(outputs, list | tuple) else [outputs]
            loss = torch.stack([self.loss(output, *self.target) for output in logits]).mean()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def infer(self, image: torch.Tensor) -> None:
        """Predict images once."""
        self.network.eval()
        with torch.inference_mode(), self.autocast():
            self.network(image)

    # What is measured.
    def facts(self) -> dict[str, Any]:
        """Return what the measurements hold for."""
        cuda = self.device.type == "cuda"
        name = torch.cuda.get_device_name(self.device) if cuda else processor()
        return {
            "device": {"type": self.device.type, "name": name, "threads": torch.get_num_threads()},
            "precision": self.precision,
        }

    def peak_memory(self) -> dict[str, float]:
        """Return the peaks of inference and of training in MiB. To be measured before anything else."""
        peaks: dict[str, float] = {}
        # Inference first: what training leaves behind would be counted.
        for what in ("inference", "train"):
            self.memory.begin()
            # The optimizer's state comes with the first step, so the second one has the peak.
            for _ in range(2):
                self.clocks[what].once()
            peaks[what] = self.memory.peak()
        if self.inference_image is not self.image:
            # It is there while the network trains, and is no part of that.
            peaks["train"] -= self.inference_image.nbytes / MEBIBYTE
        self.give_back()
        return peaks

    def warm_up(self) -> None:
        """Do all that only the first calls do."""
        for clock in self.clocks.values():
            clock.warm_up()
        self.give_back()

    def first_calls(self) -> dict[str, float]:
        """Return the seconds of the first step of each kind: they choose algorithms, and compile where that is asked.

        Inference comes first, so it has what the libraries set up once.
        """
        return {what: clock.first for what, clock in self.clocks.items()}

    def speed(self) -> dict[str, Any]:
        """Measure once: images per second in training and inference, milliseconds of each single image."""
        measured = {
            "train": len(self.image) / self.clocks["train"].together(),
            "inference": len(self.inference_image) / self.clocks["inference"].together(),
            "latency": [1000 * seconds for seconds in self.clocks["latency"].one_by_one()],
        }
        self.give_back()
        return measured

    def cost(self) -> dict[str, int]:
        """Count parameters, and multiply-accumulates for one image."""
        setting = self.setting
        cost = measure_cost(self.build(), in_channels=setting.in_channels, size=setting.image_size)
        return {"parameters": cost.parameters, "macs": cost.macs}

    def profile(self) -> dict[str, Any]:
        """Return the operators that take most of a training step, and the bytes that go through all of them.

        The bytes of a compiled network are None, since its operators are not seen.
        """
        operators = biggest_operators(self.train_step, self.device)
        moved = None if self.setting.compile else bytes_through_operators(self.train_step)
        self.give_back()
        return {"operators": operators, "operator_bytes": moved}

    def give_back(self) -> None:
        """Leave the device's memory to the other networks."""
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
