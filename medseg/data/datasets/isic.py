"""ISIC 2018 task 1: dermoscopic images with the boundary of a skin lesion."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from medseg.data.datasets.base import REGION, Dataset, Listing, Sample
from medseg.data.datasets.layout import black_and_white, listing, pair_by_id, read_pair
from medseg.data.sources.problems import Problem
from medseg.data.sources.source import Archive, Source
from medseg.data.splits import SPLITS
from medseg.data.splits.split_files import file_split, read_table, split_names, unknown_split
from medseg.errors import ConfigError

_FILE = re.compile(r"(?:^|/)(?P<id>ISIC_\d{7})(?P<mask>_segmentation)?\.(?:jpe?g|png)$", re.IGNORECASE)
_PART = re.compile(r"ISIC2018_Task1(?:-2)?_(Training|Validation|Test)_", re.IGNORECASE)
_SPLIT_OF_PART = {"training": "train", "validation": "val", "test": "test"}


def _archive(file: str, sha256: str) -> Archive:
    url = f"https://isic-challenge-data.s3.amazonaws.com/2018/{file}"
    return Archive(file=file, url=url, sha256=sha256, required="Training" in file)


class ISIC2018(Dataset):
    """ISIC 2018 task 1 in its published layout.

    `ISIC2018_Task1-2_<part>_Input/ISIC_xxxxxxx.jpg` with
    `ISIC2018_Task1_<part>_GroundTruth/ISIC_xxxxxxx_segmentation.png` (0 and 255), parts Training (2594), Validation
    (100) and Test (1000). The last two are used where they are there; `Sample.split` is the part's split.

    Splits: `official` (default where validation and test are there), `random` (default otherwise: 1815/259/520 of the
    2594 training images, the other parts unused), and five folds of the 2594.
    """

    name = "isic"
    title = "ISIC 2018"
    archives = (
        _archive(
            "ISIC2018_Task1-2_Training_Input.zip", "80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f"
        ),
        _archive(
            "ISIC2018_Task1_Training_GroundTruth.zip",
            "99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c",
        ),
        _archive(
            "ISIC2018_Task1-2_Validation_Input.zip", "0ea920fcfe512d12a6e620b50b50233c059f67b10146e1479c82be58ff15a797"
        ),
        _archive(
            "ISIC2018_Task1_Validation_GroundTruth.zip",
            "f6911e9c0a64e6d687dd3ca466ca927dd5e82145cb2163b7a1e5b37d7a716285",
        ),
        _archive("ISIC2018_Task1-2_Test_Input.zip", "e59ae1f69f4ed16f09db2cb1d76c2a828487b63d28f6ab85997f5616869b127d"),
        _archive(
            "ISIC2018_Task1_Test_GroundTruth.zip", "2e8f6edce454a5bdee52485e39f92bd6eddf357e81f39018d05512175238ef82"
        ),
    )
    home = "https://challenge.isic-archive.com/data/#2018"
    images = "2594 + 100 + 1000"
    classes = ("background", "lesion")
    scores = REGION
    licence = "CC BY-NC 4.0 (official validation and test images CC0)"
    citation = "Codella et al., arXiv:1902.03368, 2019; Tschandl et al., Scientific Data 5, 2018"

    def list_samples(self, source: Source) -> Listing:
        """List the pairs of all parts that are there."""
        images: dict[str, str] = {}
        masks: dict[str, str] = {}
        parts: dict[str, str] = {}
        for name in source.names:
            match = _FILE.search(name)
            if match:
                id_ = match["id"].upper()
                (masks if match["mask"] else images)[id_] = name
                parts.setdefault(id_, _part(name, id_))
        samples, problems = pair_by_id(images, masks, splits=parts)
        problems = _merge_missing_parts(problems, {sample.split for sample in samples}, parts)
        expected = (
            "ISIC2018_Task1-2_Training_Input/<id>.jpg with ISIC2018_Task1_Training_GroundTruth/<id>_segmentation.png"
        )
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair."""
        image, labels = read_pair(source, sample)
        return image, black_and_white(labels, sample.masks[0])

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        """Split by the official parts, or look the training images up in the split files."""
        complete = set(SPLITS) <= {sample.split for sample in samples}
        if fold is None and (split == "official" or (split is None and complete)):
            if not complete:
                raise ConfigError(
                    f"data.split=official of {self.title} needs its validation and test archives, images and ground "
                    "truth, beside the training archives; data.split=random does with the training archives alone"
                )
            return {sample.id: sample.split for sample in samples if sample.split}
        if fold is None and split not in (None, *split_names(self.name)):
            raise unknown_split(self.name, split, ["official", *split_names(self.name)])
        training = [sample.id for sample in samples if sample.split == "train"]
        return file_split(self.name, training, split or self.default_split, fold)


def _part(file: str, id_: str) -> str:
    """Split that an image's archive stands for; without the archive's folder, "train" for a known training image."""
    part = _PART.search(file)
    if part:
        return _SPLIT_OF_PART[part[1].lower()]
    return "train" if id_ in read_table("isic", "random") else ""


def _merge_missing_parts(problems: list[Problem], complete: set[str], parts: dict[str, str]) -> list[Problem]:
    """Say once, not a thousand times, that the whole ground truth of the validation or test images is missing."""
    merged: dict[str, Problem] = {}
    for problem in problems:
        part = parts.get(problem.sample, "")
        if problem.kind == "missing mask" and part in ("val", "test") and part not in complete:
            name = {"val": "Validation", "test": "Test"}[part]
            detail = f"ISIC2018_Task1_{name}_GroundTruth is not there; add it, or take the {name.lower()} images away"
            merged.setdefault(part, Problem("missing mask", problem.file.rpartition("/")[0] or problem.file, detail))
        else:
            merged[problem.file] = problem
    return list(merged.values())
