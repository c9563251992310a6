"""A disk that is full, at any moment: one clear line, and the same command goes on when there is room."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kills.harness import SWEEP, UNSHARED, Place, Server, same_sweep

SIZES = (60, 160, 1000, 1600, 2600, 3400, 4200, 5000, 6500, 65536)
"""KiB of the file system; a run has checkpoints of 0.7 MB."""


def can_mount() -> bool:
    try:
        return subprocess.run([*UNSHARED, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_sweep_on_a_disk_that_is_full(tmp_path: Path) -> None:
    if not can_mount():
        pytest.skip("needs the right to mount a file system: unshare --user --map-root-user --mount")
    with Server(unshared=True) as server:
        undisturbed = Place(server, tmp_path / "undisturbed", tmp_path / "temporary" / "of_undisturbed")
        undisturbed.finish("train", *SWEEP)
        place = Place(server, tmp_path / "small", tmp_path / "temporary" / "of_small")
        server.shell("mount", "-t", "tmpfs", "-o", "size=60k", "none", str(place.folder))
        for size in SIZES:
            server.shell("mount", "-o", f"remount,size={size}k", str(place.folder))
            done = place.run("train", *SWEEP)
            assert "Traceback" not in done.said, done.said
            if done.code:
                assert done.code == 1, done.said
                assert "No space left on device" in done.said or "no space left" in done.said
        assert done.code == 0, done.said
        # Only the server sees what it has mounted.
        seen = Place(server, tmp_path / "seen", place.temporary)
        server.shell("cp", "-a", f"{place.folder}/.", str(seen.folder))
        same_sweep(seen, undisturbed)
