"""Every command with wrong words: one line on standard error, an exit code, no traceback, and soon."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from medseg.config import yaml_files
from tests.commands.test_start import COMMANDS
from tests.helpers import command

NEEDED = {
    "evaluate": ["checkpoint=x"],
    "predict": ["checkpoint=x", "input=y", "output=z"],
    "demo": ["checkpoint=x"],
    "export": ["checkpoint=x"],
    "import_checkpoint": ["source=x", "model=unet"],
    "report": ["runs"],
    "score": ["runs"],
    "status": ["runs"],
    "pack": ["runs"],
    "unpack": ["file"],
    "card": ["runs"],
    "wandb_sync": ["runs"],
}
"""Words that a command cannot do without."""

TAKE_RUNS = ("report", "score", "status", "pack", "unpack", "card", "wandb_sync")

ANYWHERE = (
    "nogroup=x", "+nogroup=x", "++nogroup=x", "~nogroup", "nogroup.key=3", "+nogroup.key=3", "=3", "[", "nogroup",
    "--nogroup", "-x", "--cfg", "hydra=3", "hydra/launcher=null", "hydra/launcher=nogroup", "nogroup={a:1",
    "nogroup='", "nogroup=/a=b", "nogroup=[1", "",
)  # fmt: skip
"""Wrong in every command."""

VALUES = ("null", "0", "1.5", "true", "[]", "[a]", "[a,b]", "{a:1}", "", "nothing", "a/b", "[nothing", "'a b'")
"""Wrong choices of an option."""

PATHS = [
    *(("train", word) for word in ("runs_dir=file/x", "data_dir=file/x", "initial_weights=file")),
    *(("train", word) for word in ("initial_weights=missing", "initial_weights=folder", "dry_run=missing.csv")),
    *(("prepare", word) for word in ("data_dir=file/x", "data_dir=file")),
    *(("inspect", word) for word in ("output=folder", "data_dir=file/x")),
    *(("evaluate", word) for word in ("checkpoint=missing", "checkpoint=file", "checkpoint=folder")),
    *(("export", word) for word in ("checkpoint=missing", "checkpoint=file")),
    ("demo", "checkpoint=missing"),
    *(("predict", word) for word in ("input=missing", "input=file", "input=folder", "input='missing*'")),
    *(("card", word) for word in ("missing", "file", "~nobody_of_this_name", "runs.x=1")),
    *(("report", word) for word in ("missing", "folder", "runs.x=1", "a=b/c=d", "m/a=b")),
    *(("status", word) for word in ("file", "runs=[]")),
    *(("pack", word) for word in ("missing", "file", "folder", "runs=[]")),
    *(("unpack", word) for word in ("missing", "file", "folder", "file=missing")),
    *(("wandb_sync", word) for word in ("folder", "missing")),
    *(("describe", word) for word in ("output=folder", "output=file/x")),
    *(("import_checkpoint", word) for word in ("source=missing", "source=file", "source=folder")),
]
"""Paths that are not there, or are a file or a folder where the other is needed. `file` and `folder` are there."""

SMALL = {
    "describe": ["model=unet", "model.base_channels=4", "image_size=32"],
    "prepare": ["data.dataset.count=10", "data.image_size=32"],
    "inspect": ["data.dataset.count=10", "data.image_size=32"],
    "train": ["logger=csv"],
}

SECONDS = 50
"""That a case may take, on a slow machine with much other work; alone, none takes more than a few."""


def of_groups(command: str) -> Iterator[str]:
    """Words that choose an option wrongly: of the command's groups, and of one that it has not."""
    ours = list(yaml_files.primary(command)[0])
    forms = ("+{}={}", "++{}={}", "~{}", "{}@x={}", "{}.nokey=1", "~{}.nokey")
    for place, group in enumerate(ours):
        option = next(iter(yaml_files.options(group)))
        # Some for each group: the same code checks them all.
        yield from (f"{group}={value}" for value in VALUES[place % 4 :: 4])
        yield from (form.format(group, option) for form in forms[place % 3 :: 3])
    for other in [group for group in yaml_files.groups() if group not in ours][:1]:
        option = next(iter(yaml_files.options(other)))
        yield from (f"{other}={option}", f"+{other}={option}", f"~{other}", f"{other}.nokey=1")


def check(cases: Sequence[tuple[str, Sequence[str]]], here: Path) -> None:
    """Run commands with their words, and fail with all that is wrong at once."""
    wrong = []
    for name, words in cases:
        started = time.monotonic()
        ended = command(name, *words, cwd=here)
        seconds = time.monotonic() - started
        # Others are progress.
        errors = [line for line in ended.stderr.splitlines() if not line.startswith(("INFO ", "WARNING "))]
        faults = [
            ended.returncode <= 0 and f"exit code {ended.returncode}",
            "Traceback" in ended.stderr and "a traceback",
            "MEDSEG_DEBUG" in ended.stderr and "an error that nobody foresaw",
            len(errors) != 1 and f"{len(errors)} lines",
            seconds > SECONDS and f"{seconds} s",
        ]
        said = ", ".join(filter(None, faults))
        if said:
            wrong.append(f"{' '.join([name, *words])}: {said}: {ended.stderr[-300:]}")
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a file and a folder in it."""
    (tmp_path / "file").write_text("hello\n")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wrong_words_of_every_command(here: Path) -> None:
    cases = []
    for place, name in enumerate(COMMANDS):
        key = next(key for key in yaml_files.primary(name)[1] if key != "runs")
        words = [*ANYWHERE[place % 3 :: 3], *of_groups(name), f"~{key}", f"{key}=[1"]
        # Where folders are given without a key, an empty word is one.
        cases += [(name, [*NEEDED.get(name, []), word]) for word in words if word or name not in TAKE_RUNS]
    check(cases, here)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_paths_that_cannot_be(here: Path) -> None:
    cases = []
    for name, word in PATHS:
        needed = [] if name in TAKE_RUNS else NEEDED.get(name, [])
        cases.append((name, [*SMALL.get(name, []), *needed, word]))
    check(cases, here)
