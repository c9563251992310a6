"""The run folder: what is in it, how it is written, when it is finished.

run.json             what the run is: id, network, data, seed, fold, options, what deviates from their defaults
config.yaml          the composed configuration, every value filled in
data.json            what it is trained on: title, licence, citation, classes, identity, sizes of the splits
images.csv           id, split, group (patient, video) and what else is known (type, columns of tables) of every image
pretrained.json      the weights that the encoder began with: source, SHA-256, how they were matched; only with
                     model.encoder_weights
environment.json     versions, machine, command, what was picked (precision, device)
loggers.json         ids that loggers gave the run, such as MLflow's; only of those that do
metrics.csv          one row per epoch
train.log            what the run logged
checkpoints/         best.ckpt (highest validation Dice), last.ckpt (end of the last epoch)
tuning.json          the trials that chose its settings (protocol=tuned)
temperature.json     the temperature that the network's probabilities fit the validation images best with
test/per_image.csv   one row per image and foreground class, scored at the image's native size
test/prepared_size.csv  the same, scored at the size that the data were prepared at
test/calibration.csv how often pixels of each predicted probability are right, as predicted and with the temperature
test/confidence.csv  the confidence in the prediction of each test image
test/predictions.npz the class map predicted for each test image, at its native size
test/prepared_size.npz  the same, at the prepared size
test/probabilities.npz  the probabilities at the prepared size; only with save_probabilities=true
test/summary.json    the scores made from it, and what is known of the network: paper, code, names in publications
evaluations/<name>/  the same files of a test on other data, of another split or with flips (`medseg evaluate`), with
                     the images.csv of what was scored
images/*.png         the best, median and worst test images; the training curves
status.json          running, interrupted, failed or finished; `finished` is written last; `trained` without a test: the
                     data have no test split, or test=false
"""

from __future__ import annotations

import errno
import logging
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.packed.archive import is_packed
from medseg.system.files import damaged, read_json, remove_leftovers, write_json
from medseg.system.locks import held, marker_of

log = logging.getLogger(__name__)

STATES = ("running", "interrupted", "failed", "finished", "trained")
"""`trained`: finished without a test, since the data have no test split, or none is wanted."""

PER_IMAGE, PREPARED_SIZE = "per_image", "prepared_size"
"""Names of the files of scores, at native and at prepared size; the second also of an entry of `summary.json`."""

CALIBRATION, CONFIDENCE = "calibration", "confidence"
"""Names of the files of these; the first also of an entry of `summary.json`."""

HOTTEST = 100
"""Highest temperature that a file may hold."""

UNPACKED = "unpacked"
"""Entry of `status.json`: the run is from a file of `medseg pack`, which has no checkpoints."""

LOCK = ".lock"
"""Held by the process that works on the run."""


