"""The runs of W&B in this process: medseg's, and others, such as a notebook's, which stay as they are."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from weakref import WeakSet

OPENED: WeakSet[Any] = WeakSet()
"""Those that medseg has opened."""


def open_run(**arguments: Any) -> Any:
    """Open a run beside any other; arguments as of `wandb.init`."""
    import wandb

    run = wandb.init(**arguments, reinit="create_new")
    OPENED.add(run)
    return run


def has_other_runs() -> bool:
    """Whether runs are open that medseg has not opened."""
    from wandb.sdk import wandb_setup

    setup = wandb_setup._singleton  # W&B has no public list of them
    return setup is not None and any(run not in OPENED for run in setup._active_runs)


def end_service(exit_code: int | None = None) -> None:
    """End W&B's service in this process, when all is written or sent; other runs need it, so with them it stays."""
    import wandb

    if not has_other_runs():
        wandb.teardown(exit_code)


def kill_service() -> None:
    """Kill the service that this process has started, so that nothing waits for it, and forget the run.

    Other runs need it, so with them it stays.
    """
    import wandb
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import module

    if has_other_runs():
        return
    # W&B itself waits at the end for its service, however long that takes; there is no public way round it.
    setup = wandb_setup._singleton
    service = setup._connection if setup is not None else None
    if service is not None and service._proc is not None:
        service._proc._process.kill()
    module.unset_globals()  # type: ignore[no-untyped-call]
    with suppress(Exception):  # its service is gone
        wandb.teardown()
