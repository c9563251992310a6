"""A dataset: images and coloured labels side by side, three classes."""

from __future__ import annotations

import numpy as np

from medseg.data.datasets.base import Dataset, Listing, Sample
from medseg.data.datasets.layout import listing, pair_by_id
from medseg.data.sources.decode import decode_image
from medseg.data.sources.problems import SampleError
from medseg.data.sources.source import Source

COLOURS = {(0, 0, 0): 0, (255, 0, 0): 1, (0, 255, 0): 2}
"""RGB of the labels -> class."""


class Shapes(Dataset):
    """`<id>_image.png` and `<id>_labels.png`, discs red and squares green."""

    name = "shapes"
    title = "Shapes"
    licence = "drawn, without rights"

    def list_samples(self, source: Source) -> Listing:
        """Pair the files by what stands before `_image` and `_labels`."""
        images = {
            name.removesuffix("_image.png"): name
            for name in source.names
            if name.endswith("_image.png")
        }
        labels = {
            name.removesuffix("_labels.png"): name
            for name in source.names
            if name.endswith("_labels.png")
        }
        samples, problems = pair_by_id(images, labels)
        expected = "<id>_image.png with <id>_labels.png"
        return listing(
            self.title,
            source.location,
            expected,
            samples,
            ("background", "disc", "square"),
            problems,
        )

    def read(
        self, source: Source, sample: Sample
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the image and its class map.

        Raises `SampleError`, with the name of the file, for other colours.
        """
        image = decode_image(source.read(sample.image), sample.image)
        (file,) = sample.masks
        colours = decode_image(source.read(file), file)
        class_map = np.full(colours.shape[:2], 255, dtype=np.uint8)
        for colour, label in COLOURS.items():
            class_map[(colours == colour).all(axis=2)] = label
        if (class_map == 255).any():
            raise SampleError(
                "unexpected label",
                file,
                "a colour other than black, red and green",
            )
        return image, class_map
