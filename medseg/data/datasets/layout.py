"""What the datasets share: pairing images with masks by id, and checking a mask against its image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from medseg.data.datasets.base import Listing, Sample
from medseg.data.sources.decode import decode_image
from medseg.data.sources.decode_masks import decode_labels, value_name
from medseg.data.sources.problems import Problem, SampleError, notes_of
from medseg.data.sources.source import Source
from medseg.errors import DataError

BINARY_GREY = 0.05
"""Share of pixels between 64 and 191 above which a grey mask is not black and white. In Kvasir-SEG, whose masks are
JPEGs, no pixel of the 1000 masks is that grey; masks that somebody resized with interpolation have a few per cent."""

NOTHING: Mapping[str, str] = MappingProxyType({})


def pair_by_id(
    images: Mapping[str, str],
    masks: Mapping[str, str],
    *,
    types: Mapping[str, str] = NOTHING,
    splits: Mapping[str, str] = NOTHING,
    groups: Mapping[str, str] = NOTHING,
) -> tuple[list[Sample], list[Problem]]:
    """Pair one image with one mask by id; an image without mask and a mask without image become problems.

    Args:
        images: id -> image file.
        masks: id -> mask file.
        types, splits, groups: id -> `Sample.type`, `Sample.split`, `Sample.group`, where they are known.
    """
    samples = [
        Sample(i, images[i], (masks[i],), types.get(i, ""), splits.get(i, ""), groups.get(i, ""))
        for i in sorted(images)
        if i in masks
    ]
    problems = [Problem("missing mask", images[i], sample=i) for i in sorted(images) if i not in masks]
    extra = sorted(masks.keys() - images.keys())
    problems += [Problem("extra mask", masks[i], "there is no image of that name") for i in extra]
    return samples, problems


def listing(
    title: str,
    location: str,
    expected: str,
    samples: list[Sample],
    class_names: tuple[str, ...],
    problems: list[Problem],
) -> Listing:
    """Make the listing, or raise `DataError` where not a single sample was found in the expected layout."""
    if not samples:
        why = f"; first problem: {problems[0].file}: {problems[0].kind}" if problems else ""
        raise DataError(f"{title}: no image with its mask in {location}, where {expected} is expected{why}")
    return Listing(samples, class_names, problems)


def read_pair(source: Source, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Decode the image, H x W x 3 uint8 RGB, and the label values of its first mask file, H x W uint8 or uint16.

    Images have 8 bits; see `medseg.data.sources.decode.decode_image` for others.
    """
    image = decode_image(source.read(sample.image), sample.image)
    return image, read_labels(source, sample, image, sample.masks[0])


def read_labels(source: Source, sample: Sample, image: np.ndarray, file: str) -> np.ndarray:
    """Decode the label values of one of the mask files of an image, H x W uint8 or uint16, of the image's size."""
    labels = decode_labels(source.read(file), file)
    check_size(image, labels, sample.image, file)
    return labels


def check_size(image: np.ndarray, labels: np.ndarray, image_file: str, mask_file: str) -> None:
    """Raise `SampleError` of kind "size mismatch" where mask and image differ in height or width."""
    (height, width), (mask_height, mask_width) = image.shape[:2], labels.shape
    if (height, width) != (mask_height, mask_width):
        detail = f"mask {mask_width} x {mask_height}, image {image_file} {width} x {height} (width x height)"
        turned = notes_of("orientation tag applied", image_file, mask_file)
        detail += "".join(f"; the orientation of {each.file} was applied, {each.detail}" for each in turned)
        if (height, width) == (mask_width, mask_height):
            ways = "without that tag" if turned else "if one of them were turned by 90 degrees"
            detail += f"; they would fit {ways}: save both upright, without orientation tags"
        raise SampleError("size mismatch", mask_file, detail)


def threshold(labels: np.ndarray, file: str) -> np.ndarray:
    """Class map (0, 1) of a lossily stored black and white mask: values above 127 are foreground.

    Raises `SampleError` of kind "unexpected label" for a mask that is clearly not black and white.
    """
    grey = cv2.countNonZero(cv2.inRange(labels, 64, 191)) / labels.size
    if grey > BINARY_GREY or labels.max() > 255:
        raise SampleError("unexpected label", file, f"not black and white: {grey:.0%} of the pixels are mid-grey")
    return cv2.threshold(labels, 127, 1, cv2.THRESH_BINARY)[1].astype(np.uint8, copy=False)


def black_and_white(labels: np.ndarray, file: str) -> np.ndarray:
    """Class map (0, 1) of a losslessly stored mask of 0 and 255; any other value is an "unexpected label"."""
    foreground = labels == 255
    if not np.all(foreground | (labels == 0)):
        others = np.setdiff1d(labels, [0, 255])
        raise SampleError("unexpected label", file, f"{value_list(others.tolist())} beside 0 and 255")
    return foreground.astype(np.uint8)


def two_values(labels: np.ndarray, file: str) -> np.ndarray:
    """Class map (0, 1) of a losslessly stored mask of 0 and one other value, or of 0 alone.

    Raises `SampleError` of kind "unexpected label" for a mask of more values.
    """
    foreground = labels > 0
    if np.any(labels[foreground] != labels.max()):
        detail = f"{value_list(np.unique(labels).tolist())} where 0 and one other value are expected"
        raise SampleError("unexpected label", file, detail)
    return foreground.astype(np.uint8)


def value_list(values: Iterable[int]) -> str:
    """Write label values for a message, the first few of them: "value 37", "values 3, 4, 5, ... 90"."""
    ordered = [value_name(value) for value in sorted(values)]
    if len(ordered) == 1:
        return f"value {ordered[0]}"
    shown = ordered if len(ordered) <= 6 else [*ordered[:4], "...", ordered[-1]]
    return "values " + ", ".join(shown)


def percent(part: float) -> str:
    """Write a part of 1 in per cent, with digits where it is small."""
    value = 100 * part
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %" if value >= 0.1 else f"{value:.2g} %"
