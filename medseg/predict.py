"""`python -m medseg.predict`: masks of images with a trained network, at their own size."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.allocation import keep_freed_memory
from medseg.cli import run_command

SUMMARY = """
medseg.predict runs a trained network on images of any size and format and writes, for each, a mask of the same size,
and a table of areas, components and confidences. All that the network needs to know about images travels in its
checkpoint. Several checkpoints are averaged. The same command again goes on where it stopped.
"""

EXAMPLES = (
    "python -m medseg.predict checkpoint=RUN input=images output=predicted",
    "python -m medseg.predict checkpoint=RUN input='scans/*/t1.png' output=predicted tta=true overlays=true",
    "python -m medseg.predict checkpoint=[RUN1,RUN2,RUN3] input=scan.tif output=predicted    the average of three",
    "python -m medseg.predict checkpoint='runs/main/unet-kvasir-*' input=images output=predicted",
    "python -m medseg.predict checkpoint=RUN input=slide.png output=predicted tile=512   windows at its own resolution",
)


def predict(cfg: DictConfig) -> None:
    """Predict the images that `cfg` names."""
    from medseg.inference.folder import predict_images

    keep_freed_memory()
    predict_images(cfg)


def main() -> None:
    """Start from the command line."""
    run_command(predict, config_name="predict", module="medseg.predict", summary=SUMMARY, examples=EXAMPLES)


if __name__ == "__main__":
    main()
