"""Make image files and sources in memory."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from medseg.data.sources.source import Source
from medseg.errors import DataError


class MemorySource(Source):
    """Files held in memory; counts how often each one is read."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.names = sorted(files)
        self.identity = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        self.location = "memory"
        self.reads: list[str] = []

    def read(self, name: str) -> bytes:
        self.reads.append(name)
        if name not in self.files:
            raise DataError(f"{self.location}: no file '{name}'")
        return self.files[name]


def encode(pixels: np.ndarray, extension: str = ".png", *options: int) -> bytes:
    """Encode RGB or grey pixels with OpenCV."""
    stored = pixels[:, :, [2, 1, 0, *range(3, pixels.shape[2])]] if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(extension, stored, list(options))
    assert done
    return data.tobytes()


def pillow(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Encode with Pillow, for what OpenCV cannot write: palettes, orientation tags, several pages."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def grey_png(rows: list[bytes], width: int, bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits a pixel, from its packed rows."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def picture(seed: int = 0, height: int = 24, width: int = 32) -> np.ndarray:
    """A smooth RGB image."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def mask(height: int = 24, width: int = 32, low: int = 0, high: int = 255) -> np.ndarray:
    """A mask with a rectangle of value `high`."""
    labels = np.full((height, width), low, np.uint8)
    labels[height // 4 : height // 2, width // 4 : width // 2] = high
    return labels
