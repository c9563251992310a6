"""How often the interval of the gap between the best and the worst subgroup holds 0 where all subgroups are equal.

    python experiments/verdicts/subgroups.py             # all kinds of experiments
    python experiments/verdicts/subgroups.py --repeats 200 --output /tmp/quick

The interval is that of `medseg.reporting.subgroups`. README.md describes how the experiments are made.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from medseg.metrics.measures import MEASURES
from medseg.reporting.divisions import Division
from medseg.reporting.line import Line
from medseg.reporting.samples import Sample
from medseg.reporting.subgroups import score_division

COLUMN = Line("data", "data", ())
NOISE = 0.04
"""Of a score, per image and training."""


@dataclass(frozen=True)
class Kind:
    """A kind of experiment.

    Args:
        name: what the images are.
        sizes: images of each subgroup.
        scale: deviation of the scores of images in each subgroup; 0.1 everywhere where it is empty.
        group: images of a unit; 1 where images are independent.
        mixed: whether the images of a unit are in several subgroups.
        skewed: 1 - score is lognormal.
    """

    name: str
    sizes: tuple[int, ...]
    scale: tuple[float, ...] = ()
    group: int = 1
    mixed: bool = False
    skewed: bool = False


KINDS = (
    Kind("thirds of 120", (40, 40, 40)),
    Kind("thirds of 30", (10, 10, 10)),
    Kind("six types of 120", (20,) * 6),
    Kind("types of 54, 6, 5 and 2", (54, 6, 5, 2)),
    Kind("thirds of 120, one deviates three times as much", (40, 40, 40), (0.15, 0.05, 0.05)),
    Kind("90 and 10, the few deviate three times as much", (90, 10), (0.05, 0.15)),
    Kind("thirds of 120, skewed", (40, 40, 40), skewed=True),
    Kind("types of 54, 6, 5 and 2, skewed", (54, 6, 5, 2), skewed=True),
    Kind("thirds of 120 in 20 groups, each in all thirds", (40, 40, 40), group=6, mixed=True),
    Kind("thirds of 120 in 20 groups, each in one third", (42, 42, 36), group=6),
    Kind("thirds of 36 in 6 groups, each in all thirds", (12, 12, 12), group=6, mixed=True),
)


def draw(kind: Kind, seeds: int, networks: int, deviation: float, random: np.random.Generator) -> list[Sample]:
    """Draw the scores of networks whose subgroups are equal; `deviation`: of a training, on a subgroup."""
    images = sum(kind.sizes)
    subgroup = np.repeat(np.arange(len(kind.sizes)), kind.sizes)
    unit = np.arange(images) // kind.group
    if kind.mixed:
        subgroup = np.arange(images) % len(kind.sizes)
    scale = np.array(kind.scale or (0.1,) * len(kind.sizes))[subgroup]
    within = 0.5**0.5 if kind.group > 1 else 1.0
    normal = random.normal(0, within, images) + random.normal(0, (1 - within**2) ** 0.5, unit.max() + 1)[unit]
    image = 0.8 + scale * normal
    if kind.skewed:
        image = 1 - 0.12 * np.exp(0.7 * normal)
    samples = []
    for _ in range(networks):
        training = random.normal(0, deviation, (seeds, len(kind.sizes)))[:, subgroup]
        scores = image + training + random.normal(0, NOISE, (seeds, images))
        groups = tuple(f"g{k:03d}" for k in unit) if kind.group > 1 else None
        empty = np.zeros((seeds, images, 1, 4), dtype=np.int64)
        ids = tuple(f"{k:04d}" for k in range(images))
        samples.append(Sample(tuple(range(seeds)), ids, {"dice": scores}, empty, empty[:, :, 0].astype(float), groups))
    return samples


def simulate(task: tuple[Kind, int, int, float, int, int]) -> dict[str, object]:
    """Return how often the interval of a network's gap holds 0."""
    kind, seeds, networks, deviation, repeats, seed = task
    random = np.random.default_rng(seed)
    held: list[bool] = []
    gaps: list[float] = []
    for _ in range(repeats):
        samples = draw(kind, seeds, networks, deviation, random)
        ids = np.array(samples[0].ids)
        of = np.repeat(np.arange(len(kind.sizes)), kind.sizes)
        of = np.arange(len(ids)) % len(kind.sizes) if kind.mixed else of
        division = Division(COLUMN, "type", {f"s{k}": tuple(ids[of == k]) for k in range(len(kind.sizes))})
        rows = {Line(f"n{k}", "n", (("k", str(k)),)): sample for k, sample in enumerate(samples)}
        made = score_division(division, rows, MEASURES["dice"])
        # A gap without an interval, which would be wider than the score can be, claims nothing.
        held += [gap.low is None or gap.high is None or gap.low <= 0 <= gap.high for gap in made.gaps.values()]
        gaps += [gap.difference for gap in made.gaps.values()]
    share = float(np.mean(held))
    return {
        **{key: value for key, value in asdict(kind).items() if key == "name"},
        "seeds": seeds,
        "networks": networks,
        "deviation": deviation,
        "holds_0": share,
        "standard_error": (share * (1 - share) / repeats) ** 0.5,
        "mean_gap": float(np.mean(gaps)),
        "experiments": repeats,
    }


def main() -> None:
    """Simulate all kinds and write `subgroups.csv`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=500, help="experiments of each kind")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results", help="folder of subgroups.csv"
    )
    parser.add_argument("--processes", type=int, default=None)
    given = parser.parse_args()
    # With one seed the interval is about that training, so trainings do not deviate.
    settings = [(kind, seeds, 1, deviation) for kind in KINDS for seeds, deviation in ((1, 0.0), (3, 0.005), (3, 0.02))]
    tasks = [(*setting, given.repeats, number) for number, setting in enumerate(settings)]
    with multiprocessing.Pool(given.processes) as pool:
        rows = []
        for row in pool.imap(simulate, tasks):
            print(f"{row['name']}, {row['seeds']} seeds, {row['deviation']}: {row['holds_0']:.3f}", flush=True)
            rows.append(row)
    given.output.mkdir(parents=True, exist_ok=True)
    with (given.output / "subgroups.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
