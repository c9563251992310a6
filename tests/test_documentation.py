"""Every command that README, docs or a `--help` shows: it composes, and those of README and docs run in a small form.

Small is: drawn images of 64 pixels instead of a real dataset, one step of training, the first value of a sweep. What a
command names (a run, a folder of images) is put there. Real data, whole sweeps, launchers and GPUs have tests of their
own.
"""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf

from medseg.__main__ import command_names
from medseg.config import yaml_files
from medseg.config.overrides import add_keys, normalize_overrides
from medseg.runs.packed.packing import select, write_packed
from medseg.sweeps.conditions import read_conditions
from medseg.system.files import read_csv, write_csv
from tests.helpers import compose_config, train

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
SHOWN = re.compile(r"(?:python -m medseg\.(train)|medseg ([a-z][a-z-]*))(?= |$)(.*)")


def module(name: str) -> Any:
    return importlib.import_module(f"medseg.commands.{name}")


def lines_of(page: Path) -> list[str]:
    """The lines of a page; a command that a backslash continues is one line."""
    return re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8")).splitlines()


def shown(lines: list[str]) -> list[str]:
    """The commands of some lines: those that stand alone, and those within a sentence that leave no word to fill in
    and are no message."""
    inside = [
        match for line in lines for match in re.findall(r"`((?:python -m medseg\.train|medseg [a-z-]+) [^`]+)`", line)
    ]
    each = [line.strip() for line in lines] + [command for command in inside if not re.search("NAME| has no ", command)]
    return sorted({line for line in each if SHOWN.match(line) and command_of(line)[0] in command_names()})


def command_of(line: str) -> tuple[str, list[str]]:
    """The name of a command and its arguments."""
    match = SHOWN.match(line)
    assert match is not None
    # A remark stands behind two spaces or a hash.
    return (match[1] or match[2]).replace("-", "_"), shlex.split(re.split(r"\s{2,}|\s#", match[3])[0])


DOCUMENTED = shown([line for page in PAGES for line in lines_of(page)])
HELPED = shown([line for name in command_names() for line in module(name).EXAMPLES])


def overrides_of(line: str) -> tuple[str, list[str]]:
    """The name of a command and the overrides that it makes of its arguments."""
    name, arguments = command_of(line)
    words = [word for word in arguments if not word.startswith("-")]
    if name == "describe":
        words = [{"all": "all=true", "data=all": "datasets=true"}.get(word, word) for word in words]
    words, _ = read_conditions(words)
    return name, normalize_overrides(add_keys(words, module(name).COMMAND.positional, name))


# They compose.


def test_there_are_commands() -> None:
    assert len(DOCUMENTED) > 40
    assert {command_of(line)[0] for line in DOCUMENTED} == set(command_names())


