"""Show where the time of a network's training step goes, and what its operators read and write.

    python experiments/performance/operators.py model=unet batch_size=4

The arguments are those of `medseg benchmark` for one network. `limits.py` measures what the machine can do.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from medseg.benchmarking.network import NetworkBenchmark
from medseg.benchmarking.setting import find_settings
from medseg.config.overrides import add_keys
from medseg.errors import ConfigError, UserError


class OperatorBytes(TorchDispatchMode):
    """Adds up the sizes of what operators read and write while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count an operator and call it."""
        named = dict(kwargs or {})
        returned = func(*args, **named)
        if not func.is_view and not func._schema.name.startswith("aten::empty"):
            written = set()
            for argument, value in itertools.zip_longest(func._schema.arguments, args):
                value = named.get(argument.name) if value is None else value
                tensors = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
                is_written = argument.alias_info is not None and argument.alias_info.is_write
                # `out` is written alone; what is changed in place is read as well.
                self.total += (1 + (is_written and not argument.is_out)) * sum(map(size_of, tensors))
                written |= {id(tensor) for tensor in tensors if is_written}
            made = [leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor) and id(leaf) not in written]
            self.total += sum(map(size_of, made))
        return returned


def size_of(tensor: Tensor) -> int:
    """Return the bytes of a tensor's values; of one that is expanded, those that are there."""
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride or not size else 1
    return count * tensor.element_size()


def bytes_through_operators(step: Callable[[], object]) -> int:
    """Run a step once, eagerly, and return the bytes of what its operators read and write, summed over all of them.

    Nothing is known of caches: a tensor that one operator writes and the next reads counts twice. Views and the taking
    of memory move nothing. What a kernel does that is not an operator of PyTorch is not seen.
    """
    with OperatorBytes() as counter:
        step()
    return counter.total


def main(arguments: Sequence[str] | None = None) -> None:
    """Profile a training step after two others and print the operators that take most of its time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for medseg benchmark")
    parser.add_argument("--rows", type=int, default=10, help="operators to show")
    options = parser.parse_intermixed_args(arguments)
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's messages about itself
    try:
        words = add_keys(options.overrides, ("model",), "benchmark")
        if any(word.startswith("models=") for word in words):
            raise ConfigError("give one network: model=NAME")
        (setting,) = find_settings(None, words)
    except UserError as error:
        parser.error(str(error))
    network = NetworkBenchmark(setting, seconds=1.0)
    cuda = network.device.type == "cuda"
    for _ in range(2):
        network.train_step()
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as profiler:
        network.train_step()
        if cuda:
            torch.cuda.synchronize(network.device)
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    print(profiler.key_averages().table(sort_by=order, row_limit=options.rows, max_name_column_width=50))
    if not setting.compile:  # whose operators are not seen
        total = bytes_through_operators(network.train_step)
        print(f"{setting.network}: operators of a training step read and write {total / 1e9:.3g} GB")


if __name__ == "__main__":
    main()
