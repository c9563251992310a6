"""The examples of one's own parts, as their README has them, but small."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medseg.data.augmentation import Augmentation
from medseg.errors import ConfigError
from medseg.metrics.custom import check_metrics
from medseg.runs.folder import RunFolder, find_run
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv
from tests.helpers import command

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
README = (EXAMPLES / "README.md").read_text(encoding="utf-8").replace("\\\n", "")
LINES = [line.strip() for line in README.splitlines()]
QUICK = ("trainer.max_epochs=1", "scheduler.epochs=1", "trainer=cpu", "data.num_workers=0")


def arguments(start: str) -> list[str]:
    """The arguments of the command of the README that begins so."""
    (line,) = [line for line in LINES if line.startswith(start)]
    return shlex.split(line)[3 if line.startswith("python -m") else 2 :]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples with 20 drawn images and two finished runs."""
    folder = tmp_path_factory.mktemp("own") / "examples"
    shutil.copytree(EXAMPLES, folder)
    assert "python make_shapes.py shapes 120" in LINES
    subprocess.run([sys.executable, "make_shapes.py", "shapes", "20"], cwd=folder, check=True, capture_output=True)
    sweep = [word for word in arguments("python -m medseg.train -m") if not word.startswith(("loss=", "seed="))]
    done = command("train", *sweep, "loss=noisy_labels", *QUICK, "model.width=4,8", "model=dilated", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def runs(place: Path) -> list[RunFolder]:
    return [find_run(run.folder)[0] for run in read_runs([place / "runs" / "own"]).runs]


@pytest.mark.slow
def test_own_parts_train_in_a_sweep(place: Path) -> None:
    for run in runs(place):
        assert run.finished
        summary = json.loads(run.summary.read_text())
        assert list(summary["classes"]) == ["disc", "square"]
        assert summary["own_metrics"] == {"boundary_dice": {"higher_is_better": True, "unit": ""}}
        rows = read_csv(run.per_image)
        assert {row["class"] for row in rows} == {"disc", "square"}
        values = [float(row["boundary_dice"]) for row in rows]
        assert all(0 <= value <= 1 for value in values)
        scores = [json.loads(line) for line in (run.path / "json_lines" / "metrics.jsonl").read_text().splitlines()]
        assert scores[-1]["test/dice"] == summary["headline"]["dice"]["mean"]
        # The own schedule has halved the learning rate of the own optimizer after an epoch.
        assert [float(row["lr"]) for row in read_csv(run.metrics)] == [0.0005]
        means = [summary["classes"][name]["boundary_dice"]["mean"] for name in ("disc", "square")]
        assert sum(values) / len(values) == pytest.approx(sum(means) / 2)
    # The command of a single run has the same words.
    chosen = {"data=shapes", "model=dilated", "metrics=boundary", "augmentation=vignette", "logger=json_lines"}
    assert set(arguments("python -m medseg.train --config-dir")) >= {*chosen, "scheduler=halving", "optimizer=radam"}


def test_own_augmentation_darkens_the_corners_and_repeats() -> None:
    specification = importlib.util.spec_from_file_location("own_augmentation", EXAMPLES / "own_augmentation.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    augmentation = Augmentation([module.Vignette(strength=0.5, p=1)], image_size=33)
    image, mask = np.full((33, 33, 3), 200, np.uint8), np.ones((33, 33), np.uint8)
    darker, same = augmentation(image, mask, seed=1)
    assert darker[16, 16].tolist() == [200, 200, 200]
    assert 100 <= darker[0, 0, 0] < darker[8, 8, 0] < 200
    np.testing.assert_array_equal(same, mask)
    np.testing.assert_array_equal(augmentation(image, mask, seed=1)[0], darker)
    assert augmentation(image, mask, seed=2)[0][0, 0, 0] != darker[0, 0, 0]


def test_the_page_on_own_parts_shows_every_file() -> None:
    page = (EXAMPLES.parent / "docs" / "extend.md").read_text(encoding="utf-8")
    for file in [*EXAMPLES.glob("own_*.py"), *EXAMPLES.glob("conf/*/*.yaml")]:
        name = file.relative_to(EXAMPLES.parent).as_posix()
        assert f'--8<-- "{name}"' in page, name
        assert name.removeprefix("examples/") in README, name


def test_own_metric_is_in_the_report(place: Path) -> None:
    given = arguments("medseg report")
    done = command("report", "runs/own", *given[1:], "figures=false", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "boundary dice: mean over images, mean over the foreground classes" in done.stdout
    assert "boundary dice" in (place / "runs" / "own" / "report" / "report.md").read_text()


def test_own_metric_of_a_checkpoint_is_measured_afterwards(place: Path) -> None:
    run = runs(place)[0]
    words = [word.replace("RUN", str(run.path)) for word in arguments("medseg evaluate")]
    theirs = "+metrics.their_mcc._target_=torchmetrics.classification.BinaryMatthewsCorrCoef"
    done = command("evaluate", *words, theirs, cwd=place)
    assert done.returncode == 0, done.stderr
    (scored,) = run.path.glob("evaluations/*/per_image.csv")
    rows = read_csv(scored)
    assert [row["boundary_dice"] for row in rows] == [row["boundary_dice"] for row in read_csv(run.per_image)]
    for row in rows:
        tp, fp, fn, tn = (int(row[name]) for name in ("tp", "fp", "fn", "tn"))
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        if product:
            assert float(row["their_mcc"]) == pytest.approx((tp * tn - fp * fn) / product**0.5, abs=1e-5)
    refused = command("evaluate", f"checkpoint={run.path}", cwd=place)
    assert refused.returncode == 1
    assert "if you trust the file, give trust=true" in refused.stderr


@pytest.mark.parametrize(
    ("name", "metric", "message"),
    [
        ("dice", lambda prediction, truth: 1.0, "metrics.dice: the name is taken"),
        ("a-b", lambda prediction, truth: 1.0, "letters, digits and _"),
        ("mine", lambda prediction: 1.0, "metrics.mine fails on masks with 12 true and 12 predicted pixels"),
        ("mine", lambda prediction, truth: 1 / int(truth.sum()), "with 0 true and 12 predicted .* ZeroDivisionError"),
        ("mine", lambda prediction, truth: "high", "ValueError"),
    ],
)
def test_a_metric_is_tried_before_training(name: str, metric: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_metrics({name: metric})
