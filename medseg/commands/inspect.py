"""`medseg inspect`: a dataset at a glance, as one HTML page."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import printable

SUMMARY = """
medseg inspect shows a dataset before anything is trained on it: one HTML page with samples and their outlines, what
augmentation makes of them, sizes, foreground, intensities, the balance of the splits, and the detected problems. It
prepares the data where that is not done yet, as medseg prepare does.
"""

EXAMPLES = (
    "medseg inspect kvasir data.source=~/Downloads",
    "medseg inspect my_images output=my_images.html",
    "medseg inspect isbi augmentation=unet2015 draws=8",
    "medseg inspect dsb data.fold=2 samples=60",
)


def inspect(cfg: DictConfig) -> None:
    """Write the page of the data that `cfg` describes."""
    # Imported here, not above: --help and a misspelt option need no torch.
    from medseg.inspecting.inspection import inspect_data

    file = inspect_data(cfg)
    print(printable(f"open in a browser: {file}"))


COMMAND = Command("inspect", inspect, SUMMARY, EXAMPLES, positional=("data",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
