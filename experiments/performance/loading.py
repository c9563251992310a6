"""Measure how many training images a second the loader hands out, by itself, with some numbers of loading processes.

    python experiments/performance/loading.py data=kvasir data.source=~/Downloads data.batch_size=16 --workers 0 1 2

The other arguments are overrides of `medseg train`: data, augmentation. The first epoch, in which processes begin and
files are read, is not counted. On a GPU, batches go there and are normalised, as in training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from medseg.benchmarking.results import merge_rows
from medseg.config.compose import compose
from medseg.config.instantiate import instantiate
from medseg.data.module import build_datamodule


def images_per_second(words: Sequence[str], workers: int, seconds: float) -> float:
    """Return the rate of whole epochs that take so many seconds together, or of one."""
    cfg, _ = compose("train", [*words, f"data.num_workers={workers}"])
    datamodule = build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=0)
    loader, device = datamodule.train_dataloader(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started, images, epoch = 0.0, 0, 0
    while epoch < 2 or time.perf_counter() - started < seconds:
        if epoch == 1:
            started = time.perf_counter()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            sent = datamodule.transfer_batch_to_device(batch, device, 0)
            ready = datamodule.on_after_batch_transfer(sent, 0)
            images += len(ready["index"]) if epoch else 0
        if device.type == "cuda":
            torch.cuda.synchronize()
        epoch += 1
    return images / (time.perf_counter() - started)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write each figure to the CSV file as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for medseg train")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of loading processes")
    parser.add_argument("--seconds", type=float, default=5.0, help="that a measurement takes at least")
    parser.add_argument("--csv", type=Path, help="file for the figures")
    options = parser.parse_intermixed_args(arguments)
    for workers in options.workers:
        rate = images_per_second(options.overrides, workers, options.seconds)
        print(f"{workers} loading processes: {rate:.0f} images/s", flush=True)
        if options.csv is not None:
            shown = [word for word in options.overrides if not word.startswith(("data.source=", "data_dir="))]
            variant = " ".join([*shown, f"data.num_workers={workers}"])
            merge_rows(options.csv, [{"variant": variant, "images_per_second": rate}])


if __name__ == "__main__":
    main()
