"""Compare variants of the same steps of networks, measured in turn, each in a separate process.

    python experiments/performance/compare.py 'models=[convunext,unet]' batch_size=4 --variants plain tuned

The other arguments are those of `medseg benchmark`: `models`, `batch_size`, `trainer`, `repeats`, `seconds`, `csv`, ...
README.md describes the variants.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medseg.benchmarking.results import csv_row, describe, merge_rows
from medseg.benchmarking.rounds import measure
from medseg.benchmarking.setting import Setting, find_settings
from medseg.benchmarking.table import COLUMNS, heading, three_digits
from medseg.config.compose import compose
from medseg.config.overrides import add_keys
from medseg.errors import UserError
from medseg.reporting.render.table import Table
from medseg.reporting.render.text import as_text

SWITCHES = ("acceleration", "layout", "precision", "optimizer", "allocator", "compile", "checkpointing")
TUNED = set(SWITCHES)
VARIANTS = {"plain": set(), **{name: {name} for name in SWITCHES}, "unaccelerated": TUNED - {"acceleration"}}
VARIANTS |= {"uncheckpointed": TUNED - {"checkpointing"}, "tuned": TUNED}
"""Which switches a variant leaves as configured; the others are off."""


def in_variant(setting: Setting, name: str) -> Setting:
    """Return a setting in a variant."""
    on = VARIANTS[name]
    optimizer = setting.optimizer_arguments
    if "optimizer" not in on:
        optimizer = {key: value for key, value in optimizer.items() if key not in ("fused", "foreach")}
    return replace(
        setting,
        label=name,
        optimizer_arguments=optimizer,
        acceleration="acceleration" in on,
        precision=setting.precision if "precision" in on else "32-true",
        channels_last=setting.channels_last and "layout" in on,
        keep_memory="allocator" in on,
        compile=setting.compile and "compile" in on,
        activation_checkpointing=setting.activation_checkpointing and "checkpointing" in on,
    )


def ratios(settings: Sequence[Setting], benchmarks: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Return a line for each variant of a network: its figures over those of the network's first variant."""
    rows = {number: csv_row(benchmark) for number, benchmark in benchmarks.items()}
    titles = {
        "train_images_per_second": "training",
        "inference_images_per_second": "inference",
        "latency_p50_ms": "latency",
        "train_memory_mib": "memory in training",
        "inference_memory_mib": "memory in inference",
    }
    lines = []
    for number, row in rows.items():
        base = next(other for other in rows if settings[other].network == settings[number].network)
        if base != number:
            factors = (f"{title} x {three_digits(row[key] / rows[base][key])}" for key, title in titles.items())
            lines.append(f"{settings[number].title} over {settings[base].label}: {', '.join(factors)}")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table and the ratios, and write the CSV file of `csv=`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", help="as for medseg benchmark")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["plain", "tuned"])
    options = parser.parse_intermixed_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        words = add_keys(options.overrides, ("models*",), "benchmark")
        cfg, _ = compose("benchmark", words)
        networks = find_settings(cfg.models, words)
    except UserError as error:
        parser.error(str(error))
    settings = [in_variant(network, name) for network in networks for name in options.variants]
    measured, failed = measure(settings, repeats=cfg.repeats, seconds=cfg.seconds)
    benchmarks = {number: describe(settings[number], values, cfg.repeats) for number, values in measured.items()}
    records = [(setting, benchmarks.get(number)) for number, setting in enumerate(settings)]
    if benchmarks:
        first = next(iter(benchmarks.values()))
        print("\n".join([first["device"]["name"], *heading(first)[1:]]))
    print(as_text(Table("benchmarks", "", COLUMNS, records)))
    print("\n".join(["", *ratios(settings, benchmarks), *(f"{settings[n].title}: {why}" for n, why in failed.items())]))
    if cfg.csv is not None:
        rows = [{"network": "", "variant": settings[n].label, **csv_row(one)} for n, one in benchmarks.items()]
        merge_rows(Path(cfg.csv), rows)


if __name__ == "__main__":
    main()
