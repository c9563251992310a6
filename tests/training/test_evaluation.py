from __future__ import annotations

import itertools
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from medseg.data.datasets import Folder
from medseg.data.module import build_datamodule
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.prepare import prepare
from medseg.errors import ConfigError, DataError, UserError
from medseg.inspecting.facts import collect
from medseg.inspecting.sections import fingerprint
from medseg.runs.folder import RunFolder
from medseg.system.files import read_csv
from medseg.system.locks import BusyError
from medseg.trained.checkpoint import Checkpoint, Metadata
from medseg.trained.network import FLIPS, TrainedNetwork
from medseg.training.label_agreement import compare_labels, trained_labels
from tests.data.folders import folder as in_memory
from tests.data.tiny import write_folder
from tests.helpers import TINY, command, compose_config, train
from tests.trained.predicting.checkpoints import metadata_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return train(place, "trainer.max_epochs=1")


def evaluate(place: Path, *overrides: str) -> Path:
    from medseg.training.evaluation import evaluate_checkpoint

    words = [f"data_dir={place / 'data'}", *overrides]
    return evaluate_checkpoint(compose_config("evaluate", *words), words)[0]


def test_a_run_evaluated_again_has_exactly_its_own_scores(run: RunFolder, place: Path) -> None:
    folder = evaluate(place, f"checkpoint={run.path}")
    assert folder == run.path / "evaluations" / "synthetic-test"
    assert (folder / "per_image.csv").read_bytes() == (run.test / "per_image.csv").read_bytes()
    again = json.loads((folder / "summary.json").read_text())
    assert again["headline"] == json.loads(run.summary.read_text())["headline"]
    assert (folder / "images" / "worst.png").stat().st_size > 1000


def test_another_split_and_another_checkpoint(run: RunFolder, place: Path) -> None:
    folder = evaluate(place, f"checkpoint={run.last_checkpoint}", "split=val")
    assert folder.name == "synthetic-val-last"
    # The last validation of training saw the same weights and images, the loss aside.
    dice = [float(row["dice"]) for row in read_csv(folder / "prepared_size.csv")]
    assert sum(dice) / len(dice) == pytest.approx(float(read_csv(run.metrics)[-1]["val/dice"]), abs=1e-6)


def test_flips_are_averaged_as_the_network_averages_them(run: RunFolder, place: Path) -> None:
    folder = evaluate(place, f"checkpoint={run.path}", "tta=true", "save_probabilities=true")
    assert folder.name == "synthetic-test-tta"
    assert json.loads((folder / "summary.json").read_text())["tta"] is True
    prepared = PreparedDataset(json.loads(run.summary.read_text())["prepared"])
    ids = [row["id"] for row in read_csv(folder / "images.csv")]
    images = np.stack([np.asarray(prepared.images[prepared.ids.index(each)]) for each in ids])
    trained = TrainedNetwork.load(run.best_checkpoint).to(torch.device("cpu"))
    expected = trained.probabilities(images, flips=FLIPS)
    assert abs(expected - trained.probabilities(images)).max() > 0.012, "the flips would make no difference"
    with np.load(folder / "probabilities.npz") as stored:
        kept = np.stack([stored[str(list(stored["ids"]).index(each))] for each in ids])
    np.testing.assert_allclose(kept / 255, expected, atol=0.003)


