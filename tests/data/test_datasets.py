from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from PIL import Image

from medseg.data.datasets import DRIVE, DSB2018, ISBI2012, ISIC2018, KvasirSEG, MedSegBench, isbi
from medseg.data.datasets.dsb import image_type
from medseg.data.datasets.layout import threshold
from medseg.data.sources.decode import decode_image
from medseg.data.sources.finding import open_source
from medseg.data.sources.problems import SampleError
from medseg.data.splits.split_files import read_table
from medseg.errors import ConfigError, DataError
from tests.data.image_files import MemorySource, encode, mask, picture, pillow


def kvasir_files(top: str = "Kvasir-SEG/", count: int = 3) -> dict[str, bytes]:
    files = {}
    for k in range(count):
        files[f"{top}images/id{k}.jpg"] = encode(picture(k), ".jpg")
        files[f"{top}masks/id{k}.jpg"] = encode(np.dstack([mask()] * 3), ".jpg")
    return files


def isic_files(parts: dict[str, list[str]], top: bool = True) -> dict[str, bytes]:
    files = {}
    for part, ids in parts.items():
        images, masks = f"ISIC2018_Task1-2_{part}_Input/", f"ISIC2018_Task1_{part}_GroundTruth/"
        for id_ in ids:
            files[f"{images if top else ''}{id_}.jpg"] = encode(picture(), ".jpg")
            files[f"{masks if top else ''}{id_}_segmentation.png"] = encode(mask())
    return files


def stack(pages: list[np.ndarray]) -> bytes:
    first, *others = [Image.fromarray(page) for page in pages]
    return pillow(first, "TIFF", save_all=True, append_images=others)


def isbi_files(count: int = 30) -> dict[str, bytes]:
    volume = [np.full((24, 32), 10 + k, np.uint8) for k in range(count)]
    return {"train-volume.tif": stack(volume), "train-labels.tif": stack([mask(low=255, high=0)] * count)}


# Kvasir-SEG


@pytest.mark.parametrize("top", ["Kvasir-SEG/", "", "downloads/Kvasir-SEG/"])
def test_kvasir_is_listed_with_and_without_its_top_folder(top):
    files = kvasir_files(top) | {f"{top}kavsir_bboxes.json": b"{}"}
    listing = KvasirSEG().list_samples(MemorySource(files))
    assert [sample.id for sample in listing.samples] == ["id0", "id1", "id2"]
    assert listing.samples[0].image == f"{top}images/id0.jpg"
    assert listing.class_names == ("background", "polyp")
    assert not listing.problems


def test_kvasir_mask_is_thresholded():
    source = MemorySource(kvasir_files(count=1))
    grey = mask()
    grey[mask() == 0] = 12  # stray grey levels, as a JPEG has them
    source.files["Kvasir-SEG/masks/id0.jpg"] = encode(np.dstack([grey] * 3), ".jpg")
    image, labels = KvasirSEG().read(source, KvasirSEG().list_samples(source).samples[0])
    assert image.shape == (24, 32, 3)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, mask(high=1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_is_black_and_white_up_to_a_twentieth(dtype):
    labels = np.repeat(np.array([0, 63, 64, 127, 128, 191, 192, 255], dtype), [100, 90, 1, 2, 1, 1, 90, 100])[None]
    mask = threshold(labels, "a")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, (labels > 127).astype(np.uint8))
    labels[0, :20] = 100
    with pytest.raises(SampleError, match="not black and white: 6% of the pixels are mid-grey"):
        threshold(labels, "a")
    with pytest.raises(SampleError, match="not black and white"):
        threshold(np.array([[0, 256]], np.uint16), "a")


def test_missing_and_extra_masks_are_told_by_file():
    files = kvasir_files()
    del files["Kvasir-SEG/masks/id1.jpg"]
    files["Kvasir-SEG/masks/other.jpg"] = files["Kvasir-SEG/masks/id0.jpg"]
    listing = KvasirSEG().list_samples(MemorySource(files))
    assert [sample.id for sample in listing.samples] == ["id0", "id2"]
    assert [(p.kind, p.file, p.sample) for p in listing.problems] == [
        ("missing mask", "Kvasir-SEG/images/id1.jpg", "id1"),
        ("extra mask", "Kvasir-SEG/masks/other.jpg", ""),
    ]


