"""A SLURM of one node that runs one task at a time, for tests: the commands that submitit and its job scripts call.

`install` writes them to a folder for PATH. Job 1000 and so on; what is known of a job lies in a folder of its number.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "scancel")


def install(folder: Path) -> dict[str, str]:
    """Write the commands and return the environment in which they are found."""
    commands = folder / "bin"
    commands.mkdir(parents=True)
    for name in COMMANDS:
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        script.chmod(0o755)
    return {"FAKE_SLURM": str(folder), "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}


def root() -> Path:
    return Path(os.environ["FAKE_SLURM"])


def sbatch(script: str) -> None:
    number = 1000 + len(list(root().glob("[0-9]*")))
    place = root() / str(number)
    place.mkdir()
    text = Path(script).read_text()
    (place / "script.sh").write_text(text)
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", text, flags=re.MULTILINE))
    array = re.fullmatch(r"0-(\d+)%\d+", options.get("array", ""))
    tasks = [f"{number}_{task}" for task in range(int(array[1]) + 1)] if array else [str(number)]
    (place / "states.json").write_text(json.dumps(dict.fromkeys(tasks, "PENDING")))
    worker = subprocess.Popen(
        [sys.executable, __file__, "work", str(number)], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(place / "errors.txt").open("w"),
    )  # fmt: skip
    (place / "worker").write_text(str(worker.pid))
    print(f"Submitted batch job {number}")


def shut_down(folder: Path) -> None:
    """Kill whatever still runs."""
    for file in [*folder.glob("*/worker"), *folder.glob("*/session-*")]:
        for process in processes(int(file.read_text())):
            send(process, signal.SIGKILL)


def work(number: str) -> None:
    """Run the tasks of a job, again where they are queued again."""
    place = root() / number
    for task in json.loads((place / "states.json").read_text()):
        while run_task(place, number, task):
            pass


def run_task(place: Path, number: str, task: str) -> bool:
    """Run a task once; return whether it is to be run again."""
    index = task.partition("_")[2]
    again = place / f"requeue-{task}"
    set_state(place, task, "RUNNING")
    environment = {
        **os.environ, "SLURM_JOB_ID": number, "SLURM_JOB_NAME": "medseg", "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NNODES": "1", "SLURM_JOB_NODELIST": "node1", "SLURM_NODELIST": "node1", "SLURM_NTASKS": "1",
        "SLURM_NTASKS_PER_NODE": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0",
        **({"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": index} if index else {}),
    }  # fmt: skip
    shell = subprocess.Popen(["bash", str(place / "script.sh")], env=environment, start_new_session=True)
    (place / f"session-{task}").write_text(str(shell.pid))
    while shell.poll() is None and not again.exists():
        time.sleep(0.1)
    if again.exists():
        # As SLURM does, a moment later: what is left is asked to end, then killed.
        time.sleep(2)
        limit = time.monotonic() + 30
        for process in processes(shell.pid):
            send(process, signal.SIGTERM)
        while processes(shell.pid) and time.monotonic() < limit:
            time.sleep(0.1)
            shell.poll()
        for process in processes(shell.pid):
            send(process, signal.SIGKILL)
        shell.wait()
        again.unlink()
        set_state(place, task, "REQUEUED")
        return True
    set_state(place, task, "FAILED" if shell.returncode else "COMPLETED")
    return False


def preempt(folder: Path, task: str) -> None:
    """Warn the processes of a task, all but its shell, as SLURM does before it takes their place away."""
    number = task.partition("_")[0]
    session = int((folder / number / f"session-{task}").read_text())
    for number_of_signal in (signal.SIGTERM, signal.SIGUSR2):
        for process in processes(session):
            if process != session:
                send(process, number_of_signal)
        time.sleep(1)


def processes(session: int) -> list[int]:
    """List the processes of a session that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def set_state(place: Path, task: str, state: str) -> None:
    file = place / "states.json"
    states = {**json.loads(file.read_text()), task: state}
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(states))
    partial.replace(file)
    with (place / "history.txt").open("a") as stream:
        stream.write(f"{task} {state}\n")


def srun(*words: str) -> None:
    """Run a command here, with its output where the options say."""
    options, rest = {}, list(words)
    while rest[0].startswith("--"):
        name = rest.pop(0)
        options[name] = rest.pop(0) if name in ("--output", "--error") else ""
    names = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID", "%t": "SLURM_PROCID"}
    for option, descriptor in (("--output", 1), ("--error", 2)):
        if option in options:
            path = re.sub("%[Aajt]", lambda found: os.environ[names[found[0]]], options[option])
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.execvp(rest[0], rest)


def squeue(*words: str) -> None:
    print("JOBID|STATE|NODELIST")
    for file in root().glob("*/states.json"):
        for task, state in json.loads(file.read_text()).items():
            print(f"{task}|{state}|node1")


def scontrol(action: str, task: str) -> None:
    assert action == "requeue", shlex.join(sys.argv)
    (root() / task.partition("_")[0] / f"requeue-{task}").touch()


def scancel(*words: str) -> None: ...


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
