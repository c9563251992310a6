"""Predict a folder of images: read, predict, measure and write them; resume after an interruption."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from medseg.data.overlay import outline
from medseg.data.prepared.fingerprint import sha256_file
from medseg.data.prepared.restore import most_probable
from medseg.data.prepared.threads import in_threads, thread_count
from medseg.data.sources.problems import DARK, OPAQUE, Problem, SampleError, collected_notes
from medseg.errors import ConfigError, UserError, printable
from medseg.system.memory import is_out_of_memory
from medseg.trained.predicting.inputs import Input, find_inputs, is_large
from medseg.trained.predicting.measures import Regions
from medseg.trained.predicting.outputs import Finished, OutputFolder, as_uint16, is_result, stamp
from medseg.trained.predicting.predictor import Predictor, load

log = logging.getLogger(__name__)

SHOWN = 10
"""How many unreadable images are named on the terminal; all are in a file."""


class StoppedError(Exception):
    """The prediction is being stopped."""


def predict_images(cfg: DictConfig) -> OutputFolder:
    """Predict the images that `cfg.input` names into `cfg.output`.

    Images whose outputs are there already are passed over. Raises `UserError` for what the user can put right, at the
    end also where images could not be read; the outputs of the others are complete then.
    """
    inputs = find_inputs(as_text(cfg.input), leave_out=is_result)
    predictor = load_predictor(cfg)
    output = OutputFolder(
        Path(cfg.output).expanduser(),
        predictor.class_names,
        full_range=is_full_range(cfg.mask_values, predictor.num_classes),
        probabilities=cfg.probabilities,
        overlays=cfg.overlays,
    )
    settings = {
        "input": str(inputs.root),
        "checkpoint": [sha256_file(network.file) for network in predictor.networks],
        "tta": cfg.tta,
        "temperature": cfg.temperature,
        "scale": predictor.scale,
        "tile": None if predictor.scale is None else list(predictor.tile),
        "overlap": None if predictor.scale is None else predictor.overlap,
        "precision": cfg.precision,
        "intensity_range": None if cfg.intensity_range is None else list(cfg.intensity_range),
        "mask_values": "0/255" if output.full_range else "indices",
        "class_names": list(predictor.class_names),
    }
    unreadable: dict[str, str] = {}
    noted: list[Problem] = []
    stopping, large = threading.Event(), threading.Lock()
    with output.opened(settings, inputs.images, force=cfg.force):
        due = [image for image in inputs.images if not output.has(image)]
        device = predictor.networks[0].device
        log.info("images: %s, to predict: %s, on %s", len(inputs.images), len(due), device)

        def work(index: int) -> Finished | SampleError:
            with collected_notes() as notes:
                outcome = predict_one(predictor, output, due[index], large, stopping.is_set)
            noted.extend(replace(each, file=each.file or str(due[index].file)) for each in notes)
            return outcome

        workers = min(len(due), thread_count(cfg.num_workers))
        outcomes = in_threads(work, len(due), workers, "predict", stopping=stopping)
        with closing(outcomes):
            for image, outcome in zip(due, outcomes if due else (), strict=True):
                if isinstance(outcome, SampleError):
                    unreadable[image.image] = outcome.detail
                    output.remove(image.image)  # of what the file was before
                else:
                    output.finish(outcome)
        output.write_unreadable(unreadable)
    log_notes(noted)
    warn_of_dark([each for each in noted if each.kind == DARK], len(due) - len(unreadable), predictor.pixels.range)
    report(output, inputs.images, due, unreadable)
    return output


def is_full_range(asked: str | int | None, num_classes: int) -> bool:
    """Tell whether masks hold 0 and 255: as asked, else where there is one foreground class.

    Raises `ConfigError` where that is asked for several classes.
    """
    if asked == 255 and num_classes > 2:
        raise ConfigError(f"mask_values=255 goes with two classes, not with {num_classes}; use mask_values=indices")
    return num_classes == 2 if asked is None else asked == 255


def load_predictor(cfg: DictConfig) -> Predictor:
    """Load the networks of `cfg.checkpoint` with the options that predicting and the demo share."""
    options: dict[str, Any] = {
        key: cfg[key] for key in ("device", "precision", "trust", "tta", "temperature", "scale", "tile", "overlap")
    }
    options["intensity_range"] = None if cfg.intensity_range is None else list(cfg.intensity_range)
    return load(as_text(cfg.checkpoint), **options)


def as_text(value: Any) -> Any:
    """Return a list of the configuration as a list of text, and any other value as text."""
    return [str(each) for each in value] if OmegaConf.is_list(value) else str(value)


def predict_one(
    predictor: Predictor, output: OutputFolder, image: Input, large: threading.Lock, stopping: Callable[[], bool]
) -> Finished | SampleError:
    """Read, predict, measure and write one image; holding `large` where it is, so that no two are in memory.

    Beside the image, its mask and the pictures that are asked for, it keeps a strip of probabilities at a time.
    Returns the error where the image cannot be read. Raises `StoppedError` where it is to stop.
    """
    try:
        with large if is_large(image.file) else nullcontext():
            stamped = stamp(image.file)
            pixels = predictor.read(image.file)
            height, width = pixels.shape[:2]
            mask = np.empty((height, width), np.uint8)
            regions = Regions(predictor.num_classes)
            maps = [np.empty((height, width), np.uint16) for _ in predictor.class_names[1:] if output.probabilities]
            top = 0
            for strip in predictor.strips(pixels):
                if stopping():
                    raise StoppedError
                rows = slice(top, top + strip.shape[1])
                mask[rows], confidence = most_probable(strip)
                regions.add(mask[rows], confidence)
                for label, values in enumerate(maps, start=1):
                    values[rows] = as_uint16(strip[label])
                top = rows.stop
            overlay = outline(pixels, mask) if output.overlays else None
            return output.write(image, mask, regions.measured(), maps, overlay, stamped)
    except SampleError as error:
        return error
    except Exception as error:
        if isinstance(error, UserError) or not is_out_of_memory(error):
            raise
        raise UserError(
            f"{image.file}: out of memory ({str(error).strip() or 'MemoryError'}); give num_workers=1, or cut the "
            "image into parts, and run the same command again to resume"
        ) from error


def log_notes(noted: Sequence[Problem]) -> None:
    """Log what was noted of images, each kind in one line."""
    for kind in sorted({each.kind for each in noted} - {OPAQUE, DARK}):
        files = sorted({each.file for each in noted if each.kind == kind})
        log.warning("%s: %s of the images, such as %s", kind, len(files), printable(files[0]))


def warn_of_dark(notes: Sequence[Problem], predicted: int, trained: str) -> None:
    """Warn where every predicted image uses a small part of the range of the training: another scale, probably."""
    if not notes or len(notes) < predicted:
        return
    widest = max((each.detail for each in notes), key=lambda typed: float(typed[1:-1].split(",")[1]))
    log.warning(
        "nearly black to the network: the values of %s are in %s, a small part of %s, the range of its "
        "training; where that is another scale, give intensity_range=%s",
        "the one image" if predicted == 1 else f"all {predicted} images",
        widest,
        trained,
        widest,
    )


def report(output: OutputFolder, images: Sequence[Input], due: Sequence[Input], unreadable: dict[str, str]) -> None:
    """Print what was done and where; raises `UserError` where images could not be read."""
    done = len(due) - len(unreadable)
    there = len(images) - len(due)
    before = f", {there} {'was' if there == 1 else 'were'} there already" if there else ""
    print(f"predicted: {done} {'image' if done == 1 else 'images'}{before}")
    print(printable(f"masks:     {output.path}"))
    print(printable(f"table:     {output.table}"))
    if not unreadable:
        return
    for image, reason in list(unreadable.items())[:SHOWN]:
        log.warning("unreadable: %s (%s)", image, reason)
    rest = ", the others are predicted" if len(unreadable) < len(images) else ""
    raise UserError(
        f"{len(unreadable)} of {len(images)} images could not be read{rest}; the reasons are in {output.unreadable}"
    )
