"""Border maps: computed once, kept beside the prepared images, checked like them, and what training gets of them."""

from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from medseg.config import yaml_files
from medseg.config.instantiate import instantiate
from medseg.data.datasets import DSB2018, ISBI2012, isbi
from medseg.data.datasets.base import Sample
from medseg.data.labels import IGNORE_INDEX
from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.data.prepared.border_maps import BorderMaps, border_folder, prepare_border
from medseg.data.prepared.border_weights import border_weights, closeness
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.prepare import prepare, prepare_from_config
from medseg.data.sources.source import Source
from medseg.errors import ConfigError, DataError
from tests.data.image_files import encode, pillow
from tests.data.tiny import Tiny, picture, png, tiny_files, write_zip
from tests.helpers import compose_config


def halves(gap: int = 2) -> np.ndarray:
    """A mask of 20 x 24 pixels: two cells, `gap` columns apart."""
    mask = np.zeros((20, 24), np.uint8)
    mask[5:15, 2:11] = mask[5:15, 11 + gap : 22] = 1
    return mask


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    files = {**tiny_files(8), **{f"Tiny/masks/a{number:02d}.png": png(halves()) for number in range(8)}}
    return write_zip(tmp_path / "dl" / "tiny.zip", files)


def both(
    tmp_path: Path, archive: Path | None, sigma: float = 5.0, **changes: object
) -> tuple[PreparedDataset, BorderMaps]:
    source = archive.parent if archive else None
    prepared = prepare(Tiny(), data_dir=tmp_path, source=source, **{"image_size": (20, 24), **changes})
    return prepared, prepare_border(Tiny(), prepared, sigma=sigma, data_dir=tmp_path, source=source)


def test_what_is_in_there(tmp_path, archive):
    prepared, border = both(tmp_path, archive)
    assert border.masks.dtype == np.uint8
    assert border.closeness.dtype == np.float16
    instances = np.cumsum(np.diff(halves(), axis=1, prepend=0) == 1, axis=1).astype(np.int32) * halves()
    for index in range(8):
        np.testing.assert_array_equal(border.masks[index], halves())
        np.testing.assert_allclose(border.closeness[index], closeness(instances, halves(), 5.0), rtol=1e-3, atol=1e-6)
    assert border.fingerprint["prepared"] == prepared.identity
    assert border.fingerprint["sigma"] == 5.0
    for array in (border.masks, border.closeness):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    again = pickle.loads(pickle.dumps(border))
    np.testing.assert_array_equal(again.closeness, border.closeness)
    assert len(pickle.dumps(border)) < 1000


def test_images_stay_what_and_where_they_are(tmp_path, archive):
    alone = prepare(Tiny(), image_size=(20, 24), data_dir=tmp_path / "alone", source=archive.parent)
    prepared, border = both(tmp_path, archive)
    assert prepared.folder.name == alone.folder.name
    assert prepared.identity == alone.identity
    assert border.folder.parent == prepared.folder
    for name in ("images.npy", "masks.npy", "samples.csv"):
        assert (prepared.folder / name).read_bytes() == (alone.folder / name).read_bytes()


def test_computed_once_and_anew_for_another_sigma_alone(tmp_path, archive, monkeypatch):
    asked: list[str] = []
    original = Tiny.instances
    monkeypatch.setattr(
        Tiny, "instances", lambda self, source, sample: (asked.append(sample.id), original(self, source, sample))[1]
    )
    prepared, border = both(tmp_path, archive)
    images = (prepared.folder / "images.npy").stat().st_mtime_ns
    assert len(asked) == 8
    assert both(tmp_path, archive)[1].folder == border.folder
    assert len(asked) == 8
    same, other = both(tmp_path, archive, sigma=3.0)
    assert len(asked) == 16
    assert other.folder != border.folder
    assert (same.folder / "images.npy").stat().st_mtime_ns == images, "the images are not made again"
    assert both(tmp_path, archive)[1].folder == border.folder, "the first one is kept"


