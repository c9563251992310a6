"""PH2: 200 dermoscopic images of naevi and melanomas with the boundary of the lesion."""

from __future__ import annotations

import re

import numpy as np

from medseg.data.datasets.base import REGION, Dataset, Listing, Sample
from medseg.data.datasets.layout import listing, pair_by_id, read_pair, two_values
from medseg.data.sources.source import Archive, Source

_FILE = re.compile(r"(?:^|/)(?P<id>IMD\d{3})(?P<mask>_lesion)?\.bmp$", re.IGNORECASE)


class PH2(Dataset):
    """PH2 in its published layout: `IMDxxx.bmp` with `IMDxxx_lesion.bmp` (1 bit), in whatever folders.

    The archive is a RAR file; unpacked it is `PH2Dataset/PH2 Dataset images/IMDxxx/IMDxxx_Dermoscopic_Image/IMDxxx.bmp`
    and `IMDxxx/IMDxxx_lesion/IMDxxx_lesion.bmp`.

    Splits: 80/10/10 and five folds, drawn by id. Nothing official is published; papers use all of it as a test set.
    """

    name = "ph2"
    title = "PH2"
    archives = (Archive(file="PH2Dataset.rar", url=""),)
    licence = "free for research and benchmarking"
    citation = "Mendonca et al., EMBC 2013"
    home = "https://www.fc.up.pt/addi/ph2%20database.html"
    images = "200"
    native_size = "about 768 x 560"
    classes = ("background", "lesion")
    scores = REGION

    def list_samples(self, source: Source) -> Listing:
        """List the pairs."""
        images: dict[str, str] = {}
        masks: dict[str, str] = {}
        for name in source.names:
            match = _FILE.search(name)
            if match:
                (masks if match["mask"] else images)[match["id"].upper()] = name
        samples, problems = pair_by_id(images, masks)
        expected = "IMDxxx.bmp with IMDxxx_lesion.bmp"
        return listing(self.title, source.location, expected, samples, self.classes, problems)

    def read(self, source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Decode a pair."""
        image, labels = read_pair(source, sample)
        return image, two_values(labels, sample.masks[0])
