"""Compare the scores of medseg with other implementations on drawn masks: the largest difference of each.

python experiments/agreement/compare.py [--pairs 200]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from importlib.metadata import version

import cv2
import numpy as np
import torch
from monai import metrics as monai
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import skeletonize as their_skeleton
from torchmetrics.functional.classification import binary_calibration_error, binary_matthews_corrcoef
from torchmetrics.functional.detection import panoptic_quality as torchmetrics_pq

from medseg.metrics import MEASURES, ImageScores, count_pixels
from medseg.metrics.calibration import BINS, Calibration
from medseg.metrics.measures import CHOOSABLE

Mask = np.ndarray
TOLERANCE = 2.0


def draw_pairs(count: int) -> Iterator[tuple[Mask, Mask]]:
    """Yield predictions and truths: regions, blobs, vessels, speckle; of any size, neither of them empty."""
    rng = np.random.default_rng(0)
    while count:
        shape = tuple(rng.integers(24, 100, 2))
        kind = count % 4
        noise = ndimage.gaussian_filter(rng.random(shape), (6, 2.5, 2, 0)[kind])
        level = np.quantile(noise, rng.uniform(0.5, 0.9))
        truth = abs(noise - np.median(noise)) < np.ptp(noise) * 0.04 if kind == 2 else noise > level
        other = noise + ndimage.gaussian_filter(rng.random(shape), 3) * 0.3 * noise.std() / 0.1
        prediction = (
            abs(other - np.median(other)) < np.ptp(other) * 0.04 if kind == 2 else other > np.quantile(other, 0.7)
        )
        if truth.any() and prediction.any():
            count -= 1
            yield prediction, truth


def one_hot(mask: Mask) -> torch.Tensor:
    """Return N x classes x H x W of one image."""
    return torch.from_numpy(np.stack([~mask, mask]))[None].float()


def monai_of(compute: Callable[..., torch.Tensor], **arguments: object) -> Callable[[Mask, Mask], float]:
    """Make a score of MONAI's that compares one-hot images."""
    return lambda prediction, truth: float(compute(one_hot(prediction), one_hot(truth), **arguments).ravel()[-1])


def monai_confusion(name: str) -> Callable[[Mask, Mask], float]:
    """Make a score of MONAI's from a confusion matrix."""

    def of(prediction: Mask, truth: Mask) -> float:
        matrix = monai.get_confusion_matrix(one_hot(prediction), one_hot(truth), include_background=False)
        return float(monai.compute_confusion_matrix_metric(name, matrix).ravel()[0])

    return of


def monai_pq(prediction: Mask, truth: Mask) -> float:
    """PQ of MONAI, of regions numbered by scikit-image."""
    instances = [torch.from_numpy(label(mask, connectivity=1).astype(np.int64)) for mask in (prediction, truth)]
    return float(monai.compute_panoptic_quality(*instances, metric_name="pq", match_iou_threshold=0.5))


def pq_of_torchmetrics(prediction: Mask, truth: Mask) -> float:
    """PQ of torchmetrics, of the class of the objects."""
    numbered = [label(mask, connectivity=1) for mask in (prediction, truth)]
    both = [torch.from_numpy(np.stack([np.where(each > 0, 0, 1), each], axis=-1))[None] for each in numbered]
    return float(torchmetrics_pq(*both, things={0}, stuffs={1}, return_per_class=True)[0, 0])


def cldice_of_skimage(prediction: Mask, truth: Mask) -> float:
    """As the released code of clDice has it, with scikit-image's skeletons."""
    precision = (their_skeleton(prediction) & truth).sum() / their_skeleton(prediction).sum()
    sensitivity = (their_skeleton(truth) & prediction).sum() / their_skeleton(truth).sum()
    return 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0


def boundary_of_erosions(prediction: Mask, truth: Mask) -> float:
    """As the released code of boundary IoU has it: repeated erosions by a square of 3."""

    def boundary(mask: Mask) -> Mask:
        padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        iterations = max(1, round(0.02 * np.hypot(*mask.shape)))
        return mask & (cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=iterations)[1:-1, 1:-1] == 0)

    first, second = boundary(prediction), boundary(truth)
    return (first & second).sum() / (first | second).sum()


def objects(mask: Mask) -> list[set[tuple[int, int]]]:
    """Return the regions of a mask as sets of pixels."""
    numbers = label(mask, connectivity=1)
    found: list[set[tuple[int, int]]] = [set() for _ in range(numbers.max())]
    for row, column in np.argwhere(mask):
        found[numbers[row, column] - 1].add((row, column))
    return found


def ious(prediction: Mask, truth: Mask) -> dict[tuple[int, int], float]:
    """Return the IoU of every two objects that meet."""
    predicted, true = objects(prediction), objects(truth)
    return {(m, n): len(p & t) / len(p | t) for m, p in enumerate(predicted) for n, t in enumerate(true) if p & t}


def ap_of_loops(prediction: Mask, truth: Mask) -> float:
    """As the Data Science Bowl 2018 describes it."""
    meet, count = ious(prediction, truth), len(objects(prediction)) + len(objects(truth))
    found = [sum(iou > percent / 100 for iou in meet.values()) for percent in range(50, 100, 5)]
    return float(np.mean([tp / (count - tp) for tp in found]))


