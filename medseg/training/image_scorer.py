"""Score the images of a test as they are predicted, in threads: at each image's native size, and as prepared."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.mask_archive import decode_mask, encode_mask
from medseg.data.prepared.resize import resize_mask
from medseg.data.prepared.restore import most_probable, restore_classes
from medseg.metrics.calibration import Calibration, with_temperature
from medseg.metrics.confidence import soft_dice_confidence
from medseg.metrics.counts import count_pixels
from medseg.metrics.finite import without_nan
from medseg.metrics.image_scores import ImageScores
from medseg.system.process import available_cores


@dataclass(frozen=True)
class Scored:
    """The scores of one image at one size.

    Attributes:
        counts: num_classes x 4: tp, fp, fn, tn.
        measured: scores that are not made of counts, name -> num_classes - 1 values.
    """

    counts: NDArray[np.int64]
    measured: Mapping[str, NDArray[np.float64]]

    def with_scores(self, more: Mapping[str, NDArray[np.float64]]) -> Scored:
        """Return the same with further scores."""
        return replace(self, measured={**self.measured, **more})


def compare(
    predicted: np.ndarray, true: np.ndarray, num_classes: int, scores: ImageScores, instances: np.ndarray | None
) -> Scored:
    """Score a class map, H x W, against the true one; `instances`: labelled objects of the dataset, H x W, if any."""
    counts = count_pixels(predicted[None], true[None], num_classes)[0]
    return Scored(counts, scores.measure(predicted, true, num_classes, instances))


@dataclass(frozen=True)
class ScoredImage:
    """What a test made of one image.

    Attributes:
        index: position in the prepared data.
        packed, packed_small: the predicted class map at native and at prepared size, packed.
        native, prepared: the scores at both sizes; those of probabilities are of the prepared size in both.
        calibration: of the probabilities, and of those with the temperature where there is one.
        confidence: in the prediction of each foreground class, num_classes - 1 values.
        probabilities: K x h x w uint8, in 255ths, at the prepared size; None where they are not kept.
        finite: whether the output of the network is; pixels where it is not count as background.
    """

    index: int
    packed: bytes
    packed_small: bytes
    native: Scored
    prepared: Scored
    calibration: tuple[Calibration, ...]
    confidence: NDArray[np.float64]
    probabilities: NDArray[np.uint8] | None
    finite: bool = True

    @property
    def class_map(self) -> NDArray[np.uint8]:
        """The predicted class of each pixel at native size, H x W."""
        return decode_mask(self.packed)

    @property
    def small_class_map(self) -> NDArray[np.uint8]:
        """The predicted class of each pixel at the prepared size, h x w."""
        return decode_mask(self.packed_small)


class ImageScorer:
    """Scores images in threads.

    Args:
        prepared: the data with the true masks.
        scores: what is measured.
        keep_probabilities: keep them, at 8 bits.
        temperature: also measure the calibration with it.
    """

    def __init__(
        self,
        prepared: PreparedDataset,
        scores: ImageScores,
        *,
        keep_probabilities: bool = False,
        temperature: float | None = None,
    ) -> None:
        self.prepared, self.scores, self.keep_probabilities = prepared, scores, keep_probabilities
        self.temperature = temperature
        self.workers = available_cores()
        self.threads = ThreadPoolExecutor(self.workers, "scores")
        self.pending: deque[Future[ScoredImage]] = deque()
        self.done: list[ScoredImage] = []

    def add(self, index: int, probabilities: NDArray[np.float32]) -> None:
        """Score an image by its class probabilities at the prepared size, K x h x w; waits while many are waiting."""
        if len(self.pending) > 2 * self.workers:
            self.done.append(self.pending.popleft().result())
        self.pending.append(self.threads.submit(self.score, index, probabilities))

    def results(self) -> list[ScoredImage]:
        """Return what was scored, in the order in which it was added."""
        while self.pending:
            self.done.append(self.pending.popleft().result())
        self.threads.shutdown()
        return self.done

    def score(self, index: int, probabilities: NDArray[np.float32]) -> ScoredImage:
        """Score one image."""
        true, instances = self.prepared.native_masks[index], None
        if self.prepared.native_instances is not None:
            instances = self.prepared.native_instances[index].astype(np.int32)
        small_true = np.asarray(self.prepared.masks[index])
        probabilities, missing = without_nan(probabilities)
        small, _ = most_probable(probabilities)
        class_map = restore_classes(probabilities, (true.shape[0], true.shape[1]))
        calibration = [Calibration.of(probabilities, small_true)]
        if self.temperature is not None:
            calibration.append(Calibration.of(with_temperature(probabilities, self.temperature), small_true))
        of_probabilities, num_classes = calibration[0].scores, self.prepared.num_classes
        native = compare(class_map, true, num_classes, self.scores, instances).with_scores(of_probabilities)
        if true.shape == small_true.shape:
            prepared = native
        else:
            size = (small.shape[0], small.shape[1])
            resized = None if instances is None else resize_mask(instances, size)
            prepared = compare(small, small_true, num_classes, self.scores, resized).with_scores(of_probabilities)
        return ScoredImage(
            index,
            encode_mask(class_map),
            encode_mask(small),
            native,
            prepared,
            tuple(calibration),
            soft_dice_confidence(probabilities, small),
            np.rint(probabilities * 255).astype(np.uint8) if self.keep_probabilities else None,
            not missing,
        )
