"""A multirun: every job in a process of its own, and one that fails does not stop the others."""

from __future__ import annotations

from pathlib import Path

from medseg.runs.folder import RunFolder
from tests.helpers import TINY, command


def test_a_failing_job_fails_alone(tmp_path: Path) -> None:
    arguments = [*TINY, "trainer.max_epochs=1", "experiment=first"]
    arguments.remove("data.image_size=64")
    done = command("train", "-m", *arguments, "data.image_size=8,32", "seed=0,1", cwd=tmp_path)
    assert done.returncode == 1
    assert "2 jobs failed" in done.stderr.splitlines()[-1]
    assert done.stderr.count("UNet needs images of at least 16 x 16") == 2
    assert "Traceback" not in done.stderr
    runs = [RunFolder(path) for path in (tmp_path / "runs" / "first").glob("unet-*")]
    assert len(runs) == 2
    assert all(run.finished for run in runs)

    again = command("train", "-m", *arguments, "data.image_size=32", "seed=0,1", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("finished already") == 2


def test_your_own_configuration_folder_reaches_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "one_conv.yaml").write_text(
        "_target_: nets.OneConv\nin_channels: ${data.in_channels}\nnum_classes: ${data.num_classes}\n"
    )
    (tmp_path / "nets.py").write_text("from tests.networks import OneConv  # noqa: F401\n")
    arguments = [item for item in TINY if not item.startswith("model")]
    done = command(
        "train", "-m", "--config-dir", "mine", "model=one_conv", *arguments, "trainer.max_epochs=1", "seed=0,1",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs" / "main").glob("one_conv-*"))) == 2
