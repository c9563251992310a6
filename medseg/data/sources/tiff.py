"""The pixels of a TIFF as they are stored: tifffile reads the tags, and the pixels where it has the decoder.

OpenCV reads some variants as another picture without a word: 16-bit RGB in planes, 16-bit files where 0 is white, three
samples tagged as grey, more samples than four. LZW, JPEG and other compressions that tifffile has no decoder for go
through Pillow (8 bits) and OpenCV (more), in the layouts that these read right; the others are refused.
"""

from __future__ import annotations

import io
import logging
from typing import Any

import cv2
import numpy as np
from PIL import Image

from medseg.data.sources.problems import SampleError

MAX_PIXELS = 178_956_970
"""Of one image: Pillow's limit, above which a file is taken for a decompression bomb."""

JPEG = 7
NO_DECODER = {2, 3, 4, 5, JPEG, 50000}
"""Compressions that tifffile has no decoder for: those of fax, LZW, JPEG, Zstandard."""
FLOAT_PREDICTOR = 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "transparency mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab"}

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it finds is reported by name here


def is_tiff(data: bytes) -> bool:
    """Tell a TIFF, or a BigTIFF, by its first bytes."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(data: bytes, file: str, *, pixels: bool = True) -> tuple[np.ndarray, np.ndarray | None, int, int]:
    """Return the values of a TIFF, H x W or H x W x C of any type, alpha, orientation and step.

    Alpha is H x W, or None. Grey where 0 is white is turned round, so that 0 is black; palettes become RGB; grey of 2
    and 4 bits is spread over 0..255 in steps of the last number. `pixels=False` leaves the values 0: their shape and
    type alone are wanted. Raises `SampleError` of kind "unreadable".
    """
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page: Any = tiff.pages.first
            series = _axes(tiff, page, file)
            colours = _check(page, data, file)
            values = _decode(page, data, series, file) if pixels else _blank(page, series)
            orientation = int(page.tags.valueof(274, default=1))
            extra = [int(each) for each in page.extrasamples]
            photometric, bits = int(page.photometric), int(page.bitspersample)
            if photometric == PALETTE and values.ndim == 2:
                if page.colormap is None:
                    raise _refused(file, "a damaged TIFF: its palette is missing")
                return (page.colormap.T[values] >> 8).astype(np.uint8), None, orientation, 1
    except SampleError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # tifffile raises many kinds for a damaged file
        raise _refused(file, "a damaged or truncated TIFF") from error
    step = 1
    if values.dtype == bool:
        values, bits = values.astype(np.uint8) * np.uint8(255), 8
    elif values.dtype == np.uint8 and bits in (2, 4):
        step = 255 // (2**bits - 1)
        values, bits = values * np.uint8(step), 8
    if photometric == WHITE_IS_ZERO and values.dtype.kind == "u":
        values = values.dtype.type(2**bits - 1) - values
    if values.ndim == 3 and colours is not None and extra[:1] in ([1], [2]) and values.shape[2] == colours + 1:
        alpha = values[:, :, -1]
        values = values[:, :, 0] if colours == 1 else values[:, :, :-1]
        return np.ascontiguousarray(values), np.ascontiguousarray(alpha), orientation, step
    return values, None, orientation, step


def _axes(tiff: Any, page: Any, file: str) -> str:
    """Return `page` or, where the pages are declared as the channels of one image, `series`."""
    others = [other for other in tiff.pages[1:] if other.shape == page.shape]  # others are previews
    if not others:
        return "page"
    axes = tiff.series[0].axes
    if (tiff.is_imagej or tiff.is_ome) and axes == "CYX":
        return "series"
    count = len(others) + 1
    raise _refused(file, f"{count} pages in one file; save one image a file, channels side by side as {count} samples")


def _check(page: Any, data: bytes, file: str) -> int | None:
    """Refuse what cannot be read right; return the number of samples that are colours, None where it is not known."""
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    name = COLOURS.get(photometric, f"photometric {photometric}")
    jpeg = int(page.compression) == JPEG
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE) and not (photometric == YCBCR and jpeg):
        raise _refused(file, f"a TIFF of {name}; save it as RGB or grey")
    if page.imagewidth * page.imagelength > MAX_PIXELS:
        raise _refused(file, "more than 178 million pixels; cut it into tiles")
    if page.imagedepth > 1:
        raise _refused(file, "a volume; save one image a file")
    if page.dtype is None or np.dtype(page.dtype).kind not in "buif":
        kind = "complex" if page.sampleformat in (5, 6) else f"{page.bitspersample}-bit"
        raise _refused(file, f"{kind} pixels; save the image with 8 or 16 bits")
    if len(page.dataoffsets) == 0 or min(page.databytecounts) == 0:
        raise _refused(file, "a truncated TIFF: it has no data for a part of the image")
    ends = np.asarray(page.dataoffsets, np.int64) + np.asarray(page.databytecounts, np.int64)
    if int(ends.max()) > len(data):
        raise _refused(file, "a truncated TIFF")
    if photometric in (RGB, YCBCR):
        return 3
    return samples - len(page.extrasamples) if page.extrasamples else None


def _decode(page: Any, data: bytes, series: str, file: str) -> np.ndarray:
    compression, samples = int(page.compression), int(page.samplesperpixel)
    if compression not in NO_DECODER and int(page.predictor) != FLOAT_PREDICTOR:
        try:
            if series == "series":
                return np.moveaxis(page.parent.series[0].asarray(), 0, -1).copy()
            values = page.asarray()
        except (ValueError, ImportError) as error:
            if "imagecodecs" in str(error) or isinstance(error, ImportError):
                raise _refused(file, _unknown(page)) from None
            raise
        if page.axes.startswith("S"):
            values = np.moveaxis(values, 0, -1)
        values = values.reshape(page.imagelength, page.imagewidth, samples)
        return np.ascontiguousarray(values[:, :, 0] if samples == 1 else values)
    values = _by_others(page, data) if series == "page" else None
    if values is None:
        raise _refused(file, _unknown(page))
    return values


def _by_others(page: Any, data: bytes) -> np.ndarray | None:
    """Decode LZW and the like by Pillow or OpenCV; None for a layout that these get wrong."""
    photometric, samples, bits = int(page.photometric), int(page.samplesperpixel), int(page.bitspersample)
    dtype = np.dtype(page.dtype)
    planes = int(page.planarconfig) == 2 and samples > 1
    usual = samples == 1 or (photometric in (RGB, YCBCR) and samples in (3, 4) and not planes)
    alpha = [int(each) for each in page.extrasamples]
    if dtype in (np.uint8, bool):
        if alpha not in ([], [1], [2]) or not (usual or (photometric == BLACK_IS_ZERO and samples == 2 and alpha)):
            return None
        # As stored: indices of a palette, alpha not multiplied; but grey whose 0 is white is turned round.
        decoded = np.asarray(Image.open(io.BytesIO(_without_orientation(page, data))))
        decoded = ~decoded if photometric == WHITE_IS_ZERO else decoded
        return decoded // np.uint8(255 // (2**bits - 1)) if bits in (2, 4) and photometric != PALETTE else decoded
    if not usual or int(page.compression) == JPEG:
        return None
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    values: np.ndarray | None = cv2.imdecode(np.frombuffer(_without_orientation(page, data), np.uint8), flags)
    if values is None or values.dtype != dtype:
        return None
    return values if values.ndim == 2 else values[:, :, [2, 1, 0, 3][: values.shape[2]]]


def _without_orientation(page: Any, data: bytes) -> bytes:
    """The file with orientation 1, since OpenCV and Pillow turn a TIFF unasked."""
    tag = page.tags.get(274)
    if tag is None or tag.value == 1:
        return data
    changed = bytearray(data)
    changed[tag.valueoffset : tag.valueoffset + 2] = (1).to_bytes(2, "little" if data[:2] == b"II" else "big")
    return bytes(changed)


def _blank(page: Any, series: str) -> np.ndarray:
    """An array of the shape and type of the values, which takes no memory."""
    samples = int(page.samplesperpixel) if series == "page" else page.parent.series[0].shape[0]
    shape = (page.imagelength, page.imagewidth, samples)
    return np.broadcast_to(np.zeros((), page.dtype), shape[:2] if samples == 1 else shape)


def _unknown(page: Any) -> str:
    name = getattr(page.compression, "name", str(page.compression))
    samples = f"{page.samplesperpixel} x {page.dtype}"
    return f"a TIFF with {name} compression of {samples} in this layout; save it uncompressed or with deflate"


def _refused(file: str, detail: str) -> SampleError:
    return SampleError("unreadable", file, detail)
