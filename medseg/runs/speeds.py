"""Times judged by the speed that `medseg benchmark` measured, from its CSV file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg.errors import ConfigError, UserError
from medseg.runs.environment import processor
from medseg.runs.estimates import Job, Time
from medseg.system.files import read_csv

NEEDED = (
    "network", "height", "width", "batch_size", "device", "train_images_per_second", "inference_images_per_second",
)  # fmt: skip


@dataclass(frozen=True)
class Speed:
    """A row of the file: what was measured, and images per second in training and inference."""

    words: frozenset[str]
    size: tuple[int, int]
    batch_size: int
    device: str
    kind: str
    train: float
    inference: float


def read_speeds(file: Path) -> list[Speed]:
    """Read the speeds in a CSV file of `medseg benchmark`.

    Raises `UserError` for a file that is not there, is damaged or has no row.
    """
    make = "medseg benchmark models=[unet,convunext] csv=FILE.csv makes one"
    if not file.is_file():
        raise ConfigError(f"dry_run={file}: no such file; {make}")
    rows = read_csv(file)
    lacking = [name for name in NEEDED if not rows or name not in rows[0]]
    if lacking:
        raise ConfigError(f"dry_run={file}: not the CSV file of a benchmark, it has no {', '.join(lacking)}; {make}")
    try:
        return [speed_of(row) for row in rows]
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"dry_run={file}: damaged ({error})") from None


def speed_of(row: dict[str, str]) -> Speed:
    """Return a row's speed; raises `ValueError` for what is no number above 0."""
    train, inference = (float(row[f"{kind}_images_per_second"]) for kind in ("train", "inference"))
    if not all(math.isfinite(speed) and speed > 0 for speed in (train, inference)):
        raise ValueError(f"a speed of {row['network']} is not above 0")
    size = int(row["height"]), int(row["width"])
    if min(size) < 1:
        raise ValueError(f"an image of {row['network']} has no pixels")
    # Files of older versions do not tell.
    kind = row.get("device_type", "").replace("cuda", "gpu") or ("cpu" if row["device"] == processor() else "gpu")
    words = frozenset(word.lstrip("+") for word in row["network"].split())
    return Speed(words, size, int(row["batch_size"]), row["device"], kind, train, inference)


def time_by_speed(job: Job, speeds: Sequence[Speed]) -> Time | None:
    """Judge how long the epochs of a job take, validation included; None where its network was not measured.

    Of several rows, the one of the most similar number of pixels counts, then of the same image size, then of the same
    batch size, then the last one of the file. Another image size is scaled by the number of pixels.
    """
    train, val = job.work.train_images, job.work.val_images
    rows = [speed for speed in reversed(speeds) if speed.words == job.words and speed.kind == job.device]
    if not rows or train is None or val is None:
        return None
    area = math.prod(job.work.size)

    def distance(speed: Speed) -> tuple[float, bool, bool]:
        other_batch = speed.batch_size != job.work.batch_size
        return abs(math.log(area / math.prod(speed.size))), speed.size != job.work.size, other_batch

    row = min(rows, key=distance)
    pixels = area / math.prod(row.size)
    epoch = pixels * (train / row.train + val / row.inference)
    return Time((job.max_epochs - job.done) * epoch, "benchmark", row.device)
