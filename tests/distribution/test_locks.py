"""The locks: every package that the project names, with hashes, and no address."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.distribution.conftest import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = {
    "requirements-build.lock": PYPROJECT["dependency-groups"]["build"],
    "requirements-run.lock": PYPROJECT["dependency-groups"]["build"] + PYPROJECT["project"]["dependencies"],
    "requirements.lock": [
        *PYPROJECT["dependency-groups"]["build"],
        *PYPROJECT["project"]["dependencies"],
        *(line for extra in PYPROJECT["project"]["optional-dependencies"].values() for line in extra),
    ],
}
"""Each file, and what it is made from."""


def locked(name: str) -> dict[str, tuple[str, list[str]]]:
    """The version and the hashes of each package of a lock."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    packages: dict[str, tuple[str, list[str]]] = {}
    for line in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines():
        requirement, *hashes = line.split(" --hash=")
        parsed = Requirement(requirement)
        (pin,) = parsed.specifier
        assert pin.operator == "=="
        assert canonicalize_name(parsed.name) not in packages
        packages[canonicalize_name(parsed.name)] = (pin.version, [value.strip() for value in hashes])
    return packages


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_hashes(name: str) -> None:
    for package, (_, hashes) in locked(name).items():
        assert hashes, package
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in hashes), package


@pytest.mark.parametrize("name", LOCKS)
def test_no_address(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host|\bfile:", text)


@pytest.mark.parametrize("name", LOCKS)
def test_all_that_the_project_names_is_locked(name: str) -> None:
    packages = locked(name)
    for line in LOCKS[name]:
        requirement = Requirement(line)
        version, _ = packages[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), line


def test_the_locks_agree() -> None:
    everything = locked("requirements.lock")
    for name in LOCKS:
        assert locked(name).items() <= everything.items(), name


def test_the_backend_is_locked() -> None:
    for line in PYPROJECT["build-system"]["requires"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(locked("requirements-build.lock")[requirement.name][0])


def test_what_has_no_wheel_is_built_by_what_is_locked() -> None:
    """Such a package has a single file, an sdist, and setuptools builds it."""
    assert "setuptools" in locked("requirements-build.lock")
    assert len(locked("requirements-run.lock")["antlr4-python3-runtime"][1]) == 1


def test_make_installs_by_hash_and_the_project_without_dependencies(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(PROJECT / name, tmp_path)
    done = subprocess.run(
        ["make", "--dry-run", f"PYTHON={sys.executable}", "install"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    fetching = [line for line in lines if "pip install" in line and not line.lstrip().startswith("|")]
    fetching = [line for line in fetching if "--dry-run" not in line]
    named = [re.findall(r"requirements[\w-]*\.lock|--editable \.$", line) for line in fetching]
    build, run, everything = ([name] for name in LOCKS)
    assert named == [build, run, ["--editable ."], everything, ["--editable ."]]
    for line in fetching:
        assert ("--require-hashes" in line) != ("--no-deps" in line and "--no-build-isolation" in line), line
    extras = re.search(r"--editable '\.\[(.+?)\]'", "\n".join(lines))
    assert extras is not None
    assert set(extras[1].split(",")) == set(PYPROJECT["project"]["optional-dependencies"])
