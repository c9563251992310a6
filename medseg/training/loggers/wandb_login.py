"""Whether this machine knows a W&B account, and whether W&B takes it."""

from __future__ import annotations

import os

from medseg.errors import UserError
from medseg.training.loggers.wandb_runs import end_service


def has_wandb_account() -> bool:
    """Whether `wandb login` was called here, or WANDB_API_KEY is set, whatever WANDB_MODE is. Nothing is sent.

    A key that cannot be one counts: W&B reports it when it is used.
    """
    import wandb

    try:
        return log_in(verify=False)
    except wandb.errors.AuthenticationError:
        return True


def check_wandb_account() -> None:
    """Ask W&B whether it takes the account of this machine.

    Raises `UserError` where there is none, where it is refused, and where W&B does not answer.
    """
    import wandb

    try:
        known = log_in(verify=True)
    except wandb.errors.AuthenticationError as error:
        raise UserError(f"W&B: {error}; look at WANDB_API_KEY, or run `wandb login` again") from None
    finally:
        end_service()  # which is not for the commands that this process starts
    if not known:
        raise UserError("W&B needs an account: run `wandb login` or set WANDB_API_KEY first")


def log_in(*, verify: bool) -> bool:
    """Use the account of this machine, where there is one; `verify` asks W&B."""
    # W&B's reports about itself, which it sends in every mode.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    # Otherwise W&B looks for no account where WANDB_MODE is offline or disabled. What it reports later, of a run that
    # it does not take any more for example, is to be shown.
    wandb.setup(wandb.Settings(mode="online", silent=verify))
    return wandb.login(prompt=False, verify=verify)