def test_what_is_evaluated_already_is_not_repeated_where_that_is_asked_for(
    run: RunFolder, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = (f"checkpoint={run.path}", "split=train")
    summary = evaluate(place, *words, "force=false") / "summary.json"
    times = [summary.stat().st_mtime_ns]
    again = ((), ("force=false",), ("force=false", "scores=[nsd]"))
    for more in again:
        evaluate(place, *words, *more)
        times.append(summary.stat().st_mtime_ns)
    repeated = [one != before for one, before in itertools.pairwise(times)]
    assert repeated == [True, False, True], "without force, the same options, and other ones"
    summary.write_text("{")  # cut short
    evaluate(place, *words, "force=false")
    assert json.loads(summary.read_text())["split"] == "train"
    assert not [path.name for path in summary.parent.iterdir() if path.name.startswith(".")], "no lock is left"


def test_other_options_lose_nothing_of_an_earlier_evaluation(
    run: RunFolder, place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = (f"checkpoint={run.path}", f"output={tmp_path / 'out'}")
    evaluate(place, *words, "scores=[mcc]", "save_probabilities=true")
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="medseg"):
        folder = evaluate(place, *words, "scores=[boundary_iou]")
    headline = json.loads((folder / "summary.json").read_text())["headline"]
    assert {"mcc", "boundary_iou"} <= {*headline}
    assert (folder / "probabilities.npz").exists()
    assert "as in the earlier evaluation, also: mcc, probabilities" in caplog.text
    summary = json.loads((folder / "summary.json").read_text())
    summary["headline"]["mine"] = {"mean": 0.5}
    (folder / "summary.json").write_text(json.dumps(summary))
    evaluate(place, *words)
    assert "no longer there: mine, which an earlier evaluation had" in caplog.text


def test_an_evaluation_that_another_process_makes_is_left_to_it(run: RunFolder, place: Path) -> None:
    folder = run.evaluations / "synthetic-val"
    code = "import sys, time; from pathlib import Path; from medseg.system.locks import held\n"
    code += "with held(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, folder / ".lock"], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            with pytest.raises(BusyError, match="is evaluating into this folder"):
                evaluate(place, f"checkpoint={run.path}", "split=val")
            # One of many waits until it is free.
            threading.Timer(0.5, other.kill).start()
            assert (evaluate(place, f"checkpoint={run.path}", "split=val", "force=false") / "summary.json").exists()
        finally:
            other.kill()
    assert (evaluate(place, f"checkpoint={run.path}", "split=val") / "summary.json").exists()


def test_other_data_keep_the_preprocessing_of_the_run(run: RunFolder, place: Path, tmp_path: Path) -> None:
    folder = evaluate(
        place, f"checkpoint={run.path}", "data=synthetic", "data.dataset.style=nuclei", "data.dataset.count=10",
        f"output={tmp_path / 'scores'}",
    )  # fmt: skip
    assert folder == tmp_path / "scores"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["evaluation_size"] == [64, 64], "the image size of the run, not the default of the dataset"
    assert all(row["id"].startswith("nuclei") for row in read_csv(folder / "per_image.csv"))


def test_a_read_only_run_is_refused_before_it_is_scored(
    run: RunFolder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by permissions, which do not stop root.
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(run.path) and may(path, mode))
    monkeypatch.setattr("medseg.training.evaluation.score_split", None)
    with pytest.raises(PermissionError) as caught:
        evaluate(place, f"checkpoint={run.path}")
    assert Path(caught.value.filename).is_relative_to(run.path / "evaluations")


def test_a_split_that_is_none(run: RunFolder, place: Path) -> None:
    with pytest.raises(ConfigError, match="split is 'tset'; it must be train, val or test"):
        evaluate(place, f"checkpoint={run.path}", "split=tset")


def test_a_checkpoint_with_code_in_it_is_refused(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "attacked",))

    torch.save({"state_dict": {}, "medseg": Attack()}, tmp_path / "bad.ckpt")
    done = command("evaluate", f"checkpoint={tmp_path / 'bad.ckpt'}", cwd=tmp_path)
    assert done.returncode == 1
    assert "refused, since it holds more than tensors and plain values" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "attacked").exists()


def test_a_damaged_or_foreign_checkpoint(run: RunFolder, place: Path, tmp_path: Path) -> None:
    whole = run.best_checkpoint.read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.ckpt: damaged"):
        evaluate(place, f"checkpoint={tmp_path / 'half.ckpt'}")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match=r"foreign\.ckpt: not written by medseg"):
        evaluate(place, f"checkpoint={tmp_path / 'foreign.ckpt'}")
    content = torch.load(run.best_checkpoint, weights_only=True)
    content["medseg"]["config"]["model"]["base_channels"] = 8
    torch.save(content, tmp_path / "mixed.ckpt")
    with pytest.raises(UserError, match=r"mixed\.ckpt: the checkpoint of another network: .* there, .* here"):
        evaluate(place, f"checkpoint={tmp_path / 'mixed.ckpt'}")


