"""CVC-ClinicDB, DRIVE, GlaS, BUSI, PH2 and CHASE_DB1, as miniature archives in their published layout."""

from __future__ import annotations

import io
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from medseg.data.datasets import BUSI, CHASEDB1, DRIVE, PH2, CVCClinicDB, GlaS, cvc
from medseg.data.datasets.base import Dataset
from medseg.data.labels import IGNORE_INDEX
from medseg.data.prepared.prepare import prepare
from medseg.data.sources.finding import open_source
from medseg.data.sources.problems import SampleError
from medseg.data.splits.split_files import read_table
from medseg.errors import DataError
from tests.data.image_files import MemorySource, encode, mask, picture, pillow
from tests.data.tiny import write_folder, write_zip

TOPS = ["", "Top folder (2016)/"]


def grey_tagged_tiff(pixels: np.ndarray) -> bytes:
    """RGB pixels in a TIFF whose tags call them grey, as all of CVC-ClinicDB is."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="minisblack", planarconfig="contig")
    return buffer.getvalue()


def cvc_files(top: str = "CVC-ClinicDB/", frames: tuple[int, ...] = (26, 27, 152)) -> dict[str, bytes]:
    files = {f"{top}README.txt": b""}
    for frame in frames:
        files[f"{top}Original/{frame}.tif"] = grey_tagged_tiff(picture(frame))
        files[f"{top}Ground Truth/{frame}.tif"] = encode(mask(), ".tif")
    return files


def gif(labels: np.ndarray) -> bytes:
    return pillow(Image.fromarray(labels), "GIF")


def view() -> np.ndarray:
    """A field of view: all but the first two columns."""
    inside = np.full((24, 32), 255, np.uint8)
    inside[:, :2] = 0
    return inside


def drive_files(top: str = "DRIVE/") -> dict[str, bytes]:
    files = {}
    for part, numbers in (("training", range(21, 41)), ("test", range(1, 21))):
        for number in numbers:
            folder = f"{top}{part}"
            files[f"{folder}/images/{number:02d}_{part}.tif"] = encode(picture(number), ".tif")
            files[f"{folder}/1st_manual/{number:02d}_manual1.gif"] = gif(mask())
            files[f"{folder}/mask/{number:02d}_{part}_mask.gif"] = gif(view())
            if part == "test":
                files[f"{folder}/2nd_manual/{number:02d}_manual2.gif"] = gif(np.zeros((24, 32), np.uint8))
    return files


def glands() -> np.ndarray:
    numbers = np.zeros((24, 32), np.uint8)
    numbers[2:9, 3:9], numbers[2:9, 9:15] = 1, 7
    return numbers


def glas_files(top: str = "Warwick QU Dataset (Released 2016_07_08)/") -> dict[str, bytes]:
    files = {f"{top}Grade.csv": b"name,patient ID\n"}
    for id_ in ("train_1", "train_10", "testA_1", "testB_1"):
        files[f"{top}{id_}.bmp"] = encode(picture(), ".bmp")
        files[f"{top}{id_}_anno.bmp"] = encode(glands(), ".bmp")
    return files


def one_bit(labels: np.ndarray, file_format: str = "PNG") -> bytes:
    return pillow(Image.fromarray(labels).convert("1"), file_format)


def busi_files(top: str = "Dataset_BUSI_with_GT/") -> dict[str, bytes]:
    left, right = np.zeros((24, 32), np.uint8), np.zeros((24, 32), np.uint8)
    left[2:9, 3:9], right[5:20, 9:30] = 255, 255
    rgba = np.dstack([mask()] * 3 + [np.full((24, 32), 255, np.uint8)])
    black = one_bit(np.zeros((24, 32), np.uint8))
    files = {
        f"{top}benign/benign (1)_mask.png": one_bit(left),
        f"{top}benign/benign (1)_mask_1.png": one_bit(right),
        f"{top}malignant/malignant (1)_mask.png": encode(rgba),
        f"{top}normal/normal (1)_mask.png": black,
    }
    return files | {name.replace("_mask", ""): encode(picture()) for name in files if name.endswith("_mask.png")}


def ph2_files(top: str = "PH2Dataset/PH2 Dataset images/") -> dict[str, bytes]:
    files = {f"{top[: top.find('/') + 1]}PH2_dataset.txt": b""}
    for number in (2, 3):
        id_ = f"IMD{number:03d}"
        files[f"{top}{id_}/{id_}_Dermoscopic_Image/{id_}.bmp"] = encode(picture(number), ".bmp")
        files[f"{top}{id_}/{id_}_lesion/{id_}_lesion.bmp"] = one_bit(mask(), "BMP")
        files[f"{top}{id_}/{id_}_roi/{id_}_R1_Label3.bmp"] = one_bit(mask(), "BMP")
    return files


def chase_files(top: str = "CHASEDB1/", children: int = 2) -> dict[str, bytes]:
    files = {}
    for child in range(1, children + 1):
        for eye in "LR":
            name = f"{top}Image_{child:02d}{eye}"
            files[f"{name}.jpg"] = encode(picture(child), ".jpg")
            files[f"{name}_1stHO.png"] = one_bit(mask())
            files[f"{name}_2ndHO.png"] = one_bit(np.zeros((24, 32), np.uint8))
    return files


MINIATURES = {
    CVCClinicDB(): (cvc_files, ["026", "027", "152"]),
    DRIVE(): (drive_files, [f"{n:02d}_{'test' if n < 21 else 'training'}" for n in range(1, 41)]),
    GlaS(): (glas_files, ["testA_1", "testB_1", "train_1", "train_10"]),
    BUSI(): (busi_files, ["benign (1)", "malignant (1)", "normal (1)"]),
    PH2(): (ph2_files, ["IMD002", "IMD003"]),
    CHASEDB1(): (chase_files, ["Image_01L", "Image_01R", "Image_02L", "Image_02R"]),
}


@pytest.mark.parametrize("top", [None, *TOPS])
@pytest.mark.parametrize("dataset", MINIATURES, ids=lambda d: d.name)
def test_a_miniature_is_listed_and_read_with_and_without_top_folder(dataset: Dataset, top: str | None) -> None:
    make, ids = MINIATURES[dataset]
    source = MemorySource(make() if top is None else make(top))
    listing = dataset.list_samples(source)
    assert [sample.id for sample in listing.samples] == ids
    assert listing.class_names == dataset.classes
    assert not listing.problems
    for sample in listing.samples:
        image, labels = dataset.read(source, sample)
        assert (image.shape, image.dtype) == ((24, 32, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((24, 32), np.uint8)
        expected = {"drive": [0, 1, 255], "busi": [0] if sample.type == "normal" else [0, 1]}
        assert np.unique(labels).tolist() == expected.get(dataset.name, [0, 1])


@pytest.mark.parametrize("dataset", MINIATURES, ids=lambda d: d.name)
def test_a_miniature_is_read_from_its_archive_and_its_unpacked_folder(dataset: Dataset, tmp_path: Path) -> None:
    (archive,), files = dataset.archives, MINIATURES[dataset][0]("")
    write_zip(tmp_path / "zip" / f"{archive.folder}.zip", files)
    write_folder(tmp_path / "folder" / archive.folder, files)
    listings = [dataset.list_samples(open_source(dataset, tmp_path / kind)) for kind in ("zip", "folder")]
    assert [len(listing.samples) for listing in listings] == [len(MINIATURES[dataset][1])] * 2


@pytest.mark.parametrize("dataset", MINIATURES, ids=lambda d: d.name)
def test_what_unpacks_is_found_beside_other_datasets(dataset: Dataset, tmp_path: Path) -> None:
    for each, (make, _) in MINIATURES.items():
        write_folder(tmp_path / (each.archives[0].top or each.archives[0].folder), make(""))
    source = open_source(dataset, None, data_dir=tmp_path)
    assert [sample.id for sample in dataset.list_samples(source).samples] == MINIATURES[dataset][1]
    assert Path(source.location).parent == tmp_path


@pytest.mark.parametrize("dataset", MINIATURES, ids=lambda d: d.name)
def test_a_lost_mask_and_another_folder_are_named(dataset: Dataset) -> None:
    files = MINIATURES[dataset][0]()
    first = dataset.list_samples(MemorySource(files)).samples[0]
    for file in first.masks:
        del files[file]
    listing = dataset.list_samples(MemorySource(files))
    assert {(p.kind, p.file, p.sample) for p in listing.problems} == {("missing mask", first.image, first.id)}
    with pytest.raises(DataError, match=r"memory, where .* is expected"):
        dataset.list_samples(MemorySource({"holiday/beach.jpg": b""}))


# CVC-ClinicDB


def test_a_cvc_frame_is_in_colour_although_its_tags_call_it_grey() -> None:
    source = MemorySource(cvc_files(frames=(26,)))
    (sample,) = CVCClinicDB().list_samples(source).samples
    np.testing.assert_array_equal(CVCClinicDB().read(source, sample)[0], picture(26))


def test_grey_values_at_the_edge_of_a_cvc_mask_are_thresholded() -> None:
    source = MemorySource(cvc_files(frames=(26,)))
    soft = mask()
    soft[4, 10], soft[4, 11] = 127, 128
    source.files["CVC-ClinicDB/Ground Truth/26.tif"] = encode(soft, ".tif")
    labels = CVCClinicDB().read(source, CVCClinicDB().list_samples(source).samples[0])[1]
    np.testing.assert_array_equal(labels, soft > 127)
    assert labels[4, 10] == 0 != labels[4, 11]


def test_a_part_of_cvc_is_a_test_set_with_its_videos_as_groups(caplog: pytest.LogCaptureFixture) -> None:
    cvc._say_incomplete.cache_clear()
    dataset = CVCClinicDB()
    samples = dataset.list_samples(MemorySource(cvc_files())).samples
    with caplog.at_level(logging.WARNING):
        assert dataset.assign_splits(samples, None, None) == dict.fromkeys(["026", "027", "152"], "test")
    assert "3 of its 612 frames are there, so all are test images" in caplog.text
    assert dataset.groups(samples) == {"026": "02", "027": "02", "152": "08"}
    table = read_table("cvc", "sequences")
    assert dataset.assign_splits(samples, "sequences", None) == {id_: row["split"] for id_, row in table.items()}


def test_all_of_cvc_is_split_by_the_split_file() -> None:
    dataset = CVCClinicDB()
    names = [f"{kind}/{frame}.tif" for kind in ("Original", "Ground Truth") for frame in range(1, 613)]
    samples = dataset.list_samples(MemorySource(dict.fromkeys(names, b""))).samples
    assert Counter(dataset.assign_splits(samples, None, None).values()) == {"train": 429, "val": 61, "test": 122}
    assert len(set(dataset.groups(samples).values())) == 29


def test_a_frame_of_cvc_that_is_left_out_does_not_make_the_others_a_test_set() -> None:
    dataset = CVCClinicDB()
    names = {f"{kind}/{frame}.tif" for kind in ("Original", "Ground Truth") for frame in range(1, 613)}
    samples = dataset.list_samples(MemorySource(dict.fromkeys(names - {"Ground Truth/5.tif"}, b""))).samples
    for usable in (samples, samples[1:]):  # one has no mask, one is not readable
        assert Counter(dataset.assign_splits(usable, None, None).values()) == {"train": 429, "val": 61, "test": 122}
    some = dataset.list_samples(MemorySource(dict.fromkeys(names - {"Original/5.tif"}, b"")))
    assert set(dataset.assign_splits(some.samples, None, None).values()) == {"test"}


def test_a_rar_archive_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "CVC-ClinicDB.rar").write_bytes(b"Rar!\x1a\x07\x00" + bytes(100))
    for source in (tmp_path, tmp_path / "CVC-ClinicDB.rar"):
        with pytest.raises(DataError, match="a RAR archive, which is not read here; unpack it and give the folder"):
            open_source(CVCClinicDB(), source)
    write_folder(tmp_path / "CVC-ClinicDB", cvc_files(""))
    assert len(CVCClinicDB().list_samples(open_source(CVCClinicDB(), tmp_path)).samples) == 3


def test_what_is_missing_is_named_with_the_page_it_is_published_on(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare(CVCClinicDB(), image_size=16, data_dir=tmp_path)
    assert str(caught.value) == (
        f"CVC-ClinicDB: CVC-ClinicDB.rar (or its unpacked folder) is not in {tmp_path}; give data.source=DIR, the "
        "folder where it is (published at https://polyp.grand-challenge.org/CVCClinicDB/); licence: research and "
        "educational use only"
    )
    with pytest.raises(DataError, match=r"has no published address \(https://polyp.*\); fetch it by hand"):
        prepare(CVCClinicDB(), image_size=16, data_dir=tmp_path, download=True)


# DRIVE


def test_drive_is_ignored_outside_of_the_field_of_view_and_prepared_so(tmp_path: Path) -> None:
    source = MemorySource(drive_files())
    sample = DRIVE().list_samples(source).samples[0]
    expected = mask(high=1)
    expected[:, :2] = IGNORE_INDEX
    np.testing.assert_array_equal(DRIVE().read(source, sample)[1], expected)
    archive = write_zip(tmp_path / "DRIVE.zip", drive_files())
    prepared = prepare(DRIVE(), image_size=(24, 32), data_dir=tmp_path, source=archive)
    np.testing.assert_array_equal(prepared.masks[0], expected)
    assert {name: len(part) for name, part in prepared.split_indices(DRIVE()).items()} == {
        "train": 16, "val": 4, "test": 20,
    }  # fmt: skip


def test_a_drive_image_of_another_size_than_its_field_of_view_is_refused() -> None:
    source = MemorySource(drive_files())
    source.files["DRIVE/test/mask/01_test_mask.gif"] = gif(view()[:-1])
    with pytest.raises(SampleError, match=r"01_test_mask\.gif: size mismatch"):
        DRIVE().read(source, DRIVE().list_samples(source).samples[0])


# GlaS


def test_glands_are_kept_apart_as_instances_with_grades_and_patients() -> None:
    source, dataset = MemorySource(glas_files()), GlaS()
    samples = dataset.list_samples(source).samples
    np.testing.assert_array_equal(dataset.instances(source, samples[0]), glands())
    np.testing.assert_array_equal(dataset.read(source, samples[0])[1], glands() > 0)
    assert [(s.id, s.type, s.group) for s in samples] == [
        ("testA_1", "benign", "04"), ("testB_1", "malignant", "03"),
        ("train_1", "malignant", "02"), ("train_10", "malignant", "02"),
    ]  # fmt: skip


@pytest.mark.parametrize(("split", "tests"), [(None, 80), ("official", 80), ("testA", 60), ("testB", 20)])
def test_the_test_parts_of_glas_are_splits(split: str | None, tests: int) -> None:
    ids = list(read_table("glas", "official"))
    names = [f"{id_}{kind}.bmp" for id_ in ids for kind in ("", "_anno")]
    samples = GlaS().list_samples(MemorySource(dict.fromkeys(names, b""))).samples
    assigned = GlaS().assign_splits(samples, split, None)
    assert Counter(assigned.values()) == {"train": 76, "val": 9, "test": tests}
    assert {id_.partition("_")[0] for id_, part in assigned.items() if part == "test"} == (
        {split} if split in ("testA", "testB") else {"testA", "testB"}
    )


# BUSI


def test_the_masks_of_a_busi_image_are_united_and_of_normal_ones_empty() -> None:
    source, dataset = MemorySource(busi_files()), BUSI()
    benign, malignant, normal = dataset.list_samples(source).samples
    assert [s.type for s in (benign, malignant, normal)] == ["benign", "malignant", "normal"]
    assert len(benign.masks) == 2
    assert dataset.read(source, benign)[1].sum() == 7 * 6 + 15 * 21
    np.testing.assert_array_equal(dataset.read(source, malignant)[1], mask(high=1))
    assert not dataset.read(source, normal)[1].any()


def test_busi_is_split_by_type() -> None:
    counts = {"benign": 437, "malignant": 210, "normal": 133}
    images = [f"{kind}/{kind} ({n})" for kind, count in counts.items() for n in range(1, count + 1)]
    names = [f"{image}{suffix}.png" for image in images for suffix in ("", "_mask")]
    samples = BUSI().list_samples(MemorySource(dict.fromkeys(names, b""))).samples
    assigned = BUSI().assign_splits(samples, None, None)
    assert Counter(assigned.values()) == {"train": 624, "val": 78, "test": 78}
    tests = Counter(sample.type for sample in samples if assigned[sample.id] == "test")
    assert tests == {"benign": 44, "malignant": 21, "normal": 13}


def test_a_mask_of_three_values_is_refused() -> None:
    source = MemorySource(busi_files())
    labels = mask()
    labels[0, 0] = 128
    source.files["Dataset_BUSI_with_GT/normal/normal (1)_mask.png"] = encode(labels)
    with pytest.raises(SampleError, match="values 0, 128, 255 where 0 and one other value are expected"):
        BUSI().read(source, BUSI().list_samples(source).samples[-1])


# CHASE_DB1


@pytest.mark.parametrize("fold", [None, 0, 4])
def test_the_eyes_of_a_child_are_in_one_part(fold: int | None) -> None:
    samples = CHASEDB1().list_samples(MemorySource(dict.fromkeys(chase_files(children=14), b""))).samples
    assert len(samples) == 28
    assigned = CHASEDB1().assign_splits(samples, None, fold)
    assert assigned.keys() == {sample.id for sample in samples}
    for child in range(1, 15):
        assert assigned[f"Image_{child:02d}L"] == assigned[f"Image_{child:02d}R"]
    if fold is None:
        assert Counter(assigned.values()) == {"train": 24, "val": 2, "test": 2}


# The real ones.


def test_the_real_frames_of_cvc_are_in_colour(shared_data: Path) -> None:
    archive = shared_data / "cvc-clinicdb-60.zip"
    if not archive.is_file():
        pytest.skip(f"needs {archive}")
    dataset = CVCClinicDB()
    source = open_source(dataset, archive)
    listing = dataset.list_samples(source)
    assert len(listing.samples) == 60
    assert not listing.problems
    assert Counter(sample.group for sample in listing.samples) == dict.fromkeys(
        ["02", "08", "14", "18", "23", "27"], 10
    )
    for sample in listing.samples:
        image, labels = dataset.read(source, sample)
        assert image.shape == (288, 384, 3)
        red, green, blue = image.reshape(-1, 3).mean(axis=0)
        assert red > green > blue
        assert np.unique(labels).tolist() == [0, 1]


def test_the_real_drive_is_read_whole(shared_data: Path) -> None:
    if not (shared_data / "DRIVE.zip").is_file():
        pytest.skip(f"needs {shared_data / 'DRIVE.zip'}")
    dataset = DRIVE()
    source = open_source(dataset, shared_data)
    listing = dataset.list_samples(source)
    assert not listing.problems
    assert {sample.id for sample in listing.samples} == read_table("drive", "official").keys()
    for sample in listing.samples[::5]:
        image, labels = dataset.read(source, sample)
        assert image.shape == (584, 565, 3)
        assert np.unique(labels).tolist() == [0, 1, 255]
        assert 0.25 < (labels == 255).mean() < 0.4
        assert image[labels == 255].mean() < 10 < image[labels != 255].mean()
