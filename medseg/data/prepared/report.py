"""Show on the terminal what was prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.reach import describe_reach
from medseg.data.splits.grouping import describe_groups
from medseg.errors import printable

SHOWN = (
    "title", "count", "splits", "groups", "labels", "class_fractions", "foreground_fraction", "native_height",
    "native_width", "native_sizes", "image_size", "reachable_dice", "in_channels", "pixels", "opaque_alpha", "mean",
    "std", "problems", "skipped", "source", "licence", "citation",
)  # fmt: skip
"""What of the fingerprint a person wants to see; the rest is in its file."""


def print_fingerprint(prepared: PreparedDataset, splits: Mapping[str, int], groups: Mapping[str, str]) -> None:
    """Print the fingerprint of prepared data, with the sizes of the splits and the groups in use, as a table."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for key in SHOWN:
        given = {
            "splits": splits,
            "groups": describe_groups(groups),
            "labels": prepared.labels,
            "pixels": prepared.pixels.describe(),
            "image_size": prepared.image_size or "native, that of each image",
        }
        value = given[key] if key in given else prepared.fingerprint[key]
        if key != "labels" or value:
            table.add_row(key.replace("_", " "), as_text(value))
    console = Console()
    console.print(table)
    size = prepared.image_size
    reach = describe_reach(prepared.fingerprint["reachable_dice"], size) if size else ""
    if reach:
        advice = "a larger data.image_size reaches more, and data.patches=4 keeps the native size"
        console.print(f"{reach}; {advice}", soft_wrap=True)
    console.print(printable(str(prepared.folder)), soft_wrap=True)


def as_text(value: Any) -> str:
    """Write a value of the fingerprint for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_text(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(as_text(part) for part in value) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
