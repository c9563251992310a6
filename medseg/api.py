"""The Python API: train, test, read and compare runs from Python, as the commands do from a shell."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medseg.reporting.report import Report
    from medseg.runs.reading import RunTree
    from medseg.runs.run import Run
    from medseg.trained.predicting.predictor import Predictor


def fit(model: str | None = None, data: str | Path | None = None, overrides: Sequence[str] = ()) -> Run:
    """Train and test a network, as `medseg train MODEL DATA` does in a shell, and return its run.

    A run that is finished is not repeated, and one that was interrupted is resumed. It trains in this process, so on
    one device; `medseg train trainer=ddp` trains on several.

        run = medseg.fit("unet", data="kvasir", overrides=["trainer.max_epochs=50", "seed=1"])
        run.scores

    Args:
        model: option of the group `model`, such as `unet`; None for `convunext`, or for a custom class:
            `overrides=["+model._target_=my_package.MyNet"]`.
        data: option of the group `data`, such as `kvasir`, or the folder of your images; None for drawn
            images.
        overrides: further words of the command line: `group=option` and `key=value`.

    Raises `medseg.errors.UserError` for what the user can put right.
    """
    from medseg.config.compose import compose
    from medseg.config.tuning import is_searched
    from medseg.errors import ConfigError
    from medseg.sweeps.server import has_one_device
    from medseg.system.signals import preserved_signal_handlers
    from medseg.training.continuing import plan_training
    from medseg.training.start import train

    show_messages()
    words = _words("train", overrides, {"model": model, "data": data})
    cfg, hydra_config = compose("train", words)
    if str(cfg.trainer.get("strategy", "auto")).startswith("ddp") or not has_one_device(cfg.trainer):
        raise ConfigError(
            "medseg.fit trains in this process, on one device; for several give `medseg train trainer=ddp ...`"
        )
    if is_searched(cfg.tuning):
        raise ConfigError(
            "medseg.fit trains once, in this process; for trials first give `medseg train protocol=tuned ...`"
        )
    if cfg.dry_run:
        raise ConfigError("dry_run: medseg.fit trains; `medseg train dry_run=true` shows what would be done")
    with preserved_signal_handlers():
        folder = train(cfg, plan_training(cfg, hydra_config))
    (run,) = read_runs(folder.path).runs
    return run


def evaluate(
    run: Run | str | Path, data: str | Path | None = None, split: str = "test", overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Score a trained network on any data and split, as `medseg evaluate` does, and return the summary of its scores.

    It scores in this process, so on one device.

        summary = medseg.evaluate("runs/main/RUN", data="isic")
        summary["headline"]["dice"]["mean"]

    Args:
        run: a run, its folder, or a checkpoint file.
        data: option of the group `data`, or the folder of your images; None for the data of its training.
        split: `train`, `val` or `test`.
        overrides: further words of the command line.

    Raises `medseg.errors.UserError` for what the user can put right.
    """
    from medseg.config.compose import compose
    from medseg.errors import ConfigError
    from medseg.sweeps.server import has_one_device
    from medseg.training.evaluation import evaluate_checkpoint

    show_messages()
    (folder,) = _paths(run)
    words = _words("evaluate", [f"split={split}", *overrides], {"checkpoint": folder, "data": data})
    cfg, _ = compose("evaluate", words)
    if not has_one_device(cfg.trainer):
        raise ConfigError("medseg.evaluate scores in this process, on one device; for several give `medseg evaluate`")
    return evaluate_checkpoint(cfg, words)[1]


