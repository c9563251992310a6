"""A tiny dataset, its archives, and a web server for them."""

from __future__ import annotations

import io
import os
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from medseg.data.datasets.base import Dataset, Listing, Sample
from medseg.data.sources.problems import Problem, SampleError
from medseg.data.sources.source import Archive, Source


class Tiny(Dataset):
    """Images and masks as PNG; a mask pixel is a class. `MEDSEG_TEST_DELAY` makes each image take that many seconds."""

    name = "tiny"
    title = "Tiny set"
    archives = (Archive("tiny.zip", "http://127.0.0.1:9/tiny.zip"),)
    licence = "CC0"

    def __init__(self, class_names: tuple[str, ...] = ("background", "blob")) -> None:
        self.class_names = class_names

    @property
    def options(self) -> dict[str, object]:
        return {"class_names": self.class_names}

    def list_samples(self, source: Source) -> Listing:
        files = {tuple(name.removesuffix(".png").split("/")[-2:]): name for name in source.names}
        images = {id_: name for (kind, id_), name in files.items() if kind == "images"}
        masks = {id_: name for (kind, id_), name in files.items() if kind == "masks"}
        samples = [Sample(id_, images[id_], (masks[id_],), type=id_[0]) for id_ in sorted(images) if id_ in masks]
        problems = [Problem("missing mask", images[id_], "", id_) for id_ in sorted(images) if id_ not in masks]
        return Listing(samples, self.class_names, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(float(os.environ.get("MEDSEG_TEST_DELAY", "0")))
        image = cv2.imdecode(np.frombuffer(source.read(sample.image), np.uint8), cv2.IMREAD_COLOR_RGB)
        mask = cv2.imdecode(np.frombuffer(source.read(sample.masks[0]), np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise SampleError("unreadable", sample.image, "cut short")
        return image, mask

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        parts = ("train", "train", "val", "test")
        return {sample.id: parts[position % 4] for position, sample in enumerate(samples)}


def png(pixels: np.ndarray) -> bytes:
    stored = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", stored)[1].tobytes()


def picture(seed: int, height: int = 20, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def blob(height: int = 20, width: int = 24, label: int = 1) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 :] = label
    return mask


def tiny_files(count: int = 8, top: str = "Tiny/") -> dict[str, bytes]:
    files = {}
    for number in range(count):
        files[f"{top}images/a{number:02d}.png"] = png(picture(number))
        files[f"{top}masks/a{number:02d}.png"] = png(blob())
    return files


def zip_bytes(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(zip_bytes(files, method))
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Serve a folder on 127.0.0.1; yields its address with a '/' at the end."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