@pytest.mark.parametrize("dataset", [KvasirSEG(), ISIC2018(), DSB2018(), ISBI2012()])
def test_another_folder_is_refused_with_the_expected_layout(dataset):
    with pytest.raises(DataError, match=r"memory.*expected"):
        dataset.list_samples(MemorySource({"holiday/beach.jpg": b""}))


def test_two_copies_of_kvasir_are_refused():
    with pytest.raises(DataError, match="more than one set"):
        KvasirSEG().list_samples(MemorySource(kvasir_files("a/") | kvasir_files("b/")))


@pytest.mark.parametrize(
    ("file", "data", "kind"),
    [
        ("images/id0.jpg", encode(picture(), ".jpg")[:-90], "unreadable"),
        ("masks/id0.jpg", encode(mask(), ".jpg")[:-90], "unreadable"),
        ("masks/id0.jpg", encode(mask(height=23), ".jpg"), "size mismatch"),
        ("masks/id0.jpg", encode(mask(low=128), ".jpg"), "unexpected label"),
    ],
)
def test_bad_files_are_named(file, data, kind):
    source = MemorySource(kvasir_files(count=1) | {f"Kvasir-SEG/{file}": data})
    with pytest.raises(SampleError) as error:
        KvasirSEG().read(source, KvasirSEG().list_samples(source).samples[0])
    assert (error.value.kind, error.value.file) == (kind, f"Kvasir-SEG/{file}")


# ISIC 2018

TRAINING = ["ISIC_0000000", "ISIC_0000001", "ISIC_0000003"]


@pytest.mark.parametrize("top", [True, False])
def test_isic_training_images_are_listed_in_folders_and_flat(top):
    files = isic_files({"Training": TRAINING}, top) | {"ISIC2018_Task1-2_Training_Input/LICENSE.txt": b""}
    listing = ISIC2018().list_samples(MemorySource(files))
    assert [(sample.id, sample.split) for sample in listing.samples] == [(id_, "train") for id_ in TRAINING]
    assert not listing.problems
    image, labels = ISIC2018().read(MemorySource(files), listing.samples[0])
    assert image.shape == (24, 32, 3)
    np.testing.assert_array_equal(labels, mask(high=1))


def test_isic_uses_the_official_split_when_all_parts_are_there():
    parts = {"Training": TRAINING, "Validation": ["ISIC_0012255"], "Test": ["ISIC_0012169"]}
    samples = ISIC2018().list_samples(MemorySource(isic_files(parts))).samples
    official = ISIC2018().assign_splits(samples, None, None)
    assert official == dict.fromkeys(TRAINING, "train") | {"ISIC_0012255": "val", "ISIC_0012169": "test"}
    assert ISIC2018().assign_splits(samples, "official", None) == official


def test_isic_random_split_and_folds_leave_the_official_test_images_out():
    training = list(read_table("isic", "random"))
    files = {f"ISIC2018_Task1-2_Training_Input/{id_}.jpg": b"" for id_ in training}
    files |= {f"ISIC2018_Task1_Training_GroundTruth/{id_}_segmentation.png": b"" for id_ in training}
    files |= isic_files({"Validation": ["ISIC_0012255"], "Test": ["ISIC_0012169"]})
    samples = ISIC2018().list_samples(MemorySource(files)).samples
    assert len(samples) == 2596
    for split, fold in (("random", None), (None, 2)):
        assert ISIC2018().assign_splits(samples, split, fold).keys() == set(training)


def test_isic_official_split_without_its_archives_is_an_error():
    samples = ISIC2018().list_samples(MemorySource(isic_files({"Training": TRAINING}))).samples
    with pytest.raises(ConfigError, match=r"data\.split=random"):
        ISIC2018().assign_splits(samples, "official", None)
    with pytest.raises(ConfigError, match=r"did you mean 'random'\?"):
        ISIC2018().assign_splits(samples, "randon", None)


