"""`python -m medseg.import_checkpoint`: turn a released checkpoint of the authors into one of medseg's."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.cli import run_command

SUMMARY = """
medseg.import_checkpoint reads weights that the authors of a network have released and writes a checkpoint that
medseg.evaluate scores and medseg.train begins with (initial_weights=...). Widths, depths and classes are read from the
file. A network of one output and a sigmoid becomes one of two classes that predicts the same.
"""

EXAMPLES = (
    "python -m medseg.import_checkpoint source=released.pth model=convunext",
    "python -m medseg.evaluate checkpoint=released-convunext.ckpt data=kvasir",
    "python -m medseg.train model=convunext initial_weights=released-convunext.ckpt data=kvasir",
    "python -m medseg.import_checkpoint source=model.pth model=unext data=isic data.image_size=512",
    "python -m medseg.import_checkpoint source=a.pth model=amsunet mean=[.709,.381,.224] std=[.127,.079,.043]",
    "python -m medseg.import_checkpoint source=b.pth model=unext bgr=true mean=[.485,.456,.406] std=[58.4,57.1,57.4]",
)


def import_checkpoint(cfg: DictConfig) -> None:
    """Import the checkpoint that `cfg` names."""
    from medseg.training.importing import import_released

    import_released(cfg)


def main() -> None:
    """Start from the command line."""
    run_command(
        import_checkpoint,
        config_name="import_checkpoint",
        module="medseg.import_checkpoint",
        summary=SUMMARY,
        examples=EXAMPLES,
    )


if __name__ == "__main__":
    main()
