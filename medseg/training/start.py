"""The start of a planned run: trained, resumed, or left as it is when it is finished."""

from __future__ import annotations

import logging
from contextlib import nullcontext

from omegaconf import DictConfig

from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan
from medseg.system.memory import keep_freed_memory
from medseg.system.process import is_first_process
from medseg.training.continuing import find_shorter
from medseg.training.finished import check_finished

log = logging.getLogger(__name__)


def train(cfg: DictConfig, plan: RunPlan) -> RunFolder:
    """Run the job that `cfg` describes, or resume it; a finished run is not repeated, but by `force=true`.

    Returns the folder of the run. Raises `UserError` for what the user can put right.
    """
    # The further processes of a distributed run work under the lock of the first.
    with plan.folder.locked() if is_first_process() else nullcontext():
        if plan.finished and not cfg.force:
            log.info("finished already, so not repeated (force=true repeats it)")
            check_finished([plan])
        else:
            if not plan.folder.record.exists() and cfg.continue_from is None and is_first_process():
                offer_to_continue(plan)
            # Imported here, not above: torch and lightning take seconds, and nothing so far needs them.
            from medseg.training.job import run_job

            keep_freed_memory()
            run_job(cfg, plan)
    return plan.folder


def offer_to_continue(plan: RunPlan) -> None:
    """Tell of a finished run with fewer epochs and otherwise the same settings."""
    shorter = find_shorter(plan)
    if shorter is not None:
        log.info("there is a run of fewer epochs; to go on from it: continue_from=%s", shorter.path)
