"""Whether this machine knows a W&B account, without asking anybody."""

from __future__ import annotations


def has_wandb_account() -> bool:
    """Whether `wandb login` was called here, or WANDB_API_KEY is set. Nothing is sent."""
    import wandb

    return wandb.login(prompt=False, verify=False)
