"""Fixtures of the tests on real clusters."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweeping import sweep


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of three seeds, with loading processes, run here to its end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = sweep(folder, "seed=0,1,2", "data.num_workers=2", "+callbacks.fault.what=wait_once", disarmed=True)
    assert done.returncode == 0, done.stderr
    assert "srun" not in done.stderr, "advice for SLURM, though nobody asked for it"
    return folder
