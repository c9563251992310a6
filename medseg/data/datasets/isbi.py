"""ISBI 2012 EM: one stack of 30 slices of a fly's nerve cord under the electron microscope."""

from __future__ import annotations

import re
import threading

import numpy as np

from medseg.data.datasets.base import OBJECTS, Dataset, Listing, Sample
from medseg.data.datasets.layout import black_and_white, check_size
from medseg.data.pixel_format import PixelFormat
from medseg.data.sources.decode import decode_pages
from medseg.data.sources.problems import SampleError
from medseg.data.sources.source import Archive, Source
from medseg.errors import DataError, count

_stacks: dict[tuple[str, str], list[np.ndarray]] = {}
_lock = threading.Lock()


class ISBI2012(Dataset):
    """ISBI 2012 EM, training stack: `train-volume.tif` and `train-labels.tif`, 30 pages of 512 x 512 each.

    The classes are membrane (0) and cell (1), as in the files (0 and 255) and in the U-Net paper, which segments the
    cells. Where the score of the membranes is wanted, it is that of class 0.

    Splits: `blocks` (slices 0-19, 20-23, 24-29; neighbouring slices are near-copies, so they are not drawn at random)
    and five folds of six neighbouring slices.
    """

    name = "isbi"
    title = "ISBI 2012 EM"
    archives = (Archive(file="isbi2012.zip", url=""),)
    images = "30"
    native_size = "512 x 512"
    classes = ("membrane", "cell")
    scores = OBJECTS
    licence = "non-commercial research"
    default_split = "blocks"
    citation = "Arganda-Carreras et al., Frontiers in Neuroanatomy 9, 2015; Cardona et al., PLoS Biology 8, 2010"

    def list_samples(self, source: Source) -> Listing:
        """List the slices; both stacks are decoded for it, once."""
        volume, labels = (_find(source, kind) for kind in ("volume", "labels"))
        slices = len(_stack(source, volume))
        if len(_stack(source, labels)) != slices:
            raise DataError(f"{self.title}: {volume} has {slices} slices, {labels} {len(_stack(source, labels))}")
        samples = [Sample(f"slice_{k:02d}", volume, (labels,)) for k in range(slices)]
        return Listing(samples, self.classes, pixels=PixelFormat(channels=1))

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Take one slice of both stacks."""
        (mask_file,) = sample.masks
        number = int(sample.id.removeprefix("slice_"))
        grey, labels = _stack(source, sample.image)[number], _stack(source, mask_file)[number]
        check_size(grey, labels, sample.image, mask_file)
        return np.repeat(grey[:, :, None], 3, axis=2), black_and_white(labels, mask_file)


def _find(source: Source, kind: str) -> str:
    pattern = re.compile(rf"(?:^|/)train-{kind}\.tiff?$", re.IGNORECASE)
    names = [name for name in source.names if pattern.search(name)]
    if len(names) != 1:
        raise DataError(
            f"{ISBI2012.title}: {count(len(names), 'file')} train-{kind}.tif in {source.location}, where 1 is expected"
        )
    return names[0]


def _stack(source: Source, file: str) -> list[np.ndarray]:
    """All slices of a file, decoded once in each process: image and labels together are 15 MiB."""
    key = (source.identity, file)
    with _lock:
        if key not in _stacks:
            while len(_stacks) > 1:
                _stacks.pop(next(iter(_stacks)))
            pages = decode_pages(source.read(file), file)
            if any(page.ndim != 2 or page.dtype != np.uint8 for page in pages):
                raise SampleError("unreadable", file, "pages of 8-bit grey are expected")
            _stacks[key] = pages
        return _stacks[key]