def test_the_commands_agree(place: Path, tmp_path: Path) -> None:
    trained = command("train", *TINY, "trainer.max_epochs=1", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    run = RunFolder(next(tmp_path.glob("runs/main/*-seed0")))
    for shown in (run.path.relative_to(tmp_path), "per_image.csv", "worst.png", "synthetic, test split"):
        assert str(shown) in trained.stdout
    scored = command("evaluate", f"checkpoint={run.path}", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    again = run.path / "evaluations" / "synthetic-test" / "per_image.csv"
    assert again.read_bytes() == (run.test / "per_image.csv").read_bytes()


def test_scores_do_not_depend_on_the_batch_size(run: RunFolder, place: Path, tmp_path: Path) -> None:
    one, seven = (
        evaluate(place, f"checkpoint={run.path}", "split=train", f"data.batch_size={size}", f"output={tmp_path / size}")
        for size in ("1", "7")
    )
    first, second = read_csv(one / "per_image.csv"), read_csv(seven / "per_image.csv")
    assert [row["id"] for row in first] == [row["id"] for row in second]
    for row, other in zip(first, second, strict=True):
        # Sums may be taken in another order, which can move a pixel that is on the fence.
        assert abs(int(row["tp"]) - int(other["tp"])) <= 2


def test_other_data_do_not_overwrite_the_runs_own_evaluation(run: RunFolder, place: Path) -> None:
    own = evaluate(place, f"checkpoint={run.path}")
    before = (own / "per_image.csv").read_bytes()
    lesions = ("data=synthetic", "data.dataset.style=lesion", "data.dataset.count=10")
    other = evaluate(place, f"checkpoint={run.path}", *lesions)
    assert other != own
    assert (own / "per_image.csv").read_bytes() == before
    assert json.loads((other / "summary.json").read_text())["prepared"].endswith(other.name.removesuffix("-test"))


def attack(file: str, **others: object) -> None:
    Path(file).touch()


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"_target_": "tests.training.test_evaluation.attack", "file": "FILE"}},
        {"model": {"_target_": "medseg.models.ushape.torch.hub.load", "repo_or_dir": "FILE"}},
        {"model": {"_target_": "segmentation_models_pytorch.create_model", "encoder_weights": "imagenet"}},
        {"model": {"_target_": "medseg.models.UNet", "skip": {"_target_": "pathlib.Path.touch", "self": "FILE"}}},
        {"data": {"dataset": {"_target_": "tests.training.test_evaluation.attack", "file": "FILE"}}},
    ],
    ids=["network", "a name that leads out of medseg", "another library", "argument", "dataset"],
)
def test_a_checkpoint_cannot_have_other_code_called(change: dict, run: RunFolder, place: Path, tmp_path: Path) -> None:
    file = tmp_path / "attacked"
    content = torch.load(run.best_checkpoint, weights_only=True)
    config = content["medseg"]["config"]
    for key, value in json.loads(json.dumps(change).replace("FILE", str(file))).items():
        config[key] = {**config[key], **value}
    torch.save(content, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match=r"which is not a class of medseg; if you trust the file, give trust=true"):
        evaluate(place, f"checkpoint={tmp_path / 'evil.ckpt'}")
    assert not file.exists()


