from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medseg.data.datasets.medsegbench import SIZES, MedSegBench, table
from medseg.data.prepared.prepare import prepare
from medseg.data.sources.finding import open_source
from medseg.data.sources.problems import SampleError
from medseg.errors import ConfigError, DataError
from tests.data.tiny import server
from tests.helpers import compose_config

PARTS = ("train", "val", "test")


def made(name: str, counts: tuple[int, int, int] = (6, 2, 3), side: int = 16) -> dict[str, np.ndarray]:
    """Arrays in the layout of the archives; few images and small."""
    row, rng = table()[name], np.random.default_rng(1)
    classes, channels = row["classes"].count(";") + 1, int(row["channels"])
    found: dict[str, np.ndarray] = {}
    for part, count in zip(PARTS, counts, strict=True):
        shape = (count, side, side, 3) if channels == 3 else (count, side, side)
        found[f"{part}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
        label = np.zeros((count, side, side), np.uint8)
        label[:, 2:, 3:] = np.arange(side - 2, dtype=np.uint8)[None, :, None] % classes
        found[f"{part}_label"] = label
        if row["values"] == "nonzero":
            found[f"{part}_label"] = label * np.uint8(77)
            found[f"{part}_label"][:, 2 + 1, 4] = 3
    return found


def small(name: str, counts: tuple[int, int, int] = (6, 2, 3)) -> MedSegBench:
    dataset = MedSegBench(name)
    dataset.counts = dict(zip(PARTS, counts, strict=True))
    return dataset


def test_the_table_has_35_datasets_with_checksums_of_three_sizes() -> None:
    rows = table()
    assert len(rows) == 35
    sums = [row[f"md5_{size}"] for row in rows.values() for size in SIZES]
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in sums)
    assert len(set(sums)) == 105
    for name, row in rows.items():
        dataset = MedSegBench(name, 128)
        (archive,) = dataset.archives
        assert archive.file == f"{name}_128.npz"
        assert archive.url.endswith(f"/{name}_128.npz?download=1")
        assert archive.checksum == f"md5:{row['md5_128']}"
        assert dataset.classes[0] in ("background", "unknown")
        assert len(dataset.classes) == len(set(dataset.classes)) <= 19


def test_checksums_that_are_known_from_elsewhere_are_those_of_the_table(shared_data: Path) -> None:
    facts = (shared_data.parent / "facts" / "papers.md").read_text(encoding="utf-8")
    known = re.findall(r"^- (\w+)[^\n]*? ([0-9a-f]{32}) / ([0-9a-f]{32}) / ([0-9a-f]{32})$", facts, re.MULTILINE)
    assert len(known) == 5
    for name, *sums in known:
        assert sums == [table()[name][f"md5_{size}"] for size in SIZES]


@pytest.mark.parametrize("name", ["kvasir", "busi", "wbc", "abdomenus", "pandental", "m2caiseg"])
def test_grey_and_rgb_binary_and_several_classes_are_prepared_as_they_are(name: str, tmp_path: Path) -> None:
    arrays, dataset = made(name), small(name)
    np.savez_compressed(tmp_path / f"{name}_256.npz", **arrays)
    prepared = prepare(dataset, image_size=16, data_dir=tmp_path, source=tmp_path)
    assert prepared.ids == [f"{part}_{k:05d}" for part in sorted(PARTS) for k in range(dataset.counts[part])]
    assert prepared.class_names == dataset.classes
    for part, positions in prepared.split_indices(dataset).items():
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_label"]
        if images.ndim == 3:
            images = np.repeat(images[..., None], 3, axis=3)
        np.testing.assert_array_equal(prepared.images[positions], images)
        np.testing.assert_array_equal(prepared.masks[positions], labels > 0 if len(dataset.classes) == 2 else labels)


def test_a_mask_of_values_that_its_dataset_does_not_have_is_refused(tmp_path: Path) -> None:
    arrays = made("busi")
    arrays["val_label"][1, 0, 0] = 2
    np.savez(tmp_path / "busi_256.npz", **arrays)
    source = open_source(small("busi"), tmp_path)
    sample = small("busi").list_samples(source).samples[-1]
    with pytest.raises(SampleError, match=r"val_label/00001: unexpected label \(values 0, 1, 2 where"):
        small("busi").read(source, sample)


def test_an_archive_with_other_numbers_of_images_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "busi_256.npz", **made("busi", (5, 2, 3)))
    with pytest.raises(DataError, match=r"has 5 images and 5 masks in train_images and train_label, where 452"):
        MedSegBench("busi").list_samples(open_source(MedSegBench("busi"), tmp_path / "busi_256.npz"))


def test_an_unknown_dataset_and_size_are_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.dataset\.name=kvazir.*did you mean 'kvasir'.*there are: abdomenus"):
        MedSegBench("kvazir")
    with pytest.raises(ConfigError, match=r"data\.dataset\.size=64: the archives are of 128, 256 and 512"):
        MedSegBench("kvasir", 64)


def test_what_is_missing_is_named_with_its_address_and_licence(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare(MedSegBench("busi"), image_size=16, data_dir=tmp_path)
    assert str(caught.value) == (
        f"BusiMSBench (MedSegBench): busi_256.npz is not in {tmp_path}; give data.source=DIR, the folder where it is, "
        "or data.download=true to fetch it (from https://zenodo.org/records/13358372/files/busi_256.npz?download=1); "
        "licence: CC0"
    )


def test_the_size_of_the_archive_is_that_of_the_images() -> None:
    cfg = compose_config("train", "data=medsegbench", "data.dataset.name=busi", "data.dataset.size=128")
    assert cfg.data.image_size == 128


def test_splits_of_ones_own_are_drawn_of_all_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "busi_256.npz", **made("busi"))
    dataset = small("busi")
    samples = dataset.list_samples(open_source(dataset, tmp_path)).samples
    assert {s.id: s.split for s in samples} == dataset.assign_splits(samples, "official", None)
    assert dataset.assign_splits(samples, "random", None).keys() == {s.id for s in samples}
    assert set(dataset.assign_splits(samples, None, 3).values()) == set(PARTS)
    with pytest.raises(ConfigError, match="did you mean 'official'"):
        dataset.assign_splits(samples, "offical", None)


def test_a_download_is_verified_by_its_md5(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    np.savez_compressed(tmp_path / "web" / "busi_256.npz", **made("busi"))
    md5 = hashlib.md5((tmp_path / "web" / "busi_256.npz").read_bytes()).hexdigest()
    with server(tmp_path / "web") as address:
        dataset = small("busi")
        (archive,) = dataset.archives
        dataset.archives = (replace(archive, url=f"{address}busi_256.npz"),)
        with pytest.raises(DataError, match="another MD5 than the published 198aea70968b71adf593b32c41a6e995"):
            prepare(dataset, image_size=16, data_dir=tmp_path / "data", download=True)
        assert not (tmp_path / "data" / "busi_256.npz").exists()
        dataset.archives = (replace(archive, url=f"{address}busi_256.npz", md5=md5),)
        assert len(prepare(dataset, image_size=16, data_dir=tmp_path / "data", download=True).ids) == 11
    assert (tmp_path / "data" / "busi_256.npz").is_file()


def test_a_given_archive_that_is_not_the_published_one_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.savez_compressed(tmp_path / "busi_256.npz", **made("busi"))
    prepare(small("busi"), image_size=16, data_dir=tmp_path, source=tmp_path)
    assert "is not the published file (other MD5; repacked?); used as it is" in caplog.text
