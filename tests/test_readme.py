"""The README and the start page of the docs: length, badges, pictures and links that are there, a tour that runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from medseg.data.datasets import Synthetic
from medseg.data.sources.source import EmptySource
from medseg.system.files import read_csv

PROJECT = Path(__file__).resolve().parent.parent
README, DOCS = PROJECT / "README.md", PROJECT / "docs"
PICTURES = DOCS / "pictures"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def links(page: Path) -> list[tuple[bool, str, str]]:
    """Whether it is a picture, the text and the target of each link within the project."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [(bool(mark), label, target) for mark, label, target in LINK.findall(text) if "://" not in target]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 1450


def test_pictures_come_first() -> None:
    text = README.read_text(encoding="utf-8")
    pictures = [target for picture, _, target in links(README) if picture and target.endswith(".png")]
    assert len(pictures) >= 4
    assert all(text.index(target) < text.index("\n## ") for target in pictures)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for picture, label, target in links(page):
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target
        if picture:
            assert len(label.split()) >= 2, f"{target}: no text for those who do not see it"


def test_pictures_are_small_and_shown() -> None:
    shown = {(page.parent / target).resolve() for page in PAGES for picture, _, target in links(page) if picture}
    files = sorted(PICTURES.glob("*.png"))
    assert files
    for file in files:
        assert file in shown, f"{file.name} is on no page"
        assert file.stat().st_size < 150_000, file.name
        with Image.open(file) as picture:
            assert picture.width <= 1000, file.name
    assert sum(file.stat().st_size for file in PICTURES.iterdir()) < 1_000_000


def test_badges_are_true() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = {file.stem: file.read_text(encoding="utf-8") for file in PICTURES.glob("badge_*.svg")}
    assert f"<title>licence: {project['license']}</title>" in told["badge_licence"]
    oldest = project["requires-python"].removeprefix(">=")
    assert f"<title>python: {oldest} or newer</title>" in told["badge_python"]
    for name, text in told.items():
        title = re.search(r"<title>(.*)</title>", text)
        assert title is not None
        labels = [label.lower() for picture, label, target in links(README) if picture and name in target]
        assert labels == [title[1].lower()]


def test_the_start_page_is_its_own() -> None:
    start = (DOCS / "index.md").read_text(encoding="utf-8")
    assert "--8<--" not in start
    long_lines = {line for line in README.read_text(encoding="utf-8").splitlines() if len(line) > 100}
    assert len([line for line in start.splitlines() if line in long_lines]) <= 1  # the question


def test_the_site_has_an_icon() -> None:
    settings = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8").split("\nmarkdown_extensions")[0])
    for name in ("logo", "favicon"):
        assert (DOCS / settings["theme"][name]).is_file()


RESULTS = PROJECT / "experiments/first_table/results"


def table_rows(page: Path) -> list[tuple[str, str, list[str]]]:
    """The rows of the first table on a page: the network, its parameters, its cells."""
    lines = [
        line for line in page.read_text(encoding="utf-8").splitlines() if re.match(r"\| [^|]+ \| \d+\.\d\d \| ", line)
    ]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return [(name, parameters, rest) for name, parameters, *rest in cells]


@pytest.mark.parametrize("page", [README, RESULTS / "README.md"])
def test_the_table_is_that_of_the_report(page: Path) -> None:
    rows = [row for row in read_csv(RESULTS / "csv" / "comparison.csv") if row["measure"] == "dice"]
    shown = table_rows(page)
    assert len(shown) == len({row["network"] for row in rows})
    for name, parameters, cells in shown:
        expected = [row for row in rows if row["network"] == name]
        assert parameters == f"{int(expected[0]['parameters']) / 1e6:.2f}"
        for cell, row in zip(cells, expected, strict=True):
            mean = f"{float(row['mean']):.3f}"
            best = f"**{mean}**" if row["rank"] == "1" else mean
            like_best = " ≈" if row["like_best"] == "1" else ""
            assert cell == f"{best} [{float(row['low']):.3f}, {float(row['high']):.3f}]{like_best}"


def test_the_packed_runs_give_the_report_again(tmp_path: Path) -> None:
    names = f"names={PROJECT / 'experiments/first_table/names.yaml'}"
    words = ["report", str(RESULTS / "runs.zip"), names, "format=csv", f"output={tmp_path}"]
    subprocess.run([sys.executable, "-m", "medseg", *words], check=True, capture_output=True, cwd=tmp_path)
    for file, key in (("comparison", "mean"), ("pairs", "difference"), ("external", "drop")):
        now, kept = (read_csv(folder / "csv" / f"{file}.csv") for folder in (tmp_path, RESULTS))
        assert [row["network"] for row in now] == [row["network"] for row in kept]
        # Another processor may round otherwise.
        pairs = [(one[key], other[key]) for one, other in zip(now, kept, strict=True) if one[key]]
        assert [float(one) for one, _ in pairs] == pytest.approx([float(other) for _, other in pairs], abs=1e-6)
    now, kept = (read_csv(folder / "csv" / "pairs.csv") for folder in (tmp_path, RESULTS))
    assert [row["verdict"] for row in now] == [row["verdict"] for row in kept]


def test_the_film_is_of_the_demo() -> None:
    lines = (PICTURES / "demo.txt").read_text(encoding="utf-8").splitlines()
    begun = next(k for k, line in enumerate(lines) if line.endswith("-m medseg.train +experiments=demo"))
    assert any("epoch" in line for line in lines[begun:])
    assert not any("://" in line for line in lines), "how one machine gets its packages is not shown"
    assert lines[-1].endswith("open in a browser: ~/medseg/runs/demo/report/report.html")


def test_the_images_of_the_tour_are_drawn() -> None:
    drawn = Synthetic(count=4, seed=1)
    samples = drawn.list_samples(EmptySource()).samples
    assert [file.stem for file in sorted((PROJECT / "examples/images").iterdir())] == [each.id for each in samples]
    for sample in samples:
        pixels, _ = drawn.read(EmptySource(), sample)
        kept = cv2.imread(str(PROJECT / "examples/images" / f"{sample.id}.png"))
        assert np.array_equal(cv2.cvtColor(kept, cv2.COLOR_BGR2RGB), pixels)


def tour() -> list[str]:
    """The lines of the tour."""
    text = README.read_text(encoding="utf-8")
    section = text[text.index("\n## A tour") :].split("\n## ")[1]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tour_runs_word_by_word(tmp_path: Path) -> None:
    if sys.prefix == sys.base_prefix:
        pytest.skip("the tests do not run in a virtual environment, which the tour activates")
    lines = tour()
    assert lines[0] == "source .venv/bin/activate"
    for name in ("medseg", "conf", "experiments", "examples"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "CITATION.cff").write_bytes((PROJECT / "CITATION.cff").read_bytes())
    (tmp_path / ".venv").symlink_to(sys.prefix)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail"],
        input="\n".join(lines), cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    images = sorted(file.name for file in (tmp_path / "examples/images").iterdir())
    assert sorted(file.name for file in (tmp_path / "masks").glob("*.png")) == images
    assert sorted(file.name for file in (tmp_path / "masks/overlays").iterdir()) == images
    assert not (tmp_path / "masks/masks").exists()
    assert (tmp_path / "runs/tour/report/report.html").is_file()
    run = next((tmp_path / "runs/tour").glob("convunext-*-seed0"))
    assert list((run / "exports").glob("*.pt2"))
    assert (run / "card.md").is_file()
