"""GlaS: 165 images of glands in the colon, stained with haematoxylin and eosin, of 16 patients."""

from __future__ import annotations

import re

import numpy as np

from medseg.data.datasets.base import OBJECTS, Dataset, Listing, Sample
from medseg.data.datasets.layout import listing, pair_by_id, read_pair
from medseg.data.sources.source import Archive, Source
from medseg.data.splits.split_files import read_table

_FILE = re.compile(r"(?:^|/)(?P<id>(?:train|testA|testB)_\d+)(?P<mask>_anno)?\.bmp$")


class GlaS(Dataset):
    """The Warwick QU set of the GlaS contest: `train_N.bmp`, `testA_N.bmp`, `testB_N.bmp`, each with `*_anno.bmp`.

    The values of `*_anno.bmp` are numbers of glands: those above 0 are foreground, and `instances` keeps them apart.
    `Sample.type` is benign or malignant and `Sample.group` the patient, from `Grade.csv` of the archive (in the split
    file). The official parts share patients: 1, 2, 3, 4, 5, 7, 9, 10, 11, 13 and 15 have images in training and test.

    Splits: `official` (default; 76/9/80, test A and B), `testA` (60) and `testB` (20) for one of the two alone; 9 of
    the 85 training images are for validation, whole patients. Five folds of whole patients.
    """

    name = "glas"
    title = "GlaS"
    archives = (
        Archive(
            file="warwick_qu_dataset_released_2016_07_08.zip",
            url="",
            md5="495b2a9f3d694545fbec06673fb3f40f",
            top="Warwick QU Dataset (Released 2016_07_08)",
        ),
    )
    licence = "research use only"
    citation = "Sirinukunwattana et al., Medical Image Analysis 35, 2017"
    home = "https://warwick.ac.uk/fac/sci/dcs/research/tia/glascontest"
    images = "85 + 60 + 20"
    native_size = "mostly 775 x 522"
    classes = ("background", "gland")
    scores = OBJECTS
    has_instances = True
    default_split = "official"

    def list_samples(self, source: Source) -> Listing:
        """List the pairs, in whatever folder they are."""
        images: dict[str, str] = {}
        masks: dict[str, str] = {}
        for name in source.names:
            match = _FILE.search(name)
            if match:
                (masks if match["mask"] else images)[match["id"]] = name
        table = read_table(self.name, self.default_split)
        grades = {id_: row["type"] for id_, row in table.items()}
        patients = {id_: row["group"] for id_, row in table.items()}
        samples, problems = pair_by_id(images, masks, types=grades, groups=patients)
        expected = "train_N.bmp, testA_N.bmp and testB_N.bmp, each with its *_anno.bmp,"
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair; every gland is foreground."""
        return self.read_with_instances(source, sample)[:2]

    def read_with_instances(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decode a pair; the instances are the numbers of the glands."""
        image, glands = read_pair(source, sample)
        return image, (glands > 0).astype(np.uint8), glands.astype(np.int32)
