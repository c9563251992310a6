"""The folder of a prediction: what is in it, what is known to be finished, how it is written.

prediction.json       what made it: checkpoints, options, the folder of the images
*.png                 masks, in the sub-folders of the images: the class of each pixel, at the size of the image, as
                      indices, or 0 and 255
probabilities/<k>-<class>/*.png   where asked for: the probability of a class, 16 bits, 65535 for 1
overlays/*.png        where asked for: the image with the outlines of its mask
predictions.csv       a row for each image and foreground class, all that were ever predicted into this folder
unreadable.csv        the images that could not be read, and why
.finished.jsonl       a line for each finished image, written after its files: a restart goes by it
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from medseg import __version__
from medseg.data.sources.problems import SampleError
from medseg.errors import ConfigError, UserError
from medseg.system.files import read_csv, read_json, replacing, replacing_text, write_csv, write_json
from medseg.system.locks import held
from medseg.trained.predicting.inputs import Input
from medseg.trained.predicting.measures import Region
from medseg.trained.predicting.prediction import encode_png

MARKER = "prediction.json"
RESULTS = ("masks", "probabilities", "overlays")
"""Folders of results beside the marker; `masks` is that of versions before 0.2."""


@dataclass(frozen=True)
class Finished:
    """An image whose outputs are written.

    Attributes:
        image: its path below the folder of the images.
        stamp: size and time of change of its file, to know whether it is still the same.
        height, width: in pixels.
        files: its outputs, below the output folder; the mask is the first.
        regions: area, components and confidence of each foreground class.
    """

    image: str
    stamp: list[int]
    height: int
    width: int
    files: list[str]
    regions: list[Region]


def is_result(folder: Path) -> bool:
    """Tell whether a folder holds the results of a prediction."""
    return _is_output(folder) or (folder.name in RESULTS and _is_output(folder.parent))


def _is_output(folder: Path) -> bool:
    return _read_marker(folder) is not None


def _read_marker(folder: Path) -> dict[str, Any] | None:
    """Return what made the predictions of a folder; None where its file is missing or not of medseg."""
    try:
        content = read_json(folder / MARKER)
    except UserError:
        return None
    return content if "medseg" in content else None


def stamp(file: Path) -> list[int]:
    """Return size and time of change of a file; zeros where it cannot be asked."""
    try:
        status = file.stat()
    except OSError:
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


class OutputFolder:
    """The folder that a prediction is written to.

    Args:
        path: of the folder.
        class_names: the background first.
        full_range: write masks of 0 and 255 instead of class indices.
        probabilities: whether probabilities are written.
        overlays: whether overlays are written.
    """

    def __init__(
        self, path: Path, class_names: Sequence[str], *, full_range: bool, probabilities: bool, overlays: bool
    ) -> None:
        self.path = path
        self.class_names = tuple(class_names)
        self.full_range = full_range
        self.probabilities = probabilities
        self.overlays = overlays
        self.finished: dict[str, Finished] = {}
        self.table = path / "predictions.csv"
        self.unreadable = path / "unreadable.csv"
        self.journal = path / ".finished.jsonl"

    @contextmanager
    def opened(self, settings: dict[str, Any], images: Sequence[Input], *, force: bool) -> Iterator[None]:
        """Hold the folder for this process; at the end, however it comes, all finished images are in the table.

        Args:
            settings: plain values that decide on the outputs; a folder of the same ones is resumed.
            images: all that are to be predicted into it.
            force: begin anew and remove what was predicted before.

        Raises `UserError` where another process holds it, it holds outputs of other settings or files of others, or an
        output would replace an image or another output.
        """
        if not self.path.exists():
            self._check_files(images)  # so that no empty folder is left behind
        lock = self.path / ".lock"
        with held(lock, "is predicting into this folder"):
            try:
                self._check(settings, force=force)
                self._check_files(images)
                self.finished = self._read_journal()
                for image in list(self.finished) if force else ():
                    self.remove(image)
                self._write_journal()  # without a line that was cut short
                write_json(self.path / MARKER, {"medseg": __version__, **settings})
                try:
                    yield
                finally:
                    self._write_journal()
                    self._write_table()
            finally:
                lock.unlink(missing_ok=True)

    def _check(self, settings: dict[str, Any], *, force: bool) -> None:
        """Raise `ConfigError` for a folder with other content."""
        before = _read_marker(self.path)
        if before is None:
            names = {file.name for file in self.path.iterdir() if not file.name.startswith(".")}
            foreign = MARKER if MARKER in names else min(names, default=None)
            if foreign is not None:
                raise ConfigError(
                    f"{self.path} is not empty ({foreign}), and medseg predict has not written it; give output=FOLDER, "
                    "a new or empty one"
                )
            return
        wanted = json.loads(json.dumps(settings))
        other = [key for key, value in wanted.items() if before.get(key) != value]
        if other and not force:
            raise ConfigError(
                f"{self.path} holds predictions with another {', '.join(other)}; choose another output, or replace "
                "them with force=true"
            )

    def _check_files(self, images: Sequence[Input]) -> None:
        """Raise `ConfigError` where an output would replace an image or another output."""
        sources = {image.file.parent.resolve() / image.file.name: image.image for image in images}
        outputs: dict[Path, str] = {}
        here = self.path.resolve()
        for image in images:
            for name in self._files(image):
                other = sources.get(here / name, outputs.setdefault(here / name, image.image))
                if here / name in sources or other != image.image:
                    raise ConfigError(
                        f"{self.path / name} of {image.image} would replace {other} or its output; "
                        f"{'give another output' if here / name in sources else way_out(name, other)}"
                    )

    def _read_journal(self) -> dict[str, Finished]:
        """Read what is finished; a line that was cut short by a kill, or is damaged, does not count."""
        finished: dict[str, Finished] = {}
        lines = self.journal.read_bytes().splitlines() if self.journal.exists() else []
        for line in lines:
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                entry = json.loads(line.decode("utf-8"))
                regions = [Region(**region) for region in entry.pop("regions")]
                finished[entry["image"]] = Finished(**entry, regions=regions)
        return finished

    def _write_journal(self) -> None:
        with replacing_text(self.journal) as stream:
            stream.writelines(as_line(entry) for entry in self.finished.values())

    def remove(self, image: str) -> None:
        """Remove what was predicted of an image, if anything was."""
        entry = self.finished.pop(image, None)
        for name in entry.files if entry else ():
            (self.path / name).unlink(missing_ok=True)

    def has(self, image: Input) -> bool:
        """Tell whether all that is asked for of an image is there, and the image has not changed since."""
        entry = self.finished.get(image.image)
        return (
            entry is not None
            and set(self._files(image)) <= set(entry.files)
            and entry.stamp == stamp(image.file)
            and all((self.path / name).exists() for name in entry.files)
        )

    def _files(self, image: Input) -> list[str]:
        """Name the outputs of an image, the mask first."""
        files = [f"{image.name}.png"]
        if self.probabilities:
            files += [
                f"probabilities/{label}-{re.sub(r'[^0-9A-Za-z._-]+', '_', name)}/{image.name}.png"
                for label, name in enumerate(self.class_names[1:], start=1)
            ]
        if self.overlays:
            files.append(f"overlays/{image.name}.png")
        return files

    def write(
        self,
        image: Input,
        mask: np.ndarray,
        regions: list[Region],
        probabilities: Sequence[np.ndarray],
        overlay: np.ndarray | None,
        stamped: list[int],
    ) -> Finished:
        """Write the outputs of an image, and return what `finish` takes.

        Args:
            image: that was predicted.
            mask: H x W uint8, class indices.
            regions: of each foreground class.
            probabilities: of each foreground class, H x W uint16, where they are asked for.
            overlay: H x W x 3 uint8 RGB, where it is asked for.
            stamped: the stamp of the image when it was read.

        Raises `SampleError` where the file system does not take so long a name; then there is no output of the image.
        """
        pictures = [mask * np.uint8(255) if self.full_range else mask, *probabilities]
        if overlay is not None:
            pictures.append(cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
        files = self._files(image)
        try:
            for name, picture in zip(files, pictures, strict=True):
                with replacing(self.path / name) as partial:
                    partial.write_bytes(encode_png(picture))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            for written in files[: files.index(name)]:
                (self.path / written).unlink(missing_ok=True)
            raise SampleError("unreadable", str(image.file), "the file name of an output would be too long") from None
        return Finished(image.image, stamped, mask.shape[0], mask.shape[1], files, regions)

    def finish(self, entry: Finished) -> None:
        """Add an image whose outputs are written to the journal."""
        self.finished[entry.image] = entry
        with self.journal.open("a", encoding="utf-8") as stream:
            stream.write(as_line(entry))

    def _write_table(self) -> None:
        rows = [
            {
                "image": entry.image,
                "class": name,
                "height": entry.height,
                "width": entry.width,
                "area_pixels": region.area,
                "area_share": region.area / (entry.height * entry.width),
                "components": region.components,
                "mean_confidence": "" if region.confidence is None else round(region.confidence, 6),
                "mask": entry.files[0],
            }
            for _, entry in sorted(self.finished.items())
            for name, region in zip(self.class_names[1:], entry.regions, strict=True)
        ]
        if rows or read_csv(self.table):
            write_csv(self.table, rows)

    def write_unreadable(self, reasons: dict[str, str]) -> None:
        """Write the images that could not be read, with the reasons; nothing where there are none."""
        self.unreadable.unlink(missing_ok=True)
        if reasons:
            write_csv(self.unreadable, [{"image": image, "reason": reason} for image, reason in reasons.items()])


def way_out(name: str, other: str) -> str:
    """Say what to do where an output would replace that of another image.

    Args:
        name: of the output, below the output folder.
        other: the other image, below the folder of the images.
    """
    kind = name.partition("/")[0]
    folder = (name if kind in RESULTS[1:] else other).partition("/")[0]
    if folder in RESULTS[1:]:
        return f"rename the folder {folder} of the images, or leave out {folder}=true"
    return "rename one of the two images"


def as_line(entry: Finished) -> str:
    """Write an entry of the journal."""
    return json.dumps(asdict(entry)) + "\n"


def as_uint16(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities as uint16, 65535 for 1."""
    return np.rint(probabilities * np.float32(65535)).astype(np.uint16)
