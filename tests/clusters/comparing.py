"""A sweep that nothing disturbed, and whether another one came to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from medseg.runs.files import read_csv, read_json
from medseg.runs.folder import RunFolder


def runs_of(folder: Path) -> list[RunFolder]:
    """List the runs of the sweep in a folder."""
    return [RunFolder(path) for path in sorted((folder / "runs" / "swept").glob("*-seed*"))]


def assert_same(folder: Path, undisturbed: Path, seeds: int = 1) -> None:
    """Compare every tensor, every epoch and every score of a sweep of so many seeds."""
    runs = runs_of(folder)
    assert [run.path.name for run in runs] == [run.path.name for run in runs_of(undisturbed)][:seeds]
    for run, reference in zip(runs, runs_of(undisturbed), strict=False):
        assert run.finished
        for file in ("best.ckpt", "last.ckpt"):
            checkpoints = (
                torch.load(each.path / "checkpoints" / file, weights_only=False) for each in (run, reference)
            )
            found, expected = (dict(tensors_of(checkpoint)) for checkpoint in checkpoints)
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in expected), f"{run.path.name}: {file}"
        assert [epoch_of(row) for row in read_csv(run.metrics)] == [
            epoch_of(row) for row in read_csv(reference.metrics)
        ]
        assert run.per_image.read_bytes() == reference.per_image.read_bytes()
        headlines = [read_json(each.summary)["headline"] for each in (run, reference)]
        assert headlines[0] == headlines[1]


def epoch_of(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key != "seconds"}


def tensors_of(value: Any, name: str = "") -> list[tuple[str, torch.Tensor]]:
    """List all tensors in a checkpoint, the optimizer's included."""
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [found for key, part in items for found in tensors_of(part, f"{name}/{key}")]
