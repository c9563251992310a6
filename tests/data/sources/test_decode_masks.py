from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from medseg.data.sources.decode_masks import COLOUR, colour_value, decode_labels, decode_values, value_name
from tests.data.image_files import encode, grey_png, mask, pillow
from tests.data.sources.test_decode import LOSSLESS, refused

RED = COLOUR + 0xFF0000


def coloured(labels: np.ndarray, *colours: tuple[int, int, int]) -> np.ndarray:
    """A mask in which each label has a colour, RGB."""
    return np.array(colours, np.uint8)[labels]


@pytest.mark.parametrize("extension", LOSSLESS)
def test_labels_keep_their_values(extension):
    labels = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
    options = (cv2.IMWRITE_WEBP_QUALITY, 101) if extension == ".webp" else ()
    decoded = decode_labels(encode(labels, ".pgm" if extension == ".ppm" else extension, *options), "a")
    np.testing.assert_array_equal(decoded, labels)


def test_16_bit_labels_are_not_scaled():
    labels = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 80
    for extension in (".png", ".tif"):
        np.testing.assert_array_equal(decode_labels(encode(labels, extension), "a"), labels)


@pytest.mark.parametrize(("bits", "row", "expected"), [(2, 0b00011011, [0, 1, 2, 3]), (4, 0x2F, [2, 15])])
def test_2_and_4_bit_labels_keep_their_values(bits, row, expected):
    np.testing.assert_array_equal(decode_labels(grey_png([bytes([row])] * 2, len(expected), bits), "a"), [expected] * 2)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_1_bit_labels_read_as_0_and_255(file_format):
    data = pillow(Image.fromarray(mask() > 0), file_format)
    np.testing.assert_array_equal(decode_labels(data, "a"), mask())


def test_palette_in_greys_gives_the_greys():
    image = Image.fromarray(1 - mask(high=1))  # index 1 is background: programs that shrink a file order it so
    image.putpalette([255, 255, 255, 0, 0, 0])
    data = pillow(image, "PNG")
    assert Image.open(io.BytesIO(data)).mode == "P"
    np.testing.assert_array_equal(decode_labels(data, "a"), mask())


def test_labels_in_equal_channels_count_as_grey():
    labels = mask(high=3)
    np.testing.assert_array_equal(decode_labels(encode(np.dstack([labels] * 3)), "a"), labels)
    opaque = np.dstack([labels] * 3 + [np.full_like(labels, 255)])
    np.testing.assert_array_equal(decode_labels(encode(opaque), "a"), labels)


def test_colour_jpeg_of_a_grey_mask_is_grey():
    data = pillow(Image.fromarray(np.dstack([mask()] * 3)), "JPEG", quality=80)
    np.testing.assert_array_equal(decode_labels(data, "a") > 127, mask() > 127)


@pytest.mark.parametrize("values", [(0, 7), (0, 70_000), (-3, 5)])
def test_32_bit_values_are_taken(values):
    stored = np.where(mask() > 0, *reversed(values)).astype(np.int32)
    np.testing.assert_array_equal(decode_values(pillow(Image.fromarray(stored), "TIFF"), "a"), stored)


@pytest.mark.parametrize(("low", "high"), [(-3, 5), (0, 70_000)])
def test_grey_values_of_a_dataset_are_of_16_bits(low, high):
    stored = np.where(mask() > 0, high, low).astype(np.int32)
    assert str(low) in refused(decode_labels, pillow(Image.fromarray(stored), "TIFF"), "unexpected label")


def test_float_values_are_whole_numbers():
    stored = mask(high=3).astype(np.float32)
    np.testing.assert_array_equal(decode_values(encode(stored, ".tif"), "a"), mask(high=3))
    stored[0, 0] = 0.25
    assert "value 0.25" in refused(decode_values, encode(stored, ".tif"), "unexpected label")
    stored[0, 0] = np.nan
    assert "not finite" in refused(decode_values, encode(stored, ".tif"))


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".ppm"])
def test_colours_are_values(extension):
    values = decode_values(encode(coloured(mask(high=1), (9, 9, 9), (255, 0, 0)), extension), "a")
    np.testing.assert_array_equal(values, np.where(mask() > 0, RED, 9))