def test_isic_test_images_without_any_ground_truth_are_one_problem():
    files = isic_files({"Training": TRAINING}) | {
        f"ISIC2018_Task1-2_Test_Input/ISIC_001{k:04d}.jpg": b"" for k in range(50)
    }
    listing = ISIC2018().list_samples(MemorySource(files))
    assert [sample.id for sample in listing.samples] == TRAINING
    (problem,) = listing.problems
    assert (problem.kind, problem.file) == ("missing mask", "ISIC2018_Task1-2_Test_Input")
    assert "ISIC2018_Task1_Test_GroundTruth" in problem.detail


def test_a_stray_value_in_a_lossless_mask_is_an_unexpected_label():
    labels = mask()
    labels[0, 0] = 37
    source = MemorySource(isic_files({"Training": TRAINING[:1]}))
    source.files["ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png"] = encode(labels)
    with pytest.raises(SampleError, match="value 37") as error:
        ISIC2018().read(source, ISIC2018().list_samples(source).samples[0])
    assert error.value.kind == "unexpected label"


# DSB 2018


def dsb_files(top: str = "") -> dict[str, bytes]:
    rgba = np.dstack([picture(), np.full((24, 32), 255, np.uint8)])
    left, right = np.zeros((24, 32), np.uint8), np.zeros((24, 32), np.uint8)
    left[2:9, 3:9], right[5:20, 9:30] = 255, 255
    return {
        f"{top}n1/images/n1.png": encode(rgba),
        f"{top}n1/masks/a.png": encode(left),
        f"{top}n1/masks/b.png": encode(right),
    }


@pytest.mark.parametrize("top", ["", "stage1_train/"])
def test_dsb_masks_are_united_and_kept_apart_as_instances(top):
    source = MemorySource(dsb_files(top))
    listing = DSB2018().list_samples(source)
    (sample,) = listing.samples
    assert sample.id == "n1"
    assert len(sample.masks) == 2
    image, labels = DSB2018().read(source, sample)
    np.testing.assert_array_equal(image, picture())
    instances = DSB2018().instances(source, sample)
    assert instances.dtype == np.int32
    assert np.unique(instances).tolist() == [0, 1, 2]
    assert (instances[2, 3], instances[5, 9]) == (1, 2)
    np.testing.assert_array_equal(instances > 0, labels)


def test_each_file_is_decoded_once_for_image_classes_and_instances():
    source = MemorySource(dsb_files(""))
    dataset = DSB2018()
    (sample,) = dataset.list_samples(source).samples
    with patch.object(source, "read", wraps=source.read) as read:
        image, labels, instances = dataset.read_with_instances(source, sample)
    assert sorted(call.args[0] for call in read.call_args_list) == sorted([sample.image, *sample.masks])
    np.testing.assert_array_equal(image, dataset.read(source, sample)[0])
    np.testing.assert_array_equal(labels, instances > 0)


def test_dsb_image_without_masks_and_masks_without_image_are_told():
    files = dsb_files() | {"n2/images/n2.png": b"", "n3/masks/a.png": b""}
    listing = DSB2018().list_samples(MemorySource(files))
    assert [(p.kind, p.file) for p in listing.problems] == [
        ("missing mask", "n2/images/n2.png"),
        ("extra mask", "n3/masks/a.png"),
    ]


def test_dsb_group_is_the_kind_of_image():
    id_, row = next(iter(read_table("dsb", "stratified").items()))
    files = {name.replace("n1", id_): data for name, data in dsb_files().items()}
    assert DSB2018().list_samples(MemorySource(files)).samples[0].type == row["type"] == "fluorescence"


# ISBI 2012


def test_isbi_slices_come_from_the_stack_which_is_decoded_once():
    isbi._stacks.clear()
    source, dataset = MemorySource(isbi_files()), ISBI2012()
    listing = dataset.list_samples(source)
    assert listing.class_names == ("membrane", "cell")
    assert [sample.id for sample in listing.samples] == [f"slice_{k:02d}" for k in range(30)]
    for k, sample in enumerate(listing.samples):
        image, labels = dataset.read(source, sample)
        assert image.shape == (24, 32, 3)
        assert (image == 10 + k).all()
        np.testing.assert_array_equal(labels, mask(low=1, high=0))
    assert sorted(source.reads) == ["train-labels.tif", "train-volume.tif"]


