"""TIFFs are compared with the arrays that they were written from."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from medseg.data.pixel_format import PixelFormat
from medseg.data.sources.decode import decode_image
from medseg.data.sources.decode_masks import decode_labels
from medseg.data.sources.problems import SampleError
from medseg.data.sources.stored import read_stored, stored_type
from tests.data.image_files import encode, mask, picture, pillow

TYPES = ["uint8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64", "int8"]


def values(dtype: str = "uint8", channels: int = 0, height: int = 37, width: int = 45) -> np.ndarray:
    """Values of a type, from its least to its greatest or about so, another ramp in each channel."""
    ramp = np.arange(height * width).reshape(height, width) / (height * width)
    planes = (
        np.stack([np.roll(ramp, 7 * channel, axis=1) for channel in range(channels)], axis=-1) if channels else ramp
    )
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return planes.astype(kind)
    low, high = max(np.iinfo(kind).min, -30_000), min(np.iinfo(kind).max, 60_000)
    return (low + planes * (high - low)).astype(kind)


def tiff(pixels: np.ndarray, *, planes: bool = False, **options: object) -> bytes:
    buffer = io.BytesIO()
    if planes:
        options |= {"planarconfig": "separate"}
        pixels = np.moveaxis(pixels, -1, 0).copy()
    elif pixels.ndim == 3 and "imagej" not in options and "ome" not in options:
        options |= {"planarconfig": "contig"}
    tifffile.imwrite(buffer, pixels, **{"metadata": None, "photometric": "minisblack"} | options)
    return buffer.getvalue()


def check(data: bytes, expected: np.ndarray) -> None:
    stored = read_stored(data, "a")
    np.testing.assert_array_equal(stored.values, expected, strict=True)
    assert stored.alpha is None
    assert stored_type(data, "a") == (expected.dtype, stored.channels)


def refused(data: bytes) -> str:
    with pytest.raises(SampleError) as error:
        read_stored(data, "some/file")
    assert (error.value.kind, error.value.file) == ("unreadable", "some/file")
    return error.value.detail


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("channels", [0, 3, 5])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_values_of_every_type_come_back(dtype, channels, compression):
    photometric = "rgb" if channels == 3 else "minisblack"
    check(tiff(values(dtype, channels), compression=compression, photometric=photometric), values(dtype, channels))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [2, 3, 4, 7])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_planes_come_back(dtype, channels, compression):
    photometric = "rgb" if channels == 3 else "minisblack"
    data = tiff(values(dtype, channels), planes=True, compression=compression, photometric=photometric)
    check(data, values(dtype, channels))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize(
    "options", [{"tile": (16, 32)}, {"bigtiff": True}, {"byteorder": ">"}, {"predictor": True}, {"rowsperstrip": 5}]
)
def test_layouts_come_back(dtype, channels, options):
    for compression in (None, "deflate"):
        if "predictor" in options and compression is None:
            continue
        photometric = "rgb" if channels else "minisblack"
        data = tiff(values(dtype, channels), compression=compression, photometric=photometric, **options)
        check(data, values(dtype, channels))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_where_0_is_white_it_is_turned_round(dtype):
    check(tiff(values(dtype), photometric="miniswhite"), np.iinfo(dtype).max - values(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_three_samples_tagged_as_grey_are_rgb(dtype):
    """All images of CVC-ClinicDB are so."""
    check(tiff(values(dtype, 3)), values(dtype, 3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize(("channels", "photometric"), [(4, "rgb"), (2, "minisblack")])
def test_alpha_is_told_from_a_channel(dtype, kind, channels, photometric):
    pixels = values(dtype, channels)
    stored = read_stored(tiff(pixels, photometric=photometric, extrasamples=[kind]), "a")
    np.testing.assert_array_equal(stored.alpha, pixels[:, :, -1])
    np.testing.assert_array_equal(stored.values, pixels[:, :, :3] if channels == 4 else pixels[:, :, 0])
    check(tiff(pixels, photometric=photometric, extrasamples=["unspecified"]), pixels)


@pytest.mark.parametrize("file", [False, True])
def test_a_palette_gives_its_colours(file):
    colours = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    indices = values()
    expected = (colours >> 8).astype(np.uint8).T[indices]
    options = {"photometric": "palette", "colormap": colours}
    if file:
        image = Image.fromarray(indices)
        image.putpalette((colours >> 8).astype(np.uint8).T.ravel().tolist())
        check(pillow(image, "TIFF", compression="tiff_lzw"), expected)
    else:
        check(tiff(indices, **options), expected)


@pytest.mark.parametrize("colours", [None, 100])
def test_a_palette_that_is_missing_or_too_short_is_a_damaged_file(colours):
    """`colours`: of the colour map; None: the file has no such tag."""
    data = bytearray(tiff(values(), photometric="palette", colormap=np.zeros((3, 256), np.uint16)))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.first.tags[320].offset
    if colours is None:
        data[at : at + 2] = (65000).to_bytes(2, "little")
    else:
        data[at + 4 : at + 8] = (3 * colours).to_bytes(4, "little")
    with pytest.raises(SampleError, match=r"a\.tif: unreadable \(a damaged"):
        read_stored(bytes(data), "a.tif")


def test_two_values_are_black_and_white():
    stored = values() > 127
    for data in (tiff(stored), pillow(Image.fromarray(stored), "TIFF", compression="group4")):
        np.testing.assert_array_equal(read_stored(data, "a").values, stored * np.uint8(255))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"])
def test_what_pillow_writes_comes_back(compression, mode):
    image = Image.fromarray(picture(height=64, width=80)).convert(mode)
    for predictor in (1, 2) if compression in ("tiff_lzw", "tiff_adobe_deflate") else (1,):
        data = pillow(image, "TIFF", compression=compression, tiffinfo={317: predictor})
        stored = read_stored(data, "a")
        np.testing.assert_array_equal(stored.values, np.asarray(image) if mode == "L" else np.asarray(image)[:, :, :3])
        assert (stored.alpha is not None) == (mode == "RGBA")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_inside_a_tiff_is_close(mode):
    image = Image.fromarray(picture(height=64, width=80)).convert(mode)
    stored = read_stored(pillow(image, "TIFF", compression="jpeg", quality=95), "a")
    assert np.abs(stored.values.astype(int) - np.asarray(image)).max() <= 16


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("compression", [1, 5, 8])
def test_what_opencv_writes_comes_back(dtype, channels, compression):
    check(encode(values(dtype, channels), ".tif", cv2.IMWRITE_TIFF_COMPRESSION, compression), values(dtype, channels))


def test_a_tag_inside_an_lzw_file_is_applied_once():
    for pixels in (values("uint8", 3), values("uint16", 3)):
        data = bytearray(encode(np.rot90(pixels).copy(), ".tif"))
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            assert page.compression == 5
            unused = page.tags[296].offset if 296 in page.tags else page.tags[339].offset
        # A tag that does not matter here becomes that of the orientation; the order of tags is not looked at.
        data[unused : unused + 12] = np.array([274, 3, 1, 0, 6, 0], "<u2").tobytes()
        np.testing.assert_array_equal(read_stored(bytes(data), "a").values, pixels)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}])
def test_channels_in_pages_that_say_so_are_channels(options):
    pixels = values("uint16", 5)
    data = tiff(np.moveaxis(pixels, -1, 0).copy(), metadata={"axes": "CYX"}, **options)
    check(data, pixels)


def test_a_channel_image_keeps_its_channels_and_its_scale():
    pixels = values("uint16", 5)
    image = decode_image(tiff(pixels), "a", PixelFormat(5, 0, 65535, ("uint16",)))
    np.testing.assert_array_equal(image, np.floor(pixels * 255.0 / 65535 + 0.5).astype(np.uint8))
    with pytest.raises(SampleError, match="5 channels where 3 are expected"):
        decode_image(tiff(pixels), "a", PixelFormat(3, 0, 65535, ("uint16",)))


def test_masks_go_the_same_way():
    labels = mask(high=1).astype(np.uint16) * 300
    for data in (tiff(labels, tile=(16, 16)), tiff(65535 - labels, photometric="miniswhite")):
        np.testing.assert_array_equal(decode_labels(data, "a"), labels)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda: tiff(values("uint8", 4), photometric="separated"), "a TIFF of CMYK"),
        (lambda: tiff(values("float32").astype("complex64")), "complex pixels"),
        (lambda: tiff(values("uint16"))[:-100], "truncated"),
        (lambda: tiff(values("uint16"), compression="deflate")[:2000], "truncated"),
        (lambda: b"II*\0" + bytes(200), "damaged or truncated"),
    ],
)
def test_what_cannot_be_read_right_is_refused_by_its_reason(data, reason):
    assert reason in refused(data())


def test_damaged_compressed_values_are_refused():
    data = bytearray(tiff(picture(height=100, width=120), photometric="rgb", compression="deflate"))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    assert "damaged or truncated" in refused(bytes(data))
