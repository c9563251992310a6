"""One scale for all images of a folder: what is decided, and what is refused."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from medseg.data.datasets import Folder
from medseg.data.datasets.folder_pixels import look_at, positions
from medseg.data.pixel_format import PixelFormat
from medseg.data.prepared.prepare import prepare
from medseg.data.sources.problems import FEW, read_problems
from medseg.errors import ConfigError, DataError
from tests.data.image_files import MemorySource, encode, mask, picture, pillow


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **{"photometric": "minisblack"} | options)
    return buffer.getvalue()


def folder(*images: np.ndarray | bytes) -> MemorySource:
    """Images a, b, c, ..., each with a mask."""
    files = {}
    for letter, image in zip("abcdefghijkl", images, strict=False):
        if isinstance(image, np.ndarray):
            image = encode(image) if image.dtype in (np.uint8, np.uint16) else tiff(image)
        files[f"images/{letter}.tif"] = image
        files[f"masks/{letter}.png"] = encode(mask())
    return MemorySource(files)


def read(source: MemorySource, given=None) -> tuple[PixelFormat, dict[str, np.ndarray]]:
    dataset = Folder(intensity_range=given)
    listing = dataset.list_samples(source)
    return listing.pixels, {sample.id: dataset.read(source, sample)[0] for sample in listing.samples}


def grey(factor: int = 1) -> np.ndarray:
    return picture()[:, :, 0].astype(np.uint16) * factor


def test_the_maximum_of_one_image_does_not_change_its_brightness():
    dim, usual, bright = grey(4), grey(8), grey(8) + 1500
    pixels, images = read(folder(dim, usual, bright))
    assert pixels == PixelFormat(1, 0, 4095, ("uint16",))
    for name, stored in {"a": dim, "b": usual, "c": bright}.items():
        expected = np.floor(stored * 255.0 / 4095 + 0.5)
        np.testing.assert_array_equal(images[name], np.dstack([expected] * 3))


def test_one_bright_pixel_sets_the_range_of_all_images_alike():
    brightest = grey(8)
    brightest[0, 0] = 4096
    pixels, images = read(folder(grey(8), brightest))
    assert pixels.high == 8191
    np.testing.assert_array_equal(images["a"][1:], images["b"][1:])


def test_few_bright_pixels_or_one_bright_image_are_a_warning_and_a_note(tmp_path, caplog):
    hot = grey(8)
    hot[0, 0] = 60000
    arguments = {"image_size": 16, "data_dir": tmp_path}
    for name, images, share in (
        ("pixel", [grey(8), hot, grey(8) + 1], "99.9"),
        ("image", [*[grey(8)] * 4, grey(8) + 40000], "80"),
    ):
        caplog.clear()
        write(folder(*images), tmp_path / name)
        prepared = prepare(Folder(), source=tmp_path / name, **arguments)
        assert prepared.pixels.range == "[0,65535]"
        (noted,) = [each for each in read_problems(prepared.folder / "problems.csv") if each.kind == FEW]
        file = "images/b.tif" if name == "pixel" else "images/e.tif"
        detail = f"{share} % of the values are below 2048; only {file} has more: data.intensity_range=[0,2047]"
        assert (noted.file, noted.detail, noted.fatal) == (file, detail, False)
        assert f"dark images: {detail}" in caplog.text
        caplog.clear()
        assert prepare(Folder(intensity_range=[0, 2047]), source=tmp_path / name, **arguments).pixels.high == 2047
        assert "dark images" not in caplog.text


def test_the_usual_range_of_a_folder_is_no_warning():
    assert not Folder().list_samples(folder(grey(4), grey(8), grey(16), grey(12), grey(16) + 5)).problems


def test_8_bits_are_not_unpacked_for_it(monkeypatch):
    monkeypatch.setattr("medseg.data.datasets.folder_pixels.read_stored", None)
    assert Folder().list_samples(folder(picture(), picture()[:, :, 0])).pixels == PixelFormat()


def test_grey_files_alone_are_grey():
    assert read(folder(picture()[:, :, 0], picture()[:, :, 1]))[0].channels == 1


def test_a_stated_range_is_taken():
    pixels, images = read(folder(grey(8), grey(16)), [100, 2000])
    assert (pixels.low, pixels.high) == (100, 2000)
    expected = np.clip(np.floor((grey(8) - 100.0) * 255 / 1900 + 0.5), 0, 255)
    np.testing.assert_array_equal(images["a"][:, :, 0], expected)


def test_percentiles_are_those_of_the_dataset():
    flat = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32)
    pixels, _ = read(folder(flat, flat + 768), "percentiles")
    low, high = np.percentile(np.arange(1536), [0.5, 99.5])
    assert pixels.low == pytest.approx(low, abs=1)
    assert pixels.high == pytest.approx(high, abs=1)


@pytest.mark.parametrize("height", [1000, 1333, 2000, 3999, 4000])
@pytest.mark.parametrize("channels", [1, 3])
def test_percentiles_see_all_columns_and_channels(height, channels):
    rows = np.tile(np.arange(60, dtype=np.uint16), (height, 1))  # each value is that of one column and channel
    image = tiff(rows) if channels == 1 else tiff(rows.reshape(height, 20, 3), photometric="rgb")
    sample = look_at(image, "a.tif", unpack=True).sample
    assert sample.size == 4000
    assert np.bincount(sample, minlength=60).min() > 0.5 * 4000 / 60


def test_small_images_are_seen_whole():
    for size in (1, 12, 3999, 4000):
        np.testing.assert_array_equal(positions(size), np.arange(size))


@pytest.mark.parametrize(
    ("image", "types"),
    [
        (picture()[:, :, 0].astype(np.float32) / 255, "float32"),
        (picture()[:, :, 0].astype(np.float64), "float64"),
        (picture()[:, :, 0].astype(np.int16) * 10 - 1000, "int16"),
    ],
)
def test_floats_and_negative_values_need_a_range_and_the_one_that_is_named_works(image, types):
    source = folder(image, image)
    with pytest.raises(DataError, match=types) as error:
        Folder().list_samples(source)
    message = str(error.value)
    low, high = map(float, re.search(r"data\.intensity_range=\[(.+?),(.+?)\]", message).groups())
    pixels, images = read(source, [low, high])
    assert pixels.stored == (types,)
    expected = (image - low) * (255 / (high - low))
    assert np.abs(images["a"][:, :, 0] - expected).max() <= 0.51
    assert "data.intensity_range=percentiles" in message
    assert read(source, "percentiles")[1]["a"].max() == 255


@pytest.mark.parametrize(
    ("image", "given"),
    [
        (grey(256), [0, 4095]),
        (picture()[:, :, 0], [0, 1]),
        (picture()[:, :, 0].astype(np.float32), [0, 1]),
        (grey(4), [30000, 65535]),
    ],
)
@pytest.mark.parametrize("stated", [True, False])
def test_a_range_that_misses_the_images_is_refused_and_the_one_that_is_named_works(image, given, stated):
    source = folder(image, image)
    dataset = Folder(intensity_range=given)
    dataset.range_stated = stated
    words = rf"data\.intensity_range=\[{given[0]}," if stated else "the range of the network's training"
    with pytest.raises(DataError, match=f"2 of 2 images, such as images/a.tif, .*{words}") as error:
        dataset.list_samples(source)
    low, high = map(float, re.findall(r"data\.intensity_range=\[(.+?),(.+?)\]", str(error.value))[-1])
    assert read(source, [low, high])[1]["a"].std() > 5


def test_of_a_network_s_range_each_image_that_it_misses_is_a_problem():
    dataset = Folder(intensity_range=[0, 4095])
    dataset.range_stated = False
    (problem,) = dataset.list_samples(folder(grey(8), grey(8), grey(256))).problems
    assert (problem.file, problem.sample, problem.fatal) == ("images/c.tif", "c", True)
    assert not Folder(intensity_range=[0, 4095]).list_samples(folder(grey(8), grey(8), grey(256))).problems


def test_8_and_16_bits_in_one_folder_are_refused_unless_one_scale_is_stated():
    source = folder(picture()[:, :, 0], grey(16))
    with pytest.raises(DataError, match=r"a\.tif.*b\.tif.*data\.intensity_range=\[0,4095\]"):
        Folder().list_samples(source)
    pixels, images = read(source, [0, 4095])
    assert pixels.stored == ("uint16", "uint8")
    assert images["a"].max() < 20 < images["b"].max()


def test_16_bit_files_of_8_bit_values_go_with_8_bits():
    pixels, images = read(folder(picture()[:, :, 0], grey()))
    assert (pixels.low, pixels.high) == (0, 255)
    np.testing.assert_array_equal(images["a"], images["b"])


def test_not_finite_values_are_refused_by_name():
    image = np.ones((24, 32), np.float32)
    image[3, 3] = np.nan
    source = folder(np.eye(24, 32, dtype=np.float32), image)
    dataset = Folder(intensity_range=[0, 1])
    samples = dataset.list_samples(source).samples
    with pytest.raises(DataError, match=r"b\.tif.*not finite"):
        dataset.read(source, samples[1])


def channels(count: int, seed: int = 0) -> bytes:
    planes = np.random.default_rng(seed).integers(0, 256, (24, 32, count), np.uint8)
    return tiff(planes, planarconfig="contig")


def test_images_of_other_channels_than_most_are_named():
    listing = Folder().list_samples(folder(channels(5), channels(5, 1), picture()))
    assert listing.pixels.channels == 5
    (problem,) = listing.problems
    assert (problem.file, problem.sample, problem.fatal) == ("images/c.tif", "c", True)
    assert "3 channels, where most images have 5" in problem.detail


def write(source: MemorySource, path) -> None:
    for name, data in source.files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def test_channels_must_be_those_of_the_files(tmp_path):
    write(folder(channels(4), channels(4, 1), channels(4, 2)), tmp_path / "data")
    arguments = {"image_size": 16, "data_dir": tmp_path, "source": tmp_path / "data"}
    with pytest.raises(ConfigError, match=r"data\.in_channels=3, .* 4 channels; give data\.in_channels=4"):
        prepare(Folder(), in_channels=3, **arguments)
    prepared = prepare(Folder(), in_channels=4, **arguments)
    assert prepared.images.shape == (3, 16, 16, 4)
    assert prepared.pixels == PixelFormat(channels=4)
    assert len(prepared.mean_std([0, 1, 2])[0]) == 4


def test_statistics_of_more_channels_than_opencv_takes(tmp_path):
    write(folder(channels(7), channels(7, 1), channels(7, 2)), tmp_path / "data")
    prepared = prepare(Folder(), in_channels=7, image_size=16, data_dir=tmp_path, source=tmp_path / "data")
    np.testing.assert_allclose(prepared.mean_std([0, 1, 2])[0], prepared.images.mean(axis=(0, 1, 2)) / 255)
    np.testing.assert_allclose(prepared.mean_std([0, 1, 2])[1], prepared.images.std(axis=(0, 1, 2)) / 255)


def test_images_of_too_many_channels_are_refused_with_the_limit():
    with pytest.raises(DataError, match=r"images/a\.tif has 65 channels; an image can have up to 64") as error:
        Folder().list_samples(folder(channels(65), channels(65, 1)))
    assert "\n" not in str(error.value)
    (problem,) = Folder().list_samples(folder(channels(64), channels(64, 1), channels(65))).problems
    assert problem.file == "images/c.tif"


def test_notes_are_in_the_table_of_problems(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    on_its_side = pillow(Image.fromarray(np.rot90(picture()).copy()), "PNG", exif=exif)
    opaque = encode(np.dstack([picture(1), np.full((24, 32), 255, np.uint8)]))
    clear = encode(np.dstack([picture(2), picture()[:, :, 0]]))
    write(folder(on_its_side, opaque, clear, picture(3)), tmp_path / "data")
    prepared = prepare(Folder(), image_size=(24, 32), data_dir=tmp_path, source=tmp_path / "data")
    np.testing.assert_array_equal(prepared.images[0], picture())
    assert prepared.fingerprint["problems"] == {"orientation tag applied": 1, "alpha left out": 1}
    assert prepared.fingerprint["opaque_alpha"] == 1
    noted = {each.kind: (each.sample, each.file) for each in read_problems(prepared.folder / "problems.csv")}
    assert noted == {"orientation tag applied": ("a", "images/a.tif"), "alpha left out": ("c", "images/c.tif")}


@pytest.mark.parametrize("tagged", [True, False])
def test_a_mask_that_fits_only_without_the_tag_is_refused(tmp_path, tagged):
    exif = Image.Exif()
    exif[274] = 6 if tagged else 1
    files = {"images/a.jpg": pillow(Image.fromarray(picture(height=40)), "JPEG", exif=exif)}
    labels = mask(height=40) if tagged else np.rot90(mask(height=40)).copy()
    write(MemorySource(files | {"masks/a.png": encode(labels)}), tmp_path / "data")
    with pytest.raises(DataError, match="size mismatch") as error:
        prepare(Folder(), image_size=16, data_dir=tmp_path, source=tmp_path / "data")
    message = str(error.value)
    assert "they would fit" in message
    assert ("orientation of images/a.jpg was applied" in message) == tagged


def test_the_range_is_part_of_what_is_prepared(tmp_path):
    write(folder(grey(8), grey(12), grey(16)), tmp_path / "data")
    arguments = {"image_size": 16, "data_dir": tmp_path, "source": tmp_path / "data"}
    ranges = (None, [0, 2000], "percentiles")
    made = [prepare(Folder(intensity_range=given), **arguments) for given in ranges]
    assert len({each.folder for each in made}) == 3
    assert [each.pixels.range for each in made[:2]] == ["[0,4095]", "[0,2000]"]
