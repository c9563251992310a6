"""What TensorBoard shows of a run.

    SCALARS   train/loss, val/loss, val/dice, val/iou, learning rate, and once test/dice, test/iou, ...
    IMAGES    val/<id>: fixed validation images: image, truth, prediction, errors
              images/<name>: the pictures that the run leaves: best, median and worst test images, curves
    HPARAMS   the settings that tell runs apart, beside the scores

The events are in the run folder. A link to them, below the experiment's folder `tensorboard`, has the name by which
TensorBoard shows the run.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger

from medseg.runs.folder import RunFolder
from medseg.runs.naming import file_name
from medseg.training.loggers.mirror import Mirror
from medseg.training.loggers.pictures import ValidationPictures
from medseg.training.loggers.run_info import RunInfo
from medseg.training.loggers.run_logger import RunLogger

log = logging.getLogger(__name__)

NAME = "tensorboard"
"""Of the folder of events in a run folder, and of the folder of links in that of an experiment."""


def tensorboard_logger(*, run: RunInfo) -> Mirror:
    """Log to TensorBoard, below the run folder."""
    return Mirror("TensorBoard", lambda: TensorBoardRunLogger(run), name=NAME, save_dir=str(run.folder), run=run)


class TensorBoardRunLogger(RunLogger, TensorBoardLogger):
    """Lightning's logger, with pictures and hyper-parameters. Every call of it may fail: `Mirror` guards them.

    Args:
        run: the run.
    """

    takes_pictures = True

    def __init__(self, run: RunInfo) -> None:
        # Of an interrupted run, TensorBoard forgets the steps that are done again.
        again: dict[str, Any] = {"purge_step": run.first_step} if run.resumed else {}
        super().__init__(save_dir=run.folder, name=NAME, version="", default_hp_metric=False, **again)
        self.images = RunFolder(run.folder).images

    def begin(self, run: RunInfo) -> None:
        """Open the events, log what tells the run apart, and link to them under a short name."""
        from torch.utils.tensorboard.summary import hparams

        # Without the first one, a list of columns that TensorBoard would take from one run, it has those of every run.
        _, start, self.success = hparams(run.settings, {})  # type: ignore[no-untyped-call]
        self.add_summary(start)
        link(run)

    def add_summary(self, summary: Any) -> None:
        """Write an event of the HPARAMS plugin, for which the writer has no public method."""
        self.experiment._get_file_writer().add_summary(summary)

    def save(self) -> None:
        # Lightning's would write hparams.yaml as well, which is in the run's config.yaml.
        self.experiment.flush()

    def log_pictures(self, pictures: ValidationPictures) -> None:
        """Show images of the validation: image, truth, prediction and errors side by side."""
        from medseg.training.panels import example

        of_each = zip(pictures.ids, pictures.images, pictures.truths, pictures.predictions, strict=True)
        for name, image, truth, prediction in of_each:
            picture = np.concatenate(example(image, truth, prediction), axis=1)
            self.experiment.add_image(f"val/{name}", picture, max(0, pictures.step - 1), dataformats="HWC")

    def end(self, exit_code: int) -> None:
        """Show the pictures that the run has left, log whether it has succeeded, and close the events."""
        for file in sorted(self.images.glob("*.png")):
            picture = cv2.imread(str(file))
            if picture is not None:
                self.experiment.add_image(f"images/{file.stem}", picture[:, :, ::-1], dataformats="HWC")
        if exit_code == 0:
            self.add_summary(self.success)
        self.experiment.close()


def link(run: RunInfo) -> None:
    """Link to the events of a run under its title; under title and hash where another setting has the title."""
    folder, digest = run.folder.parent / NAME, str(run.record["setting"]).rpartition("-")[2]
    target = os.path.join("..", run.folder.name, NAME)  # noqa: PTH118 - relative, so that the experiment can be moved
    try:
        folder.mkdir(exist_ok=True)
        for name in (run.title, f"{run.title}-{digest}"):
            file: Path = folder / file_name(name)
            try:
                file.symlink_to(target, target_is_directory=True)
            except FileExistsError:
                if not file.is_symlink() or str(file.readlink()) != target:
                    continue
            return
    except OSError as error:
        log.info("no link to the events of TensorBoard (%s); they are in %s", error, run.folder / NAME)
