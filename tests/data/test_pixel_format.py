from __future__ import annotations

import numpy as np
import pytest

from medseg.data.pixel_format import EIGHT_BITS, PixelFormat, fits, like, nominal_high, outward


def test_8_bits_are_taken_as_they_are():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert EIGHT_BITS.scale(values) is values
    assert EIGHT_BITS.plain
    assert not EIGHT_BITS.misses(values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
def test_a_range_becomes_0_to_255_for_every_type(dtype):
    values = np.array([[0, 10, 60, 110, 120]], dtype)
    pixels = PixelFormat(1, 10, 110, (dtype,))
    np.testing.assert_array_equal(pixels.scale(values), np.array([[0, 0, 128, 255, 255]], np.uint8), strict=True)
    assert not pixels.misses(values)
    assert PixelFormat(1, 0, 59, (dtype,)).misses(values)


def test_negative_values_have_a_range_too():
    pixels = PixelFormat(1, -1000, 1000, ("int16",))
    np.testing.assert_array_equal(pixels.scale(np.array([[-1000, 0, 1000, 3000]], np.int16)), [[0, 128, 255, 255]])


@pytest.mark.parametrize(
    ("greatest", "high"), [(0, 255), (255, 255), (256, 511), (1023, 1023), (2048, 4095), (4096, 8191), (65535, 65535)]
)
def test_nominal_range(greatest, high):
    assert nominal_high(greatest) == high


def test_a_window_that_leaves_out_the_air_of_a_slice_does_not_miss_it():
    window = PixelFormat(1, -160, 240, ("int16",))
    assert not window.misses(np.array([-1024] * 9 + [40], np.int16))
    assert window.misses(np.array([-1024] * 99 + [40], np.int16))
    assert window.misses(np.array([40] * 4 + [2000] * 5, np.int16))


@pytest.mark.parametrize(
    ("dtype", "low", "high", "expected"),
    [
        ("uint16", 7, 3000, "[0,4095]"), ("float32", 0.2, 0.7, "[0,1]"), ("float32", -0.5, 0.7, "[-0.5,0.7]"),
        ("int16", -1024, 3071, "[-1024,3071]"),
    ],
)  # fmt: skip
def test_a_range_is_written_for_the_values_that_there_are(dtype, low, high, expected):
    assert like(np.dtype(dtype), low, high) == expected


def test_types_on_one_scale():
    deep = PixelFormat(1, 0, 4095, ("uint16",))
    assert deep.takes(np.dtype("int32"))
    assert not deep.takes(np.dtype("uint8"))
    assert not deep.takes(np.dtype("float32"))
    assert not EIGHT_BITS.takes(np.dtype("uint16"))
    assert PixelFormat(1, 0, 4095, ("uint16", "uint8")).takes(np.dtype("uint8"))


def test_grey_and_rgb_fit_each_other_and_nothing_else():
    assert fits(1, 3)
    assert fits(3, 1)
    assert fits(5, 5)
    assert not fits(4, 3)
    assert not fits(1, 2)


def test_plain_values_and_back():
    pixels = PixelFormat(5, -0.5, 1.25, ("float32", "uint8"))
    assert PixelFormat.from_dict(pixels.to_dict()) == pixels


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 0}, {"channels": 2.0}, {"channels": True}, {"low": 255}, {"high": float("nan")}, {"low": "0"},
        {"stored": []}, {"stored": ["complex64"]}, {"stored": ["nothing"]}, {"stored": None}, {"stored": [7.5]},
    ],
)  # fmt: skip
def test_other_values_are_refused(change):
    with pytest.raises(ValueError):  # noqa: PT011, the words are those of a checkpoint's error
        PixelFormat.from_dict(EIGHT_BITS.to_dict() | change)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, (0, 1)), (0.00312, 0.99871, (0.0031, 0.9988)), (-1024, 3071, (-1024, 3071)), (5, 5, (5, 6))],
)
def test_a_range_is_rounded_outwards(low, high, expected):
    assert outward(low, high) == expected