@pytest.mark.parametrize("line", sorted({*DOCUMENTED, *HELPED}))
def test_a_shown_command_composes(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("my_images", "slices"):
        (tmp_path / folder).mkdir()
    name, overrides = overrides_of(line.replace("model=unet,mine", "model=unet,unext"))
    # Of a sweep, all combinations compose where each value does beside the others' first.
    choices = [
        [f"{word.partition('=')[0]}={value}" for value in word.partition("=")[2].split(",")]
        if not {"[", "{"} & set(word)
        else [word]
        for word in overrides
    ]
    for number in range(max(map(len, choices), default=1)):
        chosen = [values[min(number, len(values) - 1)] for values in choices]
        search = [f"hydra.searchpath=[file://{yaml_files.config_root()}]"] if name == "train" else []
        cfg = compose_config(name, *search, *chosen)
        if name != "evaluate":
            OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


# They run.

PROVED_ELSEWHERE = {
    r"\+experiments=": "test_experiments.py runs every experiment under budget=smoke",
    r"medseg import-checkpoint|released-convunext": "trained/test_importing.py, with released files",
    r"medseg demo": "commands/test_demo.py, in a browser",
    r"medseg benchmark ": "commands/test_benchmark.py",
    r"medseg wandb-sync(?!.*dry_run)": "commands/test_wandb_sync.py; it needs an account",
    r"data\.download=true": "data/sources/test_source.py and data/prepared/test_prepare.py, from a server of their own",
    r"\bslices\b": "test_volume_slices.py",
    r"data=folder|my_images": "training/test_job.py and commands/test_inspect.py",
    r"describe (data=)?all": "commands/test_describe.py",
    r"medsegbench": "data/test_medsegbench.py",
    r"with_preprocessing": "commands/test_export.py",
    r"model=unet,mine": "sweeps/test_conditions.py",
    r"continue_from=": "training/test_continuing.py",
    r"encoder_weights=": "pretrained/test_training.py and pretrained/test_load.py, with files of their own",
    r"convnext_tiny": "models/test_smp.py",
    r"protocol=tuned": "sweeps/test_tuning.py",
    r"medseg\.train .*dry_run=": "sweeps/test_dry_run.py",
}
"""Commands that are not run here, and what proves them."""

DROPPED = (
    "hydra", "trainer", "logger", "experiment", "protocol", "budget", "optimizer", "seed", "output", "image_size",
    "data.source", "data.fold", "data.image_size",
)  # fmt: skip
"""Keys whose values are for real runs; small ones stand in their place."""

SMALL = (
    "data.image_size=64", "data.dataset.count=20", "data.batch_size=4", "data.num_workers=0", "trainer=cpu",
    "trainer.max_epochs=1", "+trainer.limit_train_batches=1", "logger=csv",
)  # fmt: skip


def small(name: str, overrides: list[str]) -> list[str]:
    """Make the overrides of a command small; those that come out alike are run once."""
    kept = []
    for word in overrides:
        key, equals, value = word.partition("=")
        if re.split(r"[./]", key.lstrip("+"))[0] in DROPPED or key in DROPPED:
            continue
        value = value if "[" in value else value.split(",")[0]
        if key == "data":
            value = "synthetic"
        # Folders of other sweeps: that of the one that is here.
        value = re.sub(r"runs/[\w/-]+", "runs/mine", value.replace("$RUN", "RUN"))
        kept.append(f"{key}{equals}{value}")
    if name == "train":
        kept = [word.replace("my_package.MyNet", "tests.networks.OneConv") for word in kept] + list(SMALL)
        kept += ["model.base_channels=4"] if "initial_weights=RUN" in kept else []  # that of the run
    elif name in ("prepare", "inspect"):
        kept += ["data.image_size=64", "data.dataset.count=20"]
    elif name == "evaluate" and "data=synthetic" in kept:
        kept += ["data.dataset.count=20"]
    elif name == "describe":
        kept += ["image_size=64"]
    return kept


RUN_HERE = sorted(
    {
        (name, *small(name, overrides))
        for line in DOCUMENTED
        if not any(re.search(pattern, line) for pattern in PROVED_ELSEWHERE)
        for name, overrides in [overrides_of(line)]
    }
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: runs, images."""
    folder = tmp_path_factory.mktemp("place")
    options = ("experiment=mine", "trainer.max_epochs=1", "model.base_channels=4")
    train(folder, "model=convunext", "logger=wandb", *options)
    for seed in range(3):
        run = train(folder, f"seed={seed}", *options)
        (folder / f"RUN{seed + 1}").symlink_to(run.path)
    (folder / "examples").symlink_to(PROJECT / "examples")
    (folder / "RUN").symlink_to((folder / "RUN1").resolve())
    images = [row["id"] for row in read_csv(run.splits)]
    patients = [{"id": image, "device": "AB"[number % 2]} for number, image in enumerate(images)]
    write_csv(folder / "patients.csv", patients)
    # An experiment that no other command changes.
    train(folder, "experiment=packed", "trainer.max_epochs=1", "model.base_channels=4")
    write_packed(select([folder / "runs" / "packed"]), folder / "results" / "mine.zip")
    (folder / "images").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (70, 90, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), pixels)
    cv2.imwrite(str(folder / "scan.tif"), pixels)
    cv2.imwrite(str(folder / "slide.png"), pixels)
    return folder


def test_what_is_proved_elsewhere_is_there() -> None:
    for pattern, where in PROVED_ELSEWHERE.items():
        assert any(re.search(pattern, line) for line in DOCUMENTED), f"{pattern}: no such command is shown any more"
        for file in re.findall(r"\S+\.py", where):
            assert (PROJECT / "tests" / file).is_file(), file


@pytest.mark.slow
@pytest.mark.parametrize("case", RUN_HERE, ids=lambda case: " ".join(case)[:80])
def test_a_shown_command_runs(case: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, *overrides = case
    monkeypatch.chdir(place)
    if name == "train":
        assert train(place, *overrides, tiny=False).finished
        return
    if name in ("predict", "export", "report", "card"):
        overrides += ["device=cpu"] if name == "predict" else []
        overrides += [f"output={place / 'out' / str(abs(hash(case)))}"] if name != "card" else []
    getattr(module(name), name)(compose_config(name, *overrides))
