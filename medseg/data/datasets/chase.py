"""CHASE_DB1: 28 fundus photographs of both eyes of 14 children, with the blood vessels of the retina."""

from __future__ import annotations

import re

import numpy as np

from medseg.data.datasets.base import THIN, Dataset, Listing, Sample
from medseg.data.datasets.layout import listing, pair_by_id, read_pair, two_values
from medseg.data.sources.source import Archive, Source

_FILE = re.compile(r"(?:^|/)(?P<id>Image_(?P<child>\d\d)[LR])(?P<mask>_1stHO)?\.(?P<end>jpg|png)$", re.IGNORECASE)


class CHASEDB1(Dataset):
    """CHASE_DB1 in its published layout: `Image_NN{L,R}.jpg` with `Image_NN{L,R}_1stHO.png`.

    The masks are those of the first observer; the second (`_2ndHO`) is not used. `Sample.group` is the child: its left
    and right eye stay in one part.

    Splits: 80/10/10 and five folds of whole children. Nothing official is published.
    """

    name = "chase"
    title = "CHASE_DB1"
    archives = (Archive(file="CHASEDB1.zip", url=""),)
    licence = "CC BY 4.0"
    citation = "Fraz et al., IEEE Transactions on Biomedical Engineering 59, 2012"
    home = "https://researchinnovation.kingston.ac.uk/en/datasets/chasedb1-retinal-vessel-reference-dataset-4/"
    images = "28"
    native_size = "999 x 960"
    classes = ("background", "vessel")
    scores = THIN

    def list_samples(self, source: Source) -> Listing:
        """List the photographs with the masks of the first observer."""
        files: dict[str, dict[str, str]] = {"jpg": {}, "png": {}}
        children: dict[str, str] = {}
        for name in source.names:
            match = _FILE.search(name)
            if match and bool(match["mask"]) == (match["end"].lower() == "png"):
                files[match["end"].lower()][match["id"]] = name
                children[match["id"]] = match["child"]
        samples, problems = pair_by_id(files["jpg"], files["png"], groups=children)
        expected = "Image_NNL.jpg and Image_NNR.jpg with their *_1stHO.png"
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair."""
        image, labels = read_pair(source, sample)
        return image, two_values(labels, sample.masks[0])
