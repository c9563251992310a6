"""Run commands of medseg that are killed at chosen or random moments, then the same again, and compare what is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from tests.clusters.following import assert_same, runs_of
from tests.helpers import TINY
from tests.kills.moments import Fault
from tests.sweeping import PROJECT

SWEEP = (
    "-m", *(item for item in TINY if not item.startswith(("data.image_size", "trainer.max_epochs"))),
    "data.image_size=32", "trainer.max_epochs=3", "experiment=swept", "seed=0,1", "runs_dir=runs", "data_dir=data",
)  # fmt: skip
"""Two jobs of three epochs; in a folder of its own."""

MOMENTS: tuple[Fault, ...] = (
    Fault("cut", r"\.last\.ckpt.*partial", "open", 2, "job", size=4000),
    Fault("kill", r"\.last\.ckpt.*partial", "open", 2, "job"),
    Fault("kill", r"\.last\.ckpt.*partial", "os.rename", 1, "job", whole=True),
    Fault("cut", r"\.best\.ckpt.*partial", "open", 1, "job", size=4000),
    Fault("kill", r"\.best\.ckpt.*partial", "os.rename", 1, "job"),
    Fault("term", r"\.last\.ckpt.*partial", "os.rename", 2, "job"),
    Fault("kill", r"\.metrics\.csv.*partial", "os.rename", 2, "job"),
    Fault("cut", r"\.status\.json.*partial", "open", 3, "job", size=10),
    Fault("term", r"\.status\.json.*partial", "os.rename", 3, "job", whole=True),
    Fault("kill", r"\.config\.yaml.*partial", "os.rename", 1, "job"),
    Fault("kill", r"\.predictions\.npz.*partial", "open", 1, "job", whole=True),
    Fault("cut", r"\.per_image\.csv.*partial", "open", 1, "job", size=50),
    Fault("term", r"\.summary\.json.*partial", "os.rename", 1, "job"),
    Fault("kill", r"images/curves\.png", "open", 1, "job"),
    Fault("kill", r"\.sweep\.json.*partial", "os.rename", 1, "command"),
    Fault("term", r"data/prepared", "os.rename", 1, "job", whole=True),
    Fault("kill", r"fingerprint\.json", "open", 1, "job"),
)
"""Of a sweep: while a checkpoint, a curve, a state, the data or the results of the test are written."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    seconds: float
    said: str
    changes: int | None


class Server:
    """Forks commands, as `tests.kills.server` describes; a context. `unshared`: in file systems of its own."""

    def __init__(self, *, unshared: bool = False) -> None:
        self.command = [*(UNSHARED if unshared else ()), sys.executable, "-m", "tests.kills.server"]

    def __enter__(self) -> Self:
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
        for variable in ("MEDSEG_DATA", "MEDSEG_RUNS"):
            environment.pop(variable, None)
        self.process = subprocess.Popen(
            self.command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, **request: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the server has ended"
        return json.loads(answer)

    def shell(self, *command: str) -> None:
        """Run a command of the system's where the server is."""
        done = self.ask(shell=command)
        assert done["code"] == 0, done["said"]


UNSHARED = ("unshare", "--user", "--map-root-user", "--mount")
"""What begins a command that can mount file systems, where that is allowed."""


@dataclass
class Place:
    """A folder that commands run in, and their folder for temporary files."""

    server: Server
    folder: Path
    temporary: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.temporary.mkdir(parents=True, exist_ok=True)

    def run(
        self, module: str, *arguments: str, fault: Fault | None = None, kill_after: tuple[float, int] | None = None
    ) -> Ended:
        """Run a command in the folder to its end; what it leaves running is waited for."""
        beside = self.folder.parent / self.folder.name
        said, counted = beside.with_suffix(".said"), beside.with_suffix(".count")
        said.write_text("")
        counted.unlink(missing_ok=True)
        answer = self.server.ask(
            module=f"medseg.commands.{module}", arguments=arguments, folder=str(self.folder), said=str(said),
            variables={"TMPDIR": str(self.temporary)}, fault=None if fault is None else asdict(fault),
            watched=str(self.folder), counted=str(counted), kill_after=kill_after,
        )  # fmt: skip
        text = said.read_text(errors="replace")
        assert not answer["late"], f"it did not end:\n{text}"
        return Ended(answer["code"], answer["seconds"], text, int(counted.read_text()) if counted.exists() else None)

    def finish(self, module: str, *arguments: str) -> Ended:
        """Run a command that must end well."""
        done = self.run(module, *arguments)
        assert done.code == 0, done.said
        assert "Traceback" not in done.said, done.said
        return done

    def files(self) -> list[str]:
        """List what is in the folder, and in the one for temporary files."""
        return sorted(
            f"{name}/{path.relative_to(root)}"
            for name, root in (("here", self.folder), ("temporary", self.temporary))
            for path in root.rglob("*")
        )


def same_sweep(place: Place, undisturbed: Place) -> None:
    """Compare tensors, epochs, scores, class maps and names of files of two sweeps, and their prepared data."""
    assert_same(place.folder, undisturbed.folder, seeds=2)
    for run, reference in zip(runs_of(place.folder), runs_of(undisturbed.folder), strict=True):
        with np.load(run.test / "predictions.npz") as maps, np.load(reference.test / "predictions.npz") as expected:
            assert maps.files == expected.files
            assert all(np.array_equal(maps[name], expected[name]) for name in expected.files)
    same_prepared(place, undisturbed)
    assert place.files() == undisturbed.files()


def same_prepared(place: Place, undisturbed: Place) -> None:
    for each in (undisturbed.folder / "data").rglob("*"):
        if each.name in ("images.npy", "masks.npy", "samples.csv", "problems.csv"):
            assert each.read_bytes() == (place.folder / each.relative_to(undisturbed.folder)).read_bytes(), each.name


def same_bytes(place: Place, undisturbed: Place, below: str) -> None:
    """Compare the files below a folder, but for those whose names begin with a dot, and the names of all files."""
    for each in (undisturbed.folder / below).rglob("[!.]*"):
        if each.is_file():
            assert each.read_bytes() == (place.folder / each.relative_to(undisturbed.folder)).read_bytes(), each.name
    assert place.files() == undisturbed.files()


def random_moment(source: random.Random, changes: int) -> Fault:
    """Draw one of the changes that a process makes, at which it is killed."""
    return Fault(
        source.choice(["kill", "kill", "term"]),
        nth=source.randint(1, changes),
        role=source.choice(["job", "job", "command"]),
        whole=source.random() < 0.5,
    )


def was_killed(
    place: Place, module: str, arguments: Sequence[str], fault: Fault | None, source: random.Random, seconds: float
) -> bool:
    """Give a command that is killed at a moment, or, without one, within so many seconds; tell whether it was."""
    when = None
    if fault is None:
        when = (source.uniform(0, seconds), source.choice([signal.SIGKILL, signal.SIGTERM]))
    done = place.run(module, *arguments, fault=fault, kill_after=when)
    assert "Traceback" not in done.said, done.said
    if fault is not None and fault.do == "term" and not fault.whole and fault.role != "job":
        assert done.code in (0, 130), done.said
    return done.code != 0
