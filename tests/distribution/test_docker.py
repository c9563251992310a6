"""The Dockerfile, without a daemon: its commands run in an empty folder, with the packages that are installed here.

The base images are not fetched, users are not made, and of the lock the names and versions are checked, not downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.distribution.conftest import PROJECT, borrow_packages
from tests.distribution.dockerfile import Instruction, parse
from tests.helpers import TINY

INSTRUCTIONS = parse(PROJECT / "Dockerfile")
DOCS = (PROJECT / "docs" / "install.md").read_text(encoding="utf-8")


def those(keyword: str, stage: int) -> list[str]:
    return [item.text for item in INSTRUCTIONS if item.keyword == keyword and item.stage == stage]


def copied(item: Instruction) -> tuple[list[str], str]:
    """The sources and the target of a COPY."""
    *sources, target = item.text.split()
    return sources, target


def test_only_known_instructions() -> None:
    assert {item.keyword for item in INSTRUCTIONS} <= {
        "ARG", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "USER", "VOLUME", "WORKDIR"
    }  # fmt: skip
    assert INSTRUCTIONS[-1] == Instruction("ENTRYPOINT", '["medseg"]', 1)


def test_the_base_is_a_supported_python() -> None:
    (default,) = those("ARG", -1)
    version = tuple(map(int, default.removeprefix("PYTHON=").split(".")))
    assert (3, 11) <= version <= (3, 13)
    assert [text.split()[0] for stage in (0, 1) for text in those("FROM", stage)] == ["python:${PYTHON}-slim"] * 2


def test_the_user_is_not_root_and_owns_the_volumes() -> None:
    assert those("USER", 1) == ["medseg"]
    (made,) = those("RUN", 1)
    (variables,) = those("ENV", 1)
    values = dict(word.split("=", 1) for word in shlex.split(variables))
    (volumes,) = those("VOLUME", 1)
    assert json.loads(volumes) == [values["MEDSEG_DATA"], values["MEDSEG_RUNS"]]
    assert {*json.loads(volumes), values["HOME"]} <= set(made.split())
    assert [item.keyword for item in INSTRUCTIONS if item.stage == 1].index("USER") > 2


def test_what_is_copied_is_sent_and_nothing_else() -> None:
    """`.dockerignore` leaves out everything but what a COPY of the project names."""
    lines = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sent = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    sources = {
        source for item in INSTRUCTIONS if item.keyword == "COPY" and item.stage == 0 for source in copied(item)[0]
    }
    assert sent == sources
    assert all((PROJECT / source).exists() for source in sources)
    assert any(fnmatch("medseg/__pycache__", rule) for rule in rules[1:])


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the first stage makes of the project: `opt/medseg`, the environment."""
    root = tmp_path_factory.mktemp("image")
    source = root / "src"
    source.mkdir()
    for item in INSTRUCTIONS:
        if item.stage != 0:
            continue
        if item.keyword == "COPY":
            names, target = copied(item)
            for name in names:
                if (PROJECT / name).is_dir():
                    shutil.copytree(PROJECT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(PROJECT / name, source / target)
        elif item.keyword == "RUN":
            text = item.text.replace("/opt/medseg", str(root / "opt" / "medseg"))
            # Nothing is fetched: that all packages of the lock are installed here, in its versions, is enough.
            text = re.sub(r"pip install (?=.*--require-hashes)", "pip install --dry-run --no-index ", text)
            text = text.replace("python -m venv", f"{sys.executable} -m venv")
            done = subprocess.run(
                ["sh", "-c", text], cwd=source, capture_output=True, text=True, check=False,
                env={"PATH": os.environ["PATH"], "HOME": str(root)},
            )  # fmt: skip
            if "No matching distribution" in done.stderr:
                pytest.skip(f"needs the packages of the lock: {done.stderr.splitlines()[-1]}")
            assert done.returncode == 0, done.stderr
            if " -m venv " in text:
                # Python 3.11 puts an older setuptools into an environment, which would hide the one of the lock.
                shutil.rmtree(borrow_packages(root / "opt" / "medseg") / "setuptools", ignore_errors=True)
                for metadata in (root / "opt" / "medseg").glob("lib/python*/site-packages/setuptools-*"):
                    shutil.rmtree(metadata)
    return root


@pytest.mark.slow
def test_the_image_trains(image: Path, tmp_path: Path) -> None:
    (variables,) = those("ENV", 1)
    values = dict(word.split("=", 1) for word in variables.replace("$PATH", os.environ["PATH"]).split())
    values["PATH"] = values["PATH"].replace("/opt/medseg", str(image / "opt" / "medseg"))
    for name in ("HOME", "MEDSEG_DATA", "MEDSEG_RUNS"):
        values[name] = str(tmp_path) + values[name]
        Path(values[name]).mkdir(parents=True)

    def medseg(*words: str) -> str:
        done = subprocess.run(
            [str(image / "opt" / "medseg" / "bin" / "medseg"), *words],
            cwd=values["HOME"], env=values, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "usage: medseg COMMAND" in medseg()
    medseg("train", *TINY, "trainer.max_epochs=1")
    (run,) = Path(values["MEDSEG_RUNS"], "main").iterdir()
    assert (run / "test" / "per_image.csv").is_file()
    assert str(image) in (image / "opt" / "medseg" / "bin" / "medseg").read_text(encoding="utf-8").splitlines()[0]


@pytest.mark.slow
def test_another_pytorch_leaves_out_cuda(tmp_path: Path) -> None:
    """With `TORCH_INDEX`, pip is asked for both packages in the locked versions; the rest has no library of CUDA."""
    (text,) = [item.text for item in INSTRUCTIONS if "TORCH_INDEX" in item.text and item.keyword == "RUN"]
    shutil.copy(PROJECT / "requirements-run.lock", tmp_path)
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\necho "$@" > asked\n', encoding="utf-8")
    pip.chmod(0o755)
    text = text.replace("/opt/medseg/bin/pip", str(pip))
    subprocess.run(["sh", "-c", text], cwd=tmp_path, check=True, env={**os.environ, "TORCH_INDEX": "file:///nowhere"})
    lock = (tmp_path / "requirements-run.lock").read_text(encoding="utf-8")
    chosen = (tmp_path / "chosen.lock").read_text(encoding="utf-8")
    asked = (tmp_path / "asked").read_text(encoding="utf-8").split()
    pins = re.findall(r"^[\w-]+==\S+", lock, flags=re.MULTILINE)
    kept = re.findall(r"^[\w-]+==\S+", chosen, flags=re.MULTILINE)
    assert set(asked[-2:]) == {pin for pin in pins if re.match("torch(vision)?==", pin)}
    assert "file:///nowhere" in asked
    left_out = {pin.partition("==")[0] for pin in set(pins) - set(kept)}
    assert {"torch", "torchvision", "triton", "nvidia-cudnn-cu13"} <= left_out
    assert all(re.match("torch(vision)?$|triton$|nvidia-|cuda-", name) for name in left_out)
    assert set(re.findall(r"--hash=\S+", chosen)) < set(re.findall(r"--hash=\S+", lock))
    subprocess.run(["sh", "-c", text], cwd=tmp_path, check=True, env={**os.environ, "TORCH_INDEX": ""})
    assert (tmp_path / "chosen.lock").read_text(encoding="utf-8") == lock


def test_the_documented_lines() -> None:
    """They name the image that is built, and mount the folders of the image."""
    joined = re.sub(r"\\\n\s*", "", DOCS)
    lines = re.findall(r"^ +docker (build|run) (.+)$", joined, flags=re.MULTILINE)
    assert {name for name, _ in lines} == {"build", "run"}
    (arguments,) = {
        argument.partition("=")[0] for _, line in lines for argument in re.findall(r"--build-arg (\S+)", line)
    }
    assert arguments in {text.partition("=")[0] for text in those("ARG", 0)}
    (volumes,) = those("VOLUME", 1)
    for kind, line in lines:
        if kind == "run":
            mounted = re.findall(r"--volume \S+?:(/\w+)", line.replace('"', ""))
            assert set(json.loads(volumes)) <= set(mounted), line
