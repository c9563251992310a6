"""What the rule of a report can do: false alarms, power and coverage, in simulated experiments whose truth is known.

    python experiments/verdicts/simulate.py             # all cells
    python experiments/verdicts/simulate.py --repeats 100 --output /tmp/quick

The verdicts are those of `medseg.reporting.rule`. Beside them stands the rule of version 0.1, in a few lines of
`old_verdicts`. README.md describes how the experiments are made; `table.md` is what `docs/report.md` prints.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy import special

from medseg.reporting.ranks import draw_weights
from medseg.reporting.rule import BETTER, WORSE, PairInput, judge, superiority
from medseg.reporting.signed_ranks import wilcoxon_each
from medseg.reporting.statistics import Side, TrainingVariance, estimate_means, holm

Array = np.ndarray

IMAGES, GROUP = 120, 6
NOISE = 0.04
"""Of a score, per image: half of its variance is the network's, half the training's."""
ERROR, SPREAD = 0.12, 0.7
"""Skewed data: median of 1 - score, and deviation of its logarithm over images."""
MEAN_ERROR = ERROR * np.exp(SPREAD**2 / 2)
TRUTH = {"normal": 0.8, "skewed": 1 - MEAN_ERROR, "clustered": 0.8}
DEVIATIONS: dict[str, Callable[[int], list[float]]] = {
    "0.005": lambda networks: [0.005] * networks,
    "0.01": lambda networks: [0.01] * networks,
    "0.02": lambda networks: [0.02] * networks,
    "one 0.04, others 0.005": lambda networks: [0.04] + [0.005] * (networks - 1),
    "half 0.02, half 0.005": lambda networks: [0.02] * (networks // 2) + [0.005] * (networks - networks // 2),
}


@dataclass(frozen=True)
class Cell:
    """A kind of experiment: score distribution, deviations between trainings, networks, seeds, images."""

    data: str
    deviation: str
    networks: int
    seeds: int
    images: int = IMAGES


def draw(cell: Cell, difference: float, random: np.random.Generator) -> Array:
    """Draw the scores of an experiment, networks x seeds x images; every second network is better by `difference`."""
    k, s, n = cell.networks, cell.seeds, cell.images
    deviations = np.array(DEVIATIONS[cell.deviation](k))[:, None, None]
    change = random.normal(0, 1, (k, s, 1)) * deviations + (np.arange(k) % 2 * difference)[:, None, None]
    half = NOISE / 2**0.5
    if cell.data == "normal":
        image = random.normal(0, 0.1, n)
        return TRUTH["normal"] + image + random.normal(0, half, (k, 1, n)) + random.normal(0, half, (k, s, n)) + change
    if (
        cell.data == "skewed"
    ):  # the error of an image is lognormal; noise, trainings and networks change it in proportion
        error = ERROR * np.exp(SPREAD * random.normal(0, 1, n))
        share = half / MEAN_ERROR / np.exp(SPREAD**2 / 2)  # so that the noise has a root mean square of NOISE
        noise = share * (random.normal(0, 1, (k, 1, n)) + random.normal(0, 1, (k, s, n))) - share**2
        return 1 - error * np.exp(noise) * (1 - change / MEAN_ERROR)
    groups, quarter = n // GROUP, NOISE / 2
    image = np.repeat(random.normal(0, 0.08, groups), GROUP) + random.normal(0, 0.06, n)
    noise = sum(
        np.repeat(random.normal(0, quarter, (k, seeds, groups)), GROUP, axis=2)
        + random.normal(0, quarter, (k, seeds, n))
        for seeds in (1, s)
    )
    return TRUTH["clustered"] + image + noise + change


def over_units(cell: Cell, scores: Array) -> Array:
    """Average images over their groups, where they have any."""
    return scores.reshape(*scores.shape[:2], -1, GROUP).mean(axis=-1) if cell.data == "clustered" else scores


def inputs(cell: Cell, scores: Array) -> tuple[list[PairInput], list[Side], TrainingVariance]:
    """Make what the rule takes."""
    sides = [Side.of(values) for values in over_units(cell, scores)]
    trainings = TrainingVariance.of([side.seed_means for side in sides])
    pairs = [
        PairInput(a, b, (sides[a], sides[b]), sides[a].per_unit - sides[b].per_unit)
        for a, b in combinations(range(cell.networks), 2)
    ]
    return pairs, sides, trainings


def new_verdicts(cell: Cell, scores: Array) -> list[int]:
    """Judge all pairs: 1 better, -1 worse, 0 neither."""
    pairs, _, trainings = inputs(cell, scores)
    return [{BETTER: 1, WORSE: -1}.get(one.state, 0) for one in judge(pairs, trainings)]


def old_verdicts(cell: Cell, scores: Array) -> list[int]:
    """The rule of version 0.1: Holm on Wilcoxon's p alone, an uncorrected interval per pair, always over images."""
    means, seeds = scores.mean(axis=1), scores.mean(axis=2)
    first, second = np.array(list(combinations(range(cell.networks), 2))).T
    per_image = means[first] - means[second]
    tested = wilcoxon_each(list(per_image))
    difference, units = per_image.mean(axis=1), per_image.var(axis=1, ddof=1) / cell.images
    spread = seeds.var(axis=1, ddof=1) / cell.seeds
    total = units + spread[first] + spread[second]
    squares = units**2 / (cell.images - 1) + (spread[first] ** 2 + spread[second] ** 2) / (cell.seeds - 1)
    p = 2 * special.stdtr(total**2 / squares, -np.abs(difference) / np.sqrt(total))
    called = (holm([one for one, _ in tested]) < 0.05) & (p < 0.05)
    called &= difference * np.array([side for _, side in tested]) > 0
    return (called * np.sign(difference)).astype(int).tolist()


