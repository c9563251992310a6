"""A network as a program of torch.export whose batch, height and width stay open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from medseg.errors import UserError, first_line


def make_program(module: nn.Module, example: Tensor, name: str) -> ExportedProgram:
    """Trace a module in evaluation mode into a program.

    Args:
        module: maps N x C x H x W to N x K x H x W.
        example: an image that it takes, at least 2 x C x 2 x 2. The branches of the Python code are those of its size.
        name: of the network, in messages.

    Raises `UserError` where it cannot be traced, or only for the example's size.
    """
    open_sizes = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    try:
        with quiet():
            program = torch.export.export(
                module,
                (example,),
                dynamic_shapes={"image": open_sizes},
                # What cannot be proved for all sizes is asserted when the program runs, not refused here.
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name} cannot be exported with open sizes: {first_line(error)} (its forward must not decide by the "
            "values of H and W; torch.export's documentation has the rules)"
        ) from error
    remove_assertions(program)
    return program


def remove_assertions(program: ExportedProgram) -> None:
    """Remove what torch.export asserts of sizes, and where in the source every step comes from.

    The assertions are about memory layouts that the tracing has passed through (that a row of a feature has more than
    one pixel, for example). Results do not depend on them, but images of some sizes would be refused; that the program
    is right for other sizes is checked afterwards. The source lines would name folders of this machine.
    """
    for _, module in program.graph_module.named_modules():
        if not isinstance(module, torch.fx.GraphModule):
            continue
        for node in list(module.graph.nodes):
            node.meta.pop("stack_trace", None)
            if node.target is torch.ops.aten._assert_scalar.default:
                module.graph.erase_node(node)
        module.graph.eliminate_dead_code()
        module.recompile()


def smallest_size(program: ExportedProgram) -> int:
    """Return the smallest height and width that a program takes, in pixels."""
    image = next(node for node in program.graph.nodes if node.name == program.graph_signature.user_inputs[0])
    ranges = program.range_constraints
    return max(int(ranges[size.node.expr].lower) for size in image.meta["val"].shape[2:])


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the logs of the exporters; recording their trace costs time as well."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.__trace", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
