from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from medseg.data.pixel_format import PixelFormat
from medseg.data.sources.decode import decode_image, decode_pages, is_lossy
from medseg.data.sources.decode_masks import decode_labels, decode_values
from medseg.data.sources.problems import SampleError, collected_notes
from tests.data.image_files import encode, grey_png, mask, picture, pillow

LOSSLESS = [".png", ".bmp", ".tif", ".webp", ".ppm"]


def refused(decode, data: bytes, kind: str = "unreadable") -> str:
    with pytest.raises(SampleError) as error:
        decode(data, "some/file")
    assert (error.value.kind, error.value.file) == (kind, "some/file")
    return error.value.detail


@pytest.mark.parametrize("extension", LOSSLESS)
def test_image_comes_back_as_rgb(extension):
    options = (cv2.IMWRITE_WEBP_QUALITY, 101) if extension == ".webp" else ()
    image = decode_image(encode(picture(), extension, *options), "a")
    np.testing.assert_array_equal(image, picture())
    assert image.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_is_close_to_what_was_stored(options):
    image = decode_image(pillow(Image.fromarray(picture()), "JPEG", quality=95, subsampling=0, **options), "a")
    assert np.abs(image.astype(int) - picture()).max() < 12


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_of_every_kind_comes_as_if_decoded_unchanged(mode):
    data = pillow(Image.fromarray(picture()).convert(mode), "JPEG", quality=80)
    unchanged = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    conversion = cv2.COLOR_GRAY2RGB if unchanged.ndim == 2 else cv2.COLOR_BGR2RGB
    np.testing.assert_array_equal(decode_image(data, "a"), cv2.cvtColor(unchanged, conversion), strict=True)


def test_grey_is_repeated():
    grey = picture()[:, :, 0]
    np.testing.assert_array_equal(decode_image(encode(grey), "a"), np.dstack([grey] * 3))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_dropped_and_not_blended(mode):
    opaque = Image.fromarray(picture()).convert(mode[:-1])
    see_through = opaque.copy()
    see_through.putalpha(Image.fromarray(picture(seed=1)[:, :, 0]))
    assert see_through.mode == mode
    np.testing.assert_array_equal(decode_image(pillow(see_through, "PNG"), "a"), np.array(opaque.convert("RGB")))


def test_palette_image_gives_its_colours():
    image = Image.fromarray(picture()).quantize(16)
    np.testing.assert_array_equal(decode_image(pillow(image, "PNG"), "a"), np.array(image.convert("RGB")))


@pytest.mark.parametrize("brightest", [65535, 4095, 2048, 90])
@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_16_bits_are_scaled_by_the_range_of_the_dataset(brightest, extension):
    stored = np.linspace(0, brightest, 24 * 32).round().astype(np.uint16).reshape(24, 32)
    pixels = PixelFormat(1, 0, 4095, ("uint16",))
    image = decode_image(encode(stored, extension), "a", pixels)[:, :, 0]
    np.testing.assert_array_equal(image, np.floor(np.minimum(stored, 4095) / 4095 * 255 + 0.5))


def test_other_depths_than_the_dataset_has_are_refused():
    deep, flat = encode(np.full((4, 5), 300, np.uint16)), encode(np.zeros((4, 5), np.uint8))
    assert "uint16 pixels where uint8 is expected" in refused(decode_image, deep)
    with pytest.raises(SampleError, match="uint8 pixels where uint16 is expected"):
        decode_image(flat, "a", PixelFormat(1, 0, 4095, ("uint16",)))


def test_16_bit_alpha_is_left_out_as_well():
    stored = np.dstack([picture().astype(np.uint16) * 16, np.full((24, 32), 65535, np.uint16)])
    with collected_notes() as notes:
        image = decode_image(encode(stored), "a", PixelFormat(3, 0, 255 * 16, ("uint16",)))
    np.testing.assert_array_equal(image, picture())
    assert [note.kind for note in notes] == ["opaque alpha left out"]


def test_alpha_that_varies_is_noted_with_its_file():
    with collected_notes() as notes:
        decode_image(encode(np.dstack([picture(), picture()[:, :, 0]])), "some/file")
    (only,) = notes
    assert (only.kind, only.file, only.fatal) == ("alpha left out", "some/file", False)


def test_one_transparent_level_of_grey_is_alpha():
    grey = picture()[:, :, 0]
    with collected_notes() as notes:
        image = decode_image(pillow(Image.fromarray(grey), "PNG", transparency=int(grey[3, 3])), "a")
    np.testing.assert_array_equal(image, np.dstack([grey] * 3))
    assert [note.kind for note in notes] == ["alpha left out"]


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that a viewer turns back into `pixels`, by EXIF's table of the positions of row 0 and column 0."""
    return {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }[orientation](pixels).copy()


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_tag_is_applied_to_images_and_masks_alike(file_format, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"exif": exif} | ({"lossless": True} if file_format == "WEBP" else {})
    shape = mask()
    shape[0, :7] = 255
    with collected_notes() as notes:
        data = pillow(Image.fromarray(turned(picture(), orientation)), file_format, **options)
        np.testing.assert_array_equal(decode_image(data, "a"), picture())
        data = pillow(Image.fromarray(turned(shape, orientation)), file_format, **options)
        np.testing.assert_array_equal(decode_labels(data, "b") > 127, shape > 127)
    kinds = [(note.kind, note.file) for note in notes]
    assert kinds == [("orientation tag applied", file) for file in "ab" if orientation > 1]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_jpeg_is_turned_as_pillow_turns_it(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = pillow(Image.fromarray(picture()), "JPEG", exif=exif, quality=95)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode_image(data, "a"), shown)


