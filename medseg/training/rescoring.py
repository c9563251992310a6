"""Compute further scores of finished tests and evaluations, from the class maps that they have saved."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.resize import resize_mask
from medseg.errors import UserError
from medseg.metrics.custom import as_scores, describe
from medseg.metrics.image_scores import TOLERANCE, ImageScores
from medseg.metrics.measures import MEASURES
from medseg.metrics.summary import per_image_rows, summarise
from medseg.runs.folder import PER_IMAGE, PREPARED_SIZE
from medseg.runs.predictions import read_predictions
from medseg.runs.scores import PerImage, read_per_image
from medseg.system.files import read_json, write_csv, write_json
from medseg.system.process import available_cores
from medseg.training.image_scorer import Scored, compare
from medseg.training.scoring import Options, joined

CLASS_MAPS = {PER_IMAGE: "predictions.npz", PREPARED_SIZE: f"{PREPARED_SIZE}.npz"}
"""File of scores -> file of the class maps that they are of."""


def score_folders(run: Path) -> list[Path]:
    """Return the folders of a run that have scores: that of its test, and those of its evaluations."""
    files = [*run.glob("test/summary.json"), *sorted(run.glob("evaluations/*/summary.json"))]
    return [file.parent for file in files]


def rescore(folder: Path, options: Options, spacing: tuple[float, float] | None = None) -> list[str]:
    """Compute scores from the saved class maps, and add them to the files; the network is not needed.

    Scores that are there already are computed anew where they are made of class maps; others stay as they are.

    Args:
        folder: `test/` of a run, or an evaluation.
        options: what is measured; without `names`, the optional scores that were measured before.
        spacing: height and width of a native pixel in mm; None for that of the test.

    Returns the names of the scores that were computed. Raises `UserError` where something that is needed is gone.
    """
    summary = read_json(folder / "summary.json")
    prepared = open_data(summary, folder)
    class_names, of_test = prepared.class_names, summary.get("spacing")
    before = {kind: read_per_image(folder / f"{kind}.csv") for kind in CLASS_MAPS}
    if before[PER_IMAGE].ids != before[PREPARED_SIZE].ids or len(before[PER_IMAGE].ids) != summary.get("images"):
        raise UserError(f"{folder}: its files of scores are not of the same images; repeat the run with force=true")
    scores = ImageScores(
        [*(options.names or ()), *before[PER_IMAGE].classwise],
        spacing or (None if of_test is None else (of_test[0], of_test[1])),
        options.tolerance or summary.get("nsd_tolerance") or TOLERANCE,
        as_scores(options.metrics),
    )
    made: dict[str, tuple[np.ndarray, dict[str, np.ndarray]]] = {}
    for kind, earlier in before.items():
        counts, measured = joined(score_maps(folder / CLASS_MAPS[kind], earlier, prepared, scores), options.metrics)
        others = {name: values for name, values in earlier.classwise.items() if name not in MEASURES.of_counts}
        made[kind] = counts, others | measured
    summary |= summarise(*made[PER_IMAGE], class_names)
    summary |= {
        PREPARED_SIZE: summarise(*made[PREPARED_SIZE], class_names),
        "own_metrics": {**(summary.get("own_metrics") or {}), **describe(options.metrics)},
        "nsd_tolerance": scores.tolerance,
        "spacing": None if scores.spacing is None else list(scores.spacing),
    }
    for kind, values in made.items():
        write_csv(folder / f"{kind}.csv", per_image_rows(before[kind].ids, *values, class_names))
    write_json(folder / "summary.json", summary)
    return scores.measured


def score_maps(file: Path, earlier: PerImage, prepared: PreparedDataset, scores: ImageScores) -> list[Scored]:
    """Score the class maps of a file, in threads, in the order of their earlier scores.

    Raises `UserError` where they are not those of the earlier scores.
    """
    positions = {id_: index for index, id_ in enumerate(prepared.ids)}
    native = file.name == CLASS_MAPS[PER_IMAGE]
    if not file.exists():
        raise UserError(f"{file}: missing; evaluate the run again, or repeat it with force=true")
    maps = read_predictions(file, earlier.ids)
    if len(maps) < len(earlier.ids):
        raise UserError(f"{file}: lacks images that are scored; repeat the run with force=true")

    def score(image: str) -> Scored:
        index, instances = positions[image], None
        true = prepared.native_masks[index] if native else np.asarray(prepared.masks[index])
        if prepared.native_instances is not None:
            instances = resize_mask(prepared.native_instances[index].astype(np.int32), (true.shape[0], true.shape[1]))
        return compare(maps[image], true, prepared.num_classes, scores, instances)

    with ThreadPoolExecutor(available_cores()) as threads:
        scored = list(threads.map(score, earlier.ids))
    if not np.array_equal(np.stack([image.counts[1:] for image in scored]), earlier.counts):
        raise UserError(f"{file}: not the class maps that were scored; repeat the run with force=true")
    return scored


def open_data(summary: dict[str, Any], folder: Path) -> PreparedDataset:
    """Open the prepared data of a test. Raises `UserError` where they are gone or not the same any more."""
    path = Path(str(summary.get("prepared")))
    if PREPARED_SIZE not in summary:
        raise UserError(f"{folder}: scored by an older version, at the prepared size; repeat the run with force=true")
    if not path.is_dir():
        raise UserError(f"{folder}: the prepared data are not at {path} any more; prepare them there again")
    prepared = PreparedDataset(path)
    if prepared.identity != summary.get("data_identity"):
        raise UserError(f"{folder}: the prepared data at {path} are not those of the test")
    return prepared