def test_a_checkpoint_cannot_have_weights_downloaded(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = [item for item in TINY if not item.startswith(("model", "trainer.max_epochs"))]
    own = train(place, *base, "model=smp", "model.encoder_name=tu-test_resnet", "trainer.max_epochs=1", tiny=False)

    def connect(*args: object) -> None:
        raise AssertionError("something is downloaded")

    monkeypatch.setattr("socket.socket.connect", connect)
    content = torch.load(own.best_checkpoint, weights_only=True)
    model = content["medseg"]["config"]["model"]

    def scores(**change: object) -> bytes:
        content["medseg"]["config"]["model"] = {**model, **change}
        torch.save(content, tmp_path / "changed.ckpt")
        folder = evaluate(place, f"checkpoint={tmp_path / 'changed.ckpt'}", f"output={tmp_path / 'scores'}")
        return (folder / "per_image.csv").read_bytes()

    assert scores() == (own.test / "per_image.csv").read_bytes()
    # A run that began with downloaded weights is evaluated with its own.
    assert scores(encoder_weights="imagenet") == scores()
    for change in ({"checkpoint_path": str(own.best_checkpoint)}, {"pretrained": True}):
        with pytest.raises(ConfigError, match="takes no"):
            scores(**change)
    with pytest.raises(ConfigError, match="unknown encoder_name 'tu-hf-hub:timm/test_resnet'"):
        scores(encoder_name="tu-hf-hub:timm/test_resnet")


def test_a_network_of_your_own_is_evaluated_when_you_trust_it(place: Path) -> None:
    base = [item for item in TINY if not item.startswith("model")]
    own = train(place, *base, "model=custom", "+model._target_=tests.networks.OneConv", tiny=False)
    with pytest.raises(UserError, match="trust=true"):
        evaluate(place, f"checkpoint={own.path}")
    folder = evaluate(place, f"checkpoint={own.path}", "trust=true")
    assert (folder / "per_image.csv").read_bytes() == (own.test / "per_image.csv").read_bytes()


def masks_of_three() -> list[np.ndarray | bytes]:
    return [np.repeat(np.resize(np.array([0, 0, 128, 255], np.uint8), 32)[None], 24, 0)] * 4


def mine(folder: Path, **options: object) -> PreparedDataset:
    """Prepared images of one's own with the values 0, 128, 255."""
    write_folder(folder / "mine", in_memory(masks_of_three()).files)
    return prepare(Folder(**options), image_size=32, data_dir=folder, source=folder / "mine")


def trained_on(names: Sequence[str], labels: object = None) -> Metadata:
    made = metadata_of({}, class_names=names, labels=labels or {})
    return Metadata.model_validate(made)


def test_classes_in_another_order_are_refused_with_the_option_that_works(tmp_path: Path) -> None:
    prepared = mine(tmp_path, labels={"cup": 255, "disc": 128})
    with pytest.raises(ConfigError) as caught:
        compare_labels(prepared, trained_on(("background", "disc", "cup")))
    assert "the classes are background, cup, disc, the network was trained on background, disc, cup" in str(
        caught.value
    )
    option = re.search("'data.labels=(.*)'", str(caught.value))[1]  # type: ignore[index]
    assert option == "{disc: 128, cup: 255}"
    other = mine(tmp_path, labels=yaml.safe_load(option))
    assert other.class_names == ("background", "disc", "cup")
    assert other.folder != prepared.folder
    compare_labels(other, trained_on(("background", "disc", "cup")))


def test_a_mask_value_of_another_class_is_refused_with_the_option_that_works(tmp_path: Path) -> None:
    network = trained_on(
        ("background", "disc", "cup"), {"background": [255], "disc": [128], "cup": [0], "rule": "data.labels"}
    )
    folder = Folder()
    folder.given = replace(folder.given, trained=trained_labels(network))
    write_folder(tmp_path / "first", in_memory(masks_of_three()).files)
    with pytest.raises(DataError) as caught:
        prepare(folder, image_size=32, data_dir=tmp_path, source=tmp_path / "first")
    option = "'data.labels={background: 255, disc: 128, cup: 0}'"
    assert f"describe them: {option} as in the training of the network; or " in str(caught.value)
    prepared = mine(tmp_path, labels={"background": 0, "class_1": 128, "class_2": 255})
    with pytest.raises(ConfigError) as refused:
        compare_labels(prepared, network)
    assert f"0 in the masks is background, the network was trained on it as cup: give {option}" in str(refused.value)
    # Masks may have other values than in the training where that is stated by the names of its classes.
    other = re.search("other values: 'data.labels=(.*)'", str(refused.value))[1]  # type: ignore[index]
    assert other == "{background: 0, disc: 128, cup: 255}"
    for right in (other, "{background: 255, disc: 128, cup: 0}"):
        compare_labels(mine(tmp_path, labels=yaml.safe_load(right)), network)


def test_what_the_training_ignored_is_in_the_option() -> None:
    described = {"background": ["all other values"], "a": [1, "5-9"], "ignored": [255, "#e0e0c0"], "rule": "x"}
    made = trained_labels(trained_on(("background", "a"), described))
    assert made
    assert made[0] == """'data.labels={a: [1, "5-9"]}' 'data.ignore=[255, "#e0e0c0"]'"""
    everything = {"background": [0], "foreground": ["above 0"], "rule": "x"}
    made = trained_labels(trained_on(("background", "foreground"), everything))
    assert made
    assert made[0] == "data.foreground=above_zero"


def test_other_names_and_other_mask_values_are_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = mine(tmp_path, labels={"background": 0, "lesion": [128, 255]})
    caplog.clear()
    compare_labels(prepared, trained_on(("background", "lesion"), prepared.labels))
    compare_labels(prepared, trained_on(("background", "lesion"), prepared.labels | {"rule": "x", "united": 3}))
    assert not caplog.text
    compare_labels(prepared, trained_on(("background", "polyp")))
    assert "has the classes background, lesion, the network was trained on background, polyp" in caplog.text
    caplog.clear()
    compare_labels(prepared, trained_on(("background", "lesion"), {"background": [0], "lesion": [255], "rule": "x"}))
    assert "masks are read as background 0, lesion 128, 255, rule data.labels; in the training they were" in caplog.text


def test_the_description_of_labels_is_in_the_checkpoint_and_on_the_page(tmp_path: Path) -> None:
    mine(tmp_path, labels={"disc": 128, "cup": 255})
    words = ("data=folder", f"data.root={tmp_path / 'mine'}", "data.labels={disc: 128, cup: 255}", "data.image_size=32")
    small = ("model=unet", "model.base_channels=4", "trainer=cpu", "trainer.max_epochs=1", "data.num_workers=0")
    run = train(tmp_path, *words, *small, "logger=csv", tiny=False)
    checkpoint = Checkpoint.read(run.best_checkpoint)
    labels = {"background": ["all other values"], "disc": [128], "cup": [255], "rule": "data.labels"}
    assert checkpoint.metadata.labels == labels
    assert checkpoint.dataset().options["labels"] == [*labels.items()]
    assert json.loads(run.data.read_text())["fingerprint"]["labels"] == labels
    module = build_datamodule(compose_config("train", *words, f"data_dir={tmp_path / 'data'}").data)
    assert "background all other values, disc 128, cup 255, rule data.labels" in fingerprint(collect(module))
