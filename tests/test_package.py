"""The wheel: it carries the configuration and works from any folder, without the checkout."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers import TINY

PROJECT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
def test_an_installed_wheel_trains_from_another_folder(tmp_path: Path) -> None:
    run = {"check": True, "capture_output": True, "text": True}
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(PROJECT)],
        **run,
    )
    (wheel,) = (tmp_path / "dist").glob("medseg-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "medseg/conf/train.yaml" in names
    assert "medseg/experiments/demo.yaml" in names
    assert "medseg/data/split_files/kvasir/official.csv" in names
    assert not [name for name in names if name.startswith(("tests", "conf", "experiments"))]

    # A fresh environment that borrows the dependencies installed here, but not medseg itself.
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], **run)
    python = environment / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], **run)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MEDSEG_DATA", "MEDSEG_RUNS")}
    done = subprocess.run(
        [str(environment / "bin" / "medseg"), "train", "+experiments=demo", *TINY, "trainer.max_epochs=1"],
        cwd=elsewhere, env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.glob("runs/demo/*/test/per_image.csv"))
    # Beside the configuration in the package there is a folder runs/, which is not what is meant.
    for name in ("report", "status", "card"):
        given = str(next(elsewhere.glob("runs/demo/*-seed0"))) if name == "card" else "runs/demo"
        done = subprocess.run(
            [str(environment / "bin" / "medseg"), name, given],
            cwd=elsewhere,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert (elsewhere / "runs" / "demo" / "report" / "report.html").is_file()
    where = subprocess.run(
        [str(python), "-c", "import medseg; print(medseg.__file__)"], cwd=elsewhere, env=clean, **run
    ).stdout
    assert str(environment) in where, "the wheel was tested, not the checkout"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("medseg ", {"train", "report", "wandb-sync"}),
        ("medseg train model=", {"model=unet", "model=convunext"}),
        ("medseg report format=", set()),
    ],
)
def test_tab_completion(line: str, words: set[str]) -> None:
    script = Path(sys.executable).parent / "medseg"
    done = subprocess.run(
        [str(script), "--shell-completion", "query=bash"], capture_output=True, text=True, check=True,
        env={**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))},
    )  # fmt: skip
    assert words <= set(done.stdout.split())
