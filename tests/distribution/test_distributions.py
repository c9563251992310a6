"""What the sdist and the wheel contain."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
from email.parser import BytesParser
from pathlib import Path

import pytest

import medseg
from tests.distribution.conftest import PROJECT, Built, build


def project_files() -> set[str]:
    """The files under version control, and those that could be."""
    if not (PROJECT / ".git").exists():
        pytest.skip("needs a checkout")
    command = ["git", "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (PROJECT / name).is_file()}


def test_the_sdist_is_the_project(built: Built) -> None:
    assert set(built.in_sdist()) - {"PKG-INFO"} <= project_files()
    assert project_files() - set(built.in_sdist()) <= {".pre-commit-config.yaml"}


def test_the_wheel_is_the_package_with_its_configuration(built: Built) -> None:
    expected = {
        name if name.startswith("medseg/") else f"medseg/{name}"
        for name in project_files()
        if name.split("/")[0] in ("medseg", "conf", "experiments", "CITATION.cff")
        and not re.match("experiments/[^/]+/results/", name)
    }
    inside = {name for name in built.in_wheel() if ".dist-info/" not in name}
    assert inside == expected


def test_both_are_small(built: Built) -> None:
    for file in (built.sdist, built.wheel):
        assert file.stat().st_size < 25e6, "the registry's limit is 100 MB; a download should be far below"
    largest = {name: len(content) for name, content in built.in_sdist().items() if len(content) > 10e6}
    assert not largest


@pytest.mark.slow
def test_no_cache_is_published(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    for folder in ("medseg", "conf", "experiments", "tests"):
        (unpacked / folder / "__pycache__").mkdir()
        (unpacked / folder / "__pycache__" / "x.cpython-311.pyc").touch()
    for folder in ("data", "runs"):
        (unpacked / folder).mkdir()
        (unpacked / folder / "image.png").touch()
    build(unpacked, tmp_path / "dist")
    again = Built(next((tmp_path / "dist").glob("*.tar.gz")), next((tmp_path / "dist").glob("*.whl")))
    # The same files with the same bytes: what is built does not depend on the folder.
    assert again.in_wheel() == built.in_wheel()
    assert again.in_sdist() == built.in_sdist()


def test_the_readme_renders(built: Built) -> None:
    pytest.importorskip("twine")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(built.sdist), str(built.wheel)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_description_has_no_picture_or_link_to_a_file(built: Built) -> None:
    (name,) = [name for name in built.in_wheel() if name.endswith(".dist-info/METADATA")]
    description = BytesParser().parsebytes(built.in_wheel()[name]).get_payload()
    assert description.startswith("# medseg\n\n**Is this segmentation network really better")
    assert not re.search(r"\]\((?!https?:)", description)
    assert "![" not in description
    assert "docs/make_pictures.py" not in description
    assert "(definitions)" in description


def test_the_metadata(built: Built) -> None:
    (name,) = [name for name in built.in_wheel() if name.endswith(".dist-info/METADATA")]
    metadata = BytesParser().parsebytes(built.in_wheel()[name])
    assert metadata["Version"] == medseg.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert (metadata["Requires-Python"], metadata["Description-Content-Type"]) == (">=3.11", "text/markdown")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])


def test_one_version() -> None:
    citation = (PROJECT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, flags=re.MULTILINE) == [medseg.__version__]
