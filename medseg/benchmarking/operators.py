"""Where the time of a step goes, and how much memory traffic its operators cause."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def biggest_operators(step: Callable[[], object], device: torch.device, count: int = 5) -> list[dict[str, Any]]:
    """Run a step once under PyTorch's profiler and return what takes most of its time, as name and share (0 to 1).

    The time is an operator's own, without that of the operators that it calls; on a GPU, that of its kernels. The share
    is of the sum over all operators.
    """
    cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        step()
        if cuda:
            torch.cuda.synchronize(device)
    # On a GPU, kernels are in the list as well, and would count twice.
    events = [event for event in profiler.key_averages() if event.device_type.name == "CPU"]
    times = {event.key: event.self_device_time_total if cuda else event.self_cpu_time_total for event in events}
    total = sum(times.values())
    largest = sorted(times, key=lambda name: times[name], reverse=True)[:count]
    return [{"name": name, "share": times[name] / total} for name in largest if total]


def bytes_through_operators(step: Callable[[], object]) -> int:
    """Run a step once, eagerly, and return the bytes of what its operators read and write, summed over all of them.

    Nothing is known of caches: a tensor that one operator writes and the next reads counts twice, and so it is what
    would go through memory if no cache kept anything between operators and every operator touched each value once.
    Views and the taking of memory move nothing. What a kernel does that is not an operator of PyTorch is not seen.
    """
    with OperatorBytes() as counter:
        step()
    return counter.total


class OperatorBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the sizes of what operators read and write while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count an operator and call it."""
        given = dict(kwargs or {})
        returned = func(*args, **given)
        if not func.is_view and not func._schema.name.startswith("aten::empty"):
            written = set()
            for argument, value in itertools.zip_longest(func._schema.arguments, args):
                value = given.get(argument.name) if value is None else value
                tensors = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
                is_written = argument.alias_info is not None and argument.alias_info.is_write
                # `out` is written alone; what is changed in place is read as well.
                self.total += (1 + (is_written and not argument.is_out)) * sum(map(touched, tensors))
                written |= {id(tensor) for tensor in tensors if is_written}
            made = [leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor) and id(leaf) not in written]
            self.total += sum(map(touched, made))
        return returned


def touched(tensor: Tensor) -> int:
    """Return the bytes of a tensor's values; of one that is expanded, those that are there."""
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride or not size else 1
    return count * tensor.element_size()
