"""Follow a sweep on a cluster, and compare what it came to with one that nothing disturbed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import torch

from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv, read_json
from medseg.trained.files import tensors_in
from tests.sweeping import wait_until


def runs_of(folder: Path) -> list[RunFolder]:
    """List the runs of the sweep in a folder."""
    return [RunFolder(path) for path in sorted((folder / "runs" / "swept").glob("*-seed*"))]


def until_it_waits(sweep: subprocess.Popen[str], folder: Path, seed: int) -> RunFolder:
    """Wait until the job of a seed is in the middle of its second epoch."""

    def waits() -> bool:
        assert sweep.poll() is None, sweep.communicate()[1]
        return any((run.path / "waits").exists() for run in runs_of(folder) if run.path.name.endswith(f"seed{seed}"))

    wait_until(waits, f"the second epoch of seed {seed}", 240)
    return next(run for run in runs_of(folder) if run.path.name.endswith(f"seed{seed}"))


def end_of(sweep: subprocess.Popen[str]) -> tuple[int, str]:
    try:
        _, said = sweep.communicate(timeout=300)
    finally:
        sweep.kill()
    return sweep.returncode, said


def assert_same(folder: Path, undisturbed: Path, seeds: int = 1) -> None:
    """Compare every tensor, every epoch and every score of a sweep of so many seeds."""
    runs = runs_of(folder)
    assert [run.path.name for run in runs] == [run.path.name for run in runs_of(undisturbed)][:seeds]
    for run, reference in zip(runs, runs_of(undisturbed), strict=False):
        assert run.finished
        for file in ("best.ckpt", "last.ckpt"):
            checkpoints = (torch.load(each.path / "checkpoints" / file, weights_only=True) for each in (run, reference))
            found, expected = (dict(tensors_in(checkpoint)) for checkpoint in checkpoints)
            assert found.keys() == expected.keys()
            assert any(name.startswith("/optimizer_states") for name in found)
            assert all(torch.equal(found[name], expected[name]) for name in expected), f"{run.path.name}: {file}"
        assert [epoch_of(row) for row in read_csv(run.metrics)] == [
            epoch_of(row) for row in read_csv(reference.metrics)
        ]
        assert run.per_image.read_bytes() == reference.per_image.read_bytes()
        headlines = [read_json(each.summary)["headline"] for each in (run, reference)]
        assert headlines[0] == headlines[1]


def epoch_of(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key != "seconds"}
