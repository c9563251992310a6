"""NSD, boundary IoU, clDice, MCC, volumetric similarity: explicit loops, other libraries, cases done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist
from torchmetrics.functional.classification import binary_matthews_corrcoef

from medseg.errors import ConfigError
from medseg.metrics import MEASURES, ImageScores, MaskPair, count_pixels
from medseg.metrics.boundary import boundary_iou
from medseg.metrics.distances import nsd
from medseg.metrics.measures import CHOOSABLE
from medseg.metrics.scores import mcc, volumetric_similarity
from medseg.metrics.skeleton import cldice, skeletonize
from tests.metrics.test_distances import border_points


def blobs(rng: np.random.Generator, kind: int, shape: tuple[int, int] = (40, 53)) -> np.ndarray:
    """Speckle, blobs, a large region, vessels."""
    noise = ndimage.gaussian_filter(rng.random(shape), (0, 2, 6, 2)[kind])
    if kind == 3:
        return abs(noise - np.median(noise)) < np.quantile(abs(noise - np.median(noise)), 0.2)
    return noise > np.quantile(noise, (0.9, 0.7, 0.4)[kind])


def pairs(count: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(7)
    return [(blobs(rng, n % 4), blobs(rng, n % 4)) for n in range(count)]


EMPTY = np.zeros((12, 12), bool)
SOME = EMPTY.copy()
SOME[3:8, 4:9] = True


# The table of `medseg.metrics`.
@pytest.mark.parametrize(
    ("name", "both_empty"),
    [("nsd", None), *((n, 1.0) for n in ("boundary_iou", "cldice", "ap", "pq", "aji", "mcc", "volumetric_similarity"))],
)
def test_empty_masks(name: str, both_empty: float | None) -> None:
    def of(prediction: np.ndarray, truth: np.ndarray) -> float:
        return float(ImageScores([name]).measure(prediction * 1, truth * 1, 2)[name][0])

    assert of(EMPTY, SOME) == of(SOME, EMPTY) == 0
    assert of(SOME, SOME) == pytest.approx(1)
    assert np.isnan(of(EMPTY, EMPTY)) if both_empty is None else of(EMPTY, EMPTY) == both_empty
    # Ignored pixels are in no mask.
    ignored = np.where(EMPTY, 0, 255)
    assert np.isnan(of(SOME, ignored)) if both_empty is None else of(SOME, ignored) == both_empty


def test_optional_scores_are_measured_where_they_are_chosen() -> None:
    everything = ImageScores(CHOOSABLE).measure(SOME * 1, SOME * 1, 3)
    assert list(everything) == ["hd95", "assd", *CHOOSABLE]
    assert {len(values) for values in everything.values()} == {2}
    assert list(ImageScores(["mcc", "nsd"]).measure(SOME * 1, SOME * 1, 2)) == ["hd95", "assd", "nsd", "mcc"]
    assert not {*CHOOSABLE} & {*MEASURES.of_counts}
    assert all(MEASURES[name].optional and MEASURES[name].higher_is_better for name in CHOOSABLE)
    assert set(CHOOSABLE) == {"nsd", "boundary_iou", "cldice", "ap", "pq", "aji", "mcc", "volumetric_similarity"}


# NSD.
@pytest.mark.parametrize("tolerance", [1.0, 1.5, 2.0, 5.0])
def test_nsd_against_all_pairs_of_border_pixels(tolerance: float) -> None:
    for prediction, truth in pairs():
        distances = cdist(border_points(prediction), border_points(truth))
        near = np.concatenate([distances.min(0), distances.min(1)]) <= tolerance
        assert nsd(MaskPair(prediction, truth, tolerance=tolerance)) == pytest.approx(near.mean())


def test_nsd_by_hand() -> None:
    # Squares of 5 x 5, one moved by 3 columns. Of the 16 border pixels of the first, 4 are on the other's border, in
    # the top and the bottom row; 2 in these rows are 1 off; so are the 3 between them on its right side, from the
    # other's left side. The other one's are the same, mirrored.
    shifted = np.roll(SOME, 3, 1)
    pair = {tolerance: nsd(MaskPair(SOME, shifted, tolerance=tolerance)) for tolerance in (0.5, 1.0, 3.0)}
    assert pair == {0.5: 4 / 16, 1.0: 9 / 16, 3.0: 1}


def test_nsd_is_that_of_monai() -> None:
    metrics = pytest.importorskip("monai.metrics")
    for prediction, truth in pairs():
        one_hot = [torch.from_numpy(np.stack([~mask, mask]))[None].float() for mask in (prediction, truth)]
        theirs = metrics.compute_surface_dice(*one_hot, class_thresholds=[2.0])
        assert nsd(MaskPair(prediction, truth, tolerance=2.0)) == pytest.approx(float(theirs[0, 0]), abs=1e-6)


# Boundary IoU.
def boundary_by_hand(mask: np.ndarray, width: int) -> np.ndarray:
    """Erode by a square of 3, pixel by pixel, `width` times; what has gone is the boundary."""
    inner = np.pad(mask, 1)
    for _ in range(width):
        eroded = np.zeros_like(inner)
        for row in range(1, inner.shape[0] - 1):
            for column in range(1, inner.shape[1] - 1):
                eroded[row, column] = inner[row - 1 : row + 2, column - 1 : column + 2].all()
        inner = eroded
    return mask & ~inner[1:-1, 1:-1]


@pytest.mark.parametrize("shape", [(40, 53), (150, 110)])
def test_boundary_iou_against_repeated_erosion(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    width = {(40, 53): 1, (150, 110): 4}[shape]  # 2 % of 66.4 and of 186.0
    for kind in (1, 2) if shape[0] > 100 else range(4):
        prediction, truth = blobs(rng, kind, shape), blobs(rng, kind, shape)
        first, second = (boundary_by_hand(mask, width) for mask in (prediction, truth))
        assert boundary_iou(MaskPair(prediction, truth)) == (first & second).sum() / (first | second).sum()


def test_boundary_iou_by_hand() -> None:
    # 100 x 100, all of it, and all but the last column: 2 % of the diagonal are 3, and beyond the image is outside.
    full, less = np.ones((100, 100), bool), np.ones((100, 100), bool)
    less[:, 99] = False
    frames = 100 * 100 - 94 * 94, 100 * 99 - 94 * 93
    # Shared: 6 rows of 99; of the 94 others 3 columns on the left, and 97 and 98 of 97 to 99 and 96 to 98.
    shared = 6 * 99 + 94 * (3 + 2)
    assert boundary_iou(MaskPair(full, less)) == shared / (sum(frames) - shared)


# Skeletons and clDice.
def thinned(mask: np.ndarray) -> np.ndarray:
    """Remove pixel by pixel, as Zhang and Suen write it, with the departures of scikit-image."""
    from medseg.metrics.skeleton import DEPARTURES

    pixels = np.pad(mask, 1).astype(int)
    while True:
        before = pixels.copy()
        for turn in (0, 1):
            gone = []
            for row, column in np.argwhere(pixels):
                p2, p3, p4 = pixels[row - 1, column], pixels[row - 1, column + 1], pixels[row, column + 1]
                p5, p6, p7 = pixels[row + 1, column + 1], pixels[row + 1, column], pixels[row + 1, column - 1]
                p8, p9 = pixels[row, column - 1], pixels[row - 1, column - 1]
                ring = [p2, p3, p4, p5, p6, p7, p8, p9]
                number = sum(int(value) << k for k, value in enumerate([p9, p2, p3, p4, p5, p6, p7, p8]))
                changes = sum(a == 0 and b == 1 for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
                corners = (p2 * p4 * p6, p4 * p6 * p8) if turn == 0 else (p2 * p4 * p8, p2 * p6 * p8)
                goes = 2 <= sum(ring) <= 6 and changes == 1 and corners == (0, 0)
                for turns, numbers in DEPARTURES.items():
                    goes = turns[turn] if number in numbers else goes
                gone += [(row, column)] if goes else []
            for at in gone:
                pixels[at] = 0
        if (pixels == before).all():
            return pixels[1:-1, 1:-1] > 0


@pytest.mark.parametrize("kind", range(4))
def test_skeletons_against_the_algorithm_pixel_by_pixel(kind: int) -> None:
    rng = np.random.default_rng(kind)
    for _ in range(3):
        mask = blobs(rng, kind, (24, 31))
        np.testing.assert_array_equal(skeletonize(mask), thinned(mask))


def test_skeletons_by_hand() -> None:
    cross = np.zeros((9, 9), bool)
    cross[4, 1:8] = cross[1:8, 4] = True
    np.testing.assert_array_equal(skeletonize(cross), cross)
    bar = np.zeros((7, 15), bool)
    bar[2:5, 2:13] = True
    assert skeletonize(bar)[3, 3:11].all()
    assert skeletonize(bar).sum() <= 8 + 2
    assert skeletonize(np.ones((2, 2), bool)).any()
    assert not skeletonize(EMPTY).any()


@pytest.mark.parametrize("kind", range(4))
def test_a_skeleton_holds_together(kind: int) -> None:
    rng = np.random.default_rng(10 + kind)
    everywhere = np.ones((3, 3))
    for _ in range(5):
        mask = blobs(rng, kind, (60, 70))
        skeleton = skeletonize(mask)
        assert not (skeleton & ~mask).any()
        regions, count = ndimage.label(mask, everywhere)
        pieces = ndimage.label(skeleton, everywhere)[1]
        assert count == pieces == len(np.unique(regions[skeleton]))


def test_skeletons_are_those_of_scikit_image() -> None:
    morphology = pytest.importorskip("skimage.morphology")
    rng = np.random.default_rng(5)
    for n in range(60):
        mask = blobs(rng, n % 4, tuple(rng.integers(2, 90, 2)))
        np.testing.assert_array_equal(skeletonize(mask), morphology.skeletonize(mask))


def test_cldice_by_hand() -> None:
    # A vessel of length 11, of which the prediction has 6 pixels, and a false one of 5 elsewhere.
    truth, prediction = np.zeros((12, 15), bool), np.zeros((12, 15), bool)
    truth[3, 2:13] = True
    prediction[3, 2:8] = prediction[9, 2:7] = True
    assert cldice(MaskPair(prediction, truth)) == pytest.approx(6 / 11)
    prediction[9] = False
    assert cldice(MaskPair(prediction, truth)) == pytest.approx(2 * 1 * (6 / 11) / (1 + 6 / 11))
    # However thick the prediction is around it, the centreline is found.
    thick = ndimage.binary_dilation(truth, np.ones((3, 3)))
    assert cldice(MaskPair(thick, skeletonize(thick))) == 1


def test_cldice_of_masks_that_miss_each_other() -> None:
    assert cldice(MaskPair(np.roll(SOME, 6, 0), SOME & (np.arange(12) < 6))) == 0


# Of counts.
def test_mcc_is_that_of_torchmetrics_and_a_correlation() -> None:
    for prediction, truth in pairs():
        counts = count_pixels(prediction[None] * 1, truth[None] * 1, 2)[0, 1]
        theirs = binary_matthews_corrcoef(torch.from_numpy(prediction * 1), torch.from_numpy(truth * 1))
        assert mcc(counts) == pytest.approx(float(theirs), abs=1e-6)
        assert mcc(counts) == pytest.approx(np.corrcoef(prediction.ravel(), truth.ravel())[0, 1])


def test_mcc_of_whole_images() -> None:
    # tp, fp, fn, tn: equal ones, then a part predicted as all, all as a part, the reverse of the truth.
    counts = [[9, 0, 0, 0], [0, 0, 0, 9], [4, 5, 0, 0], [4, 0, 5, 0], [0, 4, 5, 0]]
    assert mcc(counts) == pytest.approx([1, 1, 0, 0, -1])
    large = [10**7, 10**6, 10**6, 10**9]  # the product of the four sums is beyond 64 bits
    assert 0.9 < mcc(large) < 1


def test_volumetric_similarity_compares_areas() -> None:
    for prediction, truth in pairs():
        counts = count_pixels(prediction[None] * 1, truth[None] * 1, 2)[0, 1]
        a, b = prediction.sum(), truth.sum()
        assert volumetric_similarity(counts) == pytest.approx(1 - abs(a - b) / (a + b))
    assert volumetric_similarity([0, 5, 5, 90]) == 1


def test_an_unknown_score_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigError, match=r"it must be one of dice, .*cldice"):
        MEASURES.choose("centreline", "per_image")
