"""Parts of a configuration in words: `AdamW (lr 0.001, weight_decay 0.01)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMS = ("fused", "foreach")
"""Arguments of optimizers that select in which form the same step is computed."""

IDLE = {"freeze_encoder": False, "encoder_lr_factor": 1}
"""Options that every network and optimizer has, at the value that changes nothing."""


LIMIT = "limit_train_batches"
"""How many batches of an epoch are trained on, or which part of them where it is a float."""

IDLE_TRAINER = {"accumulate_grad_batches": 1, "gradient_clip_val": 0, LIMIT: 1.0}
"""Options of the trainer that a card tells, at the value that changes nothing, beside None."""


def trainer_options(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `IDLE_TRAINER` that have an effect."""
    values = {key: trainer.get(key) for key in IDLE_TRAINER}
    return {
        key: value
        for key, value in values.items()
        # limit_train_batches=1 is one batch, and 1.0 all of them.
        if value is not None and not (value == IDLE_TRAINER[key] and (key != LIMIT or isinstance(value, float)))
    }


def in_words(node: Mapping[str, Any]) -> str:
    """Write what a node of a configuration builds: the name of its `_target_`, and its arguments."""
    name, arguments = str(node.get("_target_", "")).rpartition(".")[2], arguments_in_words(node)
    return f"{name} ({arguments})" if arguments else name


def arguments_in_words(node: Mapping[str, Any]) -> str:
    """Write the arguments of a node; those that are None, private ones, `FORMS` and `IDLE` are left out."""
    left_out = {key for key, value in node.items() if value is None or key in FORMS or IDLE.get(key) == value}
    shown = {key: value for key, value in node.items() if not (key.startswith("_") or key in left_out)}
    return ", ".join(f"{key} {value_in_words(value)}" for key, value in shown.items())


def value_in_words(value: Any) -> str:
    """Write the value of an argument; nodes inside are written as `in_words` does."""
    if isinstance(value, Mapping):
        return in_words(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_in_words, value))}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
