"""BUSI: 780 ultrasound images of the breast: benign and malignant lesions, and normal tissue."""

from __future__ import annotations

import re

import numpy as np

from medseg.data.datasets.base import REGION, Dataset, Listing, Sample
from medseg.data.datasets.layout import listing, read_labels, two_values
from medseg.data.sources.decode import decode_image
from medseg.data.sources.problems import Problem
from medseg.data.sources.source import Archive, Source

_FILE = re.compile(r"(?:^|/)(?P<id>(?P<type>benign|malignant|normal) \(\d+\))(?P<mask>_mask(?:_\d+)?)?\.png$")


class BUSI(Dataset):
    """BUSI in its published layout, `[Dataset_BUSI_with_GT/]<type>/"<type> (N).png"`.

    Masks are `<type> (N)_mask.png`, for 17 images also `_mask_1.png` and so on: the class map is their union. Normal
    images have black masks. `Sample.type` is benign, malignant or normal.

    About a fifth of the images are near-duplicates of others (Pawlowska et al., 2023), so that scores of a drawn split
    are too high unless these are kept together.

    Splits: 80/10/10 and five folds, each type in proportion. Nothing official is published.
    """

    name = "busi"
    title = "BUSI"
    archives = (
        Archive(
            file="Dataset_BUSI.zip",
            url="https://scholar.cu.edu.eg/Dataset_BUSI.zip",
            sha256="b2ce09f6063a31a73f628b6a6ee1245187cbaec225e93e563735691d68654de7",
            top="Dataset_BUSI_with_GT",
        ),
    )
    licence = "CC0 according to MedSegBench and Dataset Ninja"
    citation = "Al-Dhabyani et al., Data in Brief 28, 2020"
    images = "780"
    classes = ("background", "lesion")
    scores = REGION

    def list_samples(self, source: Source) -> Listing:
        """List the images, each with all its masks."""
        images: dict[str, str] = {}
        masks: dict[str, list[str]] = {}
        types: dict[str, str] = {}
        for name in source.names:
            match = _FILE.search(name)
            if match and match["mask"]:
                masks.setdefault(match["id"], []).append(name)
            elif match:
                images[match["id"]], types[match["id"]] = name, match["type"]
        samples = [Sample(i, images[i], tuple(masks[i]), type=types[i]) for i in sorted(images) if i in masks]
        problems = [Problem("missing mask", images[i], sample=i) for i in sorted(images) if i not in masks]
        extra = sorted(masks.keys() - images.keys())
        problems += [Problem("extra mask", masks[i][0], "there is no image of that name") for i in extra]
        expected = '<type>/"<type> (N).png" with "<type> (N)_mask.png", of the types benign, malignant and normal,'
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode an image and unite its masks."""
        image = decode_image(source.read(sample.image), sample.image)
        lesion = np.zeros(image.shape[:2], np.uint8)
        for file in sample.masks:
            lesion |= two_values(read_labels(source, sample, image, file), file)
        return image, lesion
