"""The site of the documentation: what a search for a word names, pages as they begin, and code that is not cut."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browsing import DESKTOP, PHONE, open_page

pytest.importorskip("mkdocs", reason="the extra docs is not installed")

PROJECT = Path(__file__).resolve().parent.parent
PAGES = sorted((PROJECT / "docs").glob("*.md"))
WIDTH = 80
"""Most characters of a line of code, which a page of 1280 pixels shows."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site, and what its building has printed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--no-strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


@pytest.fixture(scope="module")
def site(built: tuple[Path, str]) -> Path:
    return built[0]


def test_no_link_picture_or_anchor_is_missing(built: tuple[Path, str]) -> None:
    # griffe warns of docstrings that describe several arguments together.
    lines = [line for line in built[1].splitlines() if " griffe: " not in line]
    assert [line for line in lines if line.startswith("WARNING") or "there is no such anchor" in line] == []


SEARCHED = {
    "fine-tuning": "training/#fine-tuning",
    "initial weights": "training/#fine-tuning",
    "resume": "training/#resume-a-training",
    "early stopping": "training/#early-stopping",
    "learning rate": "training/#learning-rate",
    "class imbalance": "training/#class-imbalance-and-class-weights",
    "class weights": "training/#class-imbalance-and-class-weights",
    "mixed precision": "training/#mixed-precision",
    "several gpus": "training/#several-gpus",
    "grayscale": "masks/#greyscale-grayscale-images",
    "greyscale": "masks/#greyscale-grayscale-images",
    "multi-class": "masks/#masks-and-labels",
    "dataframe": "report/#a-data-frame-pandas-dataframe",
    "nifti": "volumes/",
    "dicom": "volumes/",
    "cross-validation": "data/#splits-and-cross-validation",
    "ensemble": "predict/#ensembles",
    "hd95": "scores/#hd95",
    "memory": "faq/#memory",
    "windows": "faq/#machine",
    "offline": "faq/#machine",
    "custom": "extend/",
}
"""What people type, and the section that answers it."""


@pytest.mark.parametrize(("words", "section"), SEARCHED.items())
def test_a_search_finds_the_section_that_answers_it(site: Path, words: str, section: str) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    separator = index["config"]["separator"]
    wanted = re.split(separator, words)

    def rank(entry: dict[str, str]) -> int:
        """As the site's search, which completes the words and counts titles for more than texts: higher is earlier."""
        title, text = (re.split(separator, entry[part].lower()) for part in ("title", "text"))
        in_title = [any(word.startswith(each) for word in title) for each in wanted]
        in_text = [any(word.startswith(each) for word in text) for each in wanted]
        if not all(map(max, in_title, in_text)):
            return 0
        return 1 + all(in_title)

    ranks = {entry["location"]: rank(entry) for entry in index["docs"] if not entry["location"].startswith("api/")}
    assert ranks[section] == max(ranks.values()) > 0, [place for place, value in ranks.items() if value]
    assert sum(value == ranks[section] for value in ranks.values()) <= 12, "too many sections are equally good"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_begins_with_a_title_and_a_sentence(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    snippet = re.match(r'--8<-- "(.*)"', text)
    text = (PROJECT / snippet[1]).read_text(encoding="utf-8") if snippet else text
    title, _, rest = text.partition("\n\n")
    assert re.fullmatch(r"# .+", title)
    if page.name != "index.md":
        assert re.match(r"[A-Z`m].{20,}?[.:](\s|$)", rest, re.DOTALL), rest[:80]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_line_of_code_is_not_wider_than_a_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = [PROJECT / name for name in re.findall(r'^--8<-- "(.*)"', text, re.MULTILINE)]
    for file in [page, *files]:
        lines = file.read_text(encoding="utf-8").splitlines()
        if file.suffix == ".md":
            lines = list(code_of(lines))
        assert [line for line in lines if len(line) > WIDTH] == [], file.name


def code_of(lines: list[str]) -> Iterator[str]:
    """Yield the lines of code of a page: between fences, and those of four spaces that are not of a list."""
    fenced = listed = False
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            yield line
        elif line.startswith("    "):
            if not listed:
                yield line.removeprefix("    ")
        elif line:
            listed = re.match(r"(-|\d+\.) ", line) is not None


def test_shown_python_prints_what_is_shown() -> None:
    shown = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for code, printed in re.findall(r"``` python\n([^`]*?)```\n\n``` text\n([^`]*?)```", text):
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(code, page.name, "exec"), {})
            assert output.getvalue() == printed
            shown += 1
    assert shown


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The address at which the site is served."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


CUT = """() => [...document.querySelectorAll('.md-content pre, .md-content pre > code')]
    .filter(block => block.scrollWidth > block.clientWidth + 1)
    .map(block => block.innerText.slice(0, 200))"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_code_is_cut_and_no_page_is_wider_than_the_window(site: Path, address: str, size: tuple[int, int]) -> None:
    with open_page(address, size=size) as browser:
        for page in sorted(site.rglob("index.html")):
            browser.goto(f"{address}{page.parent.relative_to(site).as_posix()}/")
            assert browser.evaluate(CUT) == [], page
            wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, page
