"""Predict a folder of images: read, predict, measure and write them; go on after an signals."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from medseg.data.prepared.fingerprint import sha256_file
from medseg.data.prepared.threads import images_bar, one_thread_each, thread_count
from medseg.data.sources.problems import SampleError
from medseg.errors import ConfigError, UserError
from medseg.system.memory import is_out_of_memory
from medseg.trained.predicting.inputs import Input, find_inputs, is_large, read_image
from medseg.trained.predicting.measures import Regions
from medseg.trained.predicting.outputs import Finished, OutputFolder, as_uint16, is_result, stamp
from medseg.trained.predicting.predictor import Options, Predictor, load, most_probable
from medseg.training.build import quiet_libraries
from medseg.training.panels import outline

log = logging.getLogger(__name__)

SHOWN = 10
"""How many unreadable images are named on the terminal; all are in a file."""


class StoppedError(Exception):
    """The prediction is being stopped; what is not finished is left."""


def predict_images(cfg: DictConfig) -> OutputFolder:
    """Predict the images that `cfg.input` names into `cfg.output`.

    Images whose outputs are there already are passed over. Raises `UserError` for what the user can put right, at the
    end also where images could not be read; the outputs of the others are complete then.
    """
    quiet_libraries()
    options = Options(tta=cfg.tta, scale=cfg.scale, tile=cfg.tile, overlap=cfg.overlap)
    inputs = find_inputs(plain(cfg.input), leave_out=is_result)
    predictor = load(
        plain(cfg.checkpoint), device=cfg.device, precision=cfg.precision, trust=cfg.trust, options=options
    )
    output = OutputFolder(
        Path(cfg.output).expanduser(),
        predictor.class_names,
        full_range=is_full_range(cfg.mask_values, predictor.num_classes),
        probabilities=cfg.probabilities,
        overlays=cfg.overlays,
    )
    settings = {
        "input": str(inputs.root),
        "checkpoint": [sha256_file(member.file) for member in predictor.members],
        "tta": options.tta,
        "scale": predictor.scale,
        "tile": None if predictor.scale is None else predictor.tile,
        "overlap": None if predictor.scale is None else options.overlap,
        "precision": cfg.precision,
        "mask_values": "0/255" if output.full_range else "indices",
        "class_names": list(predictor.class_names),
    }
    unreadable: dict[str, str] = {}
    with output.opened(settings, force=cfg.force):
        due = [image for image in inputs.images if not output.has(image)]
        log.info("%s images, %s of them to predict, on %s", len(inputs.images), len(due), predictor.device)
        with closing(predicted(predictor, output, due, workers=thread_count(cfg.num_workers))) as outcomes:
            for image, outcome in outcomes:
                if isinstance(outcome, SampleError):
                    unreadable[image.image] = outcome.detail
                    output.remove(image.image)  # of what the file was before
                else:
                    output.finish(outcome)
        output.write_unreadable(unreadable)
    tell(output, inputs.images, due, unreadable)
    return output


def is_full_range(asked: str | int | None, num_classes: int) -> bool:
    """Tell whether masks hold 0 and 255: as asked, else where there is one foreground class.

    Raises `ConfigError` where that is asked for several classes.
    """
    if asked == 255 and num_classes > 2:
        raise ConfigError(f"mask_values=255 goes with two classes, not with {num_classes}; use mask_values=indices")
    return num_classes == 2 if asked is None else asked == 255


def plain(value: Any) -> Any:
    """Return a list of the configuration as a list of text, and any other value as text."""
    return [str(each) for each in value] if OmegaConf.is_list(value) else str(value)


def predicted(
    predictor: Predictor, output: OutputFolder, images: Sequence[Input], *, workers: int
) -> Generator[tuple[Input, Finished | SampleError], None, None]:
    """Yield what came of each image, in order, with a progress bar on stderr.

    Several threads read, measure and write, while one of them at a time has the network.
    """
    if not images:
        return
    stopping = threading.Event()
    large = threading.Lock()

    def work(image: Input) -> Finished | SampleError:
        try:
            return predict_one(predictor, output, image, large, stopping.is_set)
        except SampleError as error:
            return error
        except Exception as error:
            if isinstance(error, UserError) or not is_out_of_memory(error):
                raise
            raise UserError(
                f"{image.file}: out of memory ({str(error).strip() or 'MemoryError'}); give num_workers=1, or cut the "
                "image into parts; what is predicted stays, and the same command goes on"
            ) from error

    with one_thread_each(), ThreadPoolExecutor(workers, "predict") as pool, images_bar() as progress:
        task = progress.add_task("predict", total=len(images))
        waiting: deque[tuple[Input, Future[Finished | SampleError]]] = deque()
        remaining = iter(images)
        try:
            while True:
                for image in remaining:
                    waiting.append((image, pool.submit(work, image)))
                    if len(waiting) >= 2 * workers:
                        break
                if not waiting:
                    return
                image, future = waiting.popleft()
                outcome = future.result()
                progress.advance(task)
                yield image, outcome
        finally:
            stopping.set()
            pool.shutdown(wait=True, cancel_futures=True)


def predict_one(
    predictor: Predictor,
    output: OutputFolder,
    image: Input,
    large: threading.Lock,
    stopping: Callable[[], bool],
) -> Finished:
    """Read, predict, measure and write one image; holding `large` where it is, so that no two are in memory.

    Beside the image, its mask and the pictures that are asked for, it keeps a strip of probabilities at a time.
    Raises `SampleError` where the image cannot be read, `StoppedError` where it is to stop.
    """
    with large if is_large(image.file) else nullcontext():
        stamped = stamp(image.file)
        pixels = read_image(image.file)
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
        return output.write(
            image,
            mask,
            regions.measured(),
            probabilities=maps,
            overlay=outline(pixels, mask) if output.overlays else None,
            stamped=stamped,
        )


def tell(output: OutputFolder, images: Sequence[Input], due: Sequence[Input], unreadable: dict[str, str]) -> None:
    """Say what was done, and where it lies; raises `UserError` where images could not be read."""
    done = len(due) - len(unreadable)
    kept = f", {len(images) - len(due)} were there already" if len(images) > len(due) else ""
    print(f"predicted: {done} images{kept}")
    print(f"masks:     {output.path / 'masks'}")
    print(f"table:     {output.table}")
    if not unreadable:
        return
    for image, reason in list(unreadable.items())[:SHOWN]:
        log.warning("unreadable: %s (%s)", image, reason)
    raise UserError(
        f"{len(unreadable)} of {len(images)} images could not be read, the others are predicted; the reasons are in "
        f"{output.unreadable}"
    )
