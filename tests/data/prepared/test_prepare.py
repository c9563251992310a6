from __future__ import annotations

import csv
import errno
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.data.datasets import KvasirSEG
from medseg.data.datasets.base import Dataset, Listing, Sample
from medseg.data.prepared import arrays, build, staging
from medseg.data.prepared.build import pixel_sums
from medseg.data.prepared.prepare import prepare
from medseg.data.prepared.resize import resize_image, resize_mask
from medseg.data.sources.source import Source
from medseg.errors import ConfigError, DataError
from medseg.system import locks
from tests.data.tiny import Tiny, blob, picture, png, server, tiny_files, write_folder, write_zip


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """A folder with the archive of eight images."""
    return write_zip(tmp_path / "dl" / "tiny.zip", tiny_files(8)).parent


def inside(data_dir: Path) -> list[str]:
    """What is in the folder of prepared data, without locks."""
    return sorted(path.name for path in (data_dir / "prepared").iterdir() if path.suffix != ".lock")


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def one_line(caught: pytest.ExceptionInfo) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


# What is prepared


def test_images_and_masks_are_resized_and_stored(tmp_path, downloads):
    prepared = prepare(Tiny(), image_size=(10, 16), data_dir=tmp_path, source=downloads)
    for number in range(8):
        image = cv2.resize(picture(number), (16, 10), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(prepared.images[number], image)
        mask = cv2.resize(blob(), (16, 10), interpolation=cv2.INTER_NEAREST_EXACT)
        np.testing.assert_array_equal(prepared.masks[number], mask)


def test_another_folder_is_read_and_never_written_to(tmp_path, downloads):
    mine, other = tmp_path / "mine", downloads
    made = prepare(Tiny(), image_size=16, data_dir=other)
    before = inside(other)
    assert prepare(Tiny(), image_size=16, data_dir=mine, prepared_in=other).folder == made.folder
    # Another size has to be prepared, from the archive there.
    prepared = prepare(Tiny(), image_size=24, data_dir=mine, prepared_in=other)
    assert prepared.folder.parent == mine / "prepared"
    assert inside(other) == before
    with pytest.raises(DataError):
        prepare(Tiny(), image_size=32, data_dir=mine, prepared_in=tmp_path / "none")


def test_one_thread_and_several_make_the_same(tmp_path, downloads):
    made = [
        prepare(Tiny(), image_size=16, data_dir=tmp_path / str(count), source=downloads, num_workers=count)
        for count in (1, 5)
    ]
    for name in ("images.npy", "masks.npy", "samples.csv", "problems.csv"):
        assert (made[0].folder / name).read_bytes() == (made[1].folder / name).read_bytes()
    assert made[0].folder.name == made[1].folder.name


def test_grey_images_have_one_channel(tmp_path, downloads):
    prepared = prepare(Tiny(), image_size=(20, 24), in_channels=1, data_dir=tmp_path, source=downloads)
    assert prepared.images.shape == (8, 20, 24, 1)
    assert prepared.folder.name.startswith("tiny-20x24-grey-")
    np.testing.assert_array_equal(prepared.images[3, :, :, 0], cv2.cvtColor(picture(3), cv2.COLOR_RGB2GRAY))
    assert len(prepared.mean_std([0])[0]) == 1


def test_resizing_shrinks_by_area_and_grows_linearly():
    image = picture(0, 20, 24)
    for size in ((10, 12), (7, 24)):
        expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(resize_image(image, size), expected)
    grown = cv2.resize(image, (30, 40), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_image(image, (40, 30)), grown)
    flat = np.full((20, 24, 3), 77, np.uint8)
    assert (resize_image(flat, (10, 48)) == 77).all()
    halves = np.repeat(np.array([[0, 200]], np.uint8), 8, axis=0).repeat(8, axis=1)[..., None]
    mixed = resize_image(halves, (16, 2))  # taller and narrower
    assert mixed.shape == (16, 2, 1)
    assert (mixed[:, :, 0] == [0, 200]).all()
    np.testing.assert_array_equal(resize_image(image, (20, 24)), image)


def test_resizing_a_mask_makes_no_new_label():
    mask = np.random.default_rng(0).choice(np.array([0, 3, 7], np.uint8), (33, 41))
    for size in ((8, 9), (70, 50), (33, 41)):
        resized = resize_mask(mask, size)
        assert resized.shape == size
        assert set(np.unique(resized)) == {0, 3, 7}


@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 48, 3), (700, 900, 3)])
def test_pixel_sums_are_exact(shape):
    for image in (np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), np.full(shape, 255, np.uint8)):
        whole = (
            image.astype(object).reshape(-1, shape[2])
            if image.size < 10_000
            else image.reshape(-1, shape[2]).astype(int)
        )
        assert pixel_sums(image) == (tuple(whole.sum(0)), tuple((whole**2).sum(0)))


