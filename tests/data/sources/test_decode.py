from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from medseg.data.sources.decode import decode_image, decode_pages, is_lossy
from medseg.data.sources.decode_masks import decode_labels
from medseg.data.sources.problems import SampleError
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


@pytest.mark.parametrize(
    ("brightest", "full"), [(65535, 65535), (4095, 4095), (2048, 4095), (1023, 1023), (256, 511), (255, 255), (90, 255)]
)
@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_16_bits_are_scaled_by_the_depth_that_is_used(brightest, full, extension):
    stored = np.linspace(0, brightest, 24 * 32).round().astype(np.uint16).reshape(24, 32)
    image = decode_image(encode(stored, extension), "a")[:, :, 0]
    np.testing.assert_array_equal(image, np.floor(stored / full * 255 + 0.5))


def test_16_bit_colours_ignore_a_bright_alpha():
    stored = np.dstack([picture().astype(np.uint16) * 4, np.full((24, 32), 65535, np.uint16)])
    assert abs(int(decode_image(encode(stored), "a").max()) - int(picture().max())) <= 1


def test_black_16_bit_image_stays_black():
    assert not decode_image(encode(np.zeros((4, 5), np.uint16)), "a").any()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_tag_is_ignored_for_images_and_masks_alike(file_format, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    assert decode_image(pillow(Image.fromarray(picture()), file_format, exif=exif), "a").shape == (24, 32, 3)
    labels = decode_labels(pillow(Image.fromarray(mask()), file_format, exif=exif), "a")
    np.testing.assert_array_equal(labels > 127, mask() > 127)


def test_tiff_with_orientation_tag_is_refused():
    exif = Image.Exif()
    exif[274] = 6
    assert "orientation" in refused(decode_image, pillow(Image.fromarray(picture()), "TIFF", exif=exif))


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


def test_float_pixels_are_refused():
    data = encode(np.random.default_rng(0).random((5, 6), dtype=np.float32), ".tif")
    assert "float32" in refused(decode_image, data)


def test_several_pages_are_refused_and_previews_are_not():
    page, small = Image.fromarray(picture()), Image.fromarray(picture()[::2, ::2].copy())
    assert "3 pages" in refused(decode_image, pillow(page, "TIFF", save_all=True, append_images=[page, page]))
    pyramid = pillow(page, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(decode_image(pyramid, "a"), picture())


def test_tiff_whose_tags_contradict_its_pixels_is_refused():
    data = pillow(Image.fromarray(picture()), "TIFF")
    tag = struct.pack("<HHI", 262, 3, 1)
    at = data.index(tag) + len(tag)
    assert "convert it to PNG" in refused(decode_image, data[:at] + b"\x03" + data[at + 1 :])


def test_a_tiff_of_three_channels_that_is_tagged_as_grey_is_rgb():
    # As all of CVC-ClinicDB is. OpenCV takes the red channel for the image, in silence; Pillow does not open it.
    data = pillow(Image.fromarray(picture()), "TIFF")
    tag = struct.pack("<HHI", 262, 3, 1)
    at = data.index(tag) + len(tag)
    tagged = data[:at] + b"\x01" + data[at + 1 :]
    np.testing.assert_array_equal(decode_image(tagged, "a"), picture())
    assert "convert it to PNG" in refused(decode_image, tagged[: len(tagged) // 2])


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
