"""`medseg prepare`: find or download a dataset, verify it, decode it, cache it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command

SUMMARY = """
medseg prepare makes a dataset ready for training: it finds the archive or the unpacked folder (or downloads it when
asked to), checks every file, decodes and resizes the images once, and caches them with a fingerprint.
Training does the same by itself; a second call finds the cache.
"""

EXAMPLES = (
    "medseg prepare kvasir data.source=~/Downloads      the folder that holds kvasir-seg.zip",
    "medseg prepare kvasir data.download=true           from the published address",
    "medseg prepare isic data.image_size=[384,512]",
    "medseg prepare my_images",
)


def prepare(cfg: DictConfig) -> None:
    """Prepare the data that `cfg` describes and print what is there."""
    # Imported here, not above: --help and a misspelt option need no OpenCV.
    from medseg.data.prepared.prepare import prepare_from_config
    from medseg.data.prepared.report import print_fingerprint
    from medseg.data.splits.grouping import find_groups

    dataset, prepared = prepare_from_config(cfg.data)
    groups = find_groups(cfg.data.groups, dataset, prepared, cfg.data.source, Path(cfg.data.data_dir).expanduser())
    indices = prepared.split_indices(dataset, cfg.data.split, cfg.data.fold, groups)
    print_fingerprint(prepared, {split: len(positions) for split, positions in indices.items()}, groups)


COMMAND = Command("prepare", prepare, SUMMARY, EXAMPLES, positional=("data",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
