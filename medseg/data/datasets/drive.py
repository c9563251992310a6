"""DRIVE: 40 fundus photographs with the blood vessels of the retina."""

from __future__ import annotations

import re

import numpy as np

from medseg.data.datasets.base import THIN, Dataset, Listing, Sample
from medseg.data.datasets.layout import black_and_white, listing, read_labels, read_pair
from medseg.data.labels import IGNORE_INDEX
from medseg.data.sources.problems import Problem
from medseg.data.sources.source import Archive, Source

_FILE = re.compile(
    r"(?:^|/)(?P<part>training|test)/(?P<kind>images|1st_manual|mask)/(?P<number>\d\d)_[^/]+\.(?:tiff?|gif|png)$",
    re.IGNORECASE,
)
_PARTS = {"training": "train", "test": "test"}


class DRIVE(Dataset):
    """DRIVE in its published layout, `[DRIVE/]{training,test}/{images,1st_manual,mask}/`, 20 images in each.

    `images/NN_training.tif`, `1st_manual/NN_manual1.gif` (vessels, 0 and 255) and `mask/NN_training_mask.gif`, the
    field of view; outside of it pixels are ignored. The second observer of the test images (`2nd_manual`) is not used.

    Splits: `official` (default; the 20 test images, and 4 of the 20 training images, drawn, for validation, since none
    is official) and five folds.
    """

    name = "drive"
    title = "DRIVE"
    archives = (Archive(file="DRIVE.zip", url=""),)
    licence = "research use (CC BY 4.0 according to MedSegBench)"
    citation = "Staal et al., IEEE Transactions on Medical Imaging 23, 2004"
    home = "https://drive.grand-challenge.org"
    images = "20 + 20"
    native_size = "565 x 584"
    classes = ("background", "vessel")
    scores = THIN
    default_split = "official"

    def list_samples(self, source: Source) -> Listing:
        """List the images that have a mask of the vessels and one of the field of view."""
        files: dict[str, dict[str, str]] = {"images": {}, "1st_manual": {}, "mask": {}}
        for name in source.names:
            match = _FILE.search(name)
            if match:
                id_ = f"{match['number']}_{match['part'].lower()}"
                files[match["kind"].lower()][id_] = name
        images, vessels, views = files.values()
        complete = sorted(images.keys() & vessels.keys() & views.keys())
        samples = [
            Sample(id_, images[id_], (vessels[id_], views[id_]), split=_PARTS[id_.partition("_")[2]])
            for id_ in complete
        ]
        problems = [
            Problem("missing mask", images[id_], f"no {kind}/ of it", id_)
            for id_ in sorted(images.keys() - set(complete))
            for kind in ("1st_manual", "mask")
            if id_ not in files[kind]
        ]
        problems += [
            Problem("extra mask", vessels[id_], "there is no image of that name")
            for id_ in sorted(vessels.keys() - images.keys())
        ]
        expected = "training/images/NN_training.tif with 1st_manual/NN_manual1.gif and mask/NN_training_mask.gif"
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode an image and its vessels; 255 outside of the field of view."""
        vessels, view = sample.masks
        image, labels = read_pair(source, sample)
        inside = read_labels(source, sample, image, view)
        classes = black_and_white(labels, vessels)
        classes[black_and_white(inside, view) == 0] = IGNORE_INDEX
        return image, classes
