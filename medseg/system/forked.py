"""Start `python -m <module>` from a process that has imported what it needs, in milliseconds instead of seconds."""

from __future__ import annotations

import atexit
import ctypes
import fnmatch
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medseg.system.fork_server import HEADER, Request, receive_exactly

MAY_DIFFER = ("CUDA_VISIBLE_DEVICES", "MEDSEG_*", "WANDB_*")
"""Variables that nothing reads as it is imported. With others, a program needs another server."""

ROOM = 4096
"""Characters of a command that `ps` shows of a started program at least."""

END = 1.0
"""Seconds that a server has to remove its temporary files."""

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37


class NotForkedError(Exception):
    """A program that no server could start; a plain start may do."""


class ForkServer:
    """Starts programs, as `subprocess.Popen([sys.executable, "-m", module, *arguments])` would.

    Its process is started with the first program, and again where it has ended or the environment has changed; it ends
    with this process, or by `close`.

    Args:
        modules: what it imports.
        may_differ: patterns of variables in which the programs' environments may differ from the server's.
    """

    def __init__(self, modules: Sequence[str], may_differ: Sequence[str] = MAY_DIFFER) -> None:
        self.modules, self.may_differ = tuple(modules), tuple(may_differ)
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}
        self.useless = False
        self.lock = threading.Lock()
        atexit.register(self.close)

    def popen(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        text: bool = False,
    ) -> ForkedProcess:
        """Start a program in a new process group.

        Args:
            module: `python -m <module>`.
            arguments: of its command line.
            cwd: where it runs; None for where this process does.
            env: its environment; None for that of this process.
            stdin, stdout, stderr, text: as of `subprocess.Popen`.

        Raises `NotForkedError` where it is not possible.
        """
        environment = dict(os.environ if env is None else env)
        return ForkedProcess(
            self, module, arguments, environment, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, text=text
        )

    def run(
        self, module: str, arguments: Sequence[str] = (), *, timeout: float | None = None, **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program to its end, as `subprocess.run` with `capture_output` does; options as for `popen`."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return complete(self.popen(module, arguments, **options), timeout)

    def fork(self, request: Request, descriptors: Sequence[int]) -> int:
        """Have the server fork, and return the number of the new process, a child of this one.

        Raises `NotForkedError`.
        """
        with self.lock:
            if self.process is not None and self.variables(self.environment) != self.variables(request.environment):
                self.close()
            while not self.useless:
                new = self.process is None
                try:
                    if new:
                        self.start(request)
                    with adopting_orphans():
                        return self.ask(request, descriptors)
                except (OSError, EOFError):  # it has been killed, or cannot do what it is for
                    self.close()
                    self.useless = new
                except BaseException:  # its answer is not waited for
                    self.close()
                    raise
        raise NotForkedError("the server of processes does not work here")

    def ask(self, request: Request, descriptors: Sequence[int]) -> int:
        """Send a request and return the answer. Raises `OSError` and `EOFError` where there is no new process."""
        request.send(self.connection, descriptors)
        pid = int.from_bytes(receive_exactly(self.connection, HEADER), "big")
        if not pid:
            raise EOFError
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)  # raises where it is another process's child
        return pid

    def start(self, request: Request) -> None:
        """Start the server's process and wait until it has imported its modules."""
        self.environment = dict(request.environment)
        self.connection, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "medseg.system.fork_server", str(theirs.fileno()), *self.modules, " " * ROOM],
                cwd=request.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is not for it
            )
        receive_exactly(self.connection, HEADER)

    def variables(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that have to be the server's."""
        return {
            name: value
            for name, value in environment.items()
            if not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.may_differ)
        }

    def close(self) -> None:
        """End the server's process; what it has started goes on."""
        if self.process is not None:
            self.connection.close()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(END)
            self.process.kill()
            self.process.wait()
            self.process = None


class ForkedProcess(subprocess.Popen[Any]):
    """A program that a server has started."""

    def __init__(
        self, server: ForkServer, module: str, arguments: Sequence[str], environment: Mapping[str, str], **options: Any
    ) -> None:
        self.server, self.module, self.arguments, self.environment = server, module, tuple(arguments), environment
        super().__init__([sys.executable, "-m", module, *arguments], **options)

    def _execute_child(self, *parameters: Any) -> None:
        """Start the program, with the pipes that `Popen` has made."""
        cwd, pipes = parameters[5], parameters[10:16]
        theirs = (pipes[0], pipes[3], pipes[5])
        reading, writing = os.pipe()
        try:
            folder = str(Path.cwd() if cwd is None else Path(cwd).absolute())
            request = Request(self.module, self.arguments, folder, self.environment)
            with Path(os.devnull).open("r+b") as nothing:
                # Where this process has begun without a standard stream, its number may be any file's by now.
                streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
                own = [number if stream else nothing.fileno() for number, stream in enumerate(streams)]
                standard = [mine if given == -1 else given for mine, given in zip(own, theirs, strict=True)]
                self.pid = self.server.fork(request, [*standard, reading])
            self._child_created = True
            os.write(writing, b"1")  # had this process ended before, so would the program
        finally:
            os.close(reading)
            os.close(writing)
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def complete(process: subprocess.Popen[Any], timeout: float | None = None) -> subprocess.CompletedProcess[Any]:
    """Wait for the end of a process, which is killed after `timeout` seconds, and return what it printed."""
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Make a process whose parent ends a child of this one, where that descends from it."""
    library, before = ctypes.CDLL(None, use_errno=True), ctypes.c_int(0)
    library.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    library.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        library.prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)