def test_the_fingerprint_describes_the_data(tmp_path, downloads):
    prepared = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    fingerprint = json.loads((prepared.folder / "fingerprint.json").read_text())
    assert fingerprint["count"] == 8
    assert (fingerprint["title"], fingerprint["licence"]) == ("Tiny set", "CC0")
    assert fingerprint["default_split"] == {"train": 4, "val": 2, "test": 2}
    assert fingerprint["native_height"] == {"min": 20, "median": 20, "max": 20}
    assert fingerprint["native_sizes"] == 1
    foreground = (prepared.masks > 0).mean()
    assert fingerprint["class_fractions"]["blob"] == pytest.approx(foreground, abs=1e-6)
    assert fingerprint["foreground_fraction"]["median"] == pytest.approx(foreground, abs=1e-6)
    mean, std = prepared.mean_std(prepared.split_indices(Tiny())["train"])
    assert (tuple(fingerprint["mean"]), tuple(fingerprint["std"])) == (mean, std)
    for name in ("images.npy", "masks.npy"):
        assert fingerprint["sha256"][name] == hashlib.sha256((prepared.folder / name).read_bytes()).hexdigest()
    archive = hashlib.sha256((downloads / "tiny.zip").read_bytes()).hexdigest()
    assert fingerprint["archive_sha256"] == {"tiny.zip": archive}
    assert fingerprint["source"] == str(downloads / "tiny.zip")


class Volume(Tiny):
    """One file that holds all images, as a stack of slices does; nothing but pixels tells them apart."""

    def list_samples(self, source: Source) -> Listing:
        return Listing([Sample(f"slice{k}", "volume.bin") for k in range(4)], self.class_names)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        number = int(sample.id[-1]) % 3  # the last one repeats the first
        source.read(sample.image)
        return picture(number), blob()


def test_slices_of_one_file_are_told_apart(tmp_path):
    write_folder(tmp_path / "src", {"volume.bin": b"x"})
    prepared = prepare(Volume(), image_size=16, data_dir=tmp_path, source=tmp_path / "src")
    hashes = [row.sha256 for row in prepared.samples]
    assert len(set(hashes)) == 3
    assert hashes[0] == hashes[3]
    assert prepared.fingerprint["problems"] == {"duplicate image": 1}


class Drawn(Tiny):
    archives = ()

    def list_samples(self, source: Source) -> Listing:
        return Listing([Sample(f"d{k}", f"d{k}") for k in range(4)], self.class_names)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        return picture(int(sample.id[1:])), blob()


def test_a_dataset_without_files_needs_none(tmp_path):
    assert len(prepare(Drawn(), image_size=16, data_dir=tmp_path).ids) == 4


