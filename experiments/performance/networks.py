"""Measure networks one after another in one process: on a GPU, whose memory is counted for each by itself.

    python -m experiments.performance.networks batch_size=16 trainer=gpu csv=networks.csv --networks unet convunext

For a CPU there is compare.py, with a process for each, measured in turn. Here Python starts once, which takes longer
than a network does. Each row is written when it is measured; rows that are there already are not measured again.
"""

from __future__ import annotations

import argparse
import csv
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.performance.compare import in_variant
from medseg.benchmarking.network import NetworkBenchmark
from medseg.benchmarking.results import csv_row, describe, merge_rows
from medseg.benchmarking.rounds import summarise
from medseg.benchmarking.setting import Setting, find_settings
from medseg.config.compose import compose
from medseg.errors import UserError
from medseg.system.memory import is_out_of_memory

VARIANTS = ("plain", "precision", "tuned")
"""float32; the same in the precision for the device; all that training does by default."""


def measure_network(setting: Setting, seconds: float, repeats: int) -> dict[str, Any]:
    """Return the row of a network."""
    benchmark = NetworkBenchmark(setting, seconds)
    values: dict[str, Any] = {"peak_memory_mib": benchmark.peak_memory(), **benchmark.facts()}
    benchmark.warm_up()
    values["first_call_seconds"] = benchmark.first_calls()
    values |= summarise([benchmark.speed() for _ in range(repeats)])
    row = csv_row(describe(setting, {**values, **benchmark.cost()}, repeats))
    return {**row, "train_step_ms": 1000 * setting.batch_size / row["train_images_per_second"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write each row; a network that fails is printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="as for medseg benchmark; csv=FILE is needed")
    parser.add_argument("--networks", nargs="+", required=True, help="each with its overrides, if any")
    parser.add_argument("--compile", action="store_true", help="tuned alone, by torch.compile")
    options = parser.parse_intermixed_args(arguments)
    words = [*options.overrides, f"compile={str(options.compile).lower()}"]
    cfg, _ = compose("benchmark", words)
    file = Path(cfg.csv)
    there = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.exists() else []
    known = {(row["network"], row["variant"], row["compile"]) for row in there}
    for network in find_settings(options.networks, words):
        for variant in ("tuned",) if options.compile else VARIANTS:
            setting = in_variant(network, variant)
            if (setting.network, variant, str(setting.compile)) in known:
                continue
            try:
                row = measure_network(setting, cfg.seconds, 2)
                merge_rows(file, [{"network": setting.network, "variant": variant, **row}])
                print(f"{setting.title}: training {row['train_images_per_second']:.0f} images/s", flush=True)
            except Exception as error:  # one that cannot be measured must not stop the others
                if not isinstance(error, UserError | RuntimeError) and not is_out_of_memory(error):
                    raise
                print(f"{setting.title}: {str(error).splitlines()[0]}", flush=True)
            gc.collect()
            torch.compiler.reset()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