def test_a_palette_mask_is_turned_too():
    exif = Image.Exif()
    exif[274] = 6
    labels = mask(high=1)
    image = Image.fromarray(np.rot90(labels).copy())
    image.putpalette([0, 0, 0, 255, 0, 0])
    for file_format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decode_values(pillow(image, file_format, exif=exif), "a") > 0, labels)


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("extension", [*LOSSLESS, ".jpg", ".gif", ".jp2"])
def test_truncated_file_is_unreadable(extension, kept):
    data = encode(picture(height=100, width=120), extension)
    refused(decode_image, data[: int(len(data) * kept)])
    refused(decode_labels, data[: int(len(data) * kept)])


def test_jpeg_without_its_end_is_unreadable_also_when_padded():
    data = encode(picture(height=100, width=120), ".jpg")
    refused(decode_image, data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    progressive = encode(picture(height=100, width=120), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    refused(decode_image, progressive[: int(len(progressive) * 0.9)])


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"no picture at all " * 20, b"\xff\xd8\xff"])
def test_what_is_no_image_is_unreadable(data):
    refused(decode_image, data)
    refused(decode_labels, data)


def test_damaged_png_is_unreadable():
    data = bytearray(encode(picture(height=100, width=120)))
    data[len(data) // 2] ^= 0xFF
    refused(decode_image, bytes(data))


def test_bomb_is_refused_before_its_pixels_are_unpacked():
    bomb = grey_png([bytes(2500)] * 3, width=20_000, bits=1)
    bomb = bomb[:20] + struct.pack(">I", 20_000) + bomb[24:]  # says 20 000 rows; the checksum is not looked at so early
    bomb = bomb[:29] + struct.pack(">I", zlib.crc32(bomb[12:29])) + bomb[33:]
    assert "pixels" in refused(decode_image, bomb)


def test_float_pixels_are_refused_without_a_range():
    data = encode(np.random.default_rng(0).random((5, 6), dtype=np.float32), ".tif")
    assert "float32" in refused(decode_image, data)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused(file_format):
    first, *others = [Image.fromarray(np.roll(picture(), k, 0)) for k in range(3)]
    data = pillow(first, file_format, save_all=True, append_images=others)
    assert "3 pictures" in refused(decode_image, data)


@pytest.mark.parametrize("levels", [2, 4, 16])
def test_grey_png_of_few_bits_is_spread_over_0_to_255(levels):
    bits = levels.bit_length() - 1
    stored = np.arange(32 * 24).reshape(24, 32) % levels
    rows = [int("".join(format(v, f"0{bits}b") for v in row), 2).to_bytes(32 * bits // 8, "big") for row in stored]
    image = decode_image(grey_png(rows, 32, bits), "a")
    np.testing.assert_array_equal(image[:, :, 0], stored * (255 // (levels - 1)))


@pytest.mark.parametrize("brightest", [1023, 4095, 65535])
def test_netpbm_of_16_bits_has_its_values(brightest):
    stored = np.arange(24 * 32).reshape(24, 32) * brightest // 800
    data = f"P5\n32 24\n{brightest}\n".encode() + stored.astype(">u2").tobytes()
    image = decode_image(data, "a", PixelFormat(1, 0, 65535, ("uint16",)))[:, :, 0]
    np.testing.assert_array_equal(image, np.floor(stored * 255 / 65535 + 0.5))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_jpeg_2000_has_its_values(dtype, channels):
    stored = picture(height=128, width=160)[:, :, :channels].astype(dtype) * dtype(1 if dtype == np.uint8 else 257)
    data = encode(stored if channels == 3 else stored[:, :, 0], ".jp2", cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)
    pixels = PixelFormat(channels, 0, np.iinfo(dtype).max, (np.dtype(dtype).name,))
    image = decode_image(data, "a", pixels).astype(int)
    assert np.abs(image - picture(height=128, width=160)[:, :, :channels]).max() <= 1


def test_several_pages_are_refused_and_previews_are_not():
    page, small = Image.fromarray(picture()), Image.fromarray(picture()[::2, ::2].copy())
    assert "3 pages" in refused(decode_image, pillow(page, "TIFF", save_all=True, append_images=[page, page]))
    pyramid = pillow(page, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(decode_image(pyramid, "a"), picture())


def test_lossy_files_are_told_from_lossless_ones():
    image = Image.fromarray(picture())
    assert is_lossy(pillow(image, "JPEG"))
    assert is_lossy(pillow(image, "WEBP", quality=80))
    assert not is_lossy(pillow(image, "WEBP", lossless=True))
    assert not is_lossy(pillow(image, "PNG"))


def test_pages_come_back_in_order():
    pages = [mask(high=value) for value in (3, 9, 27)]
    first, *others = [Image.fromarray(page) for page in pages]
    data = pillow(first, "TIFF", save_all=True, append_images=others)
    np.testing.assert_array_equal(decode_pages(data, "a"), pages)
    refused(decode_pages, data[: len(data) // 2])
    refused(decode_pages, b"")
