"""Make up evaluations of made-up runs, as `medseg evaluate` would leave them.

fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.03}, seeds=(0, 1, 2))
fabricate_evaluations(tmp_path / "sweep", "cvc", loss=0.1, groups=6)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medseg.metrics.summary import per_image_rows, summarise
from medseg.runs.folder import PER_IMAGE, PREPARED_SIZE
from medseg.runs.reading import read_runs
from medseg.runs.run import Run
from medseg.system.files import write_csv, write_json
from tests.reporting.fabricate import generator, scores, true_dice


def fabricate_evaluations(
    experiment: Path,
    data: str,
    *,
    name: str = "",
    loss: float = 0.1,
    effects: Mapping[str, float] | None = None,
    images: int = 40,
    groups: int = 0,
    devices: int = 0,
    seed_noise: float = 0.0,
    size: int = 96,
    of: Callable[[Run], bool] = lambda run: True,
    **facts: Any,
) -> None:
    """Evaluate the finished runs of an experiment on data: `<run>/evaluations/<name>/`.

    Args:
        experiment: folder of the runs.
        data: its name, which its images follow from.
        name: of the folders; that of the data if none is given.
        loss: how much lower the Dice is than 0.8, where the network adds nothing.
        effects: network -> what it adds.
        images: how many.
        groups: of the images; 0 for none.
        devices: that the images are from, which `images.csv` has; 0: it does not have them.
        seed_noise: deviation of a run's Dice, the same for all its images.
        size: of the images.
        of: which runs.
        facts: further entries of the summary.
    """
    for run in read_runs(experiment):
        if not run.finished or not of(run):
            continue
        folder = run.folder / "evaluations" / (name or data)
        dice = true_dice(data, None, images, 0.8 - loss, 0.1, 0)
        random = generator(run.name, data, name)
        effect = (effects or {}).get(run.model, 0.0)
        counts, distances = scores(dice, effect, random, (0.04, seed_noise), ("background", "polyp"), size)
        measured = {"hd95": distances[..., 0], "assd": distances[..., 1]}
        ids = [f"{data}_{number:04d}" for number in range(images)]
        rows = per_image_rows(ids, counts, measured, ("background", "polyp"))
        for file in (PER_IMAGE, PREPARED_SIZE):
            write_csv(folder / f"{file}.csv", rows)
        group = [f"video{number * groups // images}" if groups else "" for number in range(images)]
        listed = [{"id": id_, "split": "test", "group": of_id} for id_, of_id in zip(ids, group, strict=True)]
        known = [{"device": f"device{number % devices}"} if devices else {} for number in range(images)]
        write_csv(folder / "images.csv", [row | more for row, more in zip(listed, known, strict=True)])
        summarised = summarise(counts, measured, ("background", "polyp"))
        summary: dict[str, Any] = {
            "data": data, "data_identity": f"{data} at {size}", "source_identity": data, "split": "test",
            "split_name": None, "fold": None, "evaluation_size": [size, size], "tta": False,
            "checkpoint": str(run.files.best_checkpoint), "words": [f"data={data}"], **summarised,
            PREPARED_SIZE: summarised,
        }  # fmt: skip
        write_json(folder / "summary.json", summary | facts)
