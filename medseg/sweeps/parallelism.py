"""How many jobs a launcher runs at a time, and on which kind of device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medseg.errors import count
from medseg.sweeps.launchers import RAY, SLURM, gpus_needed
from medseg.sweeps.planned_job import PlannedJob
from medseg.system.gpus import gpu_count
from medseg.system.process import available_cores


def device_kind(accelerator: str, launcher: Mapping[str, Any]) -> str:
    """Return the kind of device that a job trains on: cpu, gpu or mps.

    With `auto`, a job has a GPU where this machine has one; with SLURM, unless it is asked for none.
    """
    if accelerator != "auto":
        return "gpu" if accelerator == "cuda" else accelerator
    if launcher.get("_target_") == SLURM:
        return "cpu" if launcher.get("gpus_per_node") == 0 else "gpu"
    return "gpu" if gpu_count() else "cpu"


def jobs_at_once(launcher: Mapping[str, Any], jobs: Iterable[PlannedJob]) -> tuple[int, str]:
    """Return how many jobs a launcher runs at a time, and in words what that is judged by.

    Raises `ConfigError` for a number of devices that the launcher cannot be asked for.
    """
    target = str(launcher.get("_target_"))
    needs = [gpus_needed(job.cfg.trainer) for job in jobs] if target in (RAY, SLURM) else []
    if target == SLURM:
        number = int(launcher["array_parallelism"])
        return (
            number,
            f"{count(number, 'job')} at a time, set by array_parallelism; waiting in the queue is not counted",
        )
    if target == RAY:
        return ray_jobs_at_once(launcher["ray"], max((1 if need is None else need for need in needs), default=0))
    if target.endswith(".JoblibLauncher"):
        number = int(launcher.get("n_jobs") or 1)
        number = number if number > 0 else available_cores()
        return number, f"{count(number, 'job')} at a time, set by n_jobs"
    return 1, "one job at a time"


def ray_jobs_at_once(ray: Mapping[str, Any], need: int) -> tuple[int, str]:
    """Return the same for Ray, with jobs that use `need` GPUs where there are any."""
    gpus, cores = gpu_count(), available_cores()
    remote = ray["remote"]
    asked = remote.get("num_gpus")
    gpus_of_job = float(min(need, gpus) if asked is None else asked)
    cores_of_job = float(remote.get("num_cpus") or 1)
    number = int(cores // cores_of_job)
    if gpus_of_job:
        number = min(number, int(gpus // gpus_of_job))
    number = max(1, number)
    here = f"this machine has {cores} cores and {gpus} GPUs"
    if ray["init"].get("address") is not None:
        here = f"the cluster was not asked, so as a single node: {here}"
    return number, f"{number} job{'s' * (number > 1)} at a time: {here}, a job asks for {gpus_of_job:g} GPUs"