def aji_of_loops(prediction: Mask, truth: Mask) -> float:
    """As algorithm 1 of Kumar et al. has it."""
    meet, predicted, true = ious(prediction, truth), objects(prediction), objects(truth)
    shared = either = 0
    used = set()
    for n, t in enumerate(true):
        candidates = [m for m, other in meet if other == n]
        best = max(candidates, key=lambda m: meet[m, n], default=None)
        shared += 0 if best is None else len(predicted[best] & t)
        either += len(t) if best is None else len(predicted[best] | t)
        used.add(best)
    return shared / (either + sum(len(p) for m, p in enumerate(predicted) if m not in used))


def similarity_of_areas(prediction: Mask, truth: Mask) -> float:
    """Volumetric similarity from the two areas."""
    return 1 - abs(int(prediction.sum()) - int(truth.sum())) / int(prediction.sum() + truth.sum())


def mcc_of_torchmetrics(prediction: Mask, truth: Mask) -> float:
    """MCC of torchmetrics."""
    return float(binary_matthews_corrcoef(torch.from_numpy(prediction * 1), torch.from_numpy(truth * 1)))


def probabilities_of(prediction: Mask) -> np.ndarray:
    """Make probabilities of a prediction, which are not certain at its borders."""
    return ndimage.gaussian_filter(prediction.astype(np.float32), 2).clip(
        0, 1 - 1e-6
    )  # torchmetrics: a bin for 1 alone


def ece_of_torchmetrics(prediction: Mask, truth: Mask) -> float:
    """Expected calibration error of torchmetrics."""
    both = torch.from_numpy(probabilities_of(prediction)), torch.from_numpy(truth * 1)
    return float(binary_calibration_error(*both, n_bins=BINS, norm="l1"))


def brier_of_torch(prediction: Mask, truth: Mask) -> float:
    """Mean squared error of torch."""
    both = torch.from_numpy(probabilities_of(prediction)), torch.from_numpy(truth)
    return float(torch.nn.functional.mse_loss(both[0].double(), both[1].double()))


def nsd_of_deepmind(prediction: Mask, truth: Mask) -> float:
    """NSD on borders that lie between pixels and have lengths, as DeepMind's library has it."""
    return monai_of(monai.compute_surface_dice, class_thresholds=[TOLERANCE], use_subvoxels=True)(prediction, truth)


MONAI, SKIMAGE = f"MONAI {version('monai')}", f"scikit-image {version('scikit-image')}"
TORCHMETRICS = f"torchmetrics {version('torchmetrics')}"

OTHERS: tuple[tuple[str, str, Callable[[Mask, Mask], float]], ...] = (
    ("dice", MONAI, monai_of(monai.compute_dice, include_background=False)),
    ("iou", MONAI, monai_of(monai.compute_iou, include_background=False)),
    ("precision", MONAI, monai_confusion("precision")),
    ("recall", MONAI, monai_confusion("sensitivity")),
    ("specificity", MONAI, monai_confusion("specificity")),
    ("hd95", MONAI, monai_of(monai.compute_hausdorff_distance, percentile=95)),
    ("assd", MONAI, monai_of(monai.compute_average_surface_distance, symmetric=True)),
    ("nsd", MONAI, monai_of(monai.compute_surface_dice, class_thresholds=[TOLERANCE])),
    ("nsd", f"{MONAI}, borders between pixels (DeepMind)", nsd_of_deepmind),
    ("boundary_iou", f"erosions, OpenCV {version('opencv-python-headless')}", boundary_of_erosions),
    ("cldice", SKIMAGE, cldice_of_skimage),
    ("ap", f"loops, {SKIMAGE}", ap_of_loops),
    ("pq", MONAI, monai_pq),
    ("pq", TORCHMETRICS, pq_of_torchmetrics),
    ("aji", f"loops, {SKIMAGE}", aji_of_loops),
    ("mcc", MONAI, monai_confusion("matthews correlation coefficient")),
    ("mcc", TORCHMETRICS, mcc_of_torchmetrics),
    ("volumetric_similarity", "areas", similarity_of_areas),
    ("ece", TORCHMETRICS, ece_of_torchmetrics),
    ("brier", f"torch {version('torch')}", brier_of_torch),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    pairs = list(draw_pairs(parser.parse_args().pairs))
    scores = ImageScores(CHOOSABLE, tolerance=TOLERANCE)
    ours: list[dict[str, float]] = []
    for prediction, truth in pairs:
        counts = count_pixels(prediction[None] * 1, truth[None] * 1, 2)[0, 1]
        measured = scores.measure(prediction * 1, truth * 1, 2)
        foreground = probabilities_of(prediction)
        measured |= Calibration.of(np.stack([1 - foreground, foreground]), truth * 1).scores
        ours.append(
            {name: float(of(counts)) for name, of in MEASURES.of_counts.items()}
            | {name: float(values[0]) for name, values in measured.items()}
        )
    print("| score | compared with | pairs | from - to | largest difference |")
    print("|---|---|--:|---|--:|")
    for name, who, of in OTHERS:
        values = np.array([one[name] for one in ours])
        theirs = np.array([of(*pair) for pair in pairs])
        difference = np.abs(values - theirs).max()
        print(f"| {name} | {who} | {len(pairs)} | {values.min():.3g} - {values.max():.3g} | {difference:.1e} |")


if __name__ == "__main__":
    main()
