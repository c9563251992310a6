"""A trained network, or several averaged, that turns images into masks of the same size."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from medseg.config.checks.commands import PREDICTION
from medseg.config.checks.kinds import check_arguments
from medseg.errors import ConfigError, UserError
from medseg.runs.folder import find_run
from medseg.trained.predicting.inputs import as_rgb, matching
from medseg.trained.predicting.member import FLIPS, Member, load_member, pick_device
from medseg.trained.predicting.resizing import resized_strips
from medseg.trained.predicting.tiling import blend

WINDOW = 512
"""Side of a window in pixels where none is given, unless the network was trained on larger images."""


@dataclass(frozen=True)
class Prediction:
    """What is predicted of an image of H x W pixels.

    Attributes:
        mask: H x W uint8, the class of each pixel: the most probable one, the first among equals.
        probabilities: classes x H x W float32, of sum 1.
        class_names: the background first.
    """

    mask: np.ndarray
    probabilities: np.ndarray
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Options:
    """How images are shown to the networks.

    Args:
        tta: average over the image and its three flips.
        scale: None resizes the whole image to the size that the network was trained at, as its training images were.
            A number keeps the image's own resolution, times this number, and cuts it into windows: right where the
            training images had that resolution, such as patches cut from large images.
        tile: side of a window in pixels as the network sees it; None is 512, or the trained size where that is larger.
            Given without `scale` it means scale 1.
        overlap: by which part of its side a window overlaps its neighbours, 0 to 0.5.

    Raises `ConfigError` for a value that cannot be.
    """

    tta: bool = False
    scale: float | None = None
    tile: int | None = None
    overlap: float = 0.25

    def __post_init__(self) -> None:
        check_arguments(PREDICTION, tta=self.tta, scale=self.scale, tile=self.tile, overlap=self.overlap)


class Predictor:
    """Predict images with one network or the average of several.

    Args:
        members: the networks; they tell the same classes apart.
        options: how images are shown to them.

    It may be used from several threads: the networks run in a thread of their own, one image or window at a time.
    Raises `ConfigError` where the classes differ.
    """

    def __init__(self, members: Sequence[Member], options: Options) -> None:
        self.members = tuple(members)
        self.class_names = common_classes(self.members)
        self.options = options
        scale = options.scale if options.scale is not None else 1.0 if options.tile is not None else None
        self.scale = scale
        self.tile = options.tile or max(WINDOW, *(side for member in self.members for side in member.image_size))
        self._thread = ThreadPoolExecutor(1, "network")

    @property
    def device(self) -> str:
        """Where the networks compute."""
        return str(self.members[0].device)

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.class_names)

    def predict(self, image: np.ndarray) -> Prediction:
        """Predict an image, H x W or H x W x (1, 3 or 4), uint8 or uint16; RGB, alpha is dropped.

        Raises `UserError` for another array.
        """
        strips = list(self.strips(as_rgb(image)))
        probabilities = np.concatenate(strips, axis=1)
        return Prediction(most_probable(probabilities)[0], probabilities, self.class_names)

    def strips(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probabilities of an image as consecutive strips, classes x rows x W float32.

        Together they have the image's H rows, at no time more of them in memory than a few: for images whose
        probabilities at once would be too much.

        Args:
            image: H x W x 3 uint8, RGB.
        """
        if self.scale is None:
            return self._whole(image)
        side = max(1, round(self.tile / self.scale))
        size = (image.shape[0], image.shape[1])
        return blend(size, side, self.options.overlap, self.num_classes, partial(self._window, image))

    def _whole(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Predict the image resized as the training images were, and resize the probabilities to its own size."""
        # Those of one size are averaged before they are resized.
        sums: dict[tuple[int, int], np.ndarray] = {}
        for member in self.members:
            found = self._run(member, member.view(image, member.image_size))
            sums[member.image_size] = sums[member.image_size] + found if member.image_size in sums else found
        parts = [resized_strips(maps / len(self.members), image.shape[:2]) for maps in sums.values()]
        return (sum(strips[1:], start=strips[0]) for strips in zip(*parts, strict=True))

    def _window(self, image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Predict a window of the image at the resolution asked for: classes x rows x columns."""
        window = image[rows, columns]
        assert self.scale is not None
        size = (max(1, round(window.shape[0] * self.scale)), max(1, round(window.shape[1] * self.scale)))
        found = [self._run(member, member.view(window, size)) for member in self.members]
        maps = sum(found[1:], start=found[0]) / len(found)
        if size == window.shape[:2]:
            return maps
        return np.concatenate(list(resized_strips(maps, window.shape[:2])), axis=1)

    def _run(self, member: Member, view: np.ndarray) -> np.ndarray:
        """Run a network on one view, height x width x channels uint8: classes x height x width."""
        flips = FLIPS if self.options.tta else FLIPS[:1]
        return self._thread.submit(partial(member.probabilities, view[None], flips=flips)).result()[0]


def most_probable(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each pixel, H x W uint8, and its probability, from classes x H x W.

    The first among equals, as NumPy's argmax, which takes eight times as long over so short an axis.
    """
    best = probabilities[0].copy()
    mask = np.zeros(best.shape, np.uint8)
    for label in range(1, len(probabilities)):
        better = probabilities[label] > best
        mask[better] = label
        np.copyto(best, probabilities[label], where=better)
    return mask, best


def load(
    checkpoint: str | Path | Sequence[str | Path],
    *,
    device: str = "auto",
    precision: str | None = None,
    trust: bool = False,
    options: Options | None = None,
) -> Predictor:
    """Load one or several trained networks to predict with.

    Args:
        checkpoint: a run folder, a checkpoint file, a pattern with `*` that finds some, or a list of these.
        device: `auto`, `cpu`, `gpu`, `cuda:<number>` or `mps`.
        precision: None is that of the training.
        trust: build networks that are not medseg's own.
        options: how images are shown to the networks.

    Raises `UserError` for what cannot be found, read, trusted or averaged.
    """
    options = options or Options()
    where = pick_device(device)
    files = find_checkpoints(checkpoint)
    members = [load_member(file, device=where, precision=precision, trust=trust) for file in files]
    return Predictor(members, options)


def find_checkpoints(given: str | Path | Sequence[str | Path]) -> list[Path]:
    """Find the checkpoints that a user means, each once, those of a pattern sorted by name.

    Of what a pattern finds, folders that are no run and files that are no .ckpt do not count.
    Raises `UserError` where there is none.
    """
    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        if path.exists() or not glob.has_magic(str(path)):
            return [find_run(path)[1]]
        _, matches = matching(path.absolute())
        runs = [match for match in matches if match.suffix == ".ckpt" or (match / "checkpoints" / "best.ckpt").exists()]
        if not runs:
            raise UserError(f"{path}: finds no run folder with a checkpoint, and no .ckpt file")
        return [find_run(run)[1] for run in runs]
    files = [file for each in given for file in find_checkpoints(each)]
    if not files:
        raise UserError("checkpoint is an empty list; give one run folder or checkpoint file at least")
    return list(dict.fromkeys(files))


def common_classes(members: Sequence[Member]) -> tuple[str, ...]:
    """Return the classes that all members tell apart; those of imported networks have no names of their own.

    Raises `ConfigError` where they differ.
    """
    first = next((member for member in members if member.own_names), members[0])
    for member in members:
        same = member.class_names == first.class_names if member.own_names else True
        if not same or len(member.class_names) != len(first.class_names):
            raise ConfigError(
                f"networks of other classes cannot be averaged: {first.file} tells {', '.join(first.class_names)} "
                f"apart, {member.file} {', '.join(member.class_names)}"
            )
    return first.class_names
