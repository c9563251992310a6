"""A process that has imported modules, and forks a process for every program that it is asked to start.

`python -m medseg.system.fork_server NUMBER MODULE... ROOM` serves the socket of that number; `medseg.system.forked`
asks it. ROOM is any text: its memory shows the commands of the forked processes, see `show_command`.
It starts no thread and no GPU, since neither survives a fork. A forked process is given to the process that asked
(Linux: `PR_SET_CHILD_SUBREAPER`), which waits for it, outlives it and ends it as one that it has started itself; the
server may end without it.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import shutil
import signal
import socket
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HEADER = 8
"""Bytes before a request: its length."""


@dataclass(frozen=True)
class Request:
    """What is to be started: `python -m <module> <arguments>`, in a folder, with an environment."""

    module: str
    arguments: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]

    def send(self, connection: socket.socket, descriptors: Sequence[int]) -> None:
        """Send a request, with standard input, output and error of the program and a pipe that lets it run."""
        content = json.dumps(asdict(self)).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        connection.sendmsg([len(content).to_bytes(HEADER, "big")], rights)
        connection.sendall(content)

    @staticmethod
    def receive(connection: socket.socket) -> tuple[Request, list[int]]:
        """Wait for a request, and return it with its descriptors. Raises `EOFError` when there are no more."""
        header, descriptors, _, _ = socket.recv_fds(connection, HEADER, 4)
        content = json.loads(receive_exactly(connection, int.from_bytes(header, "big")) if header else b"null")
        if content is None:
            raise EOFError
        return Request(**{**content, "arguments": tuple(content["arguments"])}), descriptors


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """Return the next `size` bytes. Raises `EOFError` where there are fewer."""
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content


def serve(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """Fork a process for every request; returns in those, with the request, and in the server when it is over."""
    # Libraries that start threads as they are imported (OpenBLAS) end them when the process forks.
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    connection.sendall(bytes(HEADER))  # ready
    while True:
        try:
            request, descriptors = Request.receive(connection)
        except (EOFError, OSError):
            return None
        threads = len(list(Path("/proc/self/task").iterdir()))
        pid = 0
        if threads == 1:
            reading, writing = os.pipe()
            middle = os.fork()  # an error ends the server, and is raised where the program was asked for
            if middle == 0:
                os.close(reading)
                if fork_again(writing):
                    connection.close()
                    return request, descriptors
            os.close(writing)
            pid = int.from_bytes(os.read(reading, HEADER), "big")  # nothing where it could not fork
            os.waitpid(middle, 0)
            os.close(reading)
        for descriptor in descriptors:
            os.close(descriptor)
        with suppress(OSError):
            connection.sendall(pid.to_bytes(HEADER, "big"))


def fork_again(writing: int) -> bool:
    """Leave a process that has no parent, and write its number; returns in that process alone."""
    try:
        pid = os.fork()
    except OSError:
        os._exit(1)
    if pid == 0:
        os.close(writing)
        return True
    with suppress(PermissionError):  # of one that has set it itself and is a program already
        os.setpgid(pid, 0)
    os.write(writing, pid.to_bytes(HEADER, "big"))
    os._exit(0)


def become(request: Request, descriptors: Sequence[int], set_by_imports: Mapping[str, str]) -> None:
    """Make this process that of the request, as a new interpreter would be, but for what is imported already."""
    *standard, permission = descriptors
    if os.read(permission, 1) != b"1":  # whoever asked has gone, or does not want it any more
        os._exit(1)
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update({**set_by_imports, **request.environment})
    show_command([sys.executable, "-m", request.module, *request.arguments])
    os.chdir(request.folder)
    if not sys.flags.safe_path:
        sys.path[0] = str(Path.cwd())
    sys.argv = [request.module, *request.arguments]
    importlib.invalidate_caches()
    keep_temporary_folders()
    open_streams()
    # Random numbers differ between processes, as they do between new ones; `random` sees to that itself.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def keep_temporary_folders() -> None:
    """Leave to the server the temporary folders that imports have made: matplotlib's and W&B's are for all programs."""
    atexit.unregister(shutil.rmtree)
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined] # there is no public list
        folder = (finalizer.peek() or [None])[0]
        if isinstance(folder, tempfile.TemporaryDirectory):
            finalizer.atexit = False
            atexit.unregister(folder.cleanup)


def open_streams() -> None:
    """Open the standard streams again, in the objects that libraries may have: a pipe is not what a file was."""
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if isinstance(stream, io.TextIOWrapper):
            unbuffered = stream.write_through  # python -u
            stream.__init__(  # type: ignore[misc]
                os.fdopen(number, "wb" if number else "rb", 0 if unbuffered and number else -1, closefd=False),
                encoding=stream.encoding,
                errors=stream.errors,
                line_buffering=not unbuffered and (number == 2 or os.isatty(number)),
                write_through=unbuffered,
            )


def show_command(command: Sequence[str]) -> None:
    """Have `ps` and `/proc` show this command, as much of it as the memory of the process's arguments holds.

    What follows there is the environment, which `/proc` shows as well.
    """
    fields = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    start, end = (int(fields[number]) for number in (45, 46))  # arg_start, arg_end of proc(5)
    if start < end:
        text = " ".join(command).encode(errors="surrogateescape")[: end - start - 1]
        ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


def main() -> None:
    """Serve; in a forked process, run its program."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    before = dict(os.environ)
    for module in sys.argv[2:-1]:
        importlib.import_module(module)
    set_by_imports = {name: value for name, value in os.environ.items() if before.get(name) != value}
    # What is there stays, so the garbage collector need not look at it, and so copy it, in every process.
    gc.collect()
    gc.freeze()
    job = serve(connection)
    if job is None:
        atexit._run_exitfuncs()
        os._exit(0)
    request, descriptors = job
    os._exit(run(request, descriptors, set_by_imports))


def run(request: Request, descriptors: Sequence[int], set_by_imports: Mapping[str, str]) -> int:
    """Run a program to its end, as the interpreter does, and return its exit code.

    Only that nothing is taken apart then: it takes torch, lightning and triton two seconds.
    """
    code: Any = None
    try:
        become(request, descriptors, set_by_imports)
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return (code or 0) & 0xFF


if __name__ == "__main__":
    main()