def test_isbi_cache_does_not_mix_sources_up():
    dataset, dark, bright = ISBI2012(), MemorySource(isbi_files()), MemorySource(isbi_files())
    bright.files["train-volume.tif"] = stack([np.full((24, 32), 200, np.uint8)] * 30)
    bright.identity = "another"
    sample = dataset.list_samples(dark).samples[0]
    assert dataset.read(bright, sample)[0].max() == 200
    assert dataset.read(dark, sample)[0].max() == 10


def test_isbi_stacks_of_different_length_and_damaged_ones_are_refused():
    files = isbi_files()
    short = files | {"train-labels.tif": stack([mask()] * 29)}
    with pytest.raises(DataError, match="29"):
        ISBI2012().list_samples(MemorySource(short))
    with pytest.raises(SampleError, match="train-volume"):
        ISBI2012().list_samples(MemorySource(files | {"train-volume.tif": files["train-volume.tif"][:4000]}))


# All


@pytest.mark.parametrize("dataset", [KvasirSEG(), ISIC2018(), DSB2018(), ISBI2012(), DRIVE(), MedSegBench("busi")])
def test_datasets_can_be_sent_to_another_process(dataset):
    sent = pickle.loads(pickle.dumps(dataset))
    assert (type(sent), sent.name, sent.options) == (type(dataset), dataset.name, dataset.options)


COUNTS = {KvasirSEG: 1000, ISIC2018: 2594, DSB2018: 670, ISBI2012: 30}


@pytest.mark.parametrize("dataset", [KvasirSEG(), ISIC2018(), DSB2018(), ISBI2012()], ids=lambda d: d.name)
def test_real_archive_is_listed_in_full_and_without_a_false_alarm(dataset, shared_data):
    source = open_source(dataset, shared_data)
    listing = dataset.list_samples(source)
    assert len(listing.samples) == COUNTS[type(dataset)]
    assert not listing.problems
    for sample in listing.samples[:: max(1, len(listing.samples) // 20)]:
        image, labels = dataset.read(source, sample)
        assert image.shape == (*labels.shape, 3)
        assert np.unique(labels).tolist() in ([0, 1], [1])


@pytest.mark.slow
@pytest.mark.parametrize("dataset", [KvasirSEG(), ISIC2018(), DSB2018(), ISBI2012()], ids=lambda d: d.name)
def test_every_real_sample_is_read_without_a_false_alarm(dataset, shared_data):
    source = open_source(dataset, shared_data)
    samples = dataset.list_samples(source).samples
    with ThreadPoolExecutor(2) as pool:
        foreground = list(pool.map(lambda sample: dataset.read(source, sample)[1].mean(), samples))
    assert 0 < min(foreground) <= max(foreground) < 1


@pytest.mark.slow
def test_the_kinds_of_dsb_images_come_out_as_in_the_split_file(shared_data):
    source = open_source(DSB2018(), shared_data)
    samples = DSB2018().list_samples(source).samples
    with ThreadPoolExecutor(2) as pool:
        types = pool.map(lambda sample: image_type(decode_image(source.read(sample.image), sample.image)), samples)
    assert {sample.id: type_ for sample, type_ in zip(samples, types, strict=True)} == {
        id_: row["type"] for id_, row in read_table("dsb", "stratified").items()
    }


@pytest.mark.parametrize("dataset", [KvasirSEG(), ISIC2018(), DSB2018()], ids=lambda d: d.name)
def test_pictures_listed_as_the_same_do_look_alike(dataset, shared_data):
    """Every listed pair correlates far better than the images do among each other."""
    source = open_source(dataset, shared_data)
    samples = {sample.id: sample for sample in dataset.list_samples(source).samples}
    pairs: dict[str, list[np.ndarray]] = {}
    for id_, row in read_table(dataset.name, "same_picture").items():
        file = samples[id_].image
        grey = cv2.cvtColor(decode_image(source.read(file), file), cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32)
        detail = (small - cv2.GaussianBlur(small, (0, 0), 6)).ravel()
        pairs.setdefault(row["picture"], []).append(detail)
    same = [np.corrcoef(first, second)[0, 1] for first, second in pairs.values()]
    assert min(same) > 0.75
    firsts = [first for first, _ in pairs.values()]
    if len(firsts) > 2:
        assert np.median(np.corrcoef(firsts)[np.triu_indices(len(firsts), 1)]) < 0.6
