"""A trained network, or several averaged, that turns images into masks of the same size."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from medseg.config.checks.commands import PREDICTION
from medseg.config.checks.kinds import check_arguments
from medseg.data.pixel_format import PixelFormat, fits
from medseg.data.prepared.restore import most_probable, resized_strips
from medseg.data.sources.problems import NOT_FINITE, collected_notes, note
from medseg.errors import ConfigError, UserError
from medseg.metrics.finite import without_nan
from medseg.runs.folder import find_run
from medseg.runs.run import Run
from medseg.trained.network import FLIPS, TrainedNetwork, pick_device
from medseg.trained.predicting.inputs import matching, read_array, read_image
from medseg.trained.predicting.prediction import Prediction
from medseg.trained.predicting.tiling import OVERLAP, blend

log = logging.getLogger(__name__)

WINDOW = 512
"""Side of a window in pixels where none is given, unless the network was trained on larger images."""

Image = str | Path | np.ndarray
"""A file, or its pixels: H x W or H x W x C, on the scale of the files of the training; in colour RGB."""


Source = str | Path | Run
"""A run, its folder, a checkpoint file, or a pattern with `*` that matches some."""


class Predictor:
    """Predict images with one network or the average of several.

    Args:
        networks: they predict the same classes.
        tta: average over the image and its three flips.
        scale: None resizes the whole image to the size that the network was trained at, as its training images were.
            A number keeps the native resolution, times this number, and cuts it into windows: right where the
            training images had that resolution, and so the default, 1, of networks trained on patches (`data.patches`).
        tile: side of a window in pixels as the network sees it; None is the patch of such networks, of others 512, or
            the trained size where that is larger. Given without `scale` it means scale 1.
        overlap: by which part of its side a window overlaps its neighbours, 0 to 0.5.
        intensity_range: the stored values that become 0 and 255, for images on another scale than the training.

    Pixels for which a network gives no finite output are background to it, as in its scores.
    It may be used from several threads: the networks run in a separate thread, one image or window at a time.
    Raises `ConfigError` where the classes, or the pixels of the training, differ.
    """

    def __init__(
        self,
        networks: Sequence[TrainedNetwork],
        *,
        tta: bool = False,
        scale: float | None = None,
        tile: int | None = None,
        overlap: float = OVERLAP,
        intensity_range: Sequence[float] | None = None,
    ) -> None:
        self.networks = tuple(networks)
        self.class_names = common_classes(self.networks)
        self.stated = intensity_range is not None
        self.pixels = common_pixels(self.networks, intensity_range)
        self.flips = FLIPS if tta else FLIPS[:1]
        patches = trained_on_patches(self.networks, asked=scale is not None or tile is not None)
        self.scale = 1.0 if scale is None and (patches or tile is not None) else scale
        self.tile = (tile, tile) if tile else usual_window(self.networks, patches=patches)
        # These networks may take no other size than that of their patches.
        self.pad_to = self.tile if patches else None
        self.overlap = overlap
        self._thread = ThreadPoolExecutor(1, "network")

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.class_names)

    @overload
    def predict(self, image: Image) -> Prediction: ...

    @overload
    def predict(self, image: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...

    def predict(self, image: Image | list[Any] | tuple[Any, ...]) -> Prediction | list[Prediction]:
        """Predict an image, or a list of them.

        Args:
            image: a file in any format that the datasets are read in, or an array, H x W or H x W x C, of the
                values that the files of the training have (8 bits, other integers, or floats); in colour RGB.

        Raises `UserError` for a file that cannot be read, for another array, and for values on another scale than those
        of the training.
        """
        if isinstance(image, list | tuple):
            return [self.predict(each) for each in image]
        pixels = self.read(image)
        with collected_notes() as notes:
            probabilities = np.concatenate(list(self.strips(pixels)), axis=1)
        if notes:
            log.warning("%s", NOT_FINITE)
        return Prediction(pixels, most_probable(probabilities)[0], probabilities, self.class_names)

    def read(self, image: Image) -> np.ndarray:
        """Read an image as those of the training were read: H x W x C uint8, upright. Raises `UserError`."""
        if isinstance(image, str | Path):
            return read_image(Path(image).expanduser(), self.pixels, stated=self.stated)
        return read_array(image, self.pixels, stated=self.stated)

    def strips(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the probabilities of an image as consecutive strips, classes x rows x W float32.

        Together they have the image's H rows, at no time more of them in memory than a few: for images whose
        probabilities at once would be too much.

        Args:
            image: H x W x C uint8, as `read` returns it.
        """
        if self.scale is None:
            return self._whole(image)
        window = (max(1, round(self.tile[0] / self.scale)), max(1, round(self.tile[1] / self.scale)))
        size = (image.shape[0], image.shape[1])
        return blend(size, window, self.overlap, self.num_classes, partial(self._windows, image))

    def _whole(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Predict the image resized as the training images were, and resize the probabilities to native size."""
        # Those of one size are averaged before they are resized.
        sums: dict[tuple[int, int], np.ndarray] = {}
        for network in self.networks:
            size = network.metadata.image_size
            maps = self._run(network, image, size)
            sums[size] = sums[size] + maps if size in sums else maps
        parts = [resized_strips(maps / len(self.networks), image.shape[:2]) for maps in sums.values()]
        return (sum(strips[1:], start=strips[0]) for strips in zip(*parts, strict=True))

    def _windows(self, image: np.ndarray, rows: slice, columns: Sequence[slice]) -> Iterator[np.ndarray]:
        """Predict some windows with the same rows."""
        return (self._window(image, rows, each) for each in columns)

    def _window(self, image: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        """Predict a window of the image at the resolution asked for: classes x rows x columns."""
        window = image[rows, columns]
        assert self.scale is not None
        size = (max(1, round(window.shape[0] * self.scale)), max(1, round(window.shape[1] * self.scale)))
        each = [self._run(network, window, size) for network in self.networks]
        maps = sum(each[1:], start=each[0]) / len(each)
        if size == window.shape[:2]:
            return maps
        return np.concatenate(list(resized_strips(maps, window.shape[:2])), axis=1)

    def _run(self, network: TrainedNetwork, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Run a network on an image resized to `size`, height and width: classes x height x width."""
        prepared = network.prepare(image, size)
        batch = np.require(prepared[None], requirements="W")  # PyTorch warns of memory that is only for reading
        run = partial(network.probabilities, batch, flips=self.flips, pad_to=self.pad_to)
        probabilities, missing = without_nan(self._thread.submit(run).result()[0])
        if missing:
            note(NOT_FINITE, "")
        return probabilities


def load(
    checkpoint: Source | Sequence[Source],
    *,
    device: str = "auto",
    precision: str | None = None,
    trust: bool = False,
    temperature: bool = False,
    **options: Any,
) -> Predictor:
    """Load one or several trained networks to predict with; see `medseg.load`. The options are those of `Predictor`."""
    check_arguments(PREDICTION, temperature=temperature, **options)
    where = pick_device(device)
    files = find_checkpoints(checkpoint)
    networks = [TrainedNetwork.load(file, trust=trust) for file in files]
    if temperature:
        networks = [
            replace(network, temperature=chosen_temperature(file))
            for network, file in zip(networks, files, strict=True)
        ]
    for network in networks:
        _ = network.normalisation  # raises where it is not known
    return Predictor([network.to(where, precision) for network in networks], **options)


def chosen_temperature(checkpoint: Path) -> float:
    """Return the temperature that the run of a checkpoint chose. Raises `UserError` where there is none."""
    run, file = find_run(checkpoint)
    chosen = run.temperature_of(file)
    if chosen is None:
        raise UserError(
            f"{checkpoint}: no temperature was chosen for it ({run.temperature.name} of a run is for its best "
            "checkpoint); leave out temperature=true"
        )
    return chosen


def find_checkpoints(given: Source | Sequence[Source]) -> list[Path]:
    """Find the checkpoints that a user means, each once, those of a pattern sorted by name.

    Of what a pattern finds, folders that are no run and files that are no .ckpt do not count.
    Raises `UserError` where there is none.
    """
    if isinstance(given, Run):
        return [find_run(given.folder)[1]]
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


def trained_on_patches(networks: Sequence[TrainedNetwork], *, asked: bool) -> bool:
    """Whether the networks were trained on patches; `asked`: whether scale or tile is given.

    Raises `ConfigError` where that differs, unless the user gives the scale at which they see an image.
    """
    kinds = {bool(network.metadata.patches) for network in networks}
    if len(kinds) > 1 and not asked:
        first, other = (next(n.file for n in networks if bool(n.metadata.patches) is kind) for kind in (True, False))
        raise ConfigError(
            f"{first} was trained on patches at native size, {other} on resized images: give scale=1 to average them "
            "at native size"
        )
    return all(kinds)


def usual_window(networks: Sequence[TrainedNetwork], *, patches: bool) -> tuple[int, int]:
    """Return height and width of a window where the user gives none."""
    heights, widths = zip(*(network.metadata.image_size for network in networks), strict=True)
    if patches:
        return max(heights), max(widths)
    side = max(WINDOW, *heights, *widths)
    return side, side


def common_pixels(networks: Sequence[TrainedNetwork], stated: Sequence[float] | None) -> PixelFormat:
    """Return the pixels that all networks were trained on, with the range that the user states.

    Raises `ConfigError` where they differ.
    """
    first = networks[0]
    for network in networks:
        ours, theirs = first.metadata.pixels, network.metadata.pixels
        same = stated is not None or (ours.low, ours.high) == (theirs.low, theirs.high)
        if not same or not fits(theirs.channels, ours.channels):
            raise ConfigError(
                f"networks trained on other pixels cannot be averaged: {first.file} on {ours.describe()}, "
                f"{network.file} on {theirs.describe()}"
            )
    pixels = first.metadata.pixels
    return pixels if stated is None else replace(pixels, low=float(stated[0]), high=float(stated[1]))


def common_classes(networks: Sequence[TrainedNetwork]) -> tuple[str, ...]:
    """Return the classes that all networks predict; an imported network has no names of classes.

    Raises `ConfigError` where they differ.
    """
    named = [network for network in networks if network.metadata.data_identity is not None]
    first = (named or networks)[0]
    for network in networks:
        same = network.class_names == first.class_names if network in named else True
        if not same or len(network.class_names) != len(first.class_names):
            raise ConfigError(
                f"networks of other classes cannot be averaged: {first.file} predicts {', '.join(first.class_names)}, "
                f"{network.file} {', '.join(network.class_names)}"
            )
    return first.class_names
