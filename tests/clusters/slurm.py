"""A real SLURM of this machine alone, for tests: its daemons in a temporary folder, on loopback and free ports.

Debian's packages `slurm-wlm` and `munge` have all that is needed; they need not be configured, nor be running.
"""

from __future__ import annotations

import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

from medseg.system.signals import exit_with
from tests.clusters.processes import Cluster, kill_all, parent_of, processes_with
from tests.sweeping import wait_until

DAEMONS = ("munged", "slurmctld", "slurmd")
MISSING = [name for name in DAEMONS if shutil.which(name) is None]

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
# None of what a container may lack: cgroups, a daemon of accounts, a mail program.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SwitchType=switch/none
MailProg=/bin/true
ReturnToService=2
# What a test waits for.
KillWait=10
SlurmdTimeout=30
MinJobAge=300
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=0
{nodes}
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm(Cluster):
    """A controller and `nodes` nodes of one job each.

    Args:
        folder: where they keep what they need; short, for the name of a socket.
        nodes: their number.
    """

    def __init__(self, folder: Path, nodes: int = 2) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        host, ports = platform.node().partition(".")[0], free_ports(nodes + 1)
        self.nodes = [f"node{number}" for number in range(nodes)]
        lines = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=64000 State=UNKNOWN"
            for name, port in zip(self.nodes, ports[1:], strict=True)
        ]
        self.environment = {"SLURM_CONF": str(self.configuration)}
        user = pwd.getpwuid(os.getuid()).pw_name
        self.configuration.write_text(
            CONFIGURATION.format(host=host, port=ports[0], user=user, folder=folder, nodes="\n".join(lines))
        )
        (folder / "state").mkdir()
        (folder / "munge").mkdir()

    def start(self) -> None:
        munge = self.folder / "munge"
        key = munge / "key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        files = {"key-file": key, "socket": munge / "socket", "pid-file": munge / "pid", "log-file": munge / "log"}
        options = [f"--{name}={file}" for name, file in {**files, "seed-file": munge / "seed"}.items()]
        self.run("munged", "--foreground", "--force", *options)
        wait_until((munge / "socket").exists, "munged")
        self.run("slurmctld", "-D", "-f", str(self.configuration))
        for node in self.nodes:
            self.start_node(node)
        wait_until(lambda: set(self.states().values()) == {"idle"}, "the nodes")

    def run(self, *command: str, name: str = "") -> None:
        name = name or command[0]
        with (self.folder / f"{name}.out").open("wb") as said:
            self.daemons[name] = subprocess.Popen(
                command, env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True, preexec_fn=partial(exit_with, os.getpid(), signal.SIGKILL),
            )  # fmt: skip

    def stop(self) -> None:
        """Kill the daemons and whatever they started."""
        for process in self.daemons.values():
            process.kill()
            process.wait()
        kill_all(lambda: processes_with(f"SLURM_CONF={self.configuration}"))

    def crash(self, node: str) -> None:
        """Have a node be gone from one moment to the next, with all that it runs, and tell the controller so."""
        daemon = self.daemons.pop(node)
        daemon.kill()
        daemon.wait()
        # First what watches over its jobs: it would say that they have failed.
        kill_all(lambda: [each for each in map(parent_of, processes_with(f"SLURMD_NODENAME={node}")) if is_step(each)])
        kill_all(lambda: processes_with(f"SLURMD_NODENAME={node}"))
        self.do("scontrol", "update", f"nodename={node}", "state=down", "reason=crashed")

    def start_node(self, node: str) -> None:
        self.run("slurmd", "-D", "-f", str(self.configuration), "-N", node, name=node)

    def do(self, *command: str) -> str:
        """Run one of SLURM's commands and return what it says."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout

    def states(self) -> dict[str, str]:
        """Map each node to its state."""
        try:
            said = self.do("sinfo", "--noheader", "--Node", "--format=%N %t")
        except subprocess.CalledProcessError:  # it does not answer yet
            return {}
        return dict(line.split() for line in said.splitlines())

    def jobs(self) -> dict[str, str]:
        """Map each job that has not ended to the node that it runs on; none where it waits."""
        said = self.do("squeue", "--noheader", "--array", "--format=%i|%N")
        return dict(line.split("|") for line in said.splitlines())


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def is_step(process: int) -> bool:
    """Whether a process is the one with which SLURM watches over a job."""
    with suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text().startswith("slurmstepd")
    return False