def test_the_archive_is_needed_only_to_compute_them(tmp_path, archive):
    prepared, border = both(tmp_path, archive)
    archive.unlink()
    assert both(tmp_path, None)[1].folder == border.folder
    with pytest.raises(DataError, match=r"tiny\.zip \(or its unpacked folder\) is not in .*give data\.source=DIR"):
        both(tmp_path, None, sigma=3.0)
    other = write_zip(tmp_path / "other" / "tiny.zip", tiny_files(8))
    with pytest.raises(DataError, match=r"is not what .* was made from, which the border weights need") as caught:
        prepare_border(Tiny(), prepared, sigma=3.0, data_dir=tmp_path, source=other.parent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["masks.npy", "closeness.npy", "fingerprint.json"])
def test_damaged_ones_are_made_again(tmp_path, archive, caplog, name):
    _, border = both(tmp_path, archive)
    before = (border.folder / "closeness.npy").read_bytes()
    os.truncate(border.folder / name, 50)
    with pytest.raises(DataError, match="not complete prepared data"):
        BorderMaps(border.folder)
    _, again = both(tmp_path, archive)
    assert "is damaged and is made again" in caplog.text
    assert (again.folder / "closeness.npy").read_bytes() == before
    (border.folder / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        BorderMaps(border.folder)


class Failing(Tiny):
    def instances(self, source: Source, sample: Sample) -> np.ndarray:
        if sample.id == "a03":
            raise KeyboardInterrupt
        return super().instances(source, sample)


def test_an_interruption_leaves_the_images_and_nothing_else(tmp_path, archive):
    prepared = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=archive.parent)
    with pytest.raises(KeyboardInterrupt):
        prepare_border(Failing(), prepared, sigma=5.0, data_dir=tmp_path, source=archive.parent)
    assert not [path for path in prepared.folder.iterdir() if "border" in path.name and path.suffix != ".lock"]
    assert not border_folder(prepared, 5.0).exists()


def test_samples_that_were_left_out_stay_out(tmp_path, archive):
    files = {**tiny_files(8), "Tiny/images/a02.png": b"no image", "Tiny/masks/a05.png": png(halves(gap=0))}
    write_zip(archive, files)
    prepared, border = both(tmp_path, archive, skip_bad=True)
    assert len(border.masks) == len(prepared.ids) == 7
    np.testing.assert_array_equal(border.masks[4], halves(gap=0))


def test_progress_is_shown(tmp_path, archive, capfd):
    both(tmp_path, archive)
    out, err = capfd.readouterr()
    assert out == ""
    assert "border weights" in err


# The datasets


def dsb_archive(folder: Path, id_: str = "n1") -> Path:
    left, right = np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.uint8)
    left[10:30, 4:20], right[10:30, 20:36] = 255, 255
    image = np.dstack([picture(0, 40, 40), np.full((40, 40), 255, np.uint8)])
    files = {f"{id_}/images/{id_}.png": encode(image)}
    files |= {f"{id_}/masks/{name}.png": encode(mask) for name, mask in (("a", left), ("b", right))}
    return write_zip(folder / "stage1_train.zip", files)


class OneNucleusImage(DSB2018):
    def assign_splits(self, samples, split, fold):
        return {sample.id: "train" for sample in samples}


def test_dsb_keeps_touching_nuclei_apart(tmp_path):
    dsb_archive(tmp_path)
    prepared = prepare(OneNucleusImage(), image_size=20, data_dir=tmp_path)
    border = prepare_border(OneNucleusImage(), prepared, sigma=5.0, data_dir=tmp_path)
    assert prepared.masks[0][10].tolist() == [0] * 2 + [1] * 16 + [0] * 2
    # At half the size the border is one pixel of each nucleus, still.
    assert border.masks[0][10].tolist() == [0] * 2 + [1] * 7 + [0] * 2 + [1] * 7 + [0] * 2
    assert border.closeness[0][10, 9] == pytest.approx(np.exp(-1 / 50), rel=1e-3)
    assert border.fingerprint["separating_fraction"] == 20 / 400


