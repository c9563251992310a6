"""`medseg predict`: masks of images with a trained network, at native size."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.system.memory import keep_freed_memory

SUMMARY = """
medseg predict runs a trained network on images of any size and format and writes, for each, a mask of the same size,
and a table of areas, components and confidences. All that the network needs to know about images is in its
checkpoint. Several checkpoints are averaged. The same command again resumes an interrupted one.
"""

EXAMPLES = (
    "medseg predict RUN images predicted",
    "medseg predict RUN 'scans/*/t1.png' predicted tta=true overlays=true",
    "medseg predict [RUN1,RUN2,RUN3] scan.tif predicted    the average of three",
    "medseg predict 'runs/main/unet-kvasir-*' images predicted",
    "medseg predict RUN slide.png predicted tile=512   windows at native resolution",
)


def predict(cfg: DictConfig) -> None:
    """Predict the images that `cfg` names."""
    from medseg.trained.predicting.folder import predict_images

    keep_freed_memory()
    predict_images(cfg)


COMMAND = Command("predict", predict, SUMMARY, EXAMPLES, positional=("checkpoint*", "input", "output"))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
