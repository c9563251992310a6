"""Training on patches of images at native size, and predicting whole images in overlapping windows."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import lightning
import numpy as np
import pytest
import torch
from torch import Tensor

import medseg
from medseg.config.instantiate import instantiate
from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.data.prepared.report import print_fingerprint
from medseg.errors import ConfigError
from medseg.inspecting.inspection import inspect_data
from medseg.runs import predictions
from medseg.runs.folder import RunFolder
from medseg.trained.network import TrainedNetwork
from medseg.training.evaluation import evaluate_checkpoint
from medseg.training.panels import predict
from medseg.training.task import SegmentationTask
from medseg.training.windows import predict_in_windows
from tests.helpers import compose_config, train
from tests.trained.predicting.checkpoints import write_checkpoint

PATCHES = ("data.patches=2", "data.image_size=[64,96]", "data.dataset.count=12")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("patches")


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return train(place, "trainer.max_epochs=1", *PATCHES)


def module(place: Path, *overrides: str) -> SegmentationDataModule:
    cfg = compose_config("train", *PATCHES, "data.batch_size=4", f"data_dir={place / 'data'}", *overrides)
    return build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=0)


def evaluate(place: Path, *overrides: str) -> Path:
    words = [f"data_dir={place / 'data'}", *overrides]
    return evaluate_checkpoint(compose_config("evaluate", *words), words)[0]


def predicted(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return predictions.read_predictions(file, arrays["ids"].tolist())


# Loading.
def test_training_loads_patches_and_validation_whole_images(place: Path) -> None:
    data = module(place, "augmentation=none")
    batches = list(data.train_dataloader())
    count = 2 * len(data.indices["train"])
    assert [batch["image"].shape for batch in batches] == [(4, 64, 96, 3)] * (count // 4)
    drawn = np.bincount(torch.cat([batch["index"] for batch in batches]).numpy())
    assert drawn.max() == 2
    image, index = batches[0]["image"][0].numpy(), int(batches[0]["index"][0])
    found = cv2.matchTemplate(data.prepared.images[index], image, cv2.TM_SQDIFF)
    top, left = np.unravel_index(found.argmin(), found.shape)
    span = (slice(top, top + 64), slice(left, left + 96))
    assert np.array_equal(data.prepared.images[index][span], image)
    assert np.array_equal(data.prepared.masks[index][span], batches[0]["mask"][0])
    for batch in data.val_dataloader():
        index = int(batch["index"][0])
        assert batch["image"].shape == (1, *data.prepared.images[index].shape)
        assert np.array_equal(batch["image"][0], data.prepared.images[index])


def test_the_same_patches_come_in_the_same_epoch_whatever_loads_them(place: Path) -> None:
    loaded = [list(module(place, f"data.num_workers={number}").train_dataloader()) for number in (0, 2)]
    for one, other in zip(*loaded, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in ("image", "mask", "index"))


def test_a_patch_of_the_whole_size_has_images_that_are_smaller_mirrored(place: Path) -> None:
    data = module(place, "augmentation=none", "data.image_size=512")
    batch = next(iter(data.train_dataloader()))
    original = data.prepared.images[int(batch["index"][0])]
    height, width = original.shape[:2]
    assert np.array_equal(batch["image"][0, :height, :width], original)
    assert np.array_equal(batch["image"][0, height, :width], original[-2])


# Windows.
def by_pixel(image: Tensor) -> Tensor:
    """A network that looks at each pixel alone."""
    return torch.cat([image[:, :1], 1 - image[:, :1]], dim=1)


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (200, 300), (30, 200), (100, 20), (1, 1)])
def test_what_a_pixel_alone_decides_is_the_same_in_windows(size: tuple[int, int]) -> None:
    seen: list[tuple[int, ...]] = []

    def network(batch: Tensor) -> Tensor:
        seen.append(tuple(batch.shape))
        return by_pixel(batch)

    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    whole = predict_in_windows(network, image, (64, 96), 2, batch_size=3)
    assert whole.shape == (1, 2, *size)
    assert torch.allclose(whole, by_pixel(image), atol=1e-6)
    assert {shape[2:] for shape in seen} == {(64, 96)}
    assert max(shape[0] for shape in seen) <= 3


# A run.
def test_a_run_is_scored_at_native_size_alone(run: RunFolder) -> None:
    summary = json.loads(run.summary.read_text())
    assert (summary["patches"], summary["evaluation_size"], summary["reachable_dice"]) == (2, [64, 96], 1.0)
    assert summary["headline"] == summary["prepared_size"]["headline"]
    assert summary["macs"] > 0
    assert "-patches2-" in run.path.name
    assert (run.images / "worst.png").stat().st_size > 1000


def test_predict_returns_what_was_tested(run: RunFolder, place: Path) -> None:
    data, tested = module(place), predicted(run.test / "predictions.npz")
    model = medseg.load(run.path)
    assert (model.scale, model.tile) == (1.0, (64, 96))
    assert sorted(tested) == sorted(data.prepared.ids[index] for index in data.indices["test"])
    for index in data.indices["test"]:
        image = np.array(data.prepared.images[index])
        assert np.array_equal(model.predict(image).mask, tested[data.prepared.ids[index]])


def test_predict_returns_what_was_tested_with_flips(run: RunFolder, place: Path) -> None:
    folder = evaluate(place, f"checkpoint={run.path}", "tta=true", f"output={place / 'flipped'}")
    data, tested = module(place), predicted(folder / "predictions.npz")
    model, plain = medseg.load(run.path, tta=True), medseg.load(run.path)
    changed = 0
    for index in data.indices["test"]:
        image = np.array(data.prepared.images[index])
        mask = tested[data.prepared.ids[index]]
        assert np.array_equal(model.predict(image).mask, mask)
        changed += np.count_nonzero(plain.predict(image).mask != mask)
    assert changed


@pytest.mark.filterwarnings("ignore:.*`srun` command is available.*")
def test_pictures_during_training_show_whole_images(run: RunFolder, place: Path) -> None:
    data, tested = module(place), predicted(run.test / "predictions.npz")
    trained = TrainedNetwork.load(run.best_checkpoint)
    trainer = lightning.Trainer(accelerator="cpu", precision=trained.metadata.precision, logger=False)  # type: ignore[arg-type]
    task = SegmentationTask(trained.network, class_names=trained.class_names, window=data.window, window_batch=3)
    for index, mask in zip(data.indices["test"], predict(trainer, task, data, data.indices["test"]), strict=True):
        assert np.array_equal(mask, tested[data.prepared.ids[index]])


def test_it_has_the_same_scores_when_it_is_evaluated(run: RunFolder, place: Path) -> None:
    folder = evaluate(place, f"checkpoint={run.path}")
    assert (folder / "per_image.csv").read_bytes() == (run.test / "per_image.csv").read_bytes()


def test_other_images_are_scored_in_windows_too_also_smaller_ones(run: RunFolder, place: Path) -> None:
    external = place / "external"
    for number, size in enumerate([(40, 150), (130, 70), (200, 170)]):
        random = np.random.default_rng(number)
        for name, pixels in (("images", random.integers(0, 256, (*size, 3))), ("masks", random.integers(0, 2, size))):
            (external / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(
                str(external / name / f"{number}.png"), pixels.astype(np.uint8) * (255 if name == "masks" else 1)
            )
    folder = evaluate(place, f"checkpoint={run.path}", "data=folder", f"data.root={external}")
    masks = predicted(folder / "predictions.npz")
    assert {id_: mask.shape for id_, mask in masks.items()} == {"0": (40, 150), "1": (130, 70), "2": (200, 170)}
    model = medseg.load(run.path)
    for id_, mask in masks.items():
        assert np.array_equal(model.predict(external / "images" / f"{id_}.png").mask, mask)


def test_a_network_for_patches_is_not_averaged_with_one_for_resized_images(run: RunFolder, place: Path) -> None:
    resized = write_checkpoint(place / "resized.ckpt", image_size=64, class_names=["background", "polyp"])
    with pytest.raises(ConfigError, match="give scale=1"):
        medseg.load([run.path, resized])
    image = np.zeros((80, 100, 3), np.uint8)
    assert medseg.load([run.path, resized], scale=1).predict(image).mask.shape == (80, 100)


def test_the_data_are_inspected_at_native_size(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("data=synthetic", *PATCHES, f"data_dir={place / 'data'}", "samples=2", "augmented=1", "draws=1")
    page = inspect_data(compose_config("inspect", *words)).read_text()
    assert "a patch of 64 x 96, 33% of them around foreground" in page
    assert "None is resized" in page
    print_fingerprint(module(place).prepared, {}, {})
    assert "native, that of each image" in capsys.readouterr().out


# What does not go together.
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("augmentation=on_device",), "augmentation=default"),
        (("data.border_weights=true", "loss=weighted_ce"), "data.border_weights=false"),
    ],
)
def test_what_needs_images_of_one_size_is_refused(place: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(place, *PATCHES, *words)


@pytest.mark.parametrize("word", ["data.patches=0", "data.patches=2.5", "data.patch_foreground=2"])
def test_values_that_cannot_be_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="it must be"):
        compose_config("train", word)
