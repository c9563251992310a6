"""The main job from end to end, on a few small drawn images."""

from __future__ import annotations

import csv
import json
import re
import signal
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from medseg.data.prepared.dataset import PreparedDataset
from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from tests.forking import start_forked
from tests.helpers import TINY, command, train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("job")


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return train(place)


def test_a_run_leaves_what_a_person_can_look_at(run: RunFolder) -> None:
    assert run.finished
    assert run.path.parent.name == "main"
    assert run.path.name.startswith("unet-synthetic-cpu-")
    assert run.path.name.endswith("-seed0")
    config = yaml.safe_load(run.config.read_text())
    assert config["model"]["base_channels"] == 4
    assert config["model"]["num_classes"] == config["data"]["num_classes"] == 2
    environment = json.loads(run.environment.read_text())
    assert torch.__version__.startswith(environment["packages"]["torch"])
    assert environment["precision"] in ("32-true", "bf16-mixed")
    assert [row["epoch"] for row in read_csv(run.metrics)] == ["0", "1"]
    assert "epoch 2/2" in run.log.read_text()
    for name in ("best", "median", "worst", "curves"):
        picture = cv2.imread(str(run.images / f"{name}.png"))
        assert picture.std() > 10, "a blank picture"


def test_a_run_folder_holds_all_that_a_reader_needs(run: RunFolder, place: Path) -> None:
    record = json.loads(run.record.read_text())
    assert re.fullmatch("[0-9a-f]{32}", record["id"])
    assert record["name"] == run.path.name
    assert record["default_choices"]["trainer"] == "auto"
    assert (record["choices"]["trainer"], record["choices"]["model"]) == ("cpu", "unet")
    assert record["defaults"] == {
        "data.image_size": 96, "data.dataset.count": 300,
        "data.batch_size": 8, "model.base_channels": 32, "trainer.max_epochs": 100,
    }  # fmt: skip
    facts = json.loads(run.data.read_text())
    assert (facts["name"], facts["title"], facts["licence"]) == ("synthetic", "synthetic images", "CC0-1.0")
    assert facts["class_names"] == ["background", "polyp"]
    assert facts["about"].startswith("Drawn images")
    assert (facts["split_name"], facts["fold"], facts["counts"]) == (None, None, {"train": 16, "val": 2, "test": 2})
    summary = json.loads(run.summary.read_text())
    for name in ("data_identity", "source_identity"):
        assert facts[name] == summary[name]
    assert facts["fingerprint"]["count"] == 20
    rows = read_csv(run.splits)
    assert Counter(row["split"] for row in rows) == facts["counts"]
    assert len({row["id"] for row in rows}) == 20
    assert {row["group"] for row in rows} == {""}
    tested = {row["id"] for row in rows if row["split"] == "test"}
    assert tested == {row["id"] for row in read_csv(run.per_image)}


