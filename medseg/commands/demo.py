"""`medseg demo`: a page on this machine to try a trained network on images."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command

SUMMARY = """
medseg demo serves a page on this machine: drop an image, see its mask, the overlay and a slider for the threshold.
Nothing leaves the machine, and nothing is fetched. It needs the extra `demo`: pip install 'medseg[demo]'.
"""

EXAMPLES = (
    "medseg demo RUN",
    "medseg demo [RUN1,RUN2] tta=true examples=my_images browser=true",
    "medseg demo RUN host=0.0.0.0 port=8080      for others on your network as well",
)


def demo(cfg: DictConfig) -> None:
    """Serve the demo of the checkpoint that `cfg` names."""
    from medseg.trained.demo import run_demo

    run_demo(cfg)


COMMAND = Command("demo", demo, SUMMARY, EXAMPLES, positional=("checkpoint*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
