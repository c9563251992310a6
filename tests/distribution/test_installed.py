"""The wheel, in an environment of its own and used from an empty folder: nothing is read from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.__main__ import command_names
from medseg.config.yaml_files import command_title
from tests.distribution.conftest import PROJECT, Built, borrow_packages
from tests.helpers import TINY

GUARD = f"""
import os, sys

def refuse(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith({str(PROJECT) + os.sep!r}) and "site-packages" not in path:
            raise RuntimeError("read from the checkout: " + path)

sys.addaudithook(refuse)
"""
"""`sitecustomize.py` of the environment: what opens or lists a file of the checkout fails."""

Medseg = Callable[..., str]


@pytest.fixture(scope="module")
def environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has medseg only from the wheel."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "--quiet"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(built.wheel)], check=True)
    (borrow_packages(folder) / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def medseg(environment: Path, elsewhere: Path) -> Medseg:
    """Run `medseg ...` of the environment in the other folder, and return what it prints."""
    theirs = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MEDSEG_DATA", "MEDSEG_RUNS")
    }

    def run(*words: str, **variables: str) -> str:
        done = subprocess.run(
            [str(environment / "bin" / "medseg"), *words],
            cwd=elsewhere, env=theirs | variables, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_the_guard(environment: Path) -> None:
    done = subprocess.run(
        [str(environment / "bin" / "python"), "-c", f"open({str(PROJECT / 'README.md')!r})"],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert "read from the checkout" in done.stderr


@pytest.mark.slow
def test_help_and_completion(medseg: Medseg) -> None:
    assert {command_title(name) for name in command_names()} <= set(medseg().split())
    assert {"convunext", "unet", "kvasir"} <= set(medseg("train", "--help").split())
    line = "medseg train model="
    words = medseg("--shell-completion", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert {"model=unet", "model=convunext"} <= set(words.split())


@pytest.mark.slow
def test_a_run_and_what_follows(medseg: Medseg, elsewhere: Path) -> None:
    medseg("train", "model=unet", "data=synthetic", *TINY, "trainer.max_epochs=1")
    # What is made lies in the current folder, and in these two folders alone.
    assert {path.name for path in elsewhere.iterdir()} == {"data", "runs"}
    (run,) = (elsewhere / "runs" / "main").iterdir()
    assert (run / "test" / "per_image.csv").is_file()

    images = elsewhere / "images"
    images.mkdir()
    cv2.imwrite(str(images / "one.png"), np.full((64, 64, 3), 127, np.uint8))
    medseg("predict", str(run), "images", "masks")
    assert list((elsewhere / "masks").rglob("one*"))
    medseg("card", str(run))
    medseg("inspect", "synthetic", "data.image_size=64", "data.dataset.count=20")


@pytest.mark.slow
def test_an_experiment_as_a_sweep_with_its_report(medseg: Medseg, elsewhere: Path) -> None:
    medseg("train", "-m", "+experiments=demo", *TINY, "seed=0,1", "trainer.max_epochs=1")
    assert len(list(elsewhere.glob("runs/demo/*/test/per_image.csv"))) == 2
    # Beside the configuration in the package there is a folder runs/, which is not what `runs/demo` names.
    medseg("report", "runs/demo", "format=html")
    medseg("status", "runs/demo")
    assert (elsewhere / "runs" / "demo" / "report" / "report.html").is_file()


@pytest.mark.slow
def test_other_folders_for_data_and_runs(medseg: Medseg, elsewhere: Path, tmp_path: Path) -> None:
    before = set(elsewhere.rglob("*"))
    words = [*TINY, "trainer.max_epochs=1", "test=false"]
    medseg("train", *words, MEDSEG_DATA=str(tmp_path / "images"), MEDSEG_RUNS=str(tmp_path / "results"))
    assert list(tmp_path.glob("results/main/*/config.yaml"))
    assert (tmp_path / "images" / "prepared").is_dir()
    assert set(elsewhere.rglob("*")) == before


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
