"""Time of scoring one predicted image at its native size, by what takes it.

python experiments/performance/scoring.py [--rounds 5] [--scores nsd boundary_iou ...]
python experiments/performance/scoring.py --each

Images of several native sizes, with one or many objects; predictions of 256 x 256, off by a few per cent. Printed is
processor time in ms, medians over the rounds: probabilities resized and made classes, counts, scores of masks, packing;
then the whole as the test of a run does it, native and prepared size, and its wall time in threads. With `--each`, of
each score that is made of masks, alone at the native size.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import cv2
import numpy as np

from medseg.data.prepared.mask_archive import encode_mask
from medseg.data.prepared.resize import resize_mask
from medseg.data.prepared.restore import restore_classes
from medseg.metrics import MEASURES, ImageScores, MaskPair, count_pixels
from medseg.training.image_scorer import ImageScorer

SIDE = 256
"""Of the prepared images."""


@dataclass(frozen=True)
class Case:
    """Images to score: their native size, how many objects each has, and their radius as a part of the height."""

    name: str
    size: tuple[int, int]
    objects: int
    radius: float


CASES = (
    Case("256 x 256, one object", (256, 256), 1, 0.25),
    Case("576 x 720 (Kvasir-SEG), one object", (576, 720), 1, 0.25),
    Case("584 x 565 (DRIVE), 40 vessels", (584, 565), -40, 0.4),
    Case("1040 x 1388 (DSB 2018), 150 nuclei", (1040, 1388), 150, 0.02),
    Case("2000 x 3000 (ISIC 2018), one object", (2000, 3000), 1, 0.25),
)


class Data:
    """What a scorer needs of prepared data, with one image."""

    num_classes = 2
    native_instances = None

    def __init__(self, truth: np.ndarray) -> None:
        self.native_masks, self.masks = [truth], [resize_mask(truth, (SIDE, SIDE))]


def draw(case: Case, random: np.random.Generator) -> np.ndarray:
    """Draw a true class map; a negative number of objects are thin lines."""
    mask = np.zeros(case.size, np.uint8)
    height, width = case.size
    for _ in range(abs(case.objects)):
        centre = (int(random.uniform(0.2, 0.8) * width), int(random.uniform(0.2, 0.8) * height))
        radius = int(case.radius * height * random.uniform(0.8, 1.2))
        if case.objects < 0:
            end = tuple(int(each) for each in np.array(centre) + random.uniform(-radius, radius, 2))
            cv2.line(mask, centre, end, 1, 5)
        else:
            cv2.ellipse(mask, centre, (radius, int(0.7 * radius)), random.uniform(0, 180), 0, 360, 1, -1)
    return mask


def predict(truth: np.ndarray) -> np.ndarray:
    """Return probabilities, 2 x SIDE x SIDE, whose most probable classes are about the truth."""
    blurred = cv2.GaussianBlur(
        cv2.resize(truth.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA), (0, 0), 2
    )
    foreground = np.roll(np.clip(blurred, 0, 1), (1, 2), axis=(0, 1))
    return np.stack([1 - foreground, foreground])


def timed(work: Callable[[], Any], rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """Return the median time of some work in ms; it is done once before."""
    work()
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(1000 * (clock() - start))
    return median(times)


def measure(case: Case, scores: ImageScores, rounds: int) -> list[float]:
    """Return the times of a case: resize, counts, scores, pack, whole, wall time of each of eight images in threads."""
    truth = draw(case, np.random.default_rng(0))
    probabilities = predict(truth)
    predicted = restore_classes(probabilities, case.size)
    scorer = ImageScorer(Data(truth), scores)  # type: ignore[arg-type]

    def several() -> None:
        threads = ImageScorer(Data(truth), scores)  # type: ignore[arg-type]
        for _ in range(8):
            threads.add(0, probabilities)
        threads.results()

    parts: tuple[Callable[[], Any], ...] = (
        lambda: restore_classes(probabilities, case.size),
        lambda: count_pixels(predicted[None], truth[None], 2),
        lambda: scores.measure(predicted, truth, 2),
        lambda: encode_mask(predicted),
        lambda: scorer.score(0, probabilities),
    )
    return [*(timed(part, rounds) for part in parts), timed(several, rounds, time.perf_counter) / 8]


def measure_each(case: Case, rounds: int) -> dict[str, float]:
    """Return the times of the scores that are made of masks, in ms."""
    truth = draw(case, np.random.default_rng(0))
    masks = restore_classes(predict(truth), case.size) == 1, truth == 1

    def timed_alone(score: Callable[[MaskPair], float]) -> float:
        return timed(lambda: score(MaskPair(*masks)), rounds)

    return {name: timed_alone(score) for name, score in MEASURES.of_masks.items() if MEASURES[name].unit != "mm"}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scores", nargs="*", default=[], help="optional scores to measure as well")
    parser.add_argument("--each", action="store_true", help="the scores one by one")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.each:
        columns = {case.name: measure_each(case, arguments.rounds) for case in CASES}
        print("| score | " + " | ".join(columns) + " |")
        print("|---|" + "--:|" * len(columns))
        for name in columns[CASES[0].name]:
            print(f"| {name} | " + " | ".join(f"{times[name]:.1f}" for times in columns.values()) + " |")
        return
    print("| image | resize | counts | scores | pack | whole | wall, a thread per core |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for case in CASES:
        times = measure(case, ImageScores(arguments.scores), arguments.rounds)
        print(f"| {case.name} | " + " | ".join(f"{each:.1f}" for each in times) + " |")


if __name__ == "__main__":
    main()
