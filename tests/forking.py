"""Run many command lines fast: one process imports everything, and each command line is a fork of it.

`python -m tests.forking` reads a JSON list of cases from standard input, and writes a JSON list of `Ended`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LIMIT = 60.0
"""Seconds after which a command line is killed, and has the exit code -9."""


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    module: str
    words: list[str]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def line(self) -> str:
        return " ".join([self.module, *self.words])

    @property
    def errors(self) -> list[str]:
        """The lines on standard error that are not progress."""
        return [line for line in self.err.splitlines() if not line.startswith(("INFO ", "WARNING "))]


def run_all(cases: Sequence[tuple[str, Sequence[str]]], cwd: Path, **environment: str) -> list[Ended]:
    """Run command lines, (module, words) each, one after another in the folder `cwd`."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    for variable in ("MEDSEG_DATA", "MEDSEG_RUNS", "HYDRA_FULL_ERROR"):
        variables.pop(variable, None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.forking"],
        input=json.dumps([[module, list(words)] for module, words in cases]),
        cwd=cwd,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [Ended(**each) for each in json.loads(done.stdout)]


def run(module: str, words: list[str]) -> Ended:
    """Fork, run a command line in the child, and say how it ended."""
    started = time.monotonic()
    with tempfile.TemporaryFile("w+b") as out, tempfile.TemporaryFile("w+b") as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os._exit(in_child(module, words))
        ended, status = 0, 0
        while not ended and time.monotonic() - started < LIMIT:
            ended, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.005)
        if not ended:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    code = os.waitstatus_to_exitcode(status)
    return Ended(module, words, code, *texts, seconds=round(time.monotonic() - started, 3))


def in_child(module: str, words: list[str]) -> int:
    """Run a command line in this process and return its exit code."""
    import traceback

    sys.argv = [f"medseg {module}", *words]
    try:
        importlib.import_module(f"medseg.commands.{module}").main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    """Run the cases of standard input."""
    cases = json.loads(sys.stdin.read())
    # Whatever takes a while to import, so that it is imported once.
    for name in (
        "training.job",
        "training.evaluation",
        "trained.importing",
        "trained.predicting.folder",
        "trained.exporting.export",
    ):
        importlib.import_module(f"medseg.{name}")
    for module, _ in cases:
        importlib.import_module(f"medseg.commands.{module}")
    json.dump([asdict(run(module, words)) for module, words in cases], sys.stdout)


if __name__ == "__main__":
    main()
