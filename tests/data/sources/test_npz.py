from __future__ import annotations

import io
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from medseg.data.sources import npz
from medseg.data.sources.npz import NpzSource
from medseg.errors import DataError


def arrays(count: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (count, 6, 7, 3), dtype=np.uint8),
        "train_label": rng.integers(0, 2, (count, 6, 7), dtype=np.uint8),
    }


def load(data: bytes) -> np.ndarray:
    return np.load(io.BytesIO(data), allow_pickle=False)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_are_read_one_by_one_in_any_order(save, tmp_path: Path) -> None:
    made = arrays()
    save(tmp_path / "a.npz", **made)
    source = NpzSource(tmp_path / "a.npz", "md5:0")
    assert source.names == [f"{name}/{k:05d}" for name in made for k in range(5)]
    assert source.archives == [(tmp_path / "a.npz", "md5:0")]
    for index in (0, 1, 4, 2, 0, 3):
        for name, array in made.items():
            np.testing.assert_array_equal(load(source.read(f"{name}/{index:05d}")), array[index])
    for name in ("train_images/00005", "train_images", "val_images/00000", "train_images/x"):
        with pytest.raises(DataError, match="has no"):
            source.read(name)


def test_few_images_are_in_memory_and_each_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = arrays(200)
    np.savez_compressed(tmp_path / "a.npz", **made)
    monkeypatch.setattr(npz, "RECENT", 8)
    source = NpzSource(tmp_path / "a.npz")
    array, rewinds = source.arrays["train_images"], []
    monkeypatch.setattr(array, "_rewind", lambda: rewinds.append(1))
    order = [k for first in range(0, 200, 4) for k in (first, first + 3, first + 1, first + 2)]
    read = {k: load(source.read(f"train_images/{k:05d}")) for k in order}
    np.testing.assert_array_equal([read[k] for k in range(200)], made["train_images"])
    assert not rewinds
    assert len(array._recent) <= 8


def test_threads_get_the_images_that_they_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = arrays(200)
    np.savez_compressed(tmp_path / "a.npz", **made)
    monkeypatch.setattr(npz, "RECENT", 2)
    source = NpzSource(tmp_path / "a.npz")
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda k: load(source.read(f"train_images/{k:05d}")), range(200)))
    np.testing.assert_array_equal(read, made["train_images"])


def test_the_identity_follows_the_content(tmp_path: Path) -> None:
    for name, content in (("a", arrays()), ("b", arrays()), ("c", arrays(4))):
        np.savez_compressed(tmp_path / f"{name}.npz", **content)
    a, b, c = (NpzSource(tmp_path / f"{name}.npz").identity for name in "abc")
    assert a == b != c


class Evil:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("unpickled",)


def test_nothing_is_unpickled_and_other_types_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_images=np.array([Evil()], dtype=object))
    with pytest.raises(DataError, match=r"of object.*images of uint8 are expected"):
        NpzSource(tmp_path / "a.npz")
    for array in (np.zeros((2, 3, 3)), np.zeros((2, 3), np.uint8), np.zeros((3, 4, 5), np.uint8, order="F")):
        np.savez(tmp_path / "a.npz", train_images=array)
        with pytest.raises(DataError, match="images of uint8 are expected"):
            NpzSource(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("train_images.npy", pickle.dumps(Evil()))
    with pytest.raises(DataError, match="is no NumPy array"):
        NpzSource(tmp_path / "a.npz")


def test_an_array_that_declares_more_than_it_has_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    shape = (10**6, 512, 512)
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("train_images.npy", buffer.getvalue() + bytes(100))
    with pytest.raises(
        DataError, match=r"is not what it declares: \d+ bytes are declared for the shape \(1000000, 512"
    ):
        NpzSource(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "a.npz", train_images=np.zeros((1, 9000, 9000), np.uint8))
    with pytest.raises(DataError, match=r"has images of shape \(9000, 9000\)"):
        NpzSource(tmp_path / "a.npz")


def test_masks_that_compress_well_are_no_bomb(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", train_label=np.zeros((300, 512, 512), np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 300 * 512 * 512 / 500
    assert not load(NpzSource(tmp_path / "a.npz").read("train_label/00000")).any()


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    made = arrays(200)  # more than is read ahead
    np.savez(file, **made)
    whole = file.read_bytes()
    at = whole.index(made["train_images"][150].tobytes())
    file.write_bytes(whole[:at] + bytes(20) + whole[at + 20 :])
    source = NpzSource(file)
    with pytest.raises(DataError, match=r"train_images\.npy' is damaged"):
        source.read("train_images/00199")
    file.write_bytes(whole[:-40])
    with pytest.raises(DataError, match="not an npz archive"):
        NpzSource(file)
    with pytest.raises(DataError, match="cannot be read"):
        NpzSource(tmp_path / "none.npz")
