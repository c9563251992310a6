"""What Hydra's launchers need to know about medseg's jobs: how many GPUs each one needs."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict

from medseg.errors import ConfigError, UserError, count

log = logging.getLogger(__name__)

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
EXTRAS = {RAY: "ray", SLURM: "submitit"}
"""Launchers that an extra of medseg installs."""


def check_installed(launcher: DictConfig, known: Sequence[str]) -> None:
    """Raise `UserError` for a launcher whose plugin is not among the `known` classes."""
    target = str(launcher.get("_target_"))
    if target in EXTRAS and target not in known:
        extra = EXTRAS[target]
        raise UserError(f"hydra/launcher={extra_option(target)} is not installed: pip install 'medseg[{extra}]'")


def extra_option(target: str) -> str:
    """Name the option of `hydra/launcher` that a launcher's class belongs to."""
    return {RAY: "ray", SLURM: "submitit_slurm"}[target]


def gpus_needed(trainer: DictConfig) -> int | None:
    """Return how many GPUs a job's trainer uses; None for one or none, whichever there is.

    Raises `ConfigError` for all that there are: a job has to ask for a number.
    """
    accelerator, devices = str(trainer.accelerator), trainer.devices
    if accelerator not in ("auto", "gpu", "cuda"):
        return 0
    if OmegaConf.is_list(devices):
        return len(devices)
    if not str(devices).isdigit():
        raise ConfigError(f"trainer.devices={devices}: with this launcher a job asks for a number; trainer.devices=2")
    return None if accelerator == "auto" and int(devices) == 1 else int(devices)


def with_gpus(launcher: DictConfig, need: int | None) -> DictConfig:
    """Return the launcher's configuration with the number of GPUs filled in where it is left open.

    Raises `UserError` for GPUs that a Ray on this machine will never have.
    """
    filled = OmegaConf.create(OmegaConf.to_container(launcher, resolve=True))
    assert isinstance(filled, DictConfig)
    target = filled.get("_target_")
    with open_dict(filled):
        if target == RAY:
            filled.ray.remote.num_gpus = ask_ray(filled.ray, need)
        elif target == SLURM and filled.get("gpus_per_node") is None:
            # A login node has no GPU; the nodes that jobs run on have.
            filled.gpus_per_node = (1 if need is None else need) or None
    return filled


def ask_ray(ray_config: DictConfig, need: int | None) -> float:
    """Start Ray on this machine, or join the cluster at its address, and return the GPUs that a job is to ask for.

    Raises `UserError` where no Ray answers, or it refuses what it is given.
    """
    # Nothing is uploaded unless asked for.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A job that asks for no GPU has trainer=cpu, so none has to be hidden from it; Ray would warn of that.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if not ray.is_initialized():
        arguments: dict[str, Any] = OmegaConf.to_container(ray_config.init, resolve=True)  # type: ignore[assignment]
        if arguments.get("address") is None:
            arguments["address"] = "local"  # Ray takes None for any cluster there is
        else:
            arguments.pop("object_store_memory", None)  # the cluster decides that
        try:
            ray.init(**arguments)
        except (ConnectionError, ValueError) as error:
            raise UserError(f"hydra.launcher.ray.init: {error}") from error
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    available = max((node["Resources"].get("GPU", 0.0) for node in nodes if node["Alive"]), default=0.0)
    wanted = ray_config.remote.get("num_gpus")
    if wanted is None:
        wanted = need if need is not None else min(1, available)
    if wanted > available and ray_config.init.get("address") is None:
        raise UserError(f"a job asks Ray for {wanted:g} GPUs, and this machine has {available:g}")
    on_gpus = f"; {count(int(available // wanted), 'job')} at a time on the GPUs of a node" if wanted else ""
    log.info("Ray: %s, %g GPUs on one; %g for a job%s", count(len(nodes), "node"), available, wanted, on_gpus)
    return float(wanted)


def wait_for_every_job(launcher: DictConfig) -> None:
    """Have a launcher wait for each of its jobs, however the others end.

    The plugins raise where a job is lost, and the jobs after it are no longer waited for.
    """
    if launcher.get("_target_") == SLURM:
        from medseg.sweeps.slurm import wait_for_results  # needs submitit

        wait_for_results()
    if launcher.get("_target_") == RAY:
        wait_for_ray()


def wait_for_ray() -> None:
    """Have Ray's launcher take a job that Ray has lost as a failed one."""
    import ray

    def end_of(job: Any) -> Any:
        try:
            return ray.get(job)
        except ray.exceptions.RayError as error:
            reason = f"Ray has lost the job: {str(error).strip().splitlines()[0]}"
            return JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError(reason))

    plugin: Any = importlib.import_module("hydra_plugins.hydra_ray_launcher._core")
    plugin.ray = SimpleNamespace(get=end_of)


def shutdown_launcher(launcher: DictConfig) -> None:
    """End what a launcher started on this machine, so that its jobs end too."""
    if launcher.get("_target_") == RAY:
        import ray

        ray.shutdown()
