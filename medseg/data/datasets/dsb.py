"""Data Science Bowl 2018, stage 1 (BBBC038v1): nuclei in microscopy images of several kinds."""

from __future__ import annotations

import re

import numpy as np

from medseg.data.datasets.base import OBJECTS, Dataset, Listing, Sample
from medseg.data.datasets.layout import black_and_white, check_size, listing
from medseg.data.sources.decode import decode_image
from medseg.data.sources.decode_masks import decode_labels
from medseg.data.sources.problems import Problem
from medseg.data.sources.source import Archive, Source
from medseg.data.splits.split_files import read_table
from medseg.errors import count

_FILE = re.compile(r"(?:^|/)(?P<id>[^/]+)/(?P<kind>images|masks)/[^/]+\.png$", re.IGNORECASE)


class DSB2018(Dataset):
    """DSB 2018 stage 1 in its published layout, `[stage1_train/]<id>/{images/<id>.png, masks/<hash>.png}`.

    Images are RGBA; there is one mask file (0 and 255) for each nucleus, and the class map is their union.
    `instances` keeps them apart. `Sample.type` is the kind of image (see `image_type`), from the split file.

    Splits: `stratified` (536/67/67, each kind of image in proportion) and five folds stratified alike.
    """

    name = "dsb"
    title = "DSB 2018"
    archives = (Archive(file="stage1_train.zip", url="https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip"),)
    home = "https://bbbc.broadinstitute.org/BBBC038"
    images = "670"
    native_size = "256 x 256 to 1388 x 1040"
    classes = ("background", "nucleus")
    scores = OBJECTS
    has_instances = True
    licence = "CC0 1.0"
    default_split = "stratified"
    citation = "Caicedo et al., Nucleus segmentation across imaging experiments, Nature Methods 16, 2019"

    def list_samples(self, source: Source) -> Listing:
        """List the images, each with the masks of its nuclei."""
        images: dict[str, list[str]] = {}
        masks: dict[str, list[str]] = {}
        for name in source.names:
            match = _FILE.search(name)
            if match:
                (images if match["kind"].lower() == "images" else masks).setdefault(match["id"], []).append(name)
        types = read_table(self.name, self.default_split)
        samples = [
            Sample(id_, images[id_][0], tuple(masks[id_]), types[id_]["type"] if id_ in types else "")
            for id_ in sorted(images)
            if id_ in masks
        ]
        problems = [Problem("missing mask", images[id_][0], sample=id_) for id_ in sorted(images) if id_ not in masks]
        problems += [
            Problem("extra mask", masks[id_][0], f"{count(len(masks[id_]), 'mask')} without an image")
            for id_ in sorted(masks)
            if id_ not in images
        ]
        expected = "<id>/images/<id>.png with <id>/masks/*.png"
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode an image and unite its nuclei."""
        return self.read_with_instances(source, sample)[:2]

    def read_with_instances(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decode an image and its nuclei; instance k is the k-th mask file, and no two overlap."""
        image = decode_image(source.read(sample.image), sample.image)
        instances = np.zeros(image.shape[:2], np.int32)
        for number, file in enumerate(sample.masks, start=1):
            labels = decode_labels(source.read(file), file)
            check_size(image, labels, sample.image, file)
            np.copyto(instances, number, where=black_and_white(labels, file) > 0)
        return image, (instances > 0).astype(np.uint8), instances


def image_type(image: np.ndarray) -> str:
    """Name the kind of a DSB 2018 image, H x W x 3 uint8, from its colours; the split file holds these names.

    `fluorescence`: grey and dark. `brightfield`: grey and bright. Both kinds of stained tissue are coloured:
    `histology_white` has purple nuclei on white, `histology_purple` has them on purple or pink. On stage 1 the limits
    lie in wide gaps: mean spread of the channels 0 or above 11, median grey up to 58 or above 150, 95th percentile of
    green up to 175 or above 200.
    """
    spread = image.max(axis=2) - image.min(axis=2)
    if spread.mean() < 5:
        return "fluorescence" if np.median(image) < 110 else "brightfield"
    return "histology_white" if np.percentile(image[:, :, 1], 95) > 190 else "histology_purple"
