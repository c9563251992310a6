"""From the bytes of an image file to pixels, RGB uint8; `decode_masks` is for masks.

OpenCV does the decoding; Pillow reads the header before it (size, palette, number of pages), which costs 0.02 to
0.04 ms a file, so that an oversized or unsuitable file is refused before its pixels are unpacked.

Choices that hold for every dataset:

* Orientation tags (EXIF) are ignored, for images and for masks: the pixels are taken as they are stored, so an image
  and its mask stay aligned whichever program wrote the tag. A TIFF is the exception, since its decoder always turns
  the picture: one with such a tag is refused.
* Alpha is dropped, not blended.
* 16-bit images are brought to 8 bits by the smallest 2^k - 1 that is not below the image's own maximum, so 12-bit data
  are not left dark.
* An animated GIF or WebP counts by its first frame; a TIFF with several pages of one size is refused.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from medseg.data.sources.problems import SampleError

# Damaged files are reported by name below; OpenCV's own lines about them would only repeat it without the name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_ORIENTATION = 274


def decode_image(data: bytes, file: str) -> np.ndarray:
    """Decode an image into H x W x 3 uint8 RGB; grey is repeated, alpha dropped, 16 bits scaled to 8.

    `file` names the file in errors. Raises `SampleError` of kind "unreadable" for a file that is damaged, truncated,
    larger than 178 million pixels (Pillow's limit against decompression bombs) or of another pixel type.
    """
    rgb = rgb_tagged_as_grey(data, file)
    if rgb is not None:
        return rgb
    read_header(data, file)
    if data[:3] == b"\xff\xd8\xff":  # a JPEG: the decoder itself writes RGB, and repeats grey
        return decode_pixels(data, file, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    pixels = _drop_alpha(decode_pixels(data, file))
    if pixels.dtype == np.uint16:
        pixels = scale_to_8_bits(pixels)
    if pixels.dtype != np.uint8:
        raise SampleError("unreadable", file, f"{pixels.dtype} pixels; save the image with 8 or 16 bits")
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2RGB)


def decode_pages(data: bytes, file: str) -> list[np.ndarray]:
    """Decode all pages of a multi-page TIFF, each H x W as stored. Raises `SampleError` of kind "unreadable"."""
    try:
        complete, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        complete, pages = False, ()
    if not complete or not pages:
        raise SampleError("unreadable", file, "not a readable multi-page image, or a truncated one")
    return list(pages)


def is_lossy(data: bytes) -> bool:
    """Tell whether a file is a JPEG or a lossy WebP, whose pixels are not exactly those that were saved."""
    return data[:3] == b"\xff\xd8\xff" or (data[:4] == b"RIFF" and data[8:12] == b"WEBP" and b"VP8 " in data[:1024])


def read_header(data: bytes, file: str) -> Image.Image | None:
    """Open the file without unpacking its pixels; None for a format that OpenCV may know and Pillow does not."""
    if not data:
        raise SampleError("unreadable", file, "the file is empty")
    is_tiff = data[:4] in _TIFF
    try:
        header = Image.open(io.BytesIO(data))
        if is_tiff:
            _refuse_unsuitable_tiff(header, file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise SampleError("unreadable", file, "more than 178 million pixels; cut it into tiles") from error
    except SampleError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds for a damaged header
        if is_tiff:  # OpenCV would read some of these as the wrong picture without a word
            raise SampleError("unreadable", file, "a damaged or non-standard TIFF; convert it to PNG") from error
        return None
    return header


def rgb_tagged_as_grey(data: bytes, file: str) -> np.ndarray | None:
    """RGB pixels, H x W x 3, of a TIFF whose tags call its three channels grey (MINISBLACK); None for any other file.

    All of CVC-ClinicDB is like that. Pillow does not open it, and OpenCV takes the red channel for the image.
    """
    if data[:4] not in _TIFF:
        return None
    import tifffile  # takes a tenth of a second, for one kind of file

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages.first
            tags = (page.photometric, page.samplesperpixel, page.bitspersample, page.planarconfig)
            if tags != (tifffile.PHOTOMETRIC.MINISBLACK, 3, 8, tifffile.PLANARCONFIG.CONTIG) or len(tiff.pages) > 1:
                return None
            if page.imagewidth * page.imagelength > 2 * (Image.MAX_IMAGE_PIXELS or 0):
                raise SampleError("unreadable", file, "more than 178 million pixels; cut it into tiles")
            return np.ascontiguousarray(page.asarray())
    except SampleError:
        raise
    except Exception:  # tifffile's readers raise many kinds; what is wrong with the file is named elsewhere
        return None


def _refuse_unsuitable_tiff(header: Image.Image, file: str) -> None:
    orientation = header.getexif().get(_TIFF_ORIENTATION, 1)
    if orientation != 1:
        raise SampleError("unreadable", file, f"a TIFF with orientation tag {orientation}; save it upright")
    pages, first = getattr(header, "n_frames", 1), header.size
    if pages > 1:
        header.seek(1)
        if header.size == first:  # pages of other sizes are previews and pyramid levels
            raise SampleError("unreadable", file, f"{pages} pages in one file; save one image a file")
        header.seek(0)


def decode_pixels(data: bytes, file: str, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """Pixels as stored, H x W or H x W x (3 or 4) in OpenCV's order of channels, unless `flags` say otherwise."""
    try:
        # IMREAD_UNCHANGED keeps the bit depth and, unlike the colour flags, leaves the orientation tag alone.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError(error.err) from None
        pixels = None
    if pixels is None:
        raise SampleError("unreadable", file, "damaged, truncated or not an image")
    return pixels


def _drop_alpha(pixels: np.ndarray) -> np.ndarray:
    return pixels[:, :, :3] if pixels.ndim == 3 and pixels.shape[2] == 4 else pixels


def scale_to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Bring 16-bit pixels to uint8, by the smallest 2^k - 1 that is not below their maximum, at least 255."""
    full = max(255, 2 ** int(pixels.max()).bit_length() - 1)
    return ((pixels.astype(np.uint32) * 255 + full // 2) // full).astype(np.uint8)