class RunFolder:
    """One run's folder. Nothing is created before the first write."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.pretrained = self.path / "pretrained.json"
        self.data = self.path / "data.json"
        self.splits = self.path / "images.csv"
        self.metrics = self.path / "metrics.csv"
        self.log = self.path / "train.log"
        self.best_checkpoint = self.path / "checkpoints" / "best.ckpt"
        self.last_checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.tuning = self.path / "tuning.json"
        self.temperature = self.path / "temperature.json"
        self.images = self.path / "images"
        self.test = self.path / "test"
        self.per_image = self.test / f"{PER_IMAGE}.csv"
        self.prepared_size = self.test / f"{PREPARED_SIZE}.csv"
        self.summary = self.test / "summary.json"
        self.evaluations = self.path / "evaluations"
        self.state_file = self.path / "status.json"

    @property
    def status(self) -> dict[str, Any]:
        """The content of `status.json`, empty where there is none.

        A damaged one is as good as none: the same command goes on from the last checkpoint, and writes it anew.
        """
        try:
            return read_json(self.state_file, optional=True)
        except UserError as error:
            log.warning("%s; taken as not finished", error)
            return {}

    def temperature_of(self, checkpoint: Path) -> float | None:
        """Return the temperature that the run chose for its best checkpoint, on its validation images.

        None for another checkpoint, and in runs of older versions. Raises `UserError` where the file is damaged.
        """
        content = read_json(self.temperature, optional=True) if checkpoint == self.best_checkpoint else {}
        value = content.get("temperature")
        if content and not (isinstance(value, int | float) and 0 < value <= HOTTEST):
            raise damaged(self.temperature, f"'temperature' is {str(value)[:40]!r}")
        return None if value is None else float(value)

    @property
    def finished(self) -> bool:
        """Whether all is done that its data allow: a run without a test split is trained."""
        return self.status.get("state") in ("finished", "trained")

    @property
    def lacks_checkpoints(self) -> bool:
        """Whether it was unpacked from a file of `medseg pack`, which has no checkpoints, and not trained since."""
        return not self.best_checkpoint.exists() and bool(self.status.get(UNPACKED))

    def set_state(self, state: str, **details: Any) -> None:
        """Write `status.json`; earlier details stay unless they are given anew.

        Raises `ValueError` for a state that is not in `STATES`.
        """
        if state not in STATES:
            raise ValueError(f"{state!r} is not one of {STATES}")
        earlier = {key: value for key, value in self.status.items() if key != "error"}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        process = {"host": platform.node(), "pid": os.getpid(), "updated": now}
        write_json(self.state_file, {**earlier, **process, **details, "state": state})

    @contextmanager
    def locked(self, wait: float = 0) -> Iterator[None]:
        """Hold the run for this process; wait so many seconds for another one to end.

        Raises `BusyError` when another process holds it.
        """
        try:
            with held(self.path / LOCK, "is working on this run", wait):
                try:
                    yield
                finally:
                    if self._contents() == []:
                        (self.path / LOCK).unlink(missing_ok=True)
        finally:
            # A folder that was made for the lock alone goes with it, and so does what was made for that.
            for folder in (self.path, *list(self.path.parents)[:2]):
                with suppress(OSError):
                    folder.rmdir()

    def append_log(self, text: str) -> None:
        """Add text to the run's log."""
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{text.rstrip()}\n")

    def last_lines(self, count: int = 5) -> list[str]:
        """Return the last lines of the run's log; none where there is none."""
        if not self.log.is_file():
            return []
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]

    def clear(self) -> None:
        """Remove everything the run has left, but not the choice of its settings, which it begins with."""
        for path in (path for path in self._contents() if path != self.tuning):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def is_empty(self) -> bool:
        """Whether it is a folder with nothing in it but a lock, and what killed processes left half written."""
        if not self.path.is_dir():
            return False
        remove_leftovers(self.path.absolute())
        return self._contents() == []

    def _contents(self) -> list[Path]:
        locks = (LOCK, marker_of(self.path / LOCK).name)
        return [path for path in self.path.iterdir() if path.name not in locks]


def expand_home(path: str | Path) -> Path:
    """Return a path with its home folder filled in.

    Raises `UserError` for the home folder of an unknown user, and for a name that is too long for the file system.
    """
    try:
        full = Path(path).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            full.lstat()
        return full
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            return full  # what is wrong with it is reported where it is read
        raise UserError(f"{str(path)[:60]}...: the name is too long for a file") from None
    except RuntimeError:
        raise UserError(f"{path}: there is no such home folder; for one in this folder write ./{path}") from None


def find_run(path: str | Path) -> tuple[RunFolder, Path]:
    """Find the run and the checkpoint that a user means by a run folder or a checkpoint file.

    Raises `UserError` when there is none.
    """
    path = expand_home(path)
    if path.is_dir():
        folder = RunFolder(path.parent if path.name == "checkpoints" else path)
        if folder.lacks_checkpoints:
            raise UserError(
                f"{path}: this run was unpacked from a file of medseg pack, which holds no checkpoints; copy its "
                "folder checkpoints/ here, or train it again with force=true"
            )
        if not folder.best_checkpoint.exists():
            raise UserError(f"{path}: no checkpoints/best.ckpt in this folder; give a run folder or a .ckpt file")
        return folder, folder.best_checkpoint
    if not path.exists():
        raise UserError(f"{path}: no such run folder or checkpoint")
    if path.suffix == ".zip" and is_packed(path):
        raise UserError(f"{path}: a file of medseg pack, which holds no checkpoints")
    return RunFolder(path.parent.parent if path.parent.name == "checkpoints" else path.parent), path


def run_folder(given: str | Path) -> Path:
    """Return the run folder of a path; of a checkpoint, the folder of its run.

    Raises `UserError` for a checkpoint without a run, such as an imported one.
    """
    path = expand_home(given)
    if not path.is_file():
        return path
    if path.suffix == ".zip" and is_packed(path):
        raise UserError(f"{path}: a file of medseg pack; medseg unpack {path} makes run folders of it")
    folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    if not (folder / "status.json").exists():
        raise UserError(f"{path}: not in the folder of a run, so nothing but the weights is known of it")
    return folder
