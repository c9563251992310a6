"""The sections of the page that tell numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.data.prepared.report import as_text
from medseg.data.splits import SPLITS
from medseg.inspecting.charts import curves, histogram, ranges
from medseg.inspecting.facts import UNUSED, Facts
from medseg.inspecting.pictures import figure
from medseg.inspecting.shown import id_in_short, percent

MOST_PROBLEMS = 500
"""Rows of the table; the rest is in its file."""

MOST_PAIRS = 12
"""Pairs of images that are shown; the others are in the table of problems."""

FEW_SIZES = 6
"""Sizes up to this number are listed, more are drawn."""


def at_a_glance(facts: Facts, split: str) -> str:
    """Say what the data are in a few numbers."""
    prepared, said = facts.prepared, facts.prepared.fingerprint
    height, width = prepared.image_size
    counts = " / ".join(str(len(facts.indices[part])) for part in SPLITS)
    native = said["native_sizes"]
    tiles = {
        "images": str(len(facts.rows)),
        f"train / val / test, {split}": counts,
        f"height x width, {'RGB' if prepared.in_channels == 3 else 'grey'}": f"{height} x {width}",
        f"classes: {', '.join(prepared.class_names)}": str(prepared.num_classes),
        "sizes of the originals": str(native),
        "foreground, median image": percent(float(np.median(facts.foreground))),
        "empty masks": str(len(facts.empty)),
        "problems found": str(len(facts.problems) + len(facts.duplicates)),
    }
    shown = "".join(f"<div><dd>{escape(value)}</dd><dt>{escape(name)}</dt></div>" for name, value in tiles.items())
    licence = said["licence"] or "not known to medseg"
    # Of several archives, joined by commas, each; drawn images have "(no files)".
    files = ", ".join(Path(place).name for place in said["source"].split(", ") if not place.startswith("("))
    about = f"{f'From {files}. ' if files else ''}Licence: {licence}."
    return f'<p class="faint">{escape(about)}</p><dl class="glance">{shown}</dl>'


def problems(facts: Facts) -> str:
    """List what preparing found, and images that are there twice."""
    found = [*facts.problems, *(pair.as_problem(facts.rows, facts.parts) for pair in facts.duplicates)]
    rows = [(each.kind, "left out" if each.fatal else "kept", each.sample, each.file, each.detail) for each in found]
    if not rows:
        return (
            "<p>None: every image has its mask, every mask its image, all files can be read, sizes and labels fit, no "
            "mask is empty, no file is there twice, and no image was found again in another split.</p>"
        )
    kinds = Counter((kind, fate) for kind, fate, *_ in rows)
    total = ", ".join(f"{count} x {kind} ({fate})" for (kind, fate), count in kinds.items())
    rest = f" The first {MOST_PROBLEMS} are listed." if len(rows) > MOST_PROBLEMS else ""
    cells = [[kind, fate, sample, file, detail] for kind, fate, sample, file, detail in rows[:MOST_PROBLEMS]]
    made = table(["problem", "image is", "id", "file", "detail"], cells, sortable="problem-table")
    search = (
        '<div class="controls"><label>show those with<input type="search" data-filter="problem-table"></label></div>'
    )
    return f"<p>{escape(total)}.{rest}</p>{search if len(rows) > 10 else ''}{made}{duplicate_pictures(facts)}"


def duplicate_pictures(facts: Facts) -> str:
    """Show pairs of images in different splits that show the same thing."""
    if not facts.crossing:
        return ""
    pairs = []
    for pair in facts.crossing[:MOST_PAIRS]:
        shown = []
        for position in (pair.first, pair.second):
            pixels = facts.prepared.images[position], facts.prepared.masks[position]
            row = facts.rows[position]
            caption = f"{id_in_short(row.id)}<br>{escape(facts.parts[position])}"
            shown.append(figure(*pixels, caption, f"{row.id} in {facts.parts[position]}"))
        pairs.append(f'<div class="pair">{"".join(shown)}</div>')
    some = f", the first {MOST_PAIRS}" if len(facts.crossing) > MOST_PAIRS else ""
    return (
        f"<h3>The same in two splits ({len(facts.crossing)}{some})</h3><p class='notes'>What is learnt from one of "
        "a pair helps with the other, which makes scores look better than they are.</p>"
        f'<div class="pairs">{"".join(pairs)}</div>'
    )


def sizes(facts: Facts) -> str:
    """Show how large the originals are."""
    found = Counter((row.height, row.width) for row in facts.rows)
    height, width = facts.prepared.image_size
    to = f"All are resized to {height} x {width}; their shape is not kept."
    if len(found) <= FEW_SIZES:
        cells = [[f"{h} x {w}", str(count), f"{w / h:.3g}"] for (h, w), count in found.most_common()]
        return (
            f'<p class="notes">{to}</p>{table(["height x width", "images", "width : height"], cells, numbers=(1, 2))}'
        )
    heights, widths = (np.array([getattr(row, side) for row in facts.rows]) for side in ("height", "width"))
    most = ", ".join(f"{h} x {w} ({count})" for (h, w), count in found.most_common(3))
    smaller = int(np.sum((heights < height) | (widths < width)))
    grown = f" {smaller} are smaller than that in height or width and grow." if smaller else ""
    charts = [
        histogram(heights, "height", " pixels", whole=True),
        histogram(widths, "width", " pixels", whole=True),
        histogram(widths / heights, "width : height", ""),
    ]
    return (
        f'<p class="notes">{len(found)} sizes; the most frequent, height x width: {most}. {to}{grown}</p>'
        f"{side_by_side(charts)}"
    )


def foreground(facts: Facts) -> str:
    """Show how much of the images each class covers."""
    names = facts.prepared.class_names
    whole = facts.shares.mean(axis=0)
    cells, charts = [], []
    for number, name in enumerate(names):
        share = facts.shares[:, number]
        present = int(np.sum(share > 0))
        spread = [percent(float(value)) for value in np.quantile(share, [0, 0.5, 1])]
        cells.append([name, percent(float(whole[number])), f"{present} of {len(share)}", *spread])
        if number and present:
            charts.append(histogram(100 * share[share > 0], f"{name} in the image", " %", zero=True))
    if len(names) > 2:
        filled = facts.foreground[facts.foreground > 0]
        charts.insert(0, histogram(100 * filled, "all foreground in the image", " %", zero=True))
    heading = ["class", "of all pixels", "in images", "least", "median", "most"]
    made = table(heading, cells, numbers=(1, 2, 3, 4, 5))
    return (
        f"{made}{side_by_side(charts)}"
        '<p class="notes">The charts count images; those without the class are left out of its chart.</p>'
    )


def splits(facts: Facts, split: str) -> str:
    """Compare the splits."""
    parts = {part: indices for part in SPLITS if len(indices := facts.indices[part])}
    unused = np.array([n for n, part in enumerate(facts.parts) if part == UNUSED], dtype=np.int64)
    shown = {**parts, UNUSED: unused} if len(unused) else parts
    cells = []
    for part, indices in shown.items():
        share = facts.foreground[indices]
        spread = [percent(float(value)) for value in (np.median(share), share.mean(), share.min(), share.max())]
        empty = str(int(np.sum(share == 0)))
        cells.append([part, str(len(indices)), percent(len(indices) / len(facts.rows)), *spread, empty])
    heading = ["split", "images", "of all", "foreground, median", "mean", "least", "most", "empty masks"]
    charts = [ranges({part: 100 * facts.foreground[i] for part, i in shown.items()}, "foreground", " %", zero=True)]
    charts.append(ranges({part: 100 * facts.brightness[i] for part, i in shown.items()}, "mean brightness", " %"))
    made = table(heading, cells, numbers=tuple(range(1, len(heading))))
    crossing = len(facts.crossing)
    twice = (
        f"<p class='bad'>{crossing} pair{'s' * (crossing > 1)} of images in two splits show the same thing; see the "
        "problems.</p>"
        if crossing
        else "<p>No image of one split was found again in another.</p>"
    )
    note = (
        "<p class='notes'>In the charts, the thin line goes from the lowest to the highest image, the bar over the "
        "middle half, the mark is the median.</p>"
    )
    return (
        f"<p>{escape(split[:1].upper() + split[1:])}.</p>{made}{classes(facts, shown)}{types(facts, shown)}{twice}"
        f"{side_by_side(charts)}{note}"
    )


def classes(facts: Facts, shown: Mapping[str, NDArray[np.int64]]) -> str:
    """Tell how much of each split each class covers, where there are several."""
    names = facts.prepared.class_names
    if len(names) < 3:
        return ""
    cells = []
    for number, name in enumerate(names[1:], start=1):
        of = [facts.shares[indices, number] for indices in shown.values()]
        cells.append([name, *(f"{percent(float(share.mean()))} in {int(np.sum(share > 0))}" for share in of)])
    made = table(["class", *shown], cells, numbers=tuple(range(1, len(shown) + 1)))
    return f"<h3>Classes</h3><p class='notes'>Part of all pixels, and the number of images that hold it.</p>{made}"


def types(facts: Facts, shown: Mapping[str, NDArray[np.int64]]) -> str:
    """Count the types of images in each split, where the dataset knows several."""
    if not facts.types:
        return ""
    cells = []
    for name, indices in facts.types.items():
        counts = [len(np.intersect1d(indices, of)) for of in shown.values()]
        parts = [f"{count} ({percent(count / len(of))})" for count, of in zip(counts, shown.values(), strict=True)]
        cells.append([name or "none", *parts, str(len(indices))])
    made = table(["type of image", *shown, "all"], cells, numbers=tuple(range(1, len(shown) + 2)))
    return f"<h3>Types of images</h3>{made}"


def intensities(facts: Facts) -> str:
    """Show mean and deviation of each channel, split by split, and how the values are spread."""
    prepared = facts.prepared
    channels = ("red", "green", "blue") if prepared.in_channels == 3 else ("grey",)
    cells = []
    for part, indices in {**facts.indices, "all": np.arange(len(facts.rows))}.items():
        if len(indices):
            mean, std = prepared.mean_std(indices)
            pairs = [f"{value:.4f} ± {deviation:.4f}" for value, deviation in zip(mean, std, strict=True)]
            cells.append([part, *pairs])
    made = table(["images", *channels], cells, numbers=tuple(range(1, len(channels) + 1)))
    charts = [
        curves(dict(zip(channels, facts.levels, strict=True)), "values of all pixels, 0 to 255"),
        histogram(100 * facts.brightness, "mean brightness of an image", " %"),
    ]
    return (
        "<p class='notes'>Mean ± standard deviation of the values of all pixels, black 0 and white 1. Images are "
        f"normalised with those of the training split.</p>{made}{side_by_side(charts)}"
    )


def fingerprint(facts: Facts) -> str:
    """Tell what the prepared data are and where they came from."""
    said = facts.prepared.fingerprint
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    told = {
        "dataset": f"{said['title']} ({said['dataset']}, version {said['dataset_version']})",
        "licence": said["licence"] or "not known to medseg; ask whoever made the images",
        "citation": said["citation"] or "none known to medseg",
        "options": as_text(said["options"]),
        "images": said["count"],
        "left out": as_text(said["skipped"]),
        "classes, part of all pixels": as_text(said["class_fractions"]),
        "image size, height x width": " x ".join(map(str, said["image_size"])),
        "channels": said["in_channels"],
        "source": said["source"],
        "SHA-256 of the archives": said["archive_sha256"],
        "SHA-256 of the arrays": said["sha256"],
        "identity": facts.prepared.identity,
        "prepared": f"{said['created']} in {said['seconds']} s",
        "versions": versions,
        "folder": str(facts.prepared.folder),
    }
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{cell(value)}</td></tr>' for name, value in told.items()
    )
    whole = escape(json.dumps(said, indent=2, ensure_ascii=False))
    return (
        f'<div class="scroll"><table class="facts"><tbody>{cells}</tbody></table></div>'
        f"<details><summary>fingerprint.json</summary><pre>{whole}</pre></details>"
    )


def cell(value: Any) -> str:
    """Write a value of the fingerprint; several, each under its name."""
    if isinstance(value, Mapping):
        return "<br>".join(f"{escape(str(key))}: <code>{escape(str(of))}</code>" for key, of in value.items()) or "none"
    return escape(str(value))


def side_by_side(charts: Sequence[str]) -> str:
    """Put charts beside each other where there is room."""
    return f'<div class="charts">{"".join(charts)}</div>'


def table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), sortable: str | None = None
) -> str:
    """Make a table of plain text.

    Args:
        heading: of the columns.
        rows: of cells.
        numbers: columns of numbers.
        sortable: the id of a table that can be sorted.
    """
    side = [' class="number"' if column in numbers else "" for column in range(len(heading))]
    top = "".join(f"<th{of}>{escape(title)}</th>" for of, title in zip(side, heading, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{of}>{escape(text)}</td>' for of, text in zip(side, row, strict=True))}</tr>"
        for row in rows
    )
    kind = f' id="{sortable}" class="sortable"' if sortable else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
