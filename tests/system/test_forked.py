"""Programs that a server forks are as ones that are started anew: what they see, how they end, whom they outlive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from medseg.system import forked
from medseg.system.forked import ForkServer, NotForkedError
from medseg.system.process import is_alive

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the server is for Linux")

PROBE = """
import atexit, json, logging, os, random, signal, sys, threading, warnings
import numpy
atexit.register(print, "at exit", flush=True)
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
signals = {number: str(signal.getsignal(number)) for number in sorted(signal.valid_signals())}
umask = os.umask(0)
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "folder": os.getcwd(), "name": __name__, "module": __spec__.name,
    "file": __file__, "main": sys.modules["__main__"].__spec__.name, "environment": dict(os.environ),
    "descriptors": sorted(os.listdir("/proc/self/fd")), "umask": umask, "mask": sorted(mask), "signals": signals,
    "group": os.getpgid(0) == os.getpid(), "parent": os.getppid(), "threads": threading.active_count(),
    "tasks": len(os.listdir("/proc/self/task")), "handlers": str(logging.getLogger().handlers),
    "hook": sys.excepthook is sys.__excepthook__, "filters": str(warnings.filters), "flags": str(sys.flags),
    "streams": [[stream.encoding, stream.errors, stream.line_buffering, stream.write_through, stream.isatty(),
                 stream.seekable(), stream.buffer.mode]
                for stream in (sys.stdin, sys.stdout, sys.stderr)],
}))
print(json.dumps([random.random(), numpy.random.rand()]))
print(sys.stdin.read())
print("on standard error", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer(["numpy"])
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a program."""
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path


def program(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.py").write_text(text)
    return name


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_forked_program_sees_what_a_new_one_sees(unbuffered: str, server: ForkServer, folder: Path) -> None:
    arguments, environment = ["a b", "ü=\udcff"], {**os.environ, "MEDSEG_PROBE": "1", "PYTHONUNBUFFERED": unbuffered}
    options: dict[str, Any] = {
        "cwd": folder, "env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
    }  # fmt: skip
    with (folder / "probe.py").open() as given:
        forked = server.run("probe", arguments, stdin=given, **options)
    with (folder / "probe.py").open() as given:
        new = subprocess.run(
            [sys.executable, "-c", "import os, sys, runpy; os.execv(sys.executable, sys.argv[1:])",
             sys.executable, "-m", "probe", *arguments], stdin=given, check=False, process_group=0, **options,
        )  # fmt: skip
    assert (forked.returncode, forked.stderr, new.returncode) == (0, new.stderr, 0)
    facts, expected = (each.stdout.splitlines() for each in (forked, new))
    assert json.loads(facts[0]) == json.loads(expected[0])
    assert facts[2:] == expected[2:], "its input, and what it does at its exit"
    again = server.run("probe", arguments, stdin=subprocess.DEVNULL, **options)
    first, second = json.loads(facts[1]), json.loads(again.stdout.splitlines()[1])
    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize(
    ("text", "code", "printed"),
    [
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('a reason')", 1, "a reason\n"),
        ("raise ValueError('a reason')", 1, "ValueError: a reason\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import ctypes; ctypes.string_at(0)", -11, ""),
        ("import threading, time; threading.Thread(target=lambda: time.sleep(.2) or print('last')).start()", 0, ""),
    ],
)
def test_the_end_of_a_program_is_told(text: str, code: int, printed: str, server: ForkServer, tmp_path: Path) -> None:
    done = server.run(program(tmp_path, "ends", text), cwd=tmp_path, text=True)
    assert done.returncode == code
    assert done.stderr.endswith(printed)
    assert done.stdout == ("last\n" if "last" in text else "")
    assert server.run(program(tmp_path, "next", "print('next')"), cwd=tmp_path, text=True).stdout == "next\n"


def test_a_module_that_is_not_there(server: ForkServer, tmp_path: Path) -> None:
    done = server.run("nowhere", cwd=tmp_path, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("No module named nowhere\n")


USER = """
import subprocess, time
from medseg.system import forked
from medseg.system.forked import ForkServer
server = ForkServer(["numpy"])
job = server.popen("waits", stdout=subprocess.PIPE)
job.stdout.readline()
print(server.process.pid, job.pid, flush=True)
time.sleep(600)
"""

WAITS = """
import os, time
from medseg.system import signals
signals.exit_with(os.getppid(), 15)
print("ready", flush=True)
time.sleep(600)
"""


def test_a_long_command_leaves_the_environment_of_its_process_whole(tmp_path: Path) -> None:
    program(tmp_path, "waits", WAITS)
    long = "a" * 500
    user = USER.replace('popen("waits",', f'popen("waits", ["{long}", "{"b" * 9000}"],')
    running = subprocess.Popen(
        [sys.executable, "-c", user],
        cwd=tmp_path, env={"AAA_FIRST": "here", **os.environ}, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    _, job = map(int, running.stdout.readline().split())
    shown, environment = (Path(f"/proc/{job}/{name}").read_bytes() for name in ("cmdline", "environ"))
    running.kill()
    running.wait()
    running.stdout.close()
    assert f"-m waits {long} bbb".encode() in shown
    assert b"AAA_FIRST=here" in environment.split(b"\0")


def test_the_server_has_one_thread_and_ends_with_its_user(tmp_path: Path) -> None:
    program(tmp_path, "waits", WAITS)
    user = subprocess.Popen([sys.executable, "-c", USER], cwd=tmp_path, stdout=subprocess.PIPE)
    assert user.stdout is not None
    pid, job = map(int, user.stdout.readline().split())
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    assert "-m waits" in Path(f"/proc/{job}/cmdline").read_text()
    user.kill()
    user.wait()
    user.stdout.close()
    limit = time.monotonic() + 20
    while (is_alive(pid) or is_alive(job)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not is_alive(pid)
    assert not is_alive(job), "as it had asked for"


def test_a_killed_server_takes_no_program_with_it_and_another_one_follows(tmp_path: Path) -> None:
    server = ForkServer([])
    program(tmp_path, "reads", "import sys; print(sys.stdin.read())")
    first = server.popen("reads", cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.process is not None
    killed = server.process.pid
    os.kill(killed, signal.SIGKILL)
    second = server.run("reads", cwd=tmp_path, stdin=subprocess.DEVNULL, text=True)
    assert (second.returncode, second.stdout) == (0, "\n")
    assert server.process.pid != killed
    assert first.communicate("still there", timeout=20)[0] == "still there\n"
    assert first.returncode == 0
    server.close()


WITHOUT_STREAMS = """
import subprocess, sys
from medseg.system.forked import ForkServer
file = open("note", "w")  # its number is that of the standard input
assert (sys.stdin, file.fileno()) == (None, 0)
result = ForkServer([]).run("program", stdout=None, stderr=subprocess.PIPE, text=True)
sys.exit(result.stderr)
"""


def test_a_standard_stream_that_is_closed_is_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; print(sys.stdin.read(), 'read', flush=True)")
    command = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", WITHOUT_STREAMS]
    result = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert result.stderr == "\n"
    assert (tmp_path / "note").read_text() == ""


def test_a_variable_that_is_read_at_an_import_needs_another_server(server: ForkServer, tmp_path: Path) -> None:
    program(tmp_path, "shows", "import os; print(os.environ.get('OMP_NUM_THREADS'), os.environ.get('MEDSEG_X'))")
    pids, shown = [], []
    for variables in ({"MEDSEG_X": "1"}, {"MEDSEG_X": "2"}, {"MEDSEG_X": "2", "OMP_NUM_THREADS": "3"}):
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | variables
        shown.append(server.run("shows", cwd=tmp_path, env=environment, text=True).stdout)
        assert server.process is not None
        pids.append(server.process.pid)
    assert shown == ["None 1\n", "None 2\n", "3 2\n"]
    assert pids[0] == pids[1] != pids[2]


def test_a_process_that_the_system_gives_to_another_one_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked, "adopting_orphans", nullcontext)  # a system that has nothing like it
    server = ForkServer([])
    with pytest.raises(NotForkedError):
        server.run(program(tmp_path, "runs", "open('ran', 'w')"), cwd=tmp_path)
    time.sleep(0.5)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "text", ["import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", "1 / 0"]
)
def test_a_server_that_cannot_fork_says_so(text: str, tmp_path: Path) -> None:
    server = ForkServer([program(tmp_path, "broken", text)])
    for _ in range(2):
        with pytest.raises(NotForkedError):
            server.popen("broken", cwd=tmp_path)
        assert server.process is None


def test_a_temporary_folder_of_an_import_is_there_for_every_program(tmp_path: Path) -> None:
    (tmp_path / "imported.py").write_text(
        "import atexit, shutil, tempfile\n"
        f"folder = tempfile.mkdtemp(dir={str(tmp_path)!r}, prefix='made-')\n"
        "atexit.register(shutil.rmtree, folder)\n"
        f"other = tempfile.TemporaryDirectory(dir={str(tmp_path)!r}, prefix='made-')\n"
        "atexit.register(other.cleanup)\n"
    )
    (tmp_path / "look.py").write_text(
        "import imported, os; print(os.listdir(imported.folder) + os.listdir(imported.other.name))"
    )
    server = ForkServer(["imported"])
    for _ in range(2):
        done = server.run("look", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    server.close()
    assert not list(tmp_path.glob("made-*"))
