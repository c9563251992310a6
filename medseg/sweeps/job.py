"""One job of a multirun, wherever a launcher runs it: a separate process in run mode, a record of how it ended."""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medseg.config import yaml_files
from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan
from medseg.sweeps.outcome import Outcome
from medseg.sweeps.planned_config import KEY, standard_input, use_config
from medseg.sweeps.process import JobProcess, describe_exit
from medseg.sweeps.server import job_server
from medseg.system.locks import BusyError
from medseg.system.signals import SIGNALS

log = logging.getLogger(__name__)

Planner = Callable[[DictConfig, HydraConf], RunPlan]

LOCK_WAIT = 60.0
"""Seconds that a job waits for another process to leave its run; one whose sweep was killed is about to."""

SHOWN = 5
"""Lines of a failed job that are shown at the end."""


@dataclass(frozen=True)
class IsolatedJob:
    """What a launcher calls for every job, in this process or in another, here or elsewhere.

    Args:
        program: how the job is started: `python -m <program>`.
        planner: tells which run a configuration means; None for a command without run folders.
        total: how many jobs are launched.
        of_many: whether the sweep has others, before or after these.
    """

    program: tuple[str, ...]
    planner: Planner | None
    total: int
    of_many: bool = True

    def __call__(self, cfg: DictConfig) -> Outcome:
        """Run a planned job to its end, and record an end that it could not record itself.

        Args:
            cfg: as composed where the launcher has the job run; of this, only the plan that it carries is used.
        """
        from medseg.system.logs import set_up_logging

        if not logging.getLogger("medseg").handlers:  # in a process of the launcher
            set_up_logging()
        number, packed = HydraConfig.get().job.num, str(cfg[KEY])
        cfg = use_config(packed)
        hydra_config = HydraConfig.get()
        here = Path(hydra_config.runtime.cwd)
        overrides = list(hydra_config.overrides.task)
        plan = self.planner(cfg, hydra_config) if self.planner is not None else None
        name = plan.folder.path.name if plan is not None else " ".join(overrides)
        log.info("job %d of %d: %s", number + 1, self.total, name)
        if plan is not None:
            plan = replace(plan, folder=RunFolder(here / plan.folder.path))
        arguments = [*overrides, *repeat_options(hydra_config, self.program[-1])]
        command = [sys.executable, "-m", *self.program, *arguments]
        code = BusyError.exit_code
        while code == BusyError.exit_code:
            if plan is not None:
                try:
                    # Not held: the job takes it itself, and reports where another one was faster.
                    with plan.folder.locked(LOCK_WAIT):
                        pass
                except BusyError as error:
                    return Outcome(name, "busy", str(error))
            try:
                with standard_input(self.program, arguments, packed) as given:
                    server = job_server(self.program, cfg, of_many=self.of_many)
                    job = JobProcess(command, here, given, server)
            except OSError as error:
                return failed(plan, name, f"cannot be started: {error}", [])
            try:
                code = job.result()
            except BaseException:
                if plan is not None:
                    record_interruption(plan, job)
                raise
            if plan is None:
                break
        outcome = job_outcome(plan, name, job, code)
        if outcome.state == "interrupted" and "SUBMITIT_EXECUTOR" in os.environ:
            from medseg.sweeps.slurm import requeue

            requeue()
        return outcome


def repeat_options(hydra_config: Any, program: str) -> list[str]:
    """Return the options with which a person repeats a job; the job itself is handed what they come to."""
    options = [override for override in hydra_config.overrides.hydra if override.startswith("hydra.searchpath")]
    if hydra_config.job.config_name != program.rpartition(".")[2]:
        options += ["--config-name", hydra_config.job.config_name]
    flags = {"command-line": "--config-dir", "main": "--config-path"}
    for source in hydra_config.runtime.config_sources:
        if source.provider in flags and source.path != str(yaml_files.config_dir()):
            options += [flags[source.provider], source.path]
    return options


def job_outcome(plan: RunPlan | None, name: str, job: JobProcess, code: int) -> Outcome:
    """Tell how a job ended that nothing stopped from outside, and record what it could not record itself."""
    printed = [line for line in job.lines if line]
    if code == 0 and (plan is None or plan.finished):
        return Outcome(name, "finished")
    # Those are the signals that end a job which does not listen to them yet.
    if code in (130, -signal.SIGINT, *(-number for number in SIGNALS)):
        return Outcome(name, "interrupted", "the same command resumes it", tuple(printed[-SHOWN:]))
    status = plan.folder.status if plan is not None else {}
    if status.get("pid") == job.pid and status["state"] == "failed":
        return Outcome(name, "failed", status["error"], tuple(printed[-SHOWN:]))
    # Killed, or ended before its folder was begun. A user's error is what a command prints last.
    error = (
        printed[-1].removeprefix("error: ") if printed and printed[-1].startswith("error: ") else describe_exit(code)
    )
    return failed(plan, name, error, printed)


def failed(plan: RunPlan | None, name: str, error: str, printed: list[str]) -> Outcome:
    """Return the outcome of a failed job; its run's folder gets what it printed last and the log does not have."""
    lines = printed if printed and printed[-1].endswith(error) else [*printed, error]
    if plan is not None:
        folder = plan.folder
        try:
            with folder.locked(LOCK_WAIT):
                if not plan.finished:  # by another process, or before a repetition that never began
                    plan.write_record()
                    logged = "\n".join(folder.last_lines(50))
                    # The console's lines begin with their level, the log's with the time.
                    folder.append_log(
                        "\n".join(line for line in lines if (line.partition(" ")[2] or line) not in logged)
                    )
                    folder.set_state("failed", error=error)
        except BusyError as busy:
            return Outcome(name, "busy", str(busy))
    return Outcome(name, "failed", error, tuple(lines[-SHOWN:]))


def record_interruption(plan: RunPlan, job: JobProcess) -> None:
    """Write to a run's folder that it was interrupted where it had begun and was killed before it could record it."""
    with suppress(BusyError), plan.folder.locked():  # another process has taken it over where it is held
        status: dict[str, Any] = plan.folder.status
        if (status.get("pid"), status.get("host"), status.get("state")) == (job.pid, platform.node(), "running"):
            plan.folder.set_state("interrupted")
