"""Loading processes with little room: in /dev/shm, and for open files."""

from __future__ import annotations

import logging
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medseg.config.instantiate import instantiate
from medseg.data.loading.workers import from_shared_memory
from medseg.data.module import SegmentationDataModule, build_datamodule
from tests.faults import processes_of
from tests.helpers import compose_config
from tests.sweeping import wait_until

Epoch = list[dict[str, torch.Tensor]]


def module(folder: Path, workers: int) -> SegmentationDataModule:
    cfg = compose_config(
        "train", "data.dataset.count=40", "data.image_size=64", "data.batch_size=4", f"data.num_workers={workers}",
        f"data_dir={folder}",
    )  # fmt: skip
    return build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=0)


def assert_equal(batches: Epoch, others: Epoch) -> None:
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        assert all(torch.equal(batch[name], other[name]) for name in batch)


SMALL = """
import sys
from pathlib import Path
from medseg.system.logs import set_up_logging
from tests.data.loading.test_workers import assert_equal, module
set_up_logging()
folder = Path(sys.argv[1])
expected = [list(module(folder, 0).loader(split)) for split in ("train", "val")]
several = module(folder, 2)
loaders = [several.loader(split) for split in ("train", "val")]
for epoch in range(2):
    for loader, batches in zip(loaders, expected):
        assert_equal(list(loader), batches)
"""
"""The processes are still there when it ends."""

KILLED = """
import os, signal, sys, time
from pathlib import Path
from tests.data.loading.test_workers import module
batches = iter(module(Path(sys.argv[1]), 2).train_dataloader())
next(batches)
time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def with_shm(size: str, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script where /dev/shm is of a size."""
    mounted = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "sh", "-c", mounted], check=False).returncode:
        pytest.skip("this system lets nobody mount a /dev/shm of his own (unshare -rm)")
    command = ["unshare", "-rm", "sh", "-c", f'{mounted} && exec "$@"', "-", sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "warns"),
    [("64k", True), ("16k", True), ("256k", False)],
)
def test_a_small_dev_shm(size: str, warns: bool, tmp_path: Path) -> None:
    done = with_shm(size, SMALL, tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("WARNING no loading processes" in done.stderr) == warns
    assert ("No space left on device" in done.stderr) == warns
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_no_process_outlives_a_training_that_is_killed(tmp_path: Path) -> None:
    done = with_shm("256k", KILLED, tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until(lambda: not processes_of(tmp_path), "the end of the loading processes", 30)


def test_files_that_could_not_be_sent_are_named() -> None:
    # A loading process that has no room for another open file hangs up, and the receiver reads an end of file.
    with pytest.raises(OSError, match="Too many open files"):
        from_shared_memory(b"")


@pytest.mark.slow
def test_few_files_can_be_opened(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = list(module(tmp_path, 0).train_dataloader())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    outcomes = set()
    for more in range(2, 80, 6):
        caplog.clear()
        several = module(tmp_path, 2)
        assert several.prepared
        used = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
        free = [number for number in range(limits[0]) if number not in used]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[more], limits[1]))
        try:
            batches = list(several.train_dataloader())
        except (RuntimeError, OSError) as error:
            said, batches = [f"({error})"], expected
        else:
            said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert all("Too many open files" in text for text in said), said
        assert_equal(batches, expected)
        outcomes.add(len(said))
    assert outcomes == {0, 1}
