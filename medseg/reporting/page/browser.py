"""The test images in the page: which of them, and what each network predicted for them.

Of a dataset with more test images than the page is to hold, half of those shown are the ones whose score differs most
between the networks, by its deviation; the others are spread evenly over the rest, from the worst score to the best.
Of very many runs, fewer images are shown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg.errors import UserError
from medseg.metrics.measures import Measure
from medseg.reporting.cells import Cell
from medseg.reporting.comparison import Comparison
from medseg.reporting.formatting import count
from medseg.reporting.line import Line
from medseg.reporting.page.markup import controls_html, faint, select_html
from medseg.reporting.page.pictures import Frame, Pixels, bits_of, image_data, maps_data
from medseg.reporting.pictures import NOT_PACKED, NOT_STORED, is_unpacked
from medseg.reporting.render.html import plain
from medseg.reporting.render.table import one_line
from medseg.reporting.samples import Sample, share_images
from medseg.reporting.statistics import Array
from medseg.runs.packed.archive import with_files
from medseg.runs.predictions import read_predictions
from medseg.runs.run import Run

if TYPE_CHECKING:
    from medseg.data.prepared.dataset import PreparedDataset

log = logging.getLogger("medseg")

SHARED_FREELY = ("cc0", "cc by", "cc-by", "public domain", "pddl", "odc")
"""Beginnings of licences that let images be passed on, under their conditions."""


ORDERS = {
    "difference": "difference, largest first",
    "first": "where the network is better",
    "second": "where the other is better",
    "worst": "worst score of the network first",
    "best": "best score of the network first",
    "id": "id",
}
"""Orders of the images."""

OVERLAYS = {"errors": "right and wrong", "classes": "classes", "outlines": "outlines", "none": "the image alone"}
"""What is drawn over an image."""


MOST_MAPS = 6000
"""Predictions in a page, about: of binary masks of 256 x 256 about 5 MB, which take 3 s to read and write."""

FEWEST_IMAGES = 4
"""Of a dataset, where that many are asked for, however many predictions each has."""


def browser_data(comparison: Comparison, images: int) -> list[dict[str, Any]]:
    """Return of each dataset at most so many images with pictures, class maps and scores; or why there are none."""
    maps = sum(len(runs_of_maps(cell)) for cell in comparison.cells.values())
    images = min(images, max(FEWEST_IMAGES, MOST_MAPS // max(1, maps)))
    return [column_data(comparison, column, images) for column in comparison.columns]


def column_data(comparison: Comparison, column: Line, images: int) -> dict[str, Any]:
    """Return what the page shows of a dataset."""
    cells = {cell.row: cell for (_, of), cell in comparison.cells.items() if of == column and cell.sample is not None}
    runs = [run for cell in cells.values() for run in cell.runs if run.finished]
    if not any(run.predictions.exists() for run in runs):
        return {"missing": NOT_PACKED if all(map(is_unpacked, runs)) else NOT_STORED}
    # Not above: a page without pictures need not wait for what reads images.
    from medseg.data.overlay import as_rgb
    from medseg.reporting.pictures import open_prepared

    try:
        prepared = open_prepared(runs)
    except UserError as error:
        log.warning("no pictures of %s: %s", column.label, with_files(str(error)))
        return {"missing": "the prepared data are gone, or are not those of the test any more; prepare them again"}
    measures = {measure.name: measure for measure in comparison.measures.per_image}
    # Of a pooled measure, that which single images have; else Dice.
    ids, rule = choose_images(cells, measures.get(comparison.measure.score, measures["dice"]), images)
    maps, lacking = read_stored(cells, ids)
    position = {image: index for index, image in enumerate(prepared.ids)}
    if not maps or any(image not in position for image in ids):
        return {"missing": "the stored predictions are not of the test images"}
    index = {row: k for k, row in enumerate(comparison.rows)}
    truths = {image: prepared.native_masks[position[image]] for image in ids}
    classes, bits = prepared.num_classes, bits_of(truths.values(), prepared.num_classes)

    def picture(image: str) -> dict[str, Any]:
        pixels = np.asarray(as_rgb(prepared.images[position[image]]))
        frame = Frame.of(truths[image])
        packed = maps_data([truths[image], *(of[image] for of in maps.values())], frame, classes, bits)
        size = [frame.height, frame.width]
        return {"id": image, "size": size, "picture": image_data(pixels, frame), "maps": packed}

    scores = {
        measure.name: {
            str(index[row]): scores_of(cell.sample, measure, ids)
            for row, cell in cells.items()
            if cell.sample and measure.score in cell.sample.scores
        }
        for measure in measures.values()
    }
    return {
        "rule": rule,
        "licence": licence_note(prepared),
        "lacking": lacking,
        "classes": list(prepared.class_names),
        "bits": bits,
        "rows": [index[row] for row in cells],
        "maps": [[index[row], seed] for row, seed, _ in maps],
        "images": list(map(picture, ids)),
        "scores": {name: of_rows for name, of_rows in scores.items() if of_rows},
    }


def scores_of(sample: Sample, measure: Measure, ids: Sequence[str]) -> dict[str, list[float | None]]:
    """Return a score of some images: the mean over seeds, and that of each seed; None where it has no value."""

    def shown(values: Array) -> list[float | None]:
        known = dict(zip(sample.ids, values.tolist(), strict=True))
        scores = [known.get(image, float("nan")) for image in ids]
        return [None if np.isnan(score) else round(score, measure.digits) + 0.0 for score in scores]

    seeds = dict(zip(map(str, sample.seeds), sample.scores[measure.score], strict=True))
    return {seed: shown(values) for seed, values in {"mean": sample.per_image(measure.score), **seeds}.items()}


def choose_images(cells: Mapping[Line, Cell], measure: Measure, images: int) -> tuple[list[str], str]:
    """Choose the images to show, sorted by id, and describe in words how."""
    values: dict[str, list[float]] = {}
    for cell in cells.values():
        if cell.sample is not None:
            for image, value in zip(cell.sample.ids, cell.sample.per_image(measure.score).tolist(), strict=True):
                values.setdefault(image, []).append(value)
    most = max(map(len, values.values()))
    ids = sorted(image for image, values_of_image in values.items() if len(values_of_image) == most)
    if len(ids) <= images:
        return ids, f"All {count(len(ids), 'test image')}."
    scores = np.array([values[image] for image in ids])
    disputed = np.argsort(-np.nan_to_num(scores.std(axis=1)), kind="stable")[: -(-images // 2) if most > 1 else 0]
    title, others = measure.title, images - len(disputed)
    rest = np.setdiff1d(np.arange(len(ids)), disputed)
    rest = rest[np.argsort(np.nan_to_num(scores[rest].mean(axis=1)), kind="stable")]
    spread = np.linspace(0, len(rest) - 1, others).round().astype(int)
    rule = f"spread evenly from the lowest {title} to the highest."
    if most > 1:
        rule = (
            f"the {len(disputed)} whose {title} (mean over seeds) deviates most between the networks, and {others} "
            f"spread evenly over the others from the lowest mean {title} to the highest."
        )
    chosen = [ids[n] for n in np.union1d(disputed, rest[spread])]
    return chosen, f"{images} of {len(ids)} test images: {rule}"


Maps = dict[tuple[Line, int, int | None], Mapping[str, Pixels]]
"""(row, seed, fold) -> image -> class map; without a fold, of all folds of the seed."""


def read_stored(cells: Mapping[Line, Cell], ids: Sequence[str]) -> tuple[Maps, list[str]]:
    """Read what was predicted for some images; return it, and the networks and runs without predictions, in words."""
    maps: Maps = {}
    lacking = []
    for row, cell in cells.items():
        for (seed, fold), runs in runs_of_maps(cell).items():
            predicted: dict[str, Pixels] = {}
            for file in (run.predictions for run in runs if run.predictions.exists()):
                try:
                    predicted |= read_predictions(file, ids)
                except UserError as error:
                    log.warning("%s", with_files(str(error)))
            if all(image in predicted for image in ids):
                maps[row, seed, fold] = predicted
            else:
                lacking.append(f"{one_line(row.label)} (seed {seed}{'' if fold is None else f' fold {fold}'})")
    return maps, lacking


def runs_of_maps(cell: Cell) -> dict[tuple[int, int | None], list[Run]]:
    """Return (seed, fold) -> runs whose predictions make one map of each image.

    The folds of a seed are one, without a fold; where all predicted the same images, such as those of an external test,
    each is one.
    """
    made: dict[tuple[int, int | None], list[Run]] = {}
    for seed in cell.sample.seeds if cell.sample else ():
        runs = [run for run in cell.runs if run.finished and run.seed == seed]
        made |= {(seed, run.fold): [run] for run in runs} if share_images(runs) else {(seed, None): runs}
    return made


def licence_note(prepared: PreparedDataset) -> str:
    """Say under which licence the images are, and what that means for the page."""
    licence = str(prepared.fingerprint.get("licence") or "")
    if not licence:
        return f"{prepared.title}: no licence is known; see whether the images may be passed on before you share them."
    if licence.lower().startswith(SHARED_FREELY):
        return f"{prepared.title}: {licence}."
    return (
        f"{prepared.title}: {licence}. That does not let the images be passed on: keep this page to yourself, or leave "
        "them out with images=0."
    )


def browser_html(comparison: Comparison, data: Sequence[Mapping[str, Any]]) -> str:
    """Write the frame of the browser, and what it cannot show; `data`: of each dataset, none to leave pictures out."""
    if not data:
        return "<p>The pictures were left out (images=0).</p>"
    there = {str(index): one for index, one in enumerate(data) if "images" in one}
    missing = "\n".join(
        f"<p>No pictures of {plain(column.label)}: {escape(one['missing'])}.</p>"
        for column, one in zip(comparison.columns, data, strict=True)
        if "missing" in one
    )
    if not there:
        return missing
    scores = [one for one in comparison.measures.values() if any(one.name in data["scores"] for data in there.values())]
    orders = ORDERS if len(comparison.rows) > 1 else {key: ORDERS[key] for key in ("worst", "best", "id")}
    selects: dict[str, tuple[str, Iterable[tuple[str, str]]]] = {
        "dataset": ("dataset", [(index, comparison.columns[int(index)].label) for index in there]),
        "first": ("network", []),
        "second": ("against", []),
        "seed": ("seed", []),
        "score": ("score", [(one.name, one.heading) for one in scores]),
        "order": ("sort by", orders.items()),
        "overlay": ("show", OVERLAYS.items()),
    }
    controls = controls_html(*(select_html(f"browser-{name}", *select) for name, select in selects.items()))
    return (
        f'{controls}<div class="browser" id="browser">\n'
        '<div class="steps"><button type="button" id="browser-back" aria-label="image before">←</button>'
        '<button type="button" id="browser-next" aria-label="next image">→</button>'
        '<p id="browser-title" aria-live="polite"></p></div>\n'
        '<div class="frames" id="browser-frames"></div>\n<p class="keys" id="browser-keys"></p>\n'
        '<ol class="list" id="browser-list" role="listbox" tabindex="0" aria-label="test images"></ol>\n</div>\n'
        '<p class="faint" id="browser-notes"></p>\n'
        f"{faint('The arrow keys go on to the next image.')}\n{missing}"
    )
