"""The script that measures a GPU in a limited time: what it starts, what it keeps, and how it goes on."""

from __future__ import annotations

import csv
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from experiments.performance import gpu, run_archives
from experiments.performance.gpu import Part, done, note, run_part
from experiments.performance.run_archives import pack, unpack
from medseg.system.files import write_json

SLEEP = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]


def test_a_part_ends_at_its_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    assert run_part(Part("p", [SLEEP, SLEEP], None), 0.5, tmp_path / "log")[0] == "out of time"
    assert time.monotonic() - began < gpu.TO_STOP + 10


def test_a_part_says_how_it_ended(tmp_path: Path) -> None:
    fails = [sys.executable, "-c", "import sys; sys.exit('no device')"]
    assert run_part(Part("p", [fails], None), 60, tmp_path / "log") == ("failed", "no device")
    assert run_part(Part("p", [[sys.executable, "-c", ""]] * 2, None), 60, tmp_path / "other") == ("done", "")


def test_only_what_is_done_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "parts.csv"
    assert done(file) == set()
    note(file, "networks", "failed", "no device, none", 1.0)
    note(file, "loading", "done", "", 1.0)
    assert done(file) == {"loading"}
    note(file, "networks", "done", "", 1.0)
    assert done(file) == {"loading", "networks"}


def make_run(folder: Path, state: str = "finished") -> None:
    write_json(folder / "status.json", {"state": state})
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").write_bytes(bytes(100))
    (folder / "test").mkdir()
    (folder / "test" / "per_image.csv").write_text(folder.name)


def test_finished_runs_are_packed_without_checkpoints_and_come_back(tmp_path: Path) -> None:
    for name in "abc":
        make_run(tmp_path / "runs" / "seed0" / name)
    make_run(tmp_path / "runs" / "seed0" / "d", "interrupted")
    assert pack(tmp_path / "runs", tmp_path, "lightweight") == 0
    assert [file.name for file in tmp_path.glob("*.xz")] == ["lightweight-1.tar.xz"]
    (tmp_path / "back" / "seed0" / "a" / "test").mkdir(parents=True)
    (tmp_path / "back" / "seed0" / "a" / "test" / "per_image.csv").write_text("newer")
    unpack(tmp_path, "lightweight", tmp_path / "back")
    files = {str(file.relative_to(tmp_path / "back")) for file in (tmp_path / "back").rglob("*") if file.is_file()}
    assert files == {f"seed0/{run}/{file}" for run in "abc" for file in ("status.json", "test/per_image.csv")}
    texts = [(tmp_path / "back" / "seed0" / run / "test" / "per_image.csv").read_text() for run in "abc"]
    assert texts == ["newer", "b", "c"]


def test_archives_are_few_and_of_a_limited_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        make_run(tmp_path / "runs" / name)
    monkeypatch.setattr(run_archives, "MOST_BYTES", 10)
    assert pack(tmp_path / "runs", tmp_path, "x") == 1
    names = []
    for file in sorted(tmp_path.glob("x-*.tar.xz")):
        with tarfile.open(file) as tar:
            names.append({name.partition("/")[0] for name in tar.getnames()})
    assert names == [{"a"}, {"b"}]


def test_the_end_of_the_script_is_that_of_all_that_it_started(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.performance.gpu", str(tmp_path / "results"), "--dry-run"]
    process = subprocess.Popen(
        [*command, "--work", str(tmp_path / "work")], cwd=gpu.FOLDER.parents[1], stderr=subprocess.PIPE, text=True
    )
    try:
        log = tmp_path / "work" / "networks.log"
        limit = time.monotonic() + 60
        while not log.exists() and time.monotonic() < limit:
            time.sleep(0.1)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.terminate()
        assert process.communicate(timeout=60)[1] == "interrupted: the same command goes on\n"
        assert process.returncode == 1
        assert not Path(f"/proc/{child}").exists()
    finally:
        process.kill()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_dry_run_does_every_part_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    words = [str(results), "--dry-run", "--work", str(tmp_path / "work")]
    gpu.main([*words, "--minutes", "30"])
    with (results / "parts.csv").open(encoding="utf-8") as file:
        states = {row["variant"]: row["state"] for row in csv.DictReader(file)}
    assert states == dict.fromkeys(
        ("networks", "loading", "loading on the device", "trainings at once", *gpu.EXPERIMENTS), "done"
    )
    packed = {f"{name}-1.tar.xz" for name in gpu.EXPERIMENTS}
    assert {file.name for file in results.iterdir()} == packed | {
        f"{name}.csv" for name in ("loading", "networks", "parts", "program")
    }
    with (results / "networks.csv").open(encoding="utf-8") as file:
        assert [row["variant"] for row in csv.DictReader(file)] == ["plain", "precision", "tuned"]
    with (results / "program.csv").open(encoding="utf-8") as file:
        assert "trainings at once: 2" in {row["figure"] for row in csv.DictReader(file)}
    before = {file.name: file.read_bytes() for file in results.iterdir()}
    capsys.readouterr()
    gpu.main([*words, "--minutes", "30"])
    assert capsys.readouterr().out == ""
    assert {file.name: file.read_bytes() for file in results.iterdir()} == before
