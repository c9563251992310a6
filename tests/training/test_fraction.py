"""Runs on a part of the training split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medseg.errors import ConfigError
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from medseg.trained.checkpoint import Checkpoint
from tests.helpers import train
from tests.training.test_evaluation import evaluate


def ids(run: RunFolder, split: str) -> set[str]:
    return {row["id"] for row in read_csv(run.splits) if row["split"] == split}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fraction")


@pytest.mark.slow
def test_fractions_are_nested_runs_of_their_own_on_the_same_test_images(place: Path) -> None:
    words = ("trainer.max_epochs=1", "data.dataset.style=mixed")
    scarce, half = (train(place, f"data.fraction={fraction}", *words) for fraction in (0.125, 0.5))
    other = train(place, "data.fraction=0.5", *words, "model.base_channels=6")
    whole, one = train(place, *words), train(place, "data.fraction=1", *words)
    assert one.path == whole.path, "all of it is no fraction"
    assert "-fraction0.125-" in scarce.path.name
    assert [len(ids(run, "train")) for run in (scarce, half, whole)] == [2, 8, 16]
    assert ids(scarce, "train") < ids(half, "train") < ids(whole, "train")
    assert ids(other, "train") == ids(half, "train"), "the same images for all networks of a seed"
    assert len({id_.partition("_")[0] for id_ in ids(half, "train")}) == 3, "every style is there"
    assert ids(scarce, "test") == ids(whole, "test")
    assert ids(scarce, "val") == ids(whole, "val")
    assert json.loads(scarce.data.read_text())["counts"] == {"train": 2, "val": 2, "test": 2}
    # Images are normalised as those that were trained on.
    means = [Checkpoint.read(run.best_checkpoint).metadata.mean for run in (scarce, whole)]
    assert means[0] != means[1]
    folder = evaluate(place, f"checkpoint={scarce.path}")
    assert (folder / "per_image.csv").read_bytes() == scarce.per_image.read_bytes()


def test_another_seed_trains_on_other_images(place: Path) -> None:
    first, second = (train(place, "data.fraction=0.25", "trainer.max_epochs=1", f"seed={seed}") for seed in (0, 1))
    assert ids(first, "train") != ids(second, "train")


def test_a_fraction_of_no_image_is_refused_before_the_training(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.fraction=0\.001 of 16 training images is none; the least is"):
        train(place, "data.fraction=0.001")
    for wrong in ("0", "1.5", "-0.1", "half"):
        with pytest.raises(ConfigError, match=r"data\.fraction is .*; it must be a number above 0, at most 1"):
            train(place, f"data.fraction={wrong}")