def load(
    checkpoint: Run | str | Path | Sequence[Run | str | Path],
    *,
    tta: bool = False,
    temperature: bool = False,
    scale: float | None = None,
    tile: int | None = None,
    overlap: float = 0.25,
    intensity_range: Sequence[float] | None = None,
    device: str = "auto",
    precision: str | None = None,
    trust: bool = False,
) -> Predictor:
    """Load a trained network, or several to be averaged, to predict images with.

    `medseg.load("runs/main/RUN").predict(image)` has a `mask` (H x W uint8, class indices), `probabilities` (classes
    x H x W float32) and `class_names`; a notebook shows it as the image with the outlines of its mask. `image` is a
    file, an array (H x W or H x W x C, RGB, of the values that the files of the training have), or a list of these,
    which gives a list. All that the network needs to know about images is in its checkpoint.

    Args:
        checkpoint: a run, its folder, a checkpoint file, a pattern with `*`, or a list of these.
        tta: average over the image and its three flips.
        temperature: give probabilities with the temperature that the run chose on its validation images.
        scale: None resizes the whole image to the size that the network was trained at; a number keeps the native
            resolution, times this number, and cuts it into overlapping windows.
        tile: side of these windows, in pixels as the network sees them; given without `scale` it means scale 1.
        overlap: by which part of its side a window overlaps its neighbours, 0 to 0.5.
        intensity_range: [low, high], the values of the images that are black and white, where these are on another
            scale than the images of the training.
        device: `auto`, `cpu`, `gpu`, `cuda:<number>` or `mps`.
        precision: `32-true`, `bf16-mixed` or `16-mixed`, `auto` for the faster one here; None is that of the training.
        trust: build networks whose class is not part of medseg.

    Raises `medseg.errors.UserError` for what does not exist, or cannot be read, trusted or averaged.
    """
    from medseg.trained.predicting import predictor  # torch takes seconds, and not every use of medseg needs it

    return predictor.load(
        checkpoint,
        device=device,
        precision=precision,
        trust=trust,
        tta=tta,
        temperature=temperature,
        scale=scale,
        tile=tile,
        overlap=overlap,
        intensity_range=intensity_range,
    )


def read_runs(folders: Run | str | Path | Iterable[Run | str | Path]) -> RunTree:
    """Read every run below some folders: `for run in medseg.read_runs("runs/main")`.

    `.to_frame()` makes a pandas DataFrame of them, one row a run; a notebook shows them as a table.

    Args:
        folders: of runs, experiments or sweeps, files of `medseg pack`, or runs.

    Raises `medseg.errors.UserError` where there are no runs.
    """
    from medseg.runs import reading

    # The runs stay where they are when the program changes its folder.
    return reading.read_runs([Path(folder).expanduser().absolute() for folder in _paths(folders)])


def compare(
    runs: RunTree | Run | str | Path | Iterable[Run | str | Path],
    score: str | None = None,
    convention: str = "per_image",
    names: Mapping[str, str] | None = None,
    *,
    subgroups: str | Sequence[str] | None = None,
    sizes: Sequence[float] | None = None,
) -> Report:
    """Compare runs, as `medseg report` does; a notebook shows the comparison, `.write(folder)` writes the report.

    Args:
        runs: what `read_runs` returns or some of these, or the folders.
        score: `dice`, `iou`, `precision`, `recall`, `specificity`, `hd95`, `assd`, an optional one that was measured
            (`nsd`, `cldice`, ...) or a custom one; None for that of the convention.
        convention: `per_image`, `pooled`, `mean_iou_with_background`, `mean_dice_with_background`, `accuracy` or
            `prepared_size`.
        names: printed names of networks and datasets.
        subgroups: what the test images are divided by: `size` of the target, `type`, `FILE.csv:COLUMN`, or several;
            None for the size and what the runs know of their images.
        sizes: bounds of the sizes, parts of the image; None for thirds.

    Raises `medseg.errors.UserError` for an unknown score, and where no run is finished.
    """
    from medseg import reporting
    from medseg.runs.reading import RunTree
    from medseg.runs.run import Run

    chosen: Iterable[Run]
    if isinstance(runs, RunTree):
        chosen = runs
    else:
        several = [runs] if isinstance(runs, str | Path | Run) else list(runs)
        read = [one for one in several if isinstance(one, Run)]
        folders = [one for one in several if not isinstance(one, Run)]
        chosen = [*read, *read_runs(folders)] if read and folders else read or read_runs(folders)
    return reporting.compare(chosen, score=score, convention=convention, names=names, subgroups=subgroups, sizes=sizes)


def _paths(given: Any) -> list[str | Path]:
    """Return the folders of runs, or the paths, that are given one by one or in a list."""
    from medseg.runs.run import Run

    several = [given] if isinstance(given, str | Path | Run) else list(given)
    return [one.folder if isinstance(one, Run) else one for one in several]


def _words(command: str, overrides: Sequence[str], named: Mapping[str, str | Path | None]) -> list[str]:
    """Return the words of a command line: overrides, and the keys that are given by name."""
    from medseg.config.overrides import add_keys, with_key

    if isinstance(overrides, str):
        raise TypeError("overrides is a list of words, such as ['seed=1']")
    given = [word for key, value in named.items() if value is not None for word in with_key(key, [str(value)], command)]
    return add_keys([*given, *map(str, overrides)], (), command)


def show_messages() -> None:
    """Show medseg's messages, such as the scores of each epoch, unless the caller has chosen how."""
    if not logging.getLogger("medseg").handlers:
        from medseg.system.logs import set_up_logging

        set_up_logging()
