"""Parameters, multiply-accumulates and activation memory of a network, stage by stage.

Nothing is computed where that can be avoided: the network runs on tensors that have a shape and no values, which
takes a second where the arithmetic takes minutes. Multiply-accumulates are counted on the device `meta`, in a fifth of
the time that the tensors take which have the memory of a CPU's. A network that cannot run so is run in earnest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from medseg.errors import ConfigError, UserError
from medseg.models.ushape import DecoderStage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """What one part of a network costs.

    Attributes:
        name: where it is in the network, `encoder.0`; `other` for what lies outside of all parts.
        inside: the stage that this one is a part of and that counts it as well; "" for a stage that is part of no
            other.
        output: shape of what it returns for one image, C x H x W in most networks; None if it did not run.
        parameters: their number. One that several stages share counts in the first.
        macs: multiply-accumulates for one image.
        activation_bytes: see `Cost`.
    """

    name: str
    inside: str
    output: tuple[int, ...] | None
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class Cost:
    """What a network costs, for one image.

    Attributes:
        parameters: number of learnt values.
        macs: multiply-accumulates of convolutions and matrix products, in eval mode: half of what PyTorch's
            `FlopCounterMode` counts. Norms, activations and interpolation do not count.
        activation_bytes: what autograd keeps for the backward pass, in training mode and float32 on a CPU, the image
            included, parameters and buffers not; a tensor that is kept twice counts once.
        stages: the parts. Those that are not inside another one add up to the network.
    """

    parameters: int
    macs: int
    activation_bytes: int
    stages: list[Stage]


def measure_cost(network: nn.Module, *, in_channels: int, size: tuple[int, int]) -> Cost:
    """Count what a network costs for one image of in_channels x height x width.

    The network's values and mode stay as they are. Raises the `UserError` of the network for an image that is too
    small, and `ConfigError` if it cannot take the image for another reason.
    """
    parts = find_stages(network)
    # Eval mode takes a single image; batch norm does not while training, at the bottom of a small image.
    outputs, macs, all_macs = _run(network, parts, (1, in_channels, *size), training=False)
    _, kept, all_kept = _run(network, parts, (2, in_channels, *size), training=True)
    stages, seen = [], set[int]()
    for name, (inside, module) in parts.items():
        own = {id(parameter): parameter.numel() for parameter in module.parameters()}
        stages.append(
            Stage(
                name,
                inside,
                outputs.get(name),
                sum(number for key, number in own.items() if inside or key not in seen),
                macs.get(name, 0) // 2,
                kept.get(name, 0) // 2,
            )
        )
        seen |= own.keys()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    total = Cost(parameters, all_macs // 2, all_kept // 2, stages)
    rest = [
        getattr(total, what) - sum(getattr(stage, what) for stage in stages if not stage.inside) for what in COUNTED
    ]
    if any(rest):
        stages.append(Stage("other", "", None, *rest))
    return total


def count_macs(network: nn.Module, *, in_channels: int, size: tuple[int, int]) -> int:
    """Count the multiply-accumulates for one image; arguments and errors as of `measure_cost`."""
    _, _, twice = _run(network, {}, (1, in_channels, *size), training=False)
    return twice // 2


COUNTED = ("parameters", "macs", "activation_bytes")
"""What adds up over the stages."""


def find_stages(network: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """Map the name of each stage to the stage that it is inside of ("" for none) and its module.

    The stages are the network's children; of a list of modules, its items. A network that is one child and nothing
    else is looked into. Skip modules with parameters are shown inside their decoder stage.
    """
    found = dict(_children(network, ""))
    while len(found) == 1:
        ((name, module),) = found.items()
        deeper = dict(_children(module, f"{name}."))
        if not deeper:
            break
        found = deeper
    stages: dict[str, tuple[str, nn.Module]] = {}
    for name, module in found.items():
        stages[name] = ("", module)
        if isinstance(module, DecoderStage) and any(True for _ in module.skip.parameters()):
            stages[f"{name}.skip"] = (name, module.skip)
    return stages


def _children(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _children(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


Counted = tuple[dict[str, tuple[int, ...]], dict[str, int], int]
"""Output shape for one image by stage, what was counted by stage, what was counted in all."""


def _run(
    network: nn.Module, parts: Mapping[str, tuple[str, nn.Module]], shape: tuple[int, ...], *, training: bool
) -> Counted:
    """Run a network on images of no values, or on real ones if it cannot, and count.

    In training mode the bytes that autograd keeps, in evaluation mode twice the multiply-accumulates.
    """
    modes = {module: module.training for module in network.modules()}
    network.train(training)
    try:
        for kind in ("fake",) if training else ("meta", "fake"):
            try:
                return _run_once(network, parts, shape, kind)
            except UserError:
                raise
            except Exception:
                # It looks at values, or does what PyTorch cannot pretend. A fault of the network shows again.
                log.debug("not on %s tensors", kind, exc_info=True)
        return _run_once(network, parts, shape, "real")
    except UserError:
        raise
    except Exception as error:
        image = " x ".join(map(str, shape[1:]))
        raise ConfigError(f"{type(network).__name__} cannot take {image} images: {error}") from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def _run_once(
    network: nn.Module,
    parts: Mapping[str, tuple[str, nn.Module]],
    shape: tuple[int, ...],
    kind: str,
) -> Counted:
    """Run a network once and count: on real tensors, on ones of the device meta, or on fake ones of a CPU."""
    fake = FakeTensorMode(allow_non_fake_inputs=True) if kind == "fake" else None
    device = torch.device("meta" if kind == "meta" else "cpu")
    state: dict[str, Tensor] = {}
    copies: dict[int, Tensor] = {}
    # By hand, as `functional_call` does not restore a module that it has replaced under two names.
    for prefix, module in network.named_modules():
        for name, value in [*module.named_parameters(prefix, False), *module.named_buffers(prefix, False)]:
            if id(value) not in copies:
                copy = value.detach().to(device)  # a network that was trained on a GPU
                copy = (copy.clone() if kind == "real" else copy).requires_grad_(value.requires_grad)
                copies[id(value)] = fake.from_tensor(copy) if fake else copy
            state[name] = copies[id(value)]
    own = {_storage(value) for value in state.values()}
    kept: dict[int, torch.UntypedStorage] = {}
    flops = FlopCounterMode(display=False)

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept[_storage(tensor)] = tensor.untyped_storage()
        return tensor

    def count() -> int:
        return sum(storage.nbytes() for storage in kept.values()) if network.training else flops.get_total_flops()

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with (
        fake or nullcontext(),
        torch.set_grad_enabled(network.training),
        _watching(parts, count) as (outputs, spent),
        hooks if network.training else flops,
    ):
        result = functional_call(network, state, (torch.zeros(shape, device=device),), tie_weights=False)
        # While the result is there, so is all that autograd keeps.
        total = count()
        del result
    return outputs, spent, total


def _storage(tensor: Tensor) -> int:
    """Return what tensors that share their memory have in common."""
    return tensor.untyped_storage()._cdata


@contextmanager
def _watching(
    parts: Mapping[str, tuple[str, nn.Module]], counted: Callable[[], int]
) -> Iterator[tuple[dict[str, tuple[int, ...]], dict[str, int]]]:
    """Note what each stage returns, and what is counted while it runs."""
    outputs: dict[str, tuple[int, ...]] = {}
    spent: dict[str, int] = {}
    running: list[tuple[str, int]] = []

    def begin(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            running.append((name, counted()))

        return hook

    def end(name: str, inside: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            _, before = running.pop()
            tensor = output[-1] if isinstance(output, list | tuple) and output else output
            if isinstance(tensor, Tensor):
                outputs[name] = tuple(tensor.shape[1:])
            # A stage that another one calls is a part of that one.
            if all(outer == inside for outer, _ in running):
                spent[name] = spent.get(name, 0) + counted() - before

        return hook

    handles = []
    for name, (inside, module) in parts.items():
        handles += [module.register_forward_pre_hook(begin(name)), module.register_forward_hook(end(name, inside))]
    try:
        yield outputs, spent
    finally:
        for handle in handles:
            handle.remove()
