"""The fingerprint of prepared data: what is in there, where it came from, and how to know it again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import medseg
from medseg.data.datasets.base import Dataset, Listing
from medseg.data.prepared.samples import Row, mean_std
from medseg.data.splits import SPLITS


def describe_contents(
    listing: Listing,
    rows: Sequence[Row],
    class_pixels: np.ndarray,
    splits: dict[str, str],
    size: tuple[int, int] | None,
) -> dict[str, Any]:
    """Describe the prepared images.

    Args:
        listing: for the names of the classes and what mask values mean.
        rows: one for each image.
        class_pixels: prepared pixels of each class over all images.
        splits: id -> split of the dataset's default split.
        size: height and width of the prepared images; None is the native size of each.
    """
    training = [row for row in rows if splits.get(row.id) == "train"]
    mean, std = mean_std(training, size) if training else (None, None)
    foreground = [row.foreground for row in rows]
    return {
        "count": len(rows),
        "default_split": {name: sum(splits.get(row.id) == name for row in rows) for name in SPLITS},
        "class_names": list(listing.class_names),
        "labels": listing.labels,
        "class_fractions": dict(
            zip(listing.class_names, (class_pixels / class_pixels.sum()).round(6).tolist(), strict=True)
        ),
        "foreground_fraction": spread(foreground, 6),
        "native_height": spread([row.height for row in rows]),
        "native_width": spread([row.width for row in rows]),
        "native_sizes": len({(row.height, row.width) for row in rows}),
        "reachable_dice": round(float(np.mean([row.reachable for row in rows])), 4),
        "mean": mean,
        "std": std,
    }


def describe_origin(dataset: Dataset) -> dict[str, Any]:
    """Describe the dataset and the software."""
    return {
        "dataset": dataset.name,
        "title": dataset.title,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "options": dataset.options,
        "dataset_version": dataset.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "medseg": medseg.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
    }


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    """Return minimum, median and maximum."""
    return {
        "min": round(min(values), digits),
        "median": round(float(np.median(values)), digits),
        "max": round(max(values), digits),
    }


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
