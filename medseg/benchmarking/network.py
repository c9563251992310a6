"""The network that is measured, in the process that measures it."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn

from medseg.acceleration import accelerate, checkpoint_activations
from medseg.acceleration.precision import pick_precision
from medseg.benchmarking.memory import MEBIBYTE, PeakMemory
from medseg.benchmarking.setting import Setting
from medseg.benchmarking.timing import StepTimer
from medseg.config.instantiate import instantiate, instantiate_network
from medseg.errors import ConfigError
from medseg.measure import measure_cost
from medseg.runs.environment import processor
from medseg.training.hardware import check_compiler, pick_accelerator

PRECISIONS: dict[str, torch.dtype | None] = {
    "32-true": None,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}
"""Lightning's names, and what its autocast computes in."""


class NetworkBenchmark:
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
            check_compiler(accelerator, activation_checkpointing=setting.activation_checkpointing)
        self.device = torch.device("cuda" if accelerator in ("gpu", "cuda") else accelerator)
        self.layout = torch.channels_last if setting.channels_last else torch.contiguous_format
        self.load_libraries()
        self.memory = PeakMemory(self.device)
        torch.manual_seed(0)
        self.image = self.to_device(torch.randn(setting.batch_size, setting.in_channels, *setting.image_size))
        self.inference_image = self.image
        if setting.inference_batch_size != setting.batch_size:
            images = torch.randn(setting.inference_batch_size, setting.in_channels, *setting.image_size)
            self.inference_image = self.to_device(images)
        mask = torch.randint(setting.num_classes, (setting.batch_size, *setting.image_size)).to(self.device)
        self.network = self.build().to(self.device).to(memory_format=self.layout)
        if setting.activation_checkpointing:
            checkpoint_activations(self.network, self.image[:1])
        self.loss = instantiate(OmegaConf.create(setting.loss_arguments)).to(self.device)
        takes_weight = getattr(self.loss, "takes_weight", False)
        self.target = (mask, torch.ones(mask.shape, device=self.device)) if takes_weight else (mask,)
        self.optimizer = instantiate(OmegaConf.create(setting.optimizer_arguments))(self.network.parameters())
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "16-mixed")
        if setting.compile:
            self.network.compile(dynamic=False)
        self.timers = {
            "train": StepTimer(self.train_step, self.device, seconds),
            "inference": StepTimer(lambda: self.infer(self.inference_image), self.device, seconds),
            "latency": StepTimer(lambda: self.infer(self.image[:1]), self.device, seconds),
        }

    def load_libraries(self) -> None:
        """Load and set up the libraries, so that their memory is not counted as the network's."""
        # Without values there is nothing to take memory for. A network that cannot be built so is loaded all the same.
        with suppress(Exception), torch.device("meta"):
            self.build()
        conv = nn.Conv2d(8, 8, 3, padding=1).to(self.device)
        optimizer = torch.optim.AdamW(conv.parameters())
        with self.autocast():
            conv(torch.zeros(1, 8, 16, 16, device=self.device)).sum().backward()
        optimizer.step()

    def build(self) -> nn.Module:
        """Build the network on the CPU."""
        arguments = dict(self.setting.arguments)
        if "encoder_weights" in arguments:
            arguments["encoder_weights"] = None  # nothing is downloaded; random ones are as fast
        network = instantiate_network(OmegaConf.create(arguments))
        return accelerate(network) if self.setting.acceleration else network

    def to_device(self, image: torch.Tensor) -> torch.Tensor:
        """Return images on the device, in the memory layout."""
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
        """Return the peaks of inference and of training in MiB. Call it before anything else."""
        peaks: dict[str, float] = {}
        # Inference first: what training leaves behind would be counted.
        for kind in ("inference", "train"):
            self.memory.begin()
            # The optimizer's state comes with the first step, so the second one has the peak.
            for _ in range(2):
                self.timers[kind].once()
            peaks[kind] = self.memory.peak()
        if self.inference_image is not self.image:
            # It is there while the network trains, and is no part of that.
            peaks["train"] -= self.inference_image.nbytes / MEBIBYTE
        self.release_memory()
        return peaks

    def warm_up(self) -> None:
        """Do all that only the first calls do."""
        for timer in self.timers.values():
            timer.warm_up()
        self.release_memory()

    def first_calls(self) -> dict[str, float]:
        """Return the seconds of the first step of each kind: they choose algorithms, and compile where that is asked.

        Inference comes first, so it has what the libraries set up once.
        """
        return {kind: timer.first for kind, timer in self.timers.items()}

    def speed(self) -> dict[str, Any]:
        """Measure once: images per second in training and inference, milliseconds of each single image."""
        measured = {
            "train": len(self.image) / self.timers["train"].together(),
            "inference": len(self.inference_image) / self.timers["inference"].together(),
            "latency": [1000 * seconds for seconds in self.timers["latency"].one_by_one()],
        }
        self.release_memory()
        return measured

    def cost(self) -> dict[str, int]:
        """Count parameters, and multiply-accumulates for one image."""
        setting = self.setting
        cost = measure_cost(self.build(), in_channels=setting.in_channels, size=setting.image_size)
        return {"parameters": cost.parameters, "macs": cost.macs}

    def release_memory(self) -> None:
        """Free the device's memory for the other networks."""
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