def stack(pages: list[np.ndarray]) -> bytes:
    first, *others = [Image.fromarray(page) for page in pages]
    return pillow(first, "TIFF", save_all=True, append_images=others)


def test_isbi_cells_are_its_instances(tmp_path):
    isbi._stacks.clear()
    labels = np.full((40, 40), 255, np.uint8)
    labels[:, 18:21] = 0  # a membrane of three pixels
    volume = [np.full((40, 40), 10 + k, np.uint8) for k in range(30)]
    files = {"train-volume.tif": stack(volume), "train-labels.tif": stack([labels] * 30)}
    write_zip(tmp_path / "isbi2012.zip", files)
    prepared = prepare(ISBI2012(), image_size=40, in_channels=1, data_dir=tmp_path)
    border = prepare_border(ISBI2012(), prepared, sigma=5.0, data_dir=tmp_path)
    np.testing.assert_array_equal(border.masks, prepared.masks)
    assert np.flatnonzero(border.closeness[0][7]).tolist() == [18, 19, 20]
    assert border.closeness[0][7, 19] == pytest.approx(np.exp(-16 / 50), rel=1e-3)
    # Half the size keeps one pixel of membrane: it is found where the images are larger.
    half = prepare(ISBI2012(), image_size=20, in_channels=1, data_dir=tmp_path)
    border = prepare_border(ISBI2012(), half, sigma=5.0, data_dir=tmp_path)
    assert (border.masks[0] == 0).any(axis=1).all()


@pytest.mark.slow
def test_real_nuclei(shared_data, tmp_path):
    class Few(DSB2018):
        def list_samples(self, source):
            listing = super().list_samples(source)
            return type(listing)(listing.samples[::40], listing.class_names, listing.problems)

        def assign_splits(self, samples, split, fold):
            return {sample.id: "train" for sample in samples}

    prepared = prepare(Few(), image_size=128, data_dir=tmp_path, source=shared_data)
    border = prepare_border(Few(), prepared, sigma=5.0, data_dir=tmp_path, source=shared_data)
    assert 0 < border.fingerprint["separating_fraction"] < 0.02
    masks, near = np.asarray(border.masks), np.asarray(border.closeness)
    assert not (masks[np.asarray(prepared.masks) == 0]).any(), "nothing is added"
    assert not near[masks > 0].any()
    assert 0.9 < near.max() <= 1
    assert (near.reshape(len(near), -1).max(1) > 0).mean() > 0.9


# What training gets


def module(tmp_path: Path, *overrides: str) -> SegmentationDataModule:
    cfg = compose_config(
        "train", "data.dataset.style=nuclei", "data.dataset.count=12", "data.image_size=64", "data.batch_size=4",
        "data.num_workers=0", f"data_dir={tmp_path}", "data.border_weights=true", *overrides,
    )  # fmt: skip
    return build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("border")


def ready(datamodule: SegmentationDataModule, loader: object) -> list[dict[str, torch.Tensor]]:
    return [datamodule.on_after_batch_transfer(batch, 0) for batch in loader]  # type: ignore[attr-defined]


def test_training_batches_have_the_weight_map(place):
    datamodule = module(place, "augmentation=none", "data.border_w0=7")
    prepared, indices = datamodule.prepared, datamodule.indices["train"]
    masks = datamodule.border.masks[indices]
    fractions = [(masks == label).mean() for label in (0, 1)]
    batches = ready(datamodule, datamodule.train_dataloader())
    assert batches
    for batch in batches:
        assert batch["weight"].shape == batch["mask"].shape
        assert batch["weight"].dtype == torch.float32
        for index, mask, weight in zip(*(batch[name].numpy() for name in ("index", "mask", "weight")), strict=True):
            sample = datamodule.dataset.list_samples(None).samples[index]
            assert sample.id == prepared.ids[index]
            instances = datamodule.dataset.instances(None, sample)
            small = cv2.resize(instances, (64, 64), interpolation=cv2.INTER_NEAREST_EXACT)
            class_weights = [0.5 / fraction for fraction in fractions]
            expected, separated = border_weights(np.asarray(prepared.masks[index]), small, class_weights, w0=7)
            np.testing.assert_array_equal(mask, separated)
            np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-3)


