"""`medseg export`: a trained network as one file that runs without medseg."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command

SUMMARY = """
medseg export writes the network of a checkpoint to a file that runs without medseg: ONNX, or format=torch, a .pt2 file
of torch.export. It takes any batch, height and width that the network takes, carries what its user must know (how
images are normalised, the names of the classes) and is compared with the network before it is kept.
"""

EXAMPLES = (
    "medseg export runs/main/convunext-kvasir-1a2b3c4d-seed0",
    "medseg export RUN format=torch output=convunext.pt2",
    "medseg export RUN with_preprocessing=true    images of 0 to 255 in, probabilities out",
)


def export(cfg: DictConfig) -> None:
    """Export the checkpoint that `cfg` names."""
    from medseg.trained.exporting.formats import check_format

    check_format(cfg.format)  # before torch is imported, which takes seconds
    from medseg.trained.exporting.export import export_checkpoint

    export_checkpoint(cfg)


COMMAND = Command("export", export, SUMMARY, EXAMPLES, positional=("checkpoint", "output"))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