def test_the_summary_follows_from_the_images(run: RunFolder) -> None:
    rows = read_csv(run.test / "per_image.csv")
    summary = json.loads(run.summary.read_text())
    assert len(rows) == summary["images"] == len({row["id"] for row in rows})
    assert summary["split"] == "test"
    assert summary["evaluation_size"] == [64, 64]
    dice = [float(row["dice"]) for row in rows]
    assert summary["headline"]["dice"]["mean"] == pytest.approx(np.mean(dice))
    samples = read_csv(Path(summary["prepared"]) / "samples.csv")
    sizes = {row["id"]: int(row["height"]) * int(row["width"]) for row in samples}
    assert len(set(sizes.values())) > 1
    for row in rows:
        tp, fp, fn, tn = (int(row[name]) for name in ("tp", "fp", "fn", "tn"))
        assert tp + fp + fn + tn == sizes[row["id"]]
        assert float(row["dice"]) == pytest.approx(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1)
    tp, fp, fn = (sum(int(row[name]) for row in rows) for name in ("tp", "fp", "fn"))
    assert summary["conventions"]["pooled_dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn))


def test_validation_selects_and_the_test_split_is_not_seen_before(run: RunFolder) -> None:
    rows = read_csv(run.metrics)
    best = max(rows, key=lambda row: float(row["val/dice"]))
    assert json.loads(run.summary.read_text())["best_epoch"] == int(best["epoch"]) + 1
    checkpoint = torch.load(run.best_checkpoint, weights_only=True)
    assert checkpoint["epoch"] == int(best["epoch"])
    assert not [name for name in rows[0] if "test" in name]


def test_a_finished_run_is_not_repeated(run: RunFolder, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = run.best_checkpoint.stat().st_mtime_ns
    again = train(place)
    assert again.path == run.path
    assert run.best_checkpoint.stat().st_mtime_ns == before
    assert "dice" in capsys.readouterr().out


def test_one_seed_gives_one_result_to_the_last_bit(run: RunFolder, place: Path) -> None:
    again = train(place, "experiment=again")
    assert (again.test / "per_image.csv").read_bytes() == (run.test / "per_image.csv").read_bytes()
    first, second = (torch.load(folder.last_checkpoint, weights_only=True)["state_dict"] for folder in (run, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = train(place, "seed=1")
    third = torch.load(other.last_checkpoint, weights_only=True)["state_dict"]
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_force_repeats_a_finished_run(place: Path) -> None:
    first = train(place, "experiment=forced", "trainer.max_epochs=1")
    stamp = first.best_checkpoint.stat().st_mtime_ns
    (first.path / "leftover").touch()
    run_id = json.loads(first.record.read_text())["id"]
    again = train(place, "experiment=forced", "trainer.max_epochs=1", "force=true")
    assert again.path == first.path
    assert again.best_checkpoint.stat().st_mtime_ns != stamp
    assert not (first.path / "leftover").exists()
    assert json.loads(again.record.read_text())["id"] != run_id, "it is another run"


def test_a_wrong_option_does_not_cost_the_old_run(place: Path) -> None:
    run = train(place, "experiment=kept", "trainer.max_epochs=1")
    with pytest.raises(ConfigError, match="must be offline, online or disabled"):
        # W&B's mode is no part of the name, so this means the same run.
        train(place, "experiment=kept", "trainer.max_epochs=1", "force=true", "logger=wandb", "logger.wandb.mode=none")
    assert run.finished
    assert run.best_checkpoint.exists()


class Interrupt(Callback):
    """Press Ctrl-C in the middle of the third epoch, once; not at all in the experiment called unbroken."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        fired = Path(trainer.default_root_dir, "fired")
        unbroken = fired.parent.parent.name == "unbroken"
        if trainer.current_epoch == 2 and batch_idx == 1 and not fired.exists() and not unbroken:
            fired.touch()
            raise KeyboardInterrupt


def test_an_interrupted_run_resumes_as_if_nothing_had_been(place: Path) -> None:
    # TwoOutputs has dropout and deep supervision: the random state matters, and so does the list of outputs.
    model = ("model=custom", "+model._target_=tests.networks.TwoOutputs", "trainer.max_epochs=4")
    base = [item for item in TINY if not item.startswith(("model", "trainer.max_epochs"))]
    interrupt = "+callbacks.interrupt._target_=tests.training.test_job.Interrupt"
    with pytest.raises(KeyboardInterrupt):
        train(place, *base, *model, interrupt, tiny=False)
    (folder,) = (place / "runs" / "main").glob("TwoOutputs-*")
    run = RunFolder(folder)
    assert run.status["state"] == "interrupted"
    assert len(read_csv(run.metrics)) == 2
    run_id = json.loads(run.record.read_text())["id"]
    resumed = train(place, *base, *model, interrupt, tiny=False)
    assert resumed.path == folder
    assert resumed.finished
    assert json.loads(run.record.read_text())["id"] == run_id, "it is the same run"
    assert "resuming" in resumed.log.read_text()
    assert [row["epoch"] for row in read_csv(run.metrics)] == ["0", "1", "2", "3"]

    unbroken = train(place, *base, *model, interrupt, "experiment=unbroken", tiny=False)
    assert (unbroken.test / "per_image.csv").read_bytes() == (resumed.test / "per_image.csv").read_bytes()
    first, second = (torch.load(each.last_checkpoint, weights_only=True)["state_dict"] for each in (resumed, unbroken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_moved_run_resumes_with_its_best_score(tmp_path: Path) -> None:
    arguments = ("+callbacks.interrupt._target_=tests.training.test_job.Interrupt", "trainer.max_epochs=4")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *arguments)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").rename(tmp_path / "elsewhere" / "runs")
    run = train(tmp_path, *arguments, f"runs_dir={tmp_path / 'elsewhere' / 'runs'}")
    best = max(read_csv(run.metrics), key=lambda row: float(row["val/dice"]))
    assert json.loads(run.summary.read_text())["best_epoch"] == int(best["epoch"]) + 1
    states = torch.load(run.last_checkpoint, weights_only=True)["callbacks"]
    (state,) = [state for name, state in states.items() if "val/dice" in name]
    assert float(state["best_model_score"]) == pytest.approx(float(best["val/dice"]), abs=1e-6)
    assert state["best_model_path"] == "best.ckpt", "no path of the machine"


def test_a_run_that_an_older_version_began_goes_on_under_its_wandb_id(tmp_path: Path) -> None:
    arguments = ("+callbacks.interrupt._target_=tests.training.test_job.Interrupt", "trainer.max_epochs=4")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *arguments)
    (folder,) = (tmp_path / "runs" / "main").iterdir()
    run = RunFolder(folder)
    record = json.loads(run.record.read_text())
    run.record.write_text(json.dumps({key: value for key, value in record.items() if key != "id"}))
    run.set_state("interrupted", wandb_id="01befda3879f")
    train(tmp_path, *arguments)
    assert json.loads(run.record.read_text())["id"].startswith("01befda3879f")


def test_an_interrupted_run_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    arguments = ("+callbacks.interrupt._target_=tests.training.test_job.Interrupt", "trainer.max_epochs=4")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, *arguments)
    (last,) = (tmp_path / "runs" / "main").glob("*/checkpoints/last.ckpt")
    content = torch.load(last, weights_only=True)
    content["medseg"]["data_identity"] = "of other images"
    torch.save(content, last)
    with pytest.raises(UserError, match=r"trained on other data than .*; give it those again, or begin anew"):
        train(tmp_path, *arguments)


def test_a_run_that_early_stopping_ended_is_not_trained_further(tmp_path: Path) -> None:
    stop = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "callbacks.early_stopping.min_delta=1.0")
    run = train(tmp_path, *stop, "trainer.max_epochs=6")
    epochs, scores = len(read_csv(run.metrics)), run.per_image.read_bytes()
    assert epochs < 6
    (run.path / "status.json").unlink()  # as if it had been killed before it was finished
    again = train(tmp_path, *stop, "trainer.max_epochs=6")
    assert again.finished
    assert len(read_csv(run.metrics)) == epochs
    assert run.per_image.read_bytes() == scores


def test_a_closed_pipe_does_not_undo_a_finished_run(tmp_path: Path) -> None:
    places = (f"data_dir={tmp_path}", f"runs_dir={tmp_path / 'runs'}")
    process = start_forked("medseg.train", *TINY, "trainer.max_epochs=1", *places, cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # as `| head` does when it has enough
    with process.stderr:
        assert "Traceback" not in process.stderr.read()
    process.wait()
    assert RunFolder(next(tmp_path.glob("runs/main/*-seed0"))).finished


def test_a_failure_is_one_line_and_its_traceback_is_in_the_log(place: Path) -> None:
    fault = ("+callbacks.fault._target_=tests.faults.Fault", "+callbacks.fault.what=raise")
    with pytest.raises(UserError, match=r"RuntimeError: a fault.*\(the traceback is in .*train\.log\)"):
        train(place, "experiment=broken", *fault)
    run = RunFolder(next((place / "runs" / "broken").glob("unet-*")))
    assert run.status["state"] == "failed"
    assert "Traceback" in run.log.read_text()


def test_a_killed_run_resumes(tmp_path: Path) -> None:
    arguments = [*TINY, "trainer.max_epochs=12"]
    places = (f"runs_dir={tmp_path / 'runs'}", f"data_dir={tmp_path}")
    process = start_forked("medseg.train", *arguments, *places, cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/main/*/checkpoints/last.ckpt")):
        assert process.poll() is None, "ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    run = RunFolder(next(tmp_path.glob("runs/main/*-seed0")))
    done = len(read_csv(run.metrics))
    assert run.status["state"] == "running"
    assert 0 < done < 12
    resumed = command("train", *arguments, f"data_dir={tmp_path}", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after an interruption" in resumed.stderr
    assert "epoch 1/12" not in resumed.stderr
    assert [int(row["epoch"]) for row in read_csv(run.metrics)] == list(range(12))
    assert run.finished


def test_a_nan_loss_stops_the_run_with_the_images_of_the_batch(place: Path) -> None:
    base = [item for item in TINY if not item.startswith("model")]
    with pytest.raises(UserError, match=r"the loss is nan in epoch 0, step 2; images of this batch: \w+_\d+, "):
        train(place, *base, "model=custom", "+model._target_=tests.networks.TurnsNaN", tiny=False)
    (folder,) = (place / "runs" / "main").glob("TurnsNaN-*")
    status = RunFolder(folder).status
    assert status["state"] == "failed"
    assert "the loss is nan" in status["error"]


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["model=convunext", "data.image_size=48"], UserError, "ConvUNeXt needs images of at least 64 x 64"),
        (["data.num_classes=3"], ConfigError, "data.num_classes=3, but the masks of synthetic images have 2 classes"),
        (["data.image_size=abc"], ConfigError, "data.image_size is 'abc'; it must be a number of pixels"),
        (["data.skip_bad=maybe"], ConfigError, "data.skip_bad is 'maybe'; it must be true or false"),
        (["optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0"], ConfigError, "optimizer.momentum is 0"),
        (["+optimizer.foo=1"], ConfigError, "optimizer.foo: .* takes no 'foo'"),
        (["+scheduler.foo=1"], ConfigError, "scheduler.foo: .* takes no 'foo'"),
        (["trainer=ddp", "trainer.accelerator=cpu"], ConfigError, "trainer.devices=-1 means all GPUs"),
        (["trainer=gpu"], ConfigError, "a GPU is asked for"),
        (["trainer.precision=17"], ConfigError, "trainer.precision is 17; it must be one of auto, 32-true"),
        (["data.batch_size=0"], ConfigError, "data.batch_size is 0; it must be a whole number from 1"),
        (["data.fold=9"], ConfigError, r"data\.fold is 9; it must be null or one of the 5 folds"),
        (["initial_weights=nowhere.ckpt"], UserError, "nowhere.ckpt: no such run folder or checkpoint"),
        (["model=custom"], ConfigError, "needs your class"),
        (["model=custom", "+model._target_=tests.networks.HalfSize"], ConfigError, r"returns \(1, 2, 32, 32\) where"),
        (["model=custom", "+model._target_=collections.OrderedDict"], ConfigError, "must be a torch.nn.Module"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    overrides: list[str], error: type[Exception], message: str, place: Path
) -> None:
    if overrides[0] in ("trainer=gpu", "trainer=ddp") and torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    base = list(TINY)
    if overrides[0] == "model=custom":
        base = [item for item in TINY if not item.startswith("model")]
    with pytest.raises(error, match=message):
        train(place, *base, *overrides, "experiment=bad", tiny=False)
    assert not list((place / "runs").glob("bad/*"))


def test_a_checkpoint_that_could_not_be_read_again_is_refused_before_training(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreparedDataset, "class_names", ("lesion", "lesion"))
    with pytest.raises(ConfigError, match="could not be read again: class_names: 'lesion' is there twice"):
        train(place, "experiment=unreadable")
    assert not (place / "runs" / "unreadable").exists()


def test_parts_that_are_optional(place: Path) -> None:
    run = train(
        place,
        "experiment=parts",
        "callbacks=[ema,early_stopping]",
        "callbacks.early_stopping.patience=1",
        "callbacks.early_stopping.min_delta=1.0",
        "trainer.accumulate_grad_batches=2",
        "trainer.gradient_clip_val=1.0",
        "trainer.max_epochs=5",
        "optimizer=sgd",
        "scheduler=cosine",
    )
    assert "ema" in run.path.name
    assert len(read_csv(run.metrics)) == 2, "no rise of 1.0 in Dice is possible, so patience ends the run"
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    averaged, raw = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert any(not torch.equal(averaged[name], raw[name]) for name in raw if name in averaged)


def test_training_begins_with_given_weights(run: RunFolder, place: Path) -> None:
    tuned = train(place, "experiment=tuned", f"initial_weights={run.best_checkpoint}", "optimizer.lr=0")
    first, second = (torch.load(each.best_checkpoint, weights_only=True)["state_dict"] for each in (run, tuned))
    weights = [name for name in first if name.endswith("weight")]
    assert all(torch.equal(first[name], second[name]) for name in weights)
    with pytest.raises(UserError, match=r"the checkpoint of another network: .* there, .* here"):
        train(place, "experiment=tuned", f"initial_weights={run.best_checkpoint}", "model.base_channels=2")


def test_networks_of_segmentation_models_pytorch(place: Path) -> None:
    base = [item for item in TINY if item != "model=unet" and not item.startswith("model.")]
    run = train(
        place, *base, "model=smp", "model.arch=unetplusplus", "model.encoder_name=resnet18", "trainer.max_epochs=1",
        tiny=False,
    )  # fmt: skip
    assert run.path.name.startswith("smp_unetplusplus_resnet18-synthetic-")
    assert run.finished


def test_several_classes_and_images_without_foreground(place: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    for number in range(12):
        mask = np.zeros((70, 80), np.uint8)
        if number % 4:
            mask[10:30, 10:30] = 1
            mask[40:60, 40:70] = 2
        image = (mask[..., None] * 80 + rng.integers(0, 60, (70, 80, 3))).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "mine" / "images" / f"{number}.png"), image)
        cv2.imwrite(str(tmp_path / "mine" / "masks" / f"{number}.png"), mask)
    base = [item for item in TINY if not item.startswith("data.dataset")]
    run = train(place, *base, "data=folder", f"data.root={tmp_path / 'mine'}", "trainer.max_epochs=3", tiny=False)
    summary = json.loads(run.summary.read_text())
    assert len(summary["classes"]) == 2
    assert len(read_csv(run.test / "per_image.csv")) == 2 * summary["images"]


def test_groups_are_kept_in_the_run_folder(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    lines = ["id,split,group"]
    for number in range(12):
        for name in ("images", "masks"):
            (tmp_path / "mine" / name).mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 2, (70, 80)).astype(np.uint8) * 255
            cv2.imwrite(str(tmp_path / "mine" / name / f"{number:02d}.png"), pixels)
        split = "test" if number > 8 else "val" if number > 5 else "train"
        lines.append(f"{number:02d},{split},p{number // 3}")
    (tmp_path / "mine" / "splits.csv").write_text("\n".join(lines))
    base = [item for item in TINY if not item.startswith("data.dataset")]
    words = ("data=folder", f"data.root={tmp_path / 'mine'}", "trainer.max_epochs=1")
    run = train(place, *base, *words, tiny=False)
    rows = {row["id"]: row for row in read_csv(run.splits)}
    assert rows["04"] == {"id": "04", "split": "train", "group": "p1"}
    assert rows["11"] == {"id": "11", "split": "test", "group": "p3"}
    assert "too high" not in caplog.text
    facts = json.loads(run.data.read_text())
    assert (facts["title"], facts["about"], facts["licence"]) == ("own images (mine)", "", "")
    assert yaml.safe_load(run.config.read_text())["data"]["root"] == str(tmp_path / "mine")


@pytest.mark.slow
def test_two_processes_count_every_test_image_once(tmp_path: Path) -> None:
    done = command(
        "train", *[item for item in TINY if not item.startswith("trainer=")], "trainer=ddp", "trainer.accelerator=cpu",
        "trainer.devices=2", "trainer.max_epochs=1", "data.dataset.count=30", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = RunFolder(next((tmp_path / "runs" / "main").glob("*-seed0")))
    with (run.test / "per_image.csv").open() as stream:
        ids = [row["id"] for row in csv.DictReader(stream)]
    assert len(ids) == len(set(ids)) == json.loads(run.summary.read_text())["images"] == 3
    assert json.loads(run.environment.read_text())["processes"] == 2
    # One process alone comes to the same.
    scored = command("evaluate", f"checkpoint={run.path}", "trainer.accelerator=cpu", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    alone = run.path / "evaluations" / "synthetic-test" / "per_image.csv"
    assert alone.read_bytes() == (run.test / "per_image.csv").read_bytes()


@pytest.mark.parametrize(
    ("data", "model", "test_images"),
    [
        pytest.param("kvasir", "convunext", 120, marks=pytest.mark.slow),
        pytest.param("isic", "unet", 520, marks=pytest.mark.slow),
        pytest.param("dsb", "convunext", 67, marks=pytest.mark.slow),
        ("isbi", "unet", 6),
    ],
)
def test_the_real_archives(data: str, model: str, test_images: int, shared_data: Path, tmp_path: Path) -> None:
    arguments = (
        f"data={data}", f"model={model}", "model.base_channels=4", "data.image_size=64", "trainer=cpu",
        "trainer.max_epochs=1", "+trainer.limit_train_batches=10", "logger=csv",
    )  # fmt: skip
    run = train(tmp_path, *arguments, f"data.source={shared_data}", tiny=False)
    assert json.loads(run.summary.read_text())["images"] == test_images
    again = train(tmp_path, *arguments, tiny=False)
    assert again.path == run.path, "where the archive lies does not make another run"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_learns(tmp_path: Path) -> None:
    done = command("train", "+experiments=demo", "logger=csv", cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr
    run = RunFolder(next(tmp_path.glob("runs/demo/*-seed0")))
    assert run.status["scores"]["dice"] >= 0.85
