"""CVC-ClinicDB: 612 frames of 29 colonoscopy videos, each with a polyp."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from medseg.data.datasets.base import REGION, Dataset, Listing, Sample
from medseg.data.datasets.layout import listing, pair_by_id, read_pair, threshold
from medseg.data.sources.source import Archive, Source
from medseg.data.splits.split_files import read_table

log = logging.getLogger(__name__)

_FILE = re.compile(r"(?:^|/)(?P<kind>Original|Ground[ _]?Truth)/(?P<number>\d+)\.tiff?$", re.IGNORECASE)


class CVCClinicDB(Dataset):
    """CVC-ClinicDB in its published layout, `[CVC-ClinicDB/]{Original,Ground Truth}/<number>.tif`, as TIFF.

    138 of the masks have grey values at the edge of the polyp, so values above 127 are foreground. Neighbouring frames
    are near-copies: `Sample.group` is the video that a frame is of, from the split file.

    Splits: `sequences` (429/61/122 frames of 20/3/6 videos; nothing official is published) and five folds of whole
    videos. Where the source has a part of the frames, all are for testing unless a split is named: they are an external
    test set.
    """

    name = "cvc"
    title = "CVC-ClinicDB"
    archives = (Archive(file="CVC-ClinicDB.rar", url=""),)
    licence = "research and educational use only"
    citation = "Bernal et al., Computerized Medical Imaging and Graphics 43, 2015"
    home = "https://polyp.grand-challenge.org/CVCClinicDB/"
    images = "612"
    native_size = "384 x 288"
    classes = ("background", "polyp")
    scores = REGION
    default_split = "sequences"
    version = 2

    def list_samples(self, source: Source) -> Listing:
        """List the pairs of `Original/` and `Ground Truth/`; ids are numbers of three digits, as frames follow.

        `Sample.split` is `test` where the source lacks frames.
        """
        files: dict[str, dict[str, str]] = {"o": {}, "g": {}}
        for name in source.names:
            match = _FILE.search(name)
            if match:
                files[match["kind"][0].lower()][f"{int(match['number']):03d}"] = name
        videos = {id_: row["group"] for id_, row in read_table(self.name, self.default_split).items()}
        samples, problems = pair_by_id(files["o"], files["g"], groups=videos)
        if not videos.keys() <= files["o"].keys():
            samples = [replace(sample, split="test") for sample in samples]
        expected = "CVC-ClinicDB/Original/<number>.tif with CVC-ClinicDB/Ground Truth/<number>.tif"
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair; the mask is thresholded."""
        image, labels = read_pair(source, sample)
        return image, threshold(labels, sample.masks[0])

    def assign_splits(self, samples: Sequence[Sample], split: str | None, fold: int | None) -> dict[str, str]:
        """Look the frames up in the split files; those of a part of the archive are all for testing.

        A whole archive remains one where bad frames of it are left out.
        """
        if split is None and fold is None and any(sample.split == "test" for sample in samples):
            _say_incomplete(len(samples), len(read_table(self.name, self.default_split)))
            return {sample.id: "test" for sample in samples}
        return super().assign_splits(samples, split, fold)


@cache
def _say_incomplete(count: int, whole: int) -> None:
    """Say once in a process that a part of the frames is a test set."""
    log.warning(
        "%s: %d of its %d frames are there, so all are test images; data.split=%s needs the whole archive",
        CVCClinicDB.title, count, whole, CVCClinicDB.default_split,
    )  # fmt: skip