# When it is prepared again


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note every image that is decoded."""
    decoded: list[str] = []
    original = Tiny.read
    monkeypatch.setattr(
        Tiny, "read", lambda self, source, sample: (decoded.append(sample.id), original(self, source, sample))[1]
    )
    return decoded


def test_a_second_call_decodes_nothing(tmp_path, downloads, monkeypatch):
    decoded = watch(monkeypatch)
    first = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    assert len(decoded) == 8
    monkeypatch.setattr(
        "medseg.data.prepared.prepare.sha256_file", lambda path: pytest.fail("large files are not read again")
    )
    second = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    assert len(decoded) == 8
    assert first.folder == second.folder


def test_without_a_source_the_newest_preparation_is_found(tmp_path, downloads, caplog):
    with pytest.raises(DataError, match=r"data\.download=true"):
        prepare(Tiny(), image_size=16, data_dir=tmp_path)
    prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    write_zip(downloads / "tiny.zip", tiny_files(5))
    newer = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    path = newer.folder / "fingerprint.json"
    path.write_text(path.read_text().replace(newer.fingerprint["created"], "2999-01-01T00:00:00+00:00"))
    shutil.rmtree(downloads)
    with caplog.at_level(logging.INFO):
        assert prepare(Tiny(), image_size=16, data_dir=tmp_path).folder == newer.folder
    assert f"using what was prepared before, {newer.folder}" in caplog.text
    for other in ({"image_size": 24}, {"image_size": 16, "in_channels": 1}, {"image_size": 16, "skip_bad": True}):
        with pytest.raises(DataError, match=r"tiny\.zip \(or its unpacked folder\) is not in"):
            prepare(Tiny(), data_dir=tmp_path, **other)
    with pytest.raises(DataError):
        prepare(Tiny(("background", "thing")), image_size=16, data_dir=tmp_path)


def test_an_archive_in_the_data_folder_goes_before_older_preparations(tmp_path, downloads):
    old = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    write_zip(tmp_path / "tiny.zip", tiny_files(5))
    assert len(prepare(Tiny(), image_size=16, data_dir=tmp_path).ids) == 5
    shutil.copy(downloads / "tiny.zip", tmp_path / "tiny.zip")
    assert prepare(Tiny(), image_size=16, data_dir=tmp_path).folder == old.folder


def test_what_changes_the_result_makes_a_new_one(tmp_path, downloads):
    def folder(dataset: Dataset | None = None, **changes: object) -> Path:
        arguments = {"image_size": 16, "source": downloads, **changes}
        return prepare(dataset or Tiny(), data_dir=tmp_path, **arguments).folder

    raised = Tiny()
    raised.version = 2
    folders = [folder(), folder(image_size=(16, 17)), folder(in_channels=1), folder(skip_bad=True), folder(raised)]
    folders.append(folder(Tiny(("background", "other"))))
    write_zip(downloads / "tiny.zip", {**tiny_files(8), "Tiny/images/a00.png": png(picture(77))})
    folders.append(folder())
    assert len(set(folders)) == len(folders)
    assert folder(image_size=(16, 16)) == folder()


def test_a_damaged_preparation_is_made_again(tmp_path, downloads, caplog):
    prepared = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    before = (prepared.folder / "masks.npy").read_bytes()
    for name in ("masks.npy", "fingerprint.json", "samples.csv"):
        os.truncate(prepared.folder / name, 50)
        prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
        assert "is damaged and is made again" in caplog.text
        assert (prepared.folder / "masks.npy").read_bytes() == before
        caplog.clear()


# Problems


def test_every_kind_of_bad_sample_is_named_and_counted(tmp_path):
    files = tiny_files(8)
    files["Tiny/images/a02.png"] = files["Tiny/images/a02.png"][:200]
    files["Tiny/masks/a03.png"] = png(blob(10, 10))
    files["Tiny/masks/a04.png"] = png(blob(label=2))
    del files["Tiny/masks/a05.png"]
    write_zip(tmp_path / "tiny.zip", files)
    with pytest.raises(DataError) as caught:
        prepare(Tiny(), image_size=16, data_dir=tmp_path)
    table = tmp_path / "prepared" / "tiny-problems.csv"
    message = one_line(caught)
    for part in ("Tiny set: 4 samples", "first Tiny/images/a05.png: missing mask", str(table), "data.skip_bad=true"):
        assert part in message
    assert inside(tmp_path) == ["tiny-problems.csv"]
    found = {row["sample"]: (row["kind"], row["file"]) for row in csv.DictReader(table.open())}
    assert found == {
        "a02": ("unreadable", "Tiny/images/a02.png"),
        "a03": ("size mismatch", "Tiny/masks/a03.png"),
        "a04": ("unexpected label", "Tiny/masks/a04.png"),
        "a05": ("missing mask", "Tiny/images/a05.png"),
    }


def test_bad_samples_are_left_out_on_request(tmp_path, caplog):
    files = tiny_files(8)
    for number in (0, 3, 7):
        files[f"Tiny/images/a{number:02d}.png"] = b"no image"
    del files["Tiny/masks/a04.png"]
    write_zip(tmp_path / "tiny.zip", files)
    prepared = prepare(Tiny(), image_size=(20, 24), data_dir=tmp_path, skip_bad=True)
    assert prepared.ids == ["a01", "a02", "a05", "a06"]
    assert [row.index for row in prepared.samples] == [0, 1, 2, 3]
    assert prepared.images.shape == (4, 20, 24, 3)
    for position, number in enumerate((1, 2, 5, 6)):
        np.testing.assert_array_equal(prepared.images[position], picture(number))
        np.testing.assert_array_equal(prepared.masks[position], blob())
    assert "3 x unreadable (left out)" in caplog.text
    assert "1 x missing mask (left out)" in caplog.text
    assert prepared.fingerprint["skipped"] == ["a00", "a03", "a04", "a07"]
    assert sum(1 for _ in (prepared.folder / "problems.csv").open()) == 5


def test_most_of_the_data_are_never_left_out(tmp_path):
    files = tiny_files(7)
    for number in range(4):
        files[f"Tiny/masks/a{number:02d}.png"] = png(blob(label=9))
    write_zip(tmp_path / "tiny.zip", files)
    for skip_bad in (False, True):
        with pytest.raises(DataError) as caught:
            prepare(Tiny(), image_size=16, data_dir=tmp_path, skip_bad=skip_bad)
        message = one_line(caught)
        assert "4 of 7 samples cannot be used, first Tiny/masks/a00.png: unexpected label" in message
        assert "leave them out with" not in message


def test_a_damaged_member_of_the_archive_is_a_bad_sample(tmp_path):
    path = write_zip(tmp_path / "tiny.zip", tiny_files(4), method=0)
    content = bytearray(path.read_bytes())
    content[content.index(b"a01.png") + 60] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"1 sample cannot be used, first .*a01\.png: unreadable \(.*CRC"):
        prepare(Tiny(), image_size=16, data_dir=tmp_path)


def test_nothing_usable_is_an_error_even_when_skipping(tmp_path):
    write_zip(tmp_path / "tiny.zip", {name: b"x" if "images" in name else body for name, body in tiny_files(3).items()})
    with pytest.raises(DataError, match=r"3 of 3 samples cannot be used.*most of them, so that none are left out"):
        prepare(Tiny(), image_size=16, data_dir=tmp_path, skip_bad=True)
    write_zip(tmp_path / "tiny.zip", {"docs/readme.txt": b"x"})
    with pytest.raises(DataError, match="no images found in"):
        prepare(Tiny(), image_size=16, data_dir=tmp_path)
    assert inside(tmp_path) == ["tiny-problems.csv"]


def test_what_is_odd_but_usable_is_reported_and_kept(tmp_path, caplog):
    files = tiny_files(8)
    files["Tiny/images/a01.png"] = files["Tiny/images/a06.png"]
    files["Tiny/masks/a02.png"] = png(np.zeros((20, 24), np.uint8))
    speck = np.zeros((20, 24), np.uint8)
    speck[0, 0] = 1
    files["Tiny/masks/a03.png"] = png(speck)
    almost = picture(4)
    almost[0, 0] ^= 1
    files["Tiny/images/a07.png"] = png(almost)  # a04 is in train, a07 in test
    write_zip(tmp_path / "tiny.zip", files)
    prepared = prepare(Tiny(), image_size=8, data_dir=tmp_path)
    assert len(prepared.ids) == 8
    rows = list(csv.DictReader((prepared.folder / "problems.csv").open()))
    assert [(row["kind"], row["sample"], row["detail"]) for row in rows] == [
        ("empty mask", "a02", ""),
        ("empty mask", "a03", "its foreground is lost at 8 x 8"),
        ("duplicate image", "a06", "in val, the same as Tiny/images/a01.png in train"),
        ("near-duplicate across splits", "a07", "in test, like (correlation 1.00) Tiny/images/a04.png in train"),
    ]
    assert "found 2 x empty mask, 1 x duplicate image, 1 x near-duplicate across splits; see" in caplog.text
    assert prepared.fingerprint["problems"]["empty mask"] == 2


def test_another_checksum_is_a_warning_for_a_given_archive(tmp_path, downloads, caplog):
    dataset = Tiny()
    dataset.archives = (replace(Tiny.archives[0], sha256="0" * 64),)
    prepare(dataset, image_size=16, data_dir=tmp_path, source=downloads)
    assert len([line for line in caplog.messages if "is not the published file" in line]) == 1
    dataset.archives = (
        replace(Tiny.archives[0], sha256=hashlib.sha256((downloads / "tiny.zip").read_bytes()).hexdigest()),
    )
    caplog.clear()
    prepare(dataset, image_size=24, data_dir=tmp_path, source=downloads)
    assert "published" not in caplog.text


def test_another_checksum_is_refused_for_what_a_url_was_given_for(tmp_path, downloads, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    dataset = Tiny()
    dataset.archives = (replace(Tiny.archives[0], sha256="0" * 64),)
    shutil.copy(downloads / "tiny.zip", tmp_path / "tiny.zip")
    with server(downloads) as url:
        with pytest.raises(DataError, match=r"tiny\.zip has another SHA-256 than the published 0000"):
            prepare(dataset, image_size=16, data_dir=tmp_path, source=url)
        dataset.archives = Tiny.archives
        assert len(prepare(dataset, image_size=16, data_dir=tmp_path / "new", source=url).ids) == 8


def test_wrong_options_are_named(tmp_path, downloads):
    for size in (7, 0, -8, 16.0, "16", True, (16,), (16, 4), (16, 16, 16), (16, 16.5)):
        with pytest.raises(ConfigError, match=r"data\.image_size is .*; it must be a number of pixels"):
            prepare(Tiny(), image_size=size, data_dir=tmp_path, source=downloads)
    with pytest.raises(ConfigError, match=r"data\.in_channels is 0; it must be 3"):
        prepare(Tiny(), image_size=16, in_channels=0, data_dir=tmp_path, source=downloads)
    with pytest.raises(ConfigError, match=r"data\.in_channels=4, .* Tiny set have 3 channels .*in_channels=3"):
        prepare(Tiny(), image_size=16, in_channels=4, data_dir=tmp_path, source=downloads)
    for _ in range(2):  # before and after it is prepared
        with pytest.raises(
            ConfigError, match=r"data\.num_classes=3, but the masks of Tiny set have 2 classes"
        ) as caught:
            prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads, num_classes=3)
        assert "(background, blob)" in one_line(caught)
        assert len(prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads, num_classes=2).ids) == 8


# Disks


def fail(code: int):
    def failing(*arguments: object, **named: object) -> None:
        raise OSError(code, os.strerror(code), "somewhere/images.npy")

    return failing


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, downloads, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", fail(errno.ENOSPC))
    with pytest.raises(
        DataError, match=r"no space left for prepared data in .*prepared \(0 MiB are needed\).*data_dir="
    ) as caught:
        prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    one_line(caught)
    assert inside(tmp_path) == []
    # Other tests of this process may have prepared data open.
    opened = [str(link.resolve()) for link in Path("/proc/self/fd").glob("*")]
    assert not [file for file in opened if file.startswith(str(tmp_path)) and "images.npy" in file]
    monkeypatch.undo()
    assert len(prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads).ids) == 8


def test_a_disk_that_fills_up_while_writing_is_the_same(tmp_path, downloads, monkeypatch):
    """Where the file system does not claim space ahead, the write itself fails."""
    monkeypatch.setattr(os, "posix_fallocate", fail(errno.EOPNOTSUPP))
    assert len(prepare(Tiny(), image_size=16, data_dir=tmp_path / "fine", source=downloads).ids) == 8
    write, calls = arrays.write_all, []

    def full_after_some(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > 8:
            fail(errno.EDQUOT)()
        write(*arguments)

    monkeypatch.setattr(arrays, "write_all", full_after_some)
    with pytest.raises(DataError, match="no space left for prepared data"):
        prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    assert inside(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EACCES, "Permission denied"), (errno.EROFS, "Read-only file system")]
)
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, downloads, monkeypatch, code, words):
    monkeypatch.setattr(Path, "mkdir", fail(code))
    with pytest.raises(
        DataError, match=rf"cannot be written \({words}\); choose another folder with data_dir=DIR"
    ) as caught:
        prepare(Tiny(), image_size=16, data_dir=tmp_path / "new", source=downloads)
    one_line(caught)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_one_line(tmp_path, downloads):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(DataError, match="Permission denied"):
        prepare(Tiny(), image_size=16, data_dir=tmp_path / "closed", source=downloads)


def test_a_complete_preparation_can_be_used_from_a_read_only_disk(tmp_path, downloads, monkeypatch):
    prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    monkeypatch.setattr(Path, "mkdir", fail(errno.EROFS))
    monkeypatch.setattr(locks, "FileLock", fail(errno.EROFS))
    assert len(prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads).ids) == 8


def test_short_writes_are_continued(tmp_path, monkeypatch):
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, offset: pwrite(file, bytes(content)[:7], offset))
    rows = np.random.default_rng(0).integers(0, 256, (5, 3, 11), dtype=np.uint8)
    with arrays.ArrayFile(tmp_path / "a.npy", rows.shape) as file:
        for index in (4, 0, 2, 3, 1):
            file.write(index, rows[index])
        file.hash_up_to(3)
        assert file.sha256() == sha256(tmp_path / "a.npy")
        file.keep([0, 3, 4])
        assert file.sha256() == sha256(tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows[[0, 3, 4]])


@pytest.mark.parametrize("num_classes", [3, 16, 17, 200])
def test_pixels_of_each_class(num_classes):
    mask = np.random.default_rng(0).integers(0, min(num_classes, 40), (30, 40), dtype=np.uint8)
    counts = build.count_classes(mask, num_classes)
    assert counts.tolist() == [int((mask == label).sum()) for label in range(num_classes)]
    assert counts.dtype == np.int64


# Interruptions


class Interrupted(Tiny):
    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        if sample.id == "a03":
            raise KeyboardInterrupt
        return super().read(source, sample)


class Faulty(Tiny):
    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        raise ZeroDivisionError("a bug")


def test_interruptions_and_bugs_leave_nothing_and_are_not_hidden(tmp_path, downloads):
    for dataset, error in ((Interrupted(), KeyboardInterrupt), (Faulty(), ZeroDivisionError)):
        with pytest.raises(error):
            prepare(dataset, image_size=16, data_dir=tmp_path, source=downloads)
        assert inside(tmp_path) == []
    threads = cv2.getNumThreads()
    prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    assert cv2.getNumThreads() == threads


SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from medseg.data.prepared.prepare import prepare
from tests.data.tiny import Tiny
print(prepare(Tiny(), image_size=16, data_dir=sys.argv[1], source=sys.argv[2], num_workers=2).folder)
"""


