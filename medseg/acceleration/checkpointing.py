"""Activation checkpointing: a training that needs less memory, and somewhat longer.

PyTorch's `torch.utils.checkpoint`, put around parts of any network from outside. The input of such a part is
stored; what the part computes on the way to its output is not, and is computed again when the backward pass gets there.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from medseg.errors import UserError

log = logging.getLogger(__name__)


def checkpoint_activations(network: nn.Module, image: Tensor) -> nn.Module:
    """Have the parts of a network that take much memory computed again in the backward pass; return the network.

    Those are the innermost parts, modules of plain layers, whose input has more values than the part has weights: what
    they store is large for what they compute. The last of them is left out, since the backward pass begins there.

    The network stays the same function of the same parameters, under the same names, with the same gradients, random
    numbers and running statistics. Nothing changes outside training, in an export and under `torch.compile`.

    Args:
        network: on the device of the image.
        image: one that the network takes, 1 x C x H x W.
    """
    parts = parts_to_repeat(network, image)[:-1]
    if not parts:
        log.warning("activation_checkpointing=true: %s has no part that is worth it", type(network).__name__)
    for part in parts:
        part.__class__ = repeated(type(part))  # type: ignore[arg-type]
    return network


def parts_to_repeat(network: nn.Module, image: Tensor) -> list[nn.Module]:
    """List the innermost parts whose input has more values than they have weights, in the order of the forward pass."""
    found: dict[nn.Module, None] = {}

    def look(part: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        values = sum(value.numel() for value in (*inputs, *named.values()) if isinstance(value, Tensor))
        weights = sum(parameter.numel() for parameter in part.parameters())
        if 0 < weights < values:
            found.pop(part, None)  # one that is used again stands where it is used last
            found[part] = None

    hooks = [part.register_forward_pre_hook(look, with_kwargs=True) for part in innermost(network)]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), unchanged_buffers(network):
            network(image)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return list(found)


def innermost(network: nn.Module) -> Iterator[nn.Module]:
    """List the modules below a network that have parts, none of which has any itself."""
    for child in network.children():
        parts = list(child.children())
        if parts and not any(list(part.children()) for part in parts):
            yield child
        else:
            yield from innermost(child)


@cache
def repeated(kind: type[nn.Module]) -> type[nn.Module]:
    """Return a class like that of a module, of the same name, whose forward pass is repeated in the backward pass."""

    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Any:
        tracing = torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None
        if tracing or not (self.training and torch.is_grad_enabled()):
            return kind.forward(self, *inputs, **named)
        given = (*inputs, *named.values())
        versions, drawn = versions_of(given), random_state()

        output = checkpoint(
            partial(kind.forward, self, **named),
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), repetition(self, drawn)),
        )
        if versions_of(given) != versions:  # PyTorch would report it in the backward pass, and not of what
            raise UserError(
                f"activation_checkpointing=true: {kind.__name__} changes its input in place (+=, inplace=True), so "
                "it cannot be computed again; leave that option out, or let the network write to a new tensor"
            )
        return output

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__, "__doc__": kind.__doc__})


@contextmanager
def repetition(module: nn.Module, drawn: tuple[Any, Any]) -> Iterator[None]:
    """Run the second pass of a part, with the random numbers of the first; PyTorch restores its state itself."""
    now = random_state()
    set_random_state(drawn)
    try:
        with unchanged_buffers(module):
            yield
    finally:
        set_random_state(now)


def random_state() -> tuple[Any, Any]:
    """Return the state of Python's and NumPy's random numbers."""
    return random.getstate(), np.random.get_state()


def set_random_state(state: tuple[Any, Any]) -> None:
    """Set what `random_state` has returned."""
    random.setstate(state[0])
    np.random.set_state(state[1])


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Undo what the second pass does to buffers: a batch norm counts each batch once."""
    before = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            buffer.data.copy_(value)  # by its data: autograd may need the buffer, and would take it for another one


def versions_of(inputs: tuple[Any, ...]) -> list[int]:
    """Return how often each tensor has been written to."""
    return [value._version for value in inputs if isinstance(value, Tensor)]
