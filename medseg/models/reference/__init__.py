"""Weights of the authors' released code, loaded into our networks.

The released networks and ours compute the same function under other names. The files beside this one list for each
network which released name each of our parameters has, and how to read the constructor's arguments from the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medseg.errors import UserError
from medseg.models.reference.amsunet import AMSUNET
from medseg.models.reference.attention_unet import ATTENTION_UNET
from medseg.models.reference.cmunext import CMUNEXT
from medseg.models.reference.convunext import CONVUNEXT
from medseg.models.reference.dcsaunet import DCSAUNET
from medseg.models.reference.egeunet import EGEUNET
from medseg.models.reference.mkunet import MKUNET
from medseg.models.reference.released import Released, Shapes, as_text
from medseg.models.reference.resunet import RESUNET
from medseg.models.reference.segnext import SEGNEXT
from medseg.models.reference.tinyunet import TINYUNET
from medseg.models.reference.unet import UNET
from medseg.models.reference.unetpp import UNETPP
from medseg.models.reference.unext import UNEXT

RELEASED: dict[str, Released] = {
    "unet": UNET,
    "convunext": CONVUNEXT,
    "amsunet": AMSUNET,
    **dict.fromkeys(("attention_unet", "attention_unet_32"), ATTENTION_UNET),
    **dict.fromkeys(("resunet", "resunet_32"), RESUNET),
    **dict.fromkeys(("cmunext", "cmunext_s", "cmunext_l"), CMUNEXT),
    "unetpp": UNETPP,
    **dict.fromkeys(("segnext_t", "segnext_s", "segnext_b", "segnext_l"), SEGNEXT),
    **dict.fromkeys(("unext", "unext_s", "unext_l"), UNEXT),
    "egeunet": EGEUNET,
    "dcsaunet": DCSAUNET,
    **dict.fromkeys(("mkunet_t", "mkunet_s", "mkunet", "mkunet_m", "mkunet_l"), MKUNET),
    "tinyunet": TINYUNET,
}
"""The networks whose released weights can be imported, under the names of their YAML."""


def import_reference(name: str, state: Mapping[str, Tensor | np.ndarray]) -> nn.Module:
    """Build our network `name` with the widths, depths and classes of `state`, and load `state` into it.

    Args:
        name: one of `RELEASED`.
        state: a state dict under the released code's names, of tensors or arrays. `num_batches_tracked` may be
            missing (a fresh network's 0 is kept).

    Returns:
        the network, in float32, on the CPU and in training mode, like a newly built one.

    Raises `UserError` for an unknown name, and for a state that does not fit: it tells the first differing names and
    shapes, in the released code's names.
    """
    network = find_network(name, state)()
    own = network.state_dict()
    shapes = _shapes(state)
    released = {RELEASED[name].rename(key, shapes): key for key in own}
    _check_fit(name, {key: tuple(own[released[key]].shape) for key in released}, state)
    for key, value in state.items():
        target = own[released[key]]
        # torch.tensor copies, so that neither a read-only array nor the caller's tensor is shared.
        source = value.detach() if isinstance(value, Tensor) else torch.tensor(value)
        with torch.no_grad():
            target.copy_(source.reshape(target.shape))
    return network


def find_network(name: str, state: Mapping[str, Tensor | np.ndarray]) -> partial[Any]:
    """Read from `state` which network it is of: our class with its arguments, to be called.

    Raises `UserError` for an unknown name, and for a state that lacks what the arguments are read from.
    """
    if name not in RELEASED:
        raise UserError(f"no released weights are known for '{name}': choose one of {', '.join(RELEASED)}")
    for key, value in state.items():
        if not isinstance(value, Tensor | np.ndarray):
            raise UserError(
                f"this is no state dict of '{name}': entry '{key}' is a {type(value).__name__}, not a tensor"
                " (if it is a whole checkpoint, pass the state dict inside it)"
            )
    return RELEASED[name].build(_shapes(state))


def _shapes(state: Mapping[str, Tensor | np.ndarray]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def _check_fit(name: str, expected: Shapes, state: Mapping[str, Tensor | np.ndarray]) -> None:
    """Raise `UserError` with the first differences between the expected shapes and those of `state`."""
    differences = []
    for key, shape in expected.items():
        if key in state:
            given = tuple(state[key].shape)
            # The same values, such as a Linear layer's for a 1x1 convolution: 2 dimensions, or 4 with two ones.
            same = shape[: len(given)] == given and all(size == 1 for size in shape[len(given) :])
            if not same:
                differences.append(f"{key} is {as_text(given)} where {as_text(shape)} is expected")
        elif not key.endswith("num_batches_tracked"):
            differences.append(f"{key} ({as_text(shape)}) is missing")
    differences += [f"{key} ({as_text(tuple(state[key].shape))}) is not in it" for key in state if key not in expected]
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(f"this state does not fit the released '{name}': {'; '.join(differences[:3])}{more}")
