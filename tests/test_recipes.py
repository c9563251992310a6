"""The recipes of CONTRIBUTING.md, done in a copy of the project: a network, a dataset, a score, a column, a command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.system.files import read_csv, read_json
from tests.helpers import TINY

PROJECT = Path(__file__).resolve().parent.parent
TEXT = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NEW = re.compile(r"^`([\w/]+\.\w+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^in `([\w/.]+)`, behind `([^`]+)`\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all recipes done."""
    copy = tmp_path_factory.mktemp("recipes") / "project"
    for folder in ("medseg", "conf", "experiments"):
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "CITATION.cff", copy)
    for name, content in NEW.findall(TEXT):
        assert not (copy / name).exists()
        (copy / name).write_text(content, encoding="utf-8")
    for name, before, entry in ENTRY.findall(TEXT):
        text = (copy / name).read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{name}: {before}"
        (copy / name).write_text(text.replace(before, f"{before}\n{entry.rstrip()}"), encoding="utf-8")
    return copy


def run(project: Path, *words: str) -> str:
    """Run a command of the copy, in the folder beside it, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "medseg", *words], cwd=project.parent, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(project)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_of(heading: str) -> list[str]:
    """The files that the recipe under a heading writes or changes."""
    (section,) = [part for part in TEXT.split("\n### ") if part.startswith(heading)]
    return [name for name, *_ in NEW.findall(section) + ENTRY.findall(section)]


def test_a_recipe_is_few_files() -> None:
    counts = {what: len(files_of(what)) for what in ("A network", "A dataset", "A score", "A column", "A command")}
    assert counts == {"A network": 2, "A dataset": 2, "A score": 1, "A column": 1, "A command": 2}


def test_a_command(project: Path) -> None:
    assert run(project, "hello", "you") == "hello, you\n"
    assert "hello              Greet somebody." in run(project)
    assert "usage: medseg hello NAME [key=value ...]" in run(project, "hello", "--help")


@pytest.mark.slow
def test_a_network_on_a_dataset_with_a_score_in_a_column(project: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        mask = np.zeros((40, 40), np.uint8)
        mask[8 : rng.integers(16, 32), 8 : rng.integers(16, 32)] = 255
        for folder, pixels in (("photos", cv2.merge([mask // 2] * 3)), ("labels", mask)):
            (project.parent / "folder" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(project.parent / "folder" / folder / f"{number}.png"), pixels)
    words = [word for word in TINY if not word.startswith(("model", "data.dataset", "data.image_size"))]
    run(project, "train", "strided", "pairs", "data.source=folder", "data.image_size=32", *words)
    (folder,) = (project.parent / "runs" / "main").iterdir()
    summary = read_json(folder / "test" / "summary.json")
    assert (summary["data"], summary["images"]) == ("pairs", 2)
    rows = read_csv(folder / "test" / "per_image.csv")
    assert float(rows[0]["f2"]) == pytest.approx(
        5 * int(rows[0]["tp"]) / (5 * int(rows[0]["tp"]) + 4 * int(rows[0]["fn"]) + int(rows[0]["fp"])), abs=1e-6
    )
    text = run(project, "report", "runs/main", "score=f2", "figures=false", "format=all")
    assert "F2: mean over images" in text
    assert "best epoch" in text
    report = folder.parent / "report"
    assert read_csv(report / "csv" / "comparison.csv")[0]["best_epoch"] == str(summary["best_epoch"])
    for name in ("report.md", "report.html", "latex/comparison.tex"):
        assert "best epoch" in (report / name).read_text(encoding="utf-8")
    assert "parameters" in run(project, "describe", "strided", "image_size=32")
