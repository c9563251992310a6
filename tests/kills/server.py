"""A process that has imported all that medseg needs, and forks a process for every command that it is asked to run.

`python -m tests.kills.server` reads a request a line, in JSON, and answers each in a line when the command has ended,
and all that it started. Jobs of a sweep are forked as well.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from tests.kills import moments
from tests.kills.moments import Fault, Watch, watch

LIMIT = 120.0
"""Seconds after which a command is killed, and its answer says so."""

PR_SET_CHILD_SUBREAPER = 36

LOADED = (
    "medseg.commands.train", "medseg.training.job", "medseg.measure.cost", "medseg.commands.prepare",
    "medseg.data.prepared.prepare", "medseg.commands.predict", "medseg.trained.predicting.folder",
    "medseg.commands.report", "medseg.reporting.comparison", "medseg.reporting.report", "medseg.reporting.figures",
    "medseg.sweeps.process", "matplotlib.font_manager", "hydra._internal.hydra",
)  # fmt: skip
"""What takes a while to import, and is needed by some command."""


def serve() -> None:
    for module in LOADED:
        importlib.import_module(module)
    # What is done once, and remembered.
    importlib.import_module("hydra.core.plugins").Plugins.instance()
    torch = importlib.import_module("torch")
    importlib.import_module("medseg.measure.cost").count_macs(torch.nn.Conv2d(3, 1, 1), in_channels=3, size=(8, 8))
    # What a command leaves behind when it is killed becomes a child of this process, which waits for it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(shell(request["shell"]) if "shell" in request else run(request)), flush=True)


def shell(command: Sequence[str]) -> dict[str, Any]:
    """Run a command that is none of medseg's, such as one that mounts what this process alone sees."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {"code": done.returncode, "said": done.stdout + done.stderr}


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run a command to its end.

    Request: module and arguments; folder (where it runs, and where what it prints is written); variables of the
    environment; fault (of `Fault`) or None; kill_after: seconds and number of a signal, or None.
    Answer: code (as of `subprocess`), seconds, late: whether it had to be killed.
    """
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        become(request)
    due = request["kill_after"]
    code: int | None = None
    late = False
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - began
        if code is None and due is not None and passed > due[0]:
            os.kill(pid, due[1])
            due = None
        if passed > LIMIT and ended == 0:
            late = True
            for each in children():
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        if ended == 0:
            time.sleep(0.005)
    return {"code": code, "seconds": time.monotonic() - began, "late": late}


def children() -> list[int]:
    """List the children of this process."""
    return [int(each) for each in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def become(request: Mapping[str, Any]) -> None:
    """Become the process of a command; never returns."""
    folder = Path(request["folder"])
    os.chdir(folder)
    os.setpgid(0, 0)
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), *((n, request["said"], os.O_WRONLY) for n in (1, 2))):
        opened = os.open(name, flags | (os.O_CREAT | os.O_APPEND if flags else 0))
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = stream(0, "r"), stream(1, "w"), stream(2, "w")
    os.environ.update({**request["variables"], "MEDSEG_FORK": "0"})  # a job is forked from the process of its sweep
    tempfile.tempdir = None
    subprocess_of_jobs = importlib.import_module("medseg.sweeps.process")
    subprocess_of_jobs.subprocess = ForkingSubprocess()
    fault = request["fault"]
    hook = None if fault is None else watch(Fault(**fault), Path(request["watched"]))
    main(request["module"], request["arguments"], hook, request["counted"])


def stream(descriptor: int, mode: str) -> TextIO:
    """Open one of the three streams that every process has; what is in the buffer of another is not written twice."""
    return open(descriptor, mode, buffering=1, closefd=False)  # type: ignore[return-value]


def main(module: str, arguments: Sequence[str], hook: Watch | None = None, counted: str | None = None) -> None:
    """Run a command of medseg in this process, and end with its exit code."""
    code: Any = 0
    sys.argv = [module, *arguments]
    try:
        importlib.import_module(module).main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if hook is not None and counted is not None:
        Path(counted).write_text(str(hook.count), encoding="utf-8")
    with suppress(BaseException):
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


class ForkingSubprocess:
    """Stands in for the module `subprocess` where a job is started: `python -m module` is forked, not started anew."""

    DEVNULL, PIPE = subprocess.DEVNULL, subprocess.PIPE

    @staticmethod
    def Popen(command: Sequence[str], *, env: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
        assert command[:2] == [sys.executable, "-m"]
        sys.stdout.flush()

        def instead() -> None:
            # `Popen` waits until this is closed.
            os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            moments.ROLE = "job"
            os.environ.clear()
            os.environ.update(env)
            # No state of the sweep's own.
            importlib.import_module("hydra.core.global_hydra").GlobalHydra.instance().clear()
            sys.stdin, sys.stdout, sys.stderr = stream(0, "r"), stream(1, "w"), stream(2, "w")
            main(command[2], command[3:])

        return subprocess.Popen(["unused"], preexec_fn=instead, **options)


if __name__ == "__main__":
    serve()
