"""Commands that are killed, again and again: the same command once more ends as if nothing had happened.

Moments are chosen (while a checkpoint, a state, curves, results or the data are written) or drawn from a seed, and the
folder for temporary files is on the file system of the runs or on another. SEED=n draws others.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.clusters.following import runs_of
from tests.kills.harness import MOMENTS, SWEEP, Place, Server, random_moment, same_bytes, same_prepared, same_sweep
from tests.kills.harness import was_killed as killed
from tests.kills.moments import Fault

SEED = int(os.environ.get("SEED", "0"))
OTHER = Path("/dev/shm")
PER_SWEEP = 5
"""Kills of a sweep before it may end."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A sweep that nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    place = Place(server, folder / "sweep", folder / "temporary")
    place.finish("train", *SWEEP)
    return place


@pytest.fixture(params=["one file system", pytest.param("two file systems", marks=pytest.mark.slow)])
def temporary(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder for temporary files, on the file system of the runs or on another."""
    if request.param == "one file system":
        yield tmp_path / "temporary"
        return
    if not os.access(OTHER, os.W_OK) or OTHER.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip(f"needs a second file system at {OTHER}")
    with tempfile.TemporaryDirectory(dir=OTHER) as folder:
        yield Path(folder) / "temporary"


def kill_sweeps(undisturbed: Place, folder: Path, temporary: Path, moments: list[Fault], kills: int) -> None:
    """Kill sweeps so many times, at the moments and at as many random ones, and compare each with the undisturbed."""
    source = random.Random(SEED)
    server, done, number = undisturbed.server, 0, 0
    while done < kills:
        place = Place(server, folder / f"sweep{number}", temporary / str(number))
        for turn in range(min(PER_SWEEP, kills - done)):
            chosen = turn % 2 == 0 and moments
            fault = moments.pop(0) if chosen else random_moment(source, 40) if turn % 4 else None
            if not killed(place, "train", SWEEP, fault, source, seconds=6):
                break
            done += 1
        place.finish("train", *SWEEP)
        same_sweep(place, undisturbed)
        number += 1


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_sweep_that_is_killed(undisturbed: Place, tmp_path: Path, temporary: Path) -> None:
    kill_sweeps(undisturbed, tmp_path, temporary, [MOMENTS[0], MOMENTS[10]], kills=3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sweeps_that_are_killed_fifty_times(undisturbed: Place, tmp_path: Path, temporary: Path) -> None:
    # Of the fifty, one half for each place of the temporary files.
    kill_sweeps(undisturbed, tmp_path, temporary, list(MOMENTS), kills=25)


def kill_again_and_again(
    place: Place, command: str, arguments: tuple[str, ...], faults: tuple[Fault, ...], timed: int, seconds: float
) -> None:
    """Kill a command at each of its moments, then so many times within some seconds, and let it end."""
    source = random.Random(SEED)
    for fault in faults:
        assert killed(place, command, arguments, fault, source, seconds), fault
    for _ in range(timed):
        killed(place, command, arguments, None, source, seconds)
    place.finish(command, *arguments)


PREPARE = ("data=synthetic", "data.image_size=32", "data.dataset.count=20", "data_dir=data")
PREPARING = (
    Fault("kill", r"images\.npy", "open"), Fault("cut", r"masks\.npy", "open", size=2000),
    Fault("kill", r"samples\.csv"), Fault("cut", r"fingerprint\.json", "open", size=100),
    Fault("kill", "prepared", "os.rename"), Fault("term", "prepared", "os.rename"),
)  # fmt: skip


def test_preparing_that_is_killed(server: Server, tmp_path: Path, temporary: Path) -> None:
    reference = Place(server, tmp_path / "reference", tmp_path / "of_reference")
    reference.finish("prepare", *PREPARE)
    place = Place(server, tmp_path / "killed", temporary)
    kill_again_and_again(place, "prepare", PREPARE, PREPARING, timed=3, seconds=1)
    same_prepared(place, reference)
    assert place.files() == reference.files()


PREDICTING = (
    Fault("kill", r"predicted/\.\d\.png.*partial", "open", 2), Fault("cut", r"overlays/.*partial", "open", 1, size=100),
    Fault("kill", r"prediction\.json", "os.rename"), Fault("term", r"predicted/\.\d\.png.*partial", "os.rename", 1),
    Fault("kill", r"\.finished\.jsonl$", "open", 1), Fault("cut", r"predictions\.csv", "open", size=20),
)  # fmt: skip


def test_a_prediction_that_is_killed(undisturbed: Place, tmp_path: Path, temporary: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (40 + number, 50, 3), dtype=np.uint8)
        cv2.imwrite(str(images / f"{number}.png"), pixels)
    checkpoint = runs_of(undisturbed.folder)[0].path
    arguments = (f"checkpoint={checkpoint}", f"input={images}", "output=predicted", "overlays=true", "device=cpu")
    reference = Place(undisturbed.server, tmp_path / "reference", tmp_path / "of_reference")
    reference.finish("predict", *arguments)
    place = Place(undisturbed.server, tmp_path / "killed", temporary)
    kill_again_and_again(place, "predict", arguments, PREDICTING, timed=2, seconds=1)
    same_bytes(place, reference, "predicted")


REPORTING = (
    Fault("kill", r"report/.*partial", "open", 1), Fault("cut", r"report/.*partial", "open", 3, size=200),
    Fault("kill", r"report/.*partial", "os.rename", 5), Fault("term", r"report/.*partial", "os.rename", 2),
)  # fmt: skip


def test_a_report_that_is_killed(undisturbed: Place, tmp_path: Path, temporary: Path) -> None:
    arguments = ("runs/swept", "output=report", "format=all")
    places = [
        Place(undisturbed.server, tmp_path / "reference", tmp_path / "of_reference"),
        Place(undisturbed.server, tmp_path / "killed", temporary),
    ]
    for each in places:
        shutil.copytree(undisturbed.folder / "runs", each.folder / "runs")
    reference, place = places
    reference.finish("report", *arguments)
    kill_again_and_again(place, "report", arguments, REPORTING, timed=2, seconds=3)
    same_bytes(place, reference, "report")