def test_validation_and_test_stay_as_they_are(place):
    datamodule, plain = module(place), module(place, "data.border_weights=false")
    for name in ("val_dataloader", "test_dataloader"):
        pairs = zip(ready(datamodule, getattr(datamodule, name)()), ready(plain, getattr(plain, name)()), strict=True)
        for batch, expected in pairs:
            assert batch.keys() == expected.keys() == {"image", "mask", "index"}
            assert all(torch.equal(batch[key], expected[key]) for key in batch)
    assert "border" not in datamodule.__dict__, "they do not even look for the maps"
    assert plain.border is None
    assert all(batch.keys() == {"image", "mask", "index"} for batch in ready(plain, plain.train_dataloader()))


@pytest.mark.parametrize("option", list(yaml_files.options("augmentation")))
def test_weights_move_with_the_mask(place, option):
    datamodule = module(place, f"augmentation={option}")
    loader = datamodule.train_dataloader()
    values = set()
    for epoch in range(4):
        loader.sampler.set_epoch(epoch)
        for batch in ready(datamodule, loader):
            mask, weight = batch["mask"], batch["weight"]
            assert not weight[mask == IGNORE_INDEX].any()
            # Cells have the weight of their class and nothing more; background has at least its own.
            assert torch.equal(weight[mask == 1].unique(), torch.tensor(datamodule.class_weights[1:]))
            background = weight[mask == 0]
            assert background.min() >= datamodule.class_weights[0] - 1e-6
            values |= set(background.unique().tolist())
    stored = np.unique(datamodule.border.closeness).astype(np.float32) * 10 + datamodule.class_weights[0]
    assert max(np.abs(stored - value).min() for value in values) < 1e-5, "no values between those that are stored"


def test_weights_do_not_change_how_images_are_augmented(place):
    with_weights, plain = module(place), module(place, "data.border_weights=false")
    for batch, expected in zip(with_weights.train_dataloader(), plain.train_dataloader(), strict=True):
        assert torch.equal(batch["image"], expected["image"])


def test_weights_repeat_and_do_not_depend_on_the_workers(place):
    def stream(workers: int) -> np.ndarray:
        datamodule = module(place, "augmentation=unet2015", f"data.num_workers={workers}")
        return np.concatenate([batch["weight"].numpy() for batch in ready(datamodule, datamodule.train_dataloader())])

    assert np.array_equal(stream(0), stream(2))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.border_weights=maybe", "data.border_weights is 'maybe'; it must be true or false"),
        ("data.border_sigma=0", "data.border_sigma is 0; it must be a number above 0"),
        ("data.border_w0=-1", "data.border_w0 is -1; it must be a number above 0"),
        ("data.border_sigma=wide", "data.border_sigma is 'wide'; it must be a number above 0"),
    ],
)
def test_wrong_options_are_named(place, override, message):
    with pytest.raises(ConfigError, match=message):
        module(place, override)


def test_the_prepare_command_makes_them(tmp_path, caplog):
    cfg = compose_config("prepare", "data.dataset.count=3", "data.image_size=64", f"data_dir={tmp_path}")
    _, prepared = prepare_from_config(cfg.data)
    assert not list(prepared.folder.glob("border-*"))
    cfg.data.border_weights = True
    with caplog.at_level(logging.INFO):
        prepare_from_config(cfg.data)
    (made,) = prepared.folder.glob("border-*")
    assert f"border weights prepared in {made}" in caplog.text
    assert json.loads((made / "fingerprint.json").read_text())["sigma"] == 5.0
