"""From the values in a user's masks to classes: what `data.labels`, `data.ignore` and `data.foreground` describe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from medseg.data.datasets.layout import threshold
from medseg.data.labels import IGNORE_INDEX, fault_of_names
from medseg.data.sources.decode_masks import COLOUR, colour_value, value_name
from medseg.errors import ConfigError

MAX_CLASSES = 255
"""Class maps are uint8, and 255 is the value of pixels to ignore."""

HIGHEST = COLOUR + 0xFFFFFF

MOST_NAMED = 10
"""Classes that a line of text lists."""

OTHERS = "all other values"

RESERVED = ("ignored", "rule", "united", "note")
"""Keys of a description beside the names of the classes."""

ABOVE_ZERO = (1, HIGHEST)

Span = tuple[int, int]
"""Values from the first to the last, both included; colours are above `COLOUR`, see `decode_masks`."""


@dataclass(frozen=True)
class Labels:
    """How mask values become classes.

    Args:
        names: of the classes, the background first.
        values: of each class.
        ignored: values of pixels that count nowhere.
        others: the class of all other values; None where these are unexpected.
        grey_edges: masks of 0 and 255 with grey between are thresholded, above 127 is 255, before values are looked up;
            see `without_grey`.
        rule: how this was decided, in words.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Span, ...], ...]
    ignored: tuple[Span, ...] = ()
    others: int | None = None
    grey_edges: bool = False
    rule: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes, the background included."""
        return len(self.names)

    @property
    def each_value_is_an_object(self) -> bool:
        """Whether every value but 0 is foreground: the values are numbers of objects."""
        return self.values[1:] == ((ABOVE_ZERO,),)

    def classes_of(self, values: np.ndarray) -> np.ndarray:
        """Return the class of each value, int16; `IGNORE_INDEX` where it is ignored, -1 where it is unexpected."""
        classes = np.full(values.shape, -1 if self.others is None else self.others, np.int16)
        for label, spans in [*enumerate(self.values), (IGNORE_INDEX, self.ignored)]:
            for low, high in spans:
                classes[(values >= low) & (values <= high)] = label
        return classes

    def unexpected(self, values: Iterable[int]) -> list[int]:
        """Return those values that mean no class, sorted."""
        each = np.array(sorted(values), np.int64)
        return each[self.classes_of(each) < 0].tolist()

    def without_grey(self, values: np.ndarray, file: str) -> np.ndarray:
        """Return a mask of 0 and 255 with grey between as 0 and 255 alone; what is ignored keeps its value.

        Raises `SampleError` as `threshold` does.
        """
        ignored = np.zeros(values.shape, bool)
        for low, high in self.ignored:
            ignored |= (values >= low) & (values <= high)
        grey = np.where(ignored, 0, values).astype(np.uint16)
        return np.where(ignored, values, threshold(grey, file) * np.uint8(255))

    def to_classes(self, values: np.ndarray) -> np.ndarray:
        """Return the class map, H x W uint8, of a mask whose values are all expected; 255 is ignored."""
        if values.dtype in (np.uint8, np.uint16):
            table = self.classes_of(np.arange(np.iinfo(values.dtype).max + 1, dtype=np.int64)).astype(np.uint8)
            # NumPy takes 1 ms for what takes OpenCV 0.1, in DSB 2018 for each of 29,461 masks.
            return np.asarray(cv2.LUT(values, table)) if values.dtype == np.uint8 else table[values]
        each, where = np.unique(values, return_inverse=True)
        return self.classes_of(each.astype(np.int64)).astype(np.uint8)[where].reshape(values.shape)

    def describe(self) -> dict[str, object]:
        """Return the description that goes into the fingerprint: the values of each class, those ignored, the rule."""
        described: dict[str, object] = {}
        for label, (name, spans) in enumerate(zip(self.names, self.values, strict=True)):
            others = [OTHERS] if self.others == label else []
            described[name] = [span_name(span) for span in spans] + others
        if self.ignored:
            described["ignored"] = [span_name(span) for span in self.ignored]
        return {**described, "rule": self.rule}

    @property
    def text(self) -> str:
        """The description in one line: `background 0, disc 128, ignored 255`."""
        parts = [(name, values) for name, values in self.describe().items() if isinstance(values, list)]
        each = [f"{name} {' '.join(map(str, values)) or 'nothing'}" for name, values in parts]
        return ", ".join(each if len(each) <= MOST_NAMED else [*each[: MOST_NAMED - 2], "...", each[-1]])


def span_name(span: Span) -> int | str:
    """Write a span as it is written in an option: `128`, `#ff0000`, `1-50`."""
    low, high = span
    if low == high:
        return low if low < COLOUR else value_name(low)
    return "above 0" if span == ABOVE_ZERO else f"{value_name(low)}-{value_name(high)}"


def described_labels(labels: Mapping[str, Any], ignored: tuple[Span, ...]) -> Labels:
    """Return what `data.labels` describes.

    Args:
        labels: name -> a value, a range `"1-50"`, a colour `"#ff0000"`, or a list of these. The class called
            `background` is class 0 wherever it stands; without it, class 0 is what no class names.
        ignored: see `ignored_spans`.

    Raises `ConfigError`.
    """
    spans = {str(name): spans_of(values, f"data.labels: {name}") for name, values in labels.items()}
    background = next((name for name in spans if name.lower() == "background"), None)
    names = [background or "background", *(name for name in spans if name != background)]
    for name in names:
        if name in RESERVED:
            raise ConfigError(
                f"data.labels: '{name}' cannot be the name of a class; values to ignore are data.ignore=255"
            )
    if not 2 <= len(names) <= MAX_CLASSES:
        raise ConfigError(f"data.labels has {len(names)} classes; it must be 2 to {MAX_CLASSES} with the background")
    every = sorted((span, name) for name, of in [*spans.items(), ("data.ignore", ignored)] for span in of)
    for (one, first), (other, second) in pairwise(every):
        if other[0] <= one[1]:
            colours = {as_colour(spans.get(name, ignored)): None for name in (first, second)}
            hint = "".join(f'; three numbers are three values, a colour is "{colour}"' for colour in colours if colour)
            raise ConfigError(
                f"data.labels: {span_name(other)} is of {first} and of {second}; each value is of one class{hint}"
            )
    values = tuple(spans.get(name, ()) for name in names)
    return Labels(tuple(names), values, ignored, None if background else 0, rule="data.labels")


def as_colour(spans: Sequence[Span]) -> str:
    """Return the colour that three values, [255, 128, 0], were perhaps to be; empty where they cannot be one."""
    if len(spans) != 3 or any(low != high or not 0 <= low <= 255 for low, high in spans):
        return ""
    return "#{:02x}{:02x}{:02x}".format(*(low for low, _ in spans))


def above_zero(ignored: tuple[Span, ...], names: Sequence[str] | None) -> Labels:
    """Return what `data.foreground=above_zero` describes: 0 is background, every other value foreground."""
    given = tuple(names or ("background", "foreground"))
    if len(given) != 2:
        raise ConfigError(f"data.foreground=above_zero makes two classes, class_names has {len(given)} names")
    return Labels(given, (((0, 0),), (ABOVE_ZERO,)), ignored, rule="data.foreground=above_zero")


def ignored_spans(ignore: Any) -> tuple[Span, ...]:
    """Return the values that `data.ignore` names; raises `ConfigError`."""
    return () if ignore is None else spans_of(ignore, "data.ignore")


def spans_of(values: Any, key: str) -> tuple[Span, ...]:
    """Read a value, a range, a colour, or a list of these; `key` names it in errors. Raises `ConfigError`."""
    each = values if isinstance(values, list | tuple) else [values]
    found = [span_of(value, key) for value in each]
    if not found:
        raise ConfigError(f"{key} has no value")
    return tuple(found)


def span_of(value: Any, key: str) -> Span:
    """Read one value, range or colour."""
    text = "" if isinstance(value, bool) else str(value).strip()
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return colour_value(text), colour_value(text)
    if re.fullmatch(r"-?\d{1,10}", text):
        return int(text), int(text)
    ends = re.fullmatch(r"(\d{1,10}) *- *(\d{1,10})", text)
    if ends and int(ends[1]) <= int(ends[2]):
        return int(ends[1]), int(ends[2])
    raise ConfigError(
        f'{key} is {value!r}; it must be a whole number, a range such as "1-50", a colour such as "#ff0000", or a '
        "list of these"
    )


def check_names(names: Sequence[str]) -> None:
    """Raise `ConfigError` for names of classes that cannot be."""
    fault = fault_of_names(names)
    if fault:
        raise ConfigError(f"names of classes: {fault}")


def check_number(num_classes: int | None) -> None:
    """Raise `ConfigError` for a number of classes that cannot be."""
    if num_classes is not None and not 2 <= num_classes <= MAX_CLASSES:
        raise ConfigError(f"num_classes={num_classes}: it counts the background and must be 2 to {MAX_CLASSES}")


def with_names(labels: Labels, names: Sequence[str] | None, num_classes: int | None) -> Labels:
    """Check a description against the names and the number of classes that are given too; the names' spelling counts.

    Raises `ConfigError` where they do not agree.
    """
    if names and sorted(map(plain_name, names)) != sorted(map(plain_name, labels.names)):
        raise ConfigError(f"data.labels has the classes {', '.join(labels.names)}, class_names {', '.join(names)}")
    if names:
        order = [[plain_name(name) for name in labels.names].index(plain_name(name)) for name in names]
        if order[0] != 0:
            raise ConfigError(f"class_names begins with {names[0]}; the background, {labels.names[0]}, is the first")
        labels = replace(labels, names=tuple(names), values=tuple(labels.values[at] for at in order))
    if num_classes not in (None, labels.num_classes):
        raise ConfigError(f"num_classes={num_classes}, but {labels.rule} has {labels.num_classes} classes")
    return labels


def plain_name(name: str) -> str:
    """Return the name of a class as a key that a command line can have."""
    return re.sub(r"\W+", "_", name).strip("_") or "class"
