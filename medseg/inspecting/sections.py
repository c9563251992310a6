"""The sections of the page with numbers: tables and charts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg.data.datasets.layout import percent
from medseg.data.prepared.reach import CAPPED
from medseg.data.prepared.report import as_text
from medseg.data.splits import SPLITS
from medseg.data.splits.grouping import describe_groups
from medseg.inspecting.charts import curves, histogram, ranges
from medseg.inspecting.facts import UNUSED, Facts
from medseg.inspecting.image_sections import images

MOST_PROBLEMS = 500
"""Rows of the table; the rest is in its file."""

MOST_PAIRS = 12
"""Pairs of images that are shown; the others are in the table of problems."""

CHANNELS = {1: "grey", 3: "RGB"}
NAMES = {1: ["grey"], 3: ["red", "green", "blue"]}

FEW_SIZES = 6
"""Sizes up to this number are listed, more are drawn."""


def at_a_glance(facts: Facts, split: str) -> str:
    """Say what the data are in a few numbers."""
    prepared, fingerprint = facts.prepared, facts.prepared.fingerprint
    size = prepared.image_size
    channels = CHANNELS.get(prepared.in_channels, f"{prepared.in_channels} channels")
    counts = " / ".join(str(len(facts.indices[part])) for part in SPLITS)
    tiles = {
        "images": str(len(facts.rows)),
        f"train / val / test, {split}": counts,
        f"height x width, {channels}": f"{size[0]} x {size[1]}" if size else "native",
        f"classes: {', '.join(prepared.class_names)}": str(prepared.num_classes),
        "sizes of the originals": str(fingerprint["native_sizes"]),
        "foreground, median image": percent(float(np.median(facts.foreground))),
        "empty masks": str(len(facts.empty)),
    }
    if facts.groups:
        tiles["groups of images that belong together"] = str(len(set(facts.groups.values())))
    if facts.ignored:
        tiles["ignored, of all pixels (hatched)"] = percent(facts.ignored)
    reach = float(np.mean([row.reachable for row in facts.rows]))
    if reach < CAPPED:
        tiles["Dice at native size that a perfect prediction reaches"] = f"{reach:.3f}"
    problems = len(facts.problems) + len(facts.duplicates)
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles.items())
    shown += f'<div><dt><a href="#problems">problems found</a></dt><dd>{problems}</dd></div>'
    licence = fingerprint["licence"] or "not known to medseg"
    # Of several archives, joined by commas, each; drawn images have "(no files)".
    files = ", ".join(Path(path).name for path in fingerprint["source"].split(", ") if not path.startswith("("))
    about = f"{f'From {files}. ' if files else ''}Licence: {licence}."
    return f'<p class="faint">{escape(about)}</p><dl class="glance">{shown}</dl>'


def problems(facts: Facts) -> str:
    """List the problems of the preparation, and images that are there twice; folded behind their number."""
    every = [*facts.problems, *(pair.as_problem(facts.rows, facts.parts) for pair in facts.duplicates)]
    rows = [[one.kind, "left out" if one.fatal else "kept", one.sample, one.file, one.detail] for one in every]
    if not rows:
        return (
            "<p>None: every image has its mask, every mask its image, all files can be read, sizes and labels fit, no "
            "mask is empty, no file is there twice, and no image was found again in another split.</p>"
        )
    kinds = Counter((kind, fate) for kind, fate, *_ in rows)
    total = ", ".join(f"{count} x {kind} ({fate})" for (kind, fate), count in kinds.items())
    rest = f"<p>The first {MOST_PROBLEMS} are listed.</p>" if len(rows) > MOST_PROBLEMS else ""
    made = table(["problem", "image is", "id", "file", "detail"], rows[:MOST_PROBLEMS], sortable="problem-table")
    search = (
        '<div class="controls"><label>show those with<input type="search" data-filter="problem-table"></label></div>'
    )
    return (
        f"<details><summary>{len(rows)}: {escape(total)}</summary>{rest}{search if len(rows) > 10 else ''}{made}"
        f"{duplicate_pictures(facts)}</details>"
    )


def duplicate_pictures(facts: Facts) -> str:
    """Show pairs of images in different splits that show the same thing."""
    if not facts.crossing:
        return ""
    pairs = [
        f'<div class="pair">{images(facts, (pair.first, pair.second))}</div>' for pair in facts.crossing[:MOST_PAIRS]
    ]
    some = f", the first {MOST_PAIRS}" if len(facts.crossing) > MOST_PAIRS else ""
    return (
        f"<h3>The same in two splits ({len(facts.crossing)}{some})</h3><p class='notes'>What is learnt from one of "
        "a pair helps with the other, which makes scores look better than they are.</p>"
        f'<div class="pairs">{"".join(pairs)}</div>'
    )


def sizes(facts: Facts) -> str:
    """Show how large the originals are."""
    found = Counter((row.height, row.width) for row in facts.rows)
    size = facts.prepared.image_size
    to = "None is resized: training sees patches (data.patches), validation and test predict whole images."
    if size:
        reach = float(np.mean([row.reachable for row in facts.rows]))
        to = f"All are resized to {size[0]} x {size[1]}; their shape is not kept."
        to += f" A perfect prediction at that size reaches a mean Dice of {reach:.3f} at native size."
    if len(found) <= FEW_SIZES:
        cells = [[f"{h} x {w}", str(count), f"{w / h:.3g}"] for (h, w), count in found.most_common()]
        return f'<p class="notes">{to}</p>{table(["height x width", "images", "width : height"], cells)}'
    heights, widths = (np.array([getattr(row, side) for row in facts.rows]) for side in ("height", "width"))
    most = ", ".join(f"{h} x {w} ({count})" for (h, w), count in found.most_common(3))
    smaller = int(np.sum((heights < size[0]) | (widths < size[1]))) if size else 0
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
    return (
        f"{table(heading, cells)}{side_by_side(charts)}"
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
        f"<p>{escape(split[:1].upper() + split[1:])}. Groups, such as patients: {describe_groups(facts.groups)}.</p>"
        f"{table(heading, cells)}{classes(facts, shown)}"
        f"{types(facts, shown)}{twice}{side_by_side(charts)}{note}"
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
    note = "<p class='notes'>Part of all pixels, and the number of images that hold it.</p>"
    return f"<h3>Classes</h3>{note}{table(['class', *shown], cells)}"


def types(facts: Facts, shown: Mapping[str, NDArray[np.int64]]) -> str:
    """Count the types of images in each split, where the dataset knows several."""
    if not facts.types:
        return ""
    cells = []
    for name, indices in facts.types.items():
        counts = [len(np.intersect1d(indices, of)) for of in shown.values()]
        parts = [f"{count} ({percent(count / len(of))})" for count, of in zip(counts, shown.values(), strict=True)]
        cells.append([name or "none", *parts, str(len(indices))])
    return f"<h3>Types of images</h3>{table(['type of image', *shown, 'all'], cells)}"


def intensities(facts: Facts) -> str:
    """Show mean and deviation of each channel, split by split, and how the values are spread."""
    prepared = facts.prepared
    channels = NAMES.get(prepared.in_channels) or [f"channel {k + 1}" for k in range(prepared.in_channels)]
    cells = []
    for part, indices in {**facts.indices, "all": np.arange(len(facts.rows))}.items():
        if len(indices):
            mean, std = prepared.mean_std(indices)
            pairs = [f"{value:.4f} ± {deviation:.4f}" for value, deviation in zip(mean, std, strict=True)]
            cells.append([part, *pairs])
    charts = [
        curves(dict(zip(channels, facts.levels, strict=True)), "values of all pixels, 0 to 255"),
        histogram(100 * facts.brightness, "mean brightness of an image", " %"),
    ]
    return (
        "<p class='notes'>Mean ± standard deviation of the values of all pixels, black 0 and white 1. Images are "
        f"normalised with those of the training split.</p>{table(['images', *channels], cells)}{side_by_side(charts)}"
    )


def fingerprint(facts: Facts) -> str:
    """Tell what the prepared data are and where they came from."""
    content = facts.prepared.fingerprint
    entries = {
        "dataset": f"{content['title']} ({content['dataset']}, version {content['dataset_version']})",
        "licence": content["licence"] or "not known to medseg; ask whoever made the images",
        "citation": content["citation"] or "none known to medseg",
        "options": as_text(content["options"]),
        "images": content["count"],
        "left out": as_text(content["skipped"]),
        "classes, part of all pixels": as_text(content["class_fractions"]),
        "mask values": as_text(facts.prepared.labels) if facts.prepared.labels else "as the dataset defines them",
        "image size, height x width": " x ".join(map(str, content["image_size"] or ["native"])),
        "channels": content["in_channels"],
        "pixels of the files": facts.prepared.pixels.describe(),
        "images with opaque alpha, left out": content["opaque_alpha"],
        "source": content["source"],
        "SHA-256 of the archives": content["archive_sha256"],
        "SHA-256 of the arrays": content["sha256"],
        "identity": facts.prepared.identity,
        "prepared": f"{content['created']} in {content['seconds']} s",
        "versions": ", ".join(f"{name} {version}" for name, version in content["versions"].items()),
        "folder": str(facts.prepared.folder),
    }
    cells = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{cell(value)}</td></tr>' for name, value in entries.items()
    )
    whole = escape(json.dumps(content, indent=2, ensure_ascii=False))
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


def table(heading: Sequence[str], rows: Sequence[Sequence[str]], *, sortable: str = "") -> str:
    """Make a table of plain text; numbers but for the first column, unless it has the id of a table to be sorted."""
    side = ["", *["" if sortable else ' class="number"'] * (len(heading) - 1)]
    top = "".join(f'<th scope="col"{of}>{escape(title)}</th>' for of, title in zip(side, heading, strict=True))
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        f"{''.join(f'<td{of}>{escape(text)}</td>' for of, text in zip(side[1:], others, strict=True))}</tr>"
        for first, *others in rows
    )
    kind = f' id="{sortable}" class="sortable"' if sortable else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
