"""What submitit leaves open on a real SLURM: jobs that end without a result, clusters without accounts.

Imported only where submitit is installed.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from typing import Any

import submitit.slurm.slurm as plugin
from hydra.core.utils import JobReturn, JobStatus
from submitit.core.utils import FailedJobError, UncompletedJobError

log = logging.getLogger(__name__)

OVER = ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT")
"""States of a job that SLURM does not run again."""

FORGOTTEN = "UNKNOWN TO SLURM"
"""State of a job that `squeue` no longer lists: it ended a while ago."""

MOST_REQUEUES = 20
"""How often a job is queued again that was interrupted though SLURM had not announced it."""

ENDING = 90.0
"""Seconds that an interrupted job stays where SLURM is ending it: longer than the time from SIGTERM to SIGKILL."""


class Watcher(plugin.SlurmInfoWatcher):
    """Ask `squeue` for the jobs; `sacct` answers only where a cluster keeps accounts."""

    def _make_command(self) -> list[str] | None:
        if self._registered <= self._finished:
            return None
        return ["squeue", "--me", "--array", "--states=all", "--format=%i|%T|%N"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        text = string if isinstance(string, str) else string.decode()
        rows = (line.split("|") for line in text.splitlines()[1:])
        states = {row[0]: {"JobID": row[0], "State": row[1], "NodeList": row[2]} for row in rows}
        return {job: states.get(job, {"JobID": job, "State": FORGOTTEN}) for job in self._registered - self._finished}

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        return self.get_state(job_id, mode=mode) in (*OVER, FORGOTTEN)


class Job(plugin.SlurmJob):
    """A job whose end is an answer whatever it is; submitit raises, and the other jobs are no longer waited for."""

    watcher = Watcher(delay_s=60)

    def results(self) -> list[Any]:
        try:
            return super().results()
        except (UncompletedJobError, FailedJobError) as error:
            state = self.watcher.get_state(self.job_id, mode="force").lower()
            reported = str(error).strip().splitlines()[-1] if isinstance(error, FailedJobError) else state
            reason = (
                f"SLURM's job {self.job_id} ended without a result: {reported} (what it printed: {self.paths.stderr})"
            )
            return [JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError(reason))]


def wait_for_results() -> None:
    """Have the launcher wait for each of its jobs, however the others end."""
    plugin.SlurmExecutor.job_class = Job
    setattr(plugin, "SlurmJob", Job)  # noqa: B010 - to assign to a class is an error of types


def requeue() -> None:
    """Queue the interrupted job again that this process is in, and end the process, as submitit's signal does.

    Where SLURM is ending it already, wait for that: it is queued again if SLURM means it to be, and a cancelled one
    has to stay so. Returns only for a job that is to be given up.
    """
    warning = plugin.SlurmJobEnvironment._usr_sig()
    by_submitit = signal.getsignal(warning)
    signal.signal(warning, signal.SIG_IGN)  # it may come now, and to queue a job twice is an error
    if int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= MOST_REQUEUES:
        log.error("interrupted after %d times in the queue: not queued again", MOST_REQUEUES)
        return
    command = ["squeue", "--noheader", f"--jobs={os.environ['SLURM_JOB_ID']}", "--format=%T"]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if state == "RUNNING" and callable(by_submitit):
        log.warning("interrupted, and not by SLURM: queued again")
        by_submitit(warning, None)
    time.sleep(ENDING)
