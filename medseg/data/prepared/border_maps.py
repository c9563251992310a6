"""The maps from which border weights are made, computed once and stored beside the prepared images.

A folder `border-<key>/` inside that of the prepared data holds two more arrays and another fingerprint. Images
and masks stay what and where they are, whether border weights are asked for or not; another sigma makes another such
folder and nothing else anew, and another w0 nothing at all, since weights are put together when they are loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from medseg.data.datasets.base import Dataset
from medseg.data.labels import IGNORE_INDEX
from medseg.data.prepared.arrays import ArrayFile
from medseg.data.prepared.border_weights import balance, closeness, separate
from medseg.data.prepared.build import count_classes
from medseg.data.prepared.dataset import PreparedDataset, is_complete, read_fingerprint, write_fingerprint
from medseg.data.prepared.fingerprint import sha256_file
from medseg.data.prepared.resize import resize_mask
from medseg.data.prepared.staging import build_once, writing
from medseg.data.prepared.threads import in_threads, thread_count
from medseg.data.sources.finding import open_source
from medseg.data.sources.source import Source
from medseg.errors import ConfigError, DataError

log = logging.getLogger(__name__)

BORDER_VERSION = 1
"""Raised when the same instances and options give other arrays than before."""

ARRAYS = ("masks.npy", "closeness.npy")


class BorderMaps:
    """A folder of border maps, opened read-only; pickles as its path.

    Raises `DataError` for a folder that is not complete.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.fingerprint = read_fingerprint(self.folder, arrays=ARRAYS, keys=frozenset())

    @cached_property
    def masks(self) -> np.ndarray:
        """The class maps to train on, N x H x W uint8: the prepared ones, with background between touching cells."""
        return np.load(self.folder / "masks.npy", mmap_mode="r")

    @cached_property
    def closeness(self) -> np.ndarray:
        """exp(-(d1 + d2)^2 / (2 sigma^2)) in the background, 0 in cells, N x H x W float16; to be multiplied by w0."""
        return np.load(self.folder / "closeness.npy", mmap_mode="r")

    def balance(self, indices: Sequence[int] | np.ndarray, num_classes: int) -> np.ndarray:
        """Return the weight of each class, float32, that balances the classes over some images."""
        counts = np.zeros(num_classes, np.int64)
        for index in indices:
            counts += count_classes(self.masks[index], num_classes)
        return balance(counts)

    def __reduce__(self) -> tuple[type[BorderMaps], tuple[Path]]:
        return BorderMaps, (self.folder,)


def border_folder(prepared: PreparedDataset, sigma: float) -> Path:
    """Return where the border maps of prepared data are."""
    key = hashlib.sha256(json.dumps([BORDER_VERSION, sigma]).encode()).hexdigest()[:12]
    return prepared.folder / f"border-{key}"


def prepare_border(
    dataset: Dataset,
    prepared: PreparedDataset,
    *,
    sigma: float,
    data_dir: str | Path,
    source: str | Path | None = None,
    download: bool = False,
    num_workers: int | None = None,
) -> BorderMaps:
    """Return the border maps of prepared data; computed now unless they are there already.

    Args:
        dataset: which dataset.
        prepared: what `prepare` returned for it.
        sigma: see `medseg.data.prepared.border_weights`; in pixels of the prepared images.
        data_dir, source, download, num_workers: as for `prepare`. The source is only needed to compute them.

    Raises `DataError` where that is missing or another one than was prepared, and for a disk that cannot be written.
    """
    folder = border_folder(prepared, sigma)
    complete = partial(is_complete, arrays=ARRAYS, keys=frozenset[str]())
    if not complete(folder):
        opened = open_source(dataset, source, data_dir, download)
        if opened.identity != prepared.fingerprint["source_identity"]:
            raise DataError(
                f"{dataset.title}: {opened.location} is not what {prepared.folder} was made from, which the border "
                "weights need; give that with data.source=DIR"
            )
        fill = partial(build, dataset, opened, prepared, sigma, thread_count(num_workers))
        busy = f"is busy with computing border weights of {dataset.title}"
        if build_once(folder, busy, complete, fill) is not None:
            log.info("%s: border weights prepared in %s", dataset.title, folder)
    return BorderMaps(folder)


def build(dataset: Dataset, source: Source, prepared: PreparedDataset, sigma: float, workers: int, folder: Path) -> int:
    """Fill a folder with the border maps of all prepared images, the fingerprint last; return their number."""
    started = time.perf_counter()
    samples = {sample.id: sample for sample in dataset.list_samples(source).samples}
    size, count = prepared.image_size, len(prepared.ids)
    if size is None:
        raise ConfigError("data.border_weights=true needs resized images: give data.patches=null")
    needed = count * size[0] * size[1] * 3

    def work(index: int) -> int:
        # Instances are determined at native size, where the gaps between them are widest, and resized as the masks are.
        instances = resize_mask(dataset.instances(source, samples[prepared.ids[index]]), size)
        mask = np.asarray(prepared.masks[index])
        instances[mask == IGNORE_INDEX] = 0
        separated = separate(mask, instances)
        masks.write(index, separated)
        near.write(index, closeness(instances, separated, sigma).astype(np.float16))
        return int(np.count_nonzero(separated != mask))

    with (
        writing(folder.parent, needed=needed),
        ArrayFile(folder / "masks.npy", (count, *size)) as masks,
        ArrayFile(folder / "closeness.npy", (count, *size), np.float16) as near,
    ):
        changed = sum(in_threads(work, count, min(workers, count), f"{dataset.title}: border weights"))
        masks.flush()
        near.flush()
    fingerprint = {
        "prepared": prepared.identity,
        "sigma": sigma,
        "version": BORDER_VERSION,
        "separating_fraction": changed / (count * size[0] * size[1]),
        "sha256": {name: sha256_file(folder / name) for name in ARRAYS},
        "file_sizes": {name: (folder / name).stat().st_size for name in ARRAYS},
        "seconds": round(time.perf_counter() - started, 2),
        "workers": workers,
    }
    write_fingerprint(folder, fingerprint)
    return count