def start(data_dir: Path, source: Path, delay: float) -> subprocess.Popen[str]:
    """Start a preparation in a process of its own that takes `delay` seconds for each image."""
    root = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "MEDSEG_TEST_DELAY": str(delay), "PYTHONPATH": root}
    command = [sys.executable, "-c", SCRIPT, str(data_dir), str(source)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_build(data_dir: Path) -> None:
    """Wait until a preparation has begun to write its arrays."""
    for _ in range(1500):
        if list(data_dir.glob("prepared/.*.tmp/masks.npy")):
            time.sleep(0.3)  # until the threads are at work
            return
        time.sleep(0.02)
    pytest.fail("the preparation never began")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_preparation_is_never_trusted(tmp_path, downloads, sign):
    process = start(tmp_path, downloads, delay=1)
    wait_for_build(tmp_path)
    process.send_signal(sign)
    process.communicate(timeout=60)
    assert process.returncode != 0
    left = inside(tmp_path)
    assert all(name.startswith(".") and name.endswith(".tmp") for name in left)
    assert (left == []) == (sign == signal.SIGINT)
    prepared = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    np.testing.assert_array_equal(
        prepared.masks[0], cv2.resize(blob(), (16, 16), interpolation=cv2.INTER_NEAREST_EXACT)
    )
    assert inside(tmp_path) == [prepared.folder.name]


def test_what_a_killed_preparation_of_other_data_left_is_removed(tmp_path, downloads):
    write_folder(tmp_path / "prepared" / ".tiny-8x8-000000000000.tmp", {"images.npy": b"half"})
    running = tmp_path / "prepared" / ".tiny-9x9-000000000000.tmp"
    write_folder(running, {"images.npy": b"half"})
    with locks.held(staging.lock_of(running.with_name("tiny-9x9-000000000000")), "is busy with something"):
        prepared = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    assert inside(tmp_path) == [running.name, prepared.folder.name]


def test_two_processes_at_once_make_one(tmp_path, downloads):
    first = start(tmp_path, downloads, delay=0.8)  # still at work when the second has started
    wait_for_build(tmp_path)
    second = start(tmp_path, downloads, delay=0.3)
    results = [process.communicate(timeout=60) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0]
    assert results[0][0] == results[1][0] != ""
    assert [("prepared in" in log, "another process is busy" in log) for _, log in results] == [
        (True, False),
        (False, True),
    ]
    assert inside(tmp_path) == [Path(results[0][0].strip()).name]


def test_many_processes_started_together_make_one(tmp_path, downloads):
    processes = [start(tmp_path, downloads, delay=0.02) for _ in range(3)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum("prepared in" in log for _, log in results) == 1
    assert len(inside(tmp_path)) == 1


def test_progress_goes_to_stderr(tmp_path, downloads, capfd):
    prepare(Tiny(), image_size=16, data_dir=tmp_path, source=downloads)
    out, err = capfd.readouterr()
    assert out == ""
    assert "8/8" in err
    assert "images/s" in err


# Real data


class Some(KvasirSEG):
    """Every 25th image of Kvasir-SEG."""

    def list_samples(self, source: Source) -> Listing:
        listing = super().list_samples(source)
        return Listing(listing.samples[::25], listing.class_names, listing.problems)

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        return {sample.id: "train" for sample in samples}


def test_real_images(tmp_path, shared_data):
    prepared = prepare(Some(), image_size=64, data_dir=tmp_path, source=shared_data)
    assert len(prepared.ids) == 40
    assert prepared.images.shape == (40, 64, 64, 3)
    assert set(np.unique(prepared.masks)) == {0, 1}
    assert prepared.fingerprint["problems"] == {}
    # Reddish, dark-framed pictures: the channels are in the order R, G, B.
    mean, std = prepared.mean_std(range(40))
    assert mean[0] > mean[1] > mean[2]
    assert all(0.1 < value < 0.4 for value in std)
    assert build.thumbnail(prepared.images[0]).std() > 5