def test_colours_are_written_as_people_do():
    assert (value_name(RED), value_name(37)) == ("#ff0000", "37")
    assert (colour_value("#ff0000"), colour_value("#252525")) == (RED, 37)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_a_palette_counts_by_its_colours(file_format):
    labels = mask(high=2)
    labels[0, 0] = 1  # a GIF keeps no colour that is not used
    colours = [(0, 0, 0), (0, 0, 255), (255, 0, 0)]
    expected = np.array([0, COLOUR + 255, RED])[labels]
    for order in ([0, 1, 2], [2, 0, 1]):
        image = Image.fromarray(np.argsort(order).astype(np.uint8)[labels])
        image.putpalette([part for index in order for part in colours[index]])
        np.testing.assert_array_equal(decode_values(pillow(image, file_format), "a"), expected)


def test_a_palette_with_transparency_counts_by_its_colours():
    image = Image.fromarray(mask(high=1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    data = pillow(image, "PNG", transparency=bytes([0, 255]))
    np.testing.assert_array_equal(decode_values(data, "a"), np.where(mask() > 0, RED, 0))
    image.putpalette([0, 0, 0, 0, 0, 0])
    assert "alpha channel alone" in refused(
        decode_values, pillow(image, "PNG", transparency=bytes([0, 255])), "unexpected label"
    )


def test_colours_are_refused_where_grey_is_expected():
    data = encode(coloured(mask(high=1), (0, 0, 0), (255, 0, 0)))
    assert "#ff0000" in refused(decode_labels, data, "unexpected label")


@pytest.mark.parametrize("alpha", [255, 128])
def test_the_same_alpha_everywhere_is_dropped(alpha):
    colours = coloured(mask(high=1), (0, 0, 0), (255, 0, 0))
    rgba = np.dstack([colours, np.full((24, 32), alpha, np.uint8)])
    np.testing.assert_array_equal(decode_values(encode(rgba), "a"), np.where(mask() > 0, RED, 0))


def test_a_mask_in_its_alpha_channel_is_refused():
    white = np.full((24, 32), 255, np.uint8)
    drawn = encode(np.dstack([white, white, white, mask()]))
    assert "alpha channel alone" in refused(decode_values, drawn, "unexpected label")
    # With the shape in the colours too there is no doubt.
    np.testing.assert_array_equal(decode_labels(encode(np.dstack([mask()] * 4)), "a"), mask())
    # Soft edges in alpha alone: no value of the colours tells where the object ends.
    soft = cv2.GaussianBlur(mask(), (0, 0), 2)
    colours = coloured((soft > 0).astype(np.uint8), (0, 0, 0), (255, 0, 0))
    assert "alpha differs within one colour" in refused(
        decode_values, encode(np.dstack([colours, soft])), "unexpected label"
    )


def test_grey_with_alpha_is_grey():
    image = Image.fromarray(np.dstack([mask(), np.full((24, 32), 255, np.uint8)]))
    assert image.mode == "LA"
    np.testing.assert_array_equal(decode_values(pillow(image, "PNG"), "a"), mask())


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_black_and_white_jpeg_of_every_kind_is_grey(mode):
    data = pillow(Image.fromarray(mask()).convert(mode), "JPEG", quality=90)
    np.testing.assert_array_equal(decode_values(data, "a") > 127, mask() > 127)


def test_colours_in_a_jpeg_are_refused():
    image = Image.fromarray(coloured(mask(high=1), (0, 0, 0), (255, 0, 0)))
    assert "colours in a JPEG" in refused(decode_values, pillow(image, "JPEG"), "unexpected label")


def test_a_tiff_of_16_bits_whose_0_is_white_is_turned_round():
    data = bytearray(encode(mask().astype(np.uint16) * 257, ".tif"))
    tag = b"\x06\x01\x03\x00\x01\x00\x00\x00"  # photometric interpretation, one short
    at = bytes(data).index(tag) + len(tag)
    data[at] = 0
    np.testing.assert_array_equal(decode_values(bytes(data), "a"), 65535 - mask().astype(np.uint16) * 257)
