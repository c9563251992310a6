"""`medseg import-checkpoint`: turn a released checkpoint of the authors into one of medseg's."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command

SUMMARY = """
medseg import-checkpoint reads weights that the authors of a network have released and writes a checkpoint that
medseg evaluate scores and medseg train begins with (initial_weights=...). Widths, depths and classes are read from the
file. A network of one output and a sigmoid becomes one of two classes that predicts the same.
"""

EXAMPLES = (
    "medseg import-checkpoint released.pth convunext",
    "medseg evaluate released-convunext.ckpt data=kvasir",
    "python -m medseg.train model=convunext initial_weights=released-convunext.ckpt data=kvasir",
    "medseg import-checkpoint model.pth unext data=isic data.image_size=512",
    "medseg import-checkpoint a.pth amsunet mean=[.709,.381,.224] std=[.127,.079,.043]",
    "medseg import-checkpoint b.pth unext bgr=true mean=[.485,.456,.406] std=[58.4,57.1,57.4]",
)


def import_checkpoint(cfg: DictConfig) -> None:
    """Import the checkpoint that `cfg` names."""
    from medseg.trained.importing import import_released

    import_released(cfg)


COMMAND = Command("import_checkpoint", import_checkpoint, SUMMARY, EXAMPLES, positional=("source", "model"))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
