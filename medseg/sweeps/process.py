"""A job in a separate process group: watched, read, ended with all that it started."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from medseg.system.forked import ForkServer, NotForkedError
from medseg.system.signals import supervised

log = logging.getLogger(__name__)

GRACE = 60.0
"""Seconds that a job has to end when it is interrupted; then it is killed."""

POLL = 0.05
"""Seconds between two looks at a job."""


class JobProcess:
    """A running job.

    Args:
        command: what runs, with its arguments.
        folder: where it runs.
        given: what it reads on standard input; None for nothing.
        server: starts the command, which is `python -m ...`; None where it is started anew.

    Its standard error is passed on, and its last lines are stored.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        given: IO[bytes] | None = None,
        server: ForkServer | None = None,
    ) -> None:
        self.lines: deque[str] = deque(maxlen=20)
        self.process = start(command, folder, given or subprocess.DEVNULL, server)
        self.pid = self.process.pid
        assert self.process.stderr is not None
        self.listener = threading.Thread(target=self.pass_on, args=(self.process.stderr,), daemon=True)
        self.listener.start()

    def pass_on(self, stream: IO[bytes]) -> None:
        """Pass on what the job prints."""
        for line in stream:
            text = line.decode(errors="replace")
            self.lines.append(text.rstrip())
            with suppress(OSError, ValueError):  # whoever read it has gone
                sys.stderr.write(text)
                sys.stderr.flush()

    def result(self) -> int:
        """Wait for the job and return its exit code, negative for the number of a signal.

        Whatever interrupts the wait interrupts the job, and is raised when that has ended; a second interruption kills
        the job.
        """
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        finally:
            self.end()
        return self.process.returncode

    def wait(self, seconds: float = float("inf")) -> None:
        """Wait until the job has ended; its number is not reused until `end`."""
        limit = time.monotonic() + seconds
        while not os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) and time.monotonic() < limit:
            time.sleep(POLL)

    def stop(self) -> None:
        """Interrupt the job: it keeps its last checkpoint."""
        log.warning("ending the job: it keeps the checkpoint of its last epoch (Ctrl-C again ends it at once)")
        with suppress(KeyboardInterrupt):
            os.kill(self.pid, signal.SIGTERM)  # not send_signal, which takes the end of one that has just ended
            self.wait(GRACE)

    def end(self) -> None:
        """Kill what is left of the job and of all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        self.listener.join(timeout=5)


def start(
    command: Sequence[str], folder: Path, given: IO[bytes] | int, server: ForkServer | None
) -> subprocess.Popen[bytes]:
    """Start a job, forked where that is possible.

    In a separate group: Ctrl-C reaches the sweep alone, and nothing that the job started is left when it ends. No other
    input: a job that asked for some would wait for ever.
    """
    environment, error_output = supervised(os.environ), subprocess.PIPE
    if server is not None:
        python, option, module, *arguments = command
        assert (python, option) == (sys.executable, "-m")
        try:
            return server.popen(module, arguments, cwd=folder, env=environment, stdin=given, stderr=error_output)
        except NotForkedError as error:
            log.info("%s: each job is started anew, which takes some seconds", error)
    return subprocess.Popen(command, cwd=folder, env=environment, stdin=given, stderr=error_output, process_group=0)


def describe_exit(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    hint = "; out of memory?" if -code == signal.SIGKILL else ""
    return f"killed by signal {-code}{name}{hint}"
