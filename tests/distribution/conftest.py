"""The project as it is published: an sdist, and the wheel that is built from it."""

from __future__ import annotations

import site
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Built:
    """The two files, and the content of each by name; in the sdist without its top folder."""

    sdist: Path
    wheel: Path

    def in_sdist(self) -> dict[str, bytes]:
        with tarfile.open(self.sdist) as archive:
            files = [member for member in archive.getmembers() if member.isfile()]
            return {file.name.partition("/")[2]: archive.extractfile(file).read() for file in files}  # type: ignore[union-attr]

    def in_wheel(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def build(folder: Path, target: Path, *options: str) -> None:
    """Build a project, without the network: what builds it is installed."""
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(target), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both files, as `make dist` builds them."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    build(PROJECT, folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(sdist, wheel)


def borrow_packages(environment: Path) -> Path:
    """Let an environment import what is installed here, but not medseg itself; return its `site-packages`."""
    (packages,) = environment.glob("lib/python*/site-packages")
    # A line of a .pth file is put on the path; the .pth files in that folder, such as medseg's, are not read.
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return packages
