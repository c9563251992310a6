"""Kvasir-SEG: 1000 colonoscopy images with a polyp each."""

from __future__ import annotations

import re

import numpy as np

from medseg.data.datasets.base import REGION, Dataset, Listing, Sample
from medseg.data.datasets.layout import listing, pair_by_id, read_pair, threshold
from medseg.data.sources.source import Archive, Source
from medseg.errors import DataError

_FILE = re.compile(r"^(?P<top>.*/)?(?P<kind>images|masks)/(?P<id>[^/]+)\.jpe?g$", re.IGNORECASE)


class KvasirSEG(Dataset):
    """Kvasir-SEG in its published layout, `[Kvasir-SEG/]{images,masks}/<id>.jpg`.

    The masks are JPEGs with grey levels near 0 and 255, so values above 127 are foreground.

    Splits: `official` (default; the authors' 120 test images, and 88 of their 880 training images for validation),
    `random` (810/90/100), and five folds.
    """

    name = "kvasir"
    title = "Kvasir-SEG"
    archives = (
        Archive(
            file="kvasir-seg.zip",
            url="https://datasets.simula.no/downloads/kvasir-seg.zip",
            sha256="03b30e21d584e04facf49397a2576738fd626815771afbbf788f74a7153478f7",
            size=46_227_172,
        ),
    )
    home = "https://datasets.simula.no/kvasir-seg/"
    images = "1000"
    native_size = "332 x 487 to 1920 x 1072"
    classes = ("background", "polyp")
    scores = REGION
    licence = "research and educational use only"
    default_split = "official"
    citation = "Jha et al., Kvasir-SEG: A Segmented Polyp Dataset, MMM 2020"

    def list_samples(self, source: Source) -> Listing:
        """List the pairs of `images/` and `masks/`."""
        files: dict[str, dict[str, str]] = {"images": {}, "masks": {}}
        tops = set()
        for name in source.names:
            match = _FILE.match(name)
            if match:
                tops.add(match["top"] or "")
                files[match["kind"].lower()][match["id"]] = name
        if len(tops) > 1:
            some = ", ".join(f"{top}images" for top in sorted(tops)[:3])
            raise DataError(f"{self.title}: {source.location} holds more than one set of images ({some}); choose one")
        samples, problems = pair_by_id(files["images"], files["masks"])
        expected = "Kvasir-SEG/images/<id>.jpg with Kvasir-SEG/masks/<id>.jpg"
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair; the mask is thresholded."""
        image, labels = read_pair(source, sample)
        return image, threshold(labels, sample.masks[0])