def verdict_rows(task: tuple[Cell, int, int]) -> list[dict[str, object]]:
    """Return false alarm rate and power of a cell, under both rules."""
    cell, repeats, seed = task
    random = np.random.default_rng(seed)
    pairs = np.array(list(combinations(range(cell.networks), 2)))
    truth = pairs[:, 0] % 2 - pairs[:, 1] % 2
    rows = []
    for difference in (0.0, 0.01, 0.02):
        equal = difference == 0
        count = repeats if equal else max(repeats // 2, 1) if cell.networks < 8 else max(repeats // 5, 1)
        called = {"new": [], "before": []}
        for _ in range(count):
            scores = draw(cell, difference, random)
            for name, rule in (("new", new_verdicts), ("before", old_verdicts)):
                verdicts = np.array(rule(cell, scores))
                called[name].append((verdicts != 0).any() if equal else (verdicts == truth)[truth != 0].mean())
        for name, values in called.items():
            rows.append(
                {
                    **asdict(cell),
                    "quantity": "false alarms" if equal else f"power, {100 * difference:g} points",
                    "rule": name,
                    "value": float(np.mean(values)),
                    "standard_error": float(np.std(values) / count**0.5),
                    "experiments": count,
                }
            )
    return rows


def bootstrap(scores: Array, random: np.random.Generator, resamples: int = 499) -> tuple[float, float]:
    """The bracket of version 0.1: percentiles of means over images and seeds that are drawn anew. S x N."""
    seeds, images = scores.shape
    drawn = draw_weights(random.integers(0, images, (resamples, images))) @ scores.T
    means = (drawn * draw_weights(random.integers(0, seeds, (resamples, seeds)))).sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def coverage_rows(task: tuple[Cell, int, int]) -> list[dict[str, object]]:
    """Return how often the table's bracket, and the interval of the superiority, hold the truth."""
    cell, repeats, seed = task
    random = np.random.default_rng(seed)
    (deviation,) = set(DEVIATIONS[cell.deviation](cell.networks))
    new, before = [], []
    holds: dict[float, list[bool]] = {0.0: [], 0.01: [], 0.02: []}
    for _ in range(repeats):
        for difference, held in holds.items():
            judged = cell.data == "normal" and cell.networks > 1 and cell.seeds > 1
            if difference and not judged:
                continue
            scores = draw(cell, difference, random)
            pairs, sides, trainings = inputs(cell, scores)
            if difference == 0:
                low, high = (ends[0] for ends in estimate_means(sides, trainings).interval())
                new.append(low <= TRUTH[cell.data] <= high)
                if cell.networks == 1:  # other networks change nothing
                    low, high = bootstrap(scores[0], random)
                    before.append(low <= TRUTH[cell.data] <= high)
            if judged:
                (one,) = superiority(pairs[:1], trainings)
                assert one is not None
                noise = NOISE**2 / 2 / cell.images  # a training's noise on the images is part of its mean
                truth = special.ndtr(-difference / (2 * (deviation**2 + noise)) ** 0.5)
                held.append(one[1] <= truth <= one[2])
    measured = {("bracket", "new"): new, ("bracket", "before"): before}
    measured |= {(f"superiority, {100 * d:g} points", "new"): held for d, held in holds.items() if held}
    return [
        {
            **asdict(cell),
            "quantity": f"coverage of the {quantity}",
            "rule": rule,
            "value": float(np.mean(values)),
            "standard_error": float(np.std(values) / len(values) ** 0.5),
            "experiments": len(values),
        }
        for (quantity, rule), values in measured.items()
        if values
    ]


def verdict_cells() -> Iterator[Cell]:
    """Name the cells of the tables of false alarms and power."""
    for data in ("normal", "skewed", "clustered"):
        for deviation in DEVIATIONS if data == "normal" else ("0.005", "0.02"):
            for networks in (2, 4, 8):
                for seeds in (2, 3, 5):
                    yield Cell(data, deviation, networks, seeds)


def coverage_cells() -> Iterator[Cell]:
    """Name the cells of the table of coverage."""
    for seeds in (1, 2, 3, 5):
        for deviation in ("0.005", "0.01", "0.02"):
            for networks in (1, 4):
                for images in (30, 120, 480):
                    yield Cell("normal", deviation, networks, seeds, images)
                yield Cell("skewed", deviation, networks, seeds)
                yield Cell("clustered", deviation, networks, seeds)


def markdown(rows: list[dict[str, object]]) -> str:
    """Make the tables of the documentation."""
    at = {
        (Cell(*[row[key] for key in Cell.__annotations__]), row["quantity"], row["rule"]): row["value"] for row in rows
    }

    def percent(cell: Cell, quantity: str, rule: str = "new") -> str:
        return f"{100 * at[cell, quantity, rule]:.1f}"

    def over_seeds(first: Cell, quantity: str, rule: str = "new") -> str:
        cells = [replace(first, seeds=seeds) for seeds in (2, 3, 5)]
        return " / ".join(f"{100 * at[cell, quantity, rule]:.0f}" for cell in cells)

    text = [
        "% with 2 / 3 / 5 seeds; in brackets that of version 0.1:",
        "",
        "| scores | deviation between trainings | networks | false alarms | power for 2 points | for 1 point |",
        "|---|---|---|---|---|---|",
    ]
    for cell in verdict_cells():
        if cell.seeds == 2:
            alarms, *power = (
                [over_seeds(cell, quantity, rule) for rule in ("new", "before")]
                for quantity in ("false alarms", "power, 2 points", "power, 1 points")
            )
            alarms[0] = " / ".join(percent(replace(cell, seeds=seeds), "false alarms") for seeds in (2, 3, 5))
            values = " | ".join(f"{new} ({before})" for new, before in ([f"**{alarms[0]}**", alarms[1]], *power))
            text.append(f"| {cell.data} | {cell.deviation} | {cell.networks} | {values} |")
    text += [
        "",
        "How often the 95 % bracket of a mean holds the truth, %; in brackets that of version 0.1:",
        "",
        "| scores | images | deviation between trainings | networks in the report | 1 seed | 2 | 3 | 5 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for first in coverage_cells():
        if first.seeds == 1 and first.deviation != "0.01":
            values = []
            for seeds in (1, 2, 3, 5):
                cell, quantity = replace(first, seeds=seeds), "coverage of the bracket"
                before = f" ({percent(cell, quantity, 'before')})" if (cell, quantity, "before") in at else ""
                values.append(f"**{percent(cell, quantity)}**{before}")
            text.append(
                f"| {first.data} | {first.images} | {first.deviation} | {first.networks} | {' | '.join(values)} |"
            )
    text += [
        "",
        "How often the 95 % interval of the superiority holds the truth, %, where networks differ by 0 / 1 / 2 points:",
        "",
        "| images | deviation between trainings | 2 seeds | 3 | 5 |",
        "|---|---|---|---|---|",
    ]
    for first in coverage_cells():
        if first.seeds == 2 and first.data == "normal" and first.networks == 4:
            values = " | ".join(
                " / ".join(
                    percent(replace(first, seeds=seeds), f"coverage of the superiority, {points} points")
                    for points in (0, 1, 2)
                )
                for seeds in (2, 3, 5)
            )
            text.append(f"| {first.images} | {first.deviation} | {values} |")
    return "\n".join(text) + "\n"


def read(file: Path) -> list[dict[str, object]]:
    """Read the rows of simulation.csv."""
    kinds = {"networks": int, "seeds": int, "images": int, "value": float, "standard_error": float, "experiments": int}
    with file.open(newline="") as lines:
        return [{key: kinds.get(key, str)(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def main() -> None:
    """Simulate all cells, write simulation.csv and table.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1500, help="experiments with equal networks in a cell")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--table", action="store_true", help="only make table.md anew from simulation.csv")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    file = given.output / "simulation.csv"
    if not given.table:
        simulate(file, given.repeats, given.processes)
    (given.output / "table.md").write_text(markdown(read(file)))


def simulate(file: Path, repeats: int, processes: int) -> None:
    """Simulate all cells into a file; each has a generator with its number as seed, so processes change no number."""
    start = time.perf_counter()
    rows: list[dict[str, object]] = []
    with multiprocessing.Pool(processes) as pool:
        for measure, cells in ((verdict_rows, verdict_cells()), (coverage_rows, coverage_cells())):
            tasks = [(cell, repeats, number) for number, cell in enumerate(cells)]
            for number, result in enumerate(pool.imap(measure, tasks), start=1):
                rows += result
                print(f"{measure.__name__} {number} of {len(tasks)}, {time.perf_counter() - start:.0f} s", flush=True)
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, **{key: f"{row[key]:.4f}" for key in ("value", "standard_error")}} for row in rows)


if __name__ == "__main__":
    main()
