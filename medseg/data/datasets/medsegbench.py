"""MedSegBench: 35 datasets as NumPy archives of one size, with ready splits."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np

from medseg.data.datasets.base import Dataset, Listing, Sample
from medseg.data.datasets.layout import check_size, two_values
from medseg.data.sources.problems import SampleError
from medseg.data.sources.source import Archive, Source
from medseg.data.splits import SPLITS
from medseg.data.splits.split_files import unknown_split
from medseg.errors import ConfigError, DataError, close_matches

SIZES = (128, 256, 512)


class MedSegBench(Dataset):
    """One of MedSegBench's 35 datasets (Kus and Aydin, 2024), `<name>_<size>.npz`.

    The archive has `{train,val,test}_images`, N x S x S or N x S x S x 3 uint8, and `{train,val,test}_label`, N x S x S
    uint8 class indices; both are resized already, so scores are not at native size. Arrays of sub-categories that some
    archives have besides are not used. `medsegbench.csv` lists the datasets with their checksums, from `info.py` of
    zekikus/MedSegBench; a licence is left out where it names none.

    Splits: `official` (default; as in the archive), `random` (80/10/10 of all images) and five folds.

    Args:
        name: of the dataset, such as `kvasir`, `busi`, `promise12`.
        size: 128, 256 or 512 pixels.

    Raises `ConfigError` for an unknown name or size.
    """

    default_split = "official"
    citation = "Kus and Aydin, MedSegBench, Scientific Data 11, 2024, and the authors of the dataset"
    home = "https://github.com/zekikus/MedSegBench"

    def __init__(self, name: str, size: int = 256) -> None:
        row = table().get(name)
        if row is None:
            known = f"(there are: {', '.join(table())})"
            raise ConfigError(f"data.dataset.name={name}: no such dataset{close_matches(name, list(table()))} {known}")
        if size not in SIZES:
            raise ConfigError(f"data.dataset.size={size}: the archives are of 128, 256 and 512 pixels")
        self.options_given = {"name": name, "size": size}
        self.name = f"medsegbench-{name}"
        self.title = f"{row['title']} (MedSegBench)"
        file = f"{name}_{size}.npz"
        url = f"https://zenodo.org/records/{row['record']}/files/{file}?download=1"
        self.archives = (Archive(file=file, url=url, md5=row[f"md5_{size}"]),)
        self.licence = row["licence"]
        self.counts = {part: int(row[part]) for part in SPLITS}
        self.images = " + ".join(row[part] for part in SPLITS)
        self.native_size = f"{size} x {size}"
        self.classes = tuple(row["classes"].split(";"))
        self._any_value = row["values"] == "nonzero"

    @property
    def options(self) -> dict[str, object]:
        """The name and the size."""
        return self.options_given

    def list_samples(self, source: Source) -> Listing:
        """List the images of the three parts; raises `DataError` where their numbers are not those of the table."""
        names = set(source.names)
        samples = []
        for part, count in self.counts.items():
            found = {kind: sum(name.startswith(f"{part}_{kind}/") for name in names) for kind in ("images", "label")}
            if set(found.values()) != {count}:
                numbers = f"{found['images']} images and {found['label']} masks in {part}_images and {part}_label"
                raise DataError(f"{self.title}: {source.location} has {numbers}, where {count} are expected")
            samples += [
                Sample(f"{part}_{k:05d}", f"{part}_images/{k:05d}", (f"{part}_label/{k:05d}",), split=part)
                for k in range(count)
            ]
        return Listing(sorted(samples, key=lambda sample: sample.id), self.classes)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Take an image, grey repeated to three channels, and its class map."""
        (mask_file,) = sample.masks
        image, labels = (_array(source, file) for file in (sample.image, mask_file))
        if image.ndim == 2 or image.shape[2] == 1:
            image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
        if image.shape[2] != 3 or labels.ndim != 2:
            shapes = f"shapes {image.shape} and {labels.shape}"
            raise SampleError(
                "unreadable", sample.image, f"{shapes} where an RGB or grey image and a mask are expected"
            )
        check_size(image, labels, sample.image, mask_file)
        if len(self.classes) > 2:
            return image, labels
        return image, (labels > 0).astype(np.uint8) if self._any_value else two_values(labels, mask_file)

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        """Split as the archive does, or draw."""
        if fold is None and split in (None, "official"):
            return {sample.id: sample.split for sample in samples}
        if fold is None and split != "random":
            raise unknown_split(self.name, split, ["official", "random"])
        return super().assign_splits(samples, split, fold)


@cache
def table() -> dict[str, dict[str, str]]:
    """What `medsegbench.csv` knows of the datasets, by name."""
    text = (files("medseg.data.datasets") / "medsegbench.csv").read_text(encoding="utf-8")
    return {row["name"]: row for row in csv.DictReader(text.splitlines())}


def _array(source: Source, file: str) -> np.ndarray:
    """One image or mask of the archive; a last axis of length 1 of a mask is taken away."""
    array = np.load(io.BytesIO(source.read(file)), allow_pickle=False)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
