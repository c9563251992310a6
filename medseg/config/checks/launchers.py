"""Settings of the launchers of a multirun."""

from __future__ import annotations

from typing import Annotated, Any

from annotated_types import Gt, Le

from medseg.config.checks.kinds import PATH, SWITCH, TEXT, Settings, number, several, whole

TIMES: Any = whole(0, 1_000_000)
MINUTES: Any = whole(1, 1_000_000)

LAUNCHER_SETTINGS: dict[str, Settings] = {
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher": {
        "ray": {
            "init": {
                "address": TEXT,
                "include_dashboard": SWITCH,
                "object_store_memory": whole(75 * 2**20, 2**50),  # less than Ray takes
            },
            "remote": {
                "num_gpus": number(0, 1024),
                "num_cpus": Annotated[float, Gt(0), Le(1024)],
                "max_retries": whole(-1, 1_000_000),  # -1: without end
            },
        }
    },
    "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher": {
        "submitit_folder": PATH,
        "name": TEXT,
        **dict.fromkeys(("partition", "account", "qos", "constraint"), TEXT | None),
        "nodes": whole(1, 1024),
        "tasks_per_node": whole(1, 1024),
        "gpus_per_node": whole(0, 1024) | None,
        "cpus_per_task": whole(1, 1024),
        "mem_gb": Annotated[float, Gt(0), Le(1_000_000)],
        "timeout_min": MINUTES,
        "max_num_timeout": TIMES,
        "signal_delay_s": TIMES,
        "array_parallelism": MINUTES,
        "additional_parameters": dict,
        "setup": several(TEXT, "a list of shell lines", 0) | None,
    },
}
"""Settings by class."""
