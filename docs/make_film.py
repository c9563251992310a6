"""Draw `make demo` as a film of a few pictures: `python docs/make_film.py`, in the folder of the project.

It runs `make demo` and keeps what the command prints in `docs/pictures/demo.txt`, where the folder
of the project is written as ~/medseg. Then it draws what a terminal shows at some moments, and photographs the page
that the command has made. `--keep` draws the kept text again, and the page that is there.
"""

from __future__ import annotations

import argparse
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from make_pictures import PICTURES, keep, photograph
from PIL import Image, ImageDraw, ImageFont

PROJECT = Path(__file__).resolve().parent.parent
TEXT = PICTURES / "demo.txt"
COLUMNS, ROWS, SIZE = 110, 33, 14
"""Of the terminal: characters of a line, lines at the most, and pixels of a letter."""

BACKGROUND, INK = (24, 26, 34), (226, 228, 236)


def main() -> None:
    """Run the demo, or take what is kept, and draw the film."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="draw the kept text of an earlier run")
    if not parser.parse_args().keep:
        TEXT.write_text(recorded(), encoding="utf-8")
    lines = TEXT.read_text(encoding="utf-8").splitlines()
    for number, printed in enumerate(moments(lines), start=1):
        keep(terminal(lines[:printed]), f"demo_{number}")
    photograph(PROJECT / "runs/demo/report/report.html", {"demo_4": None})


def recorded() -> str:
    """Run `make demo` and return what it prints."""
    done = subprocess.run(
        ["make", "demo"], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    if done.returncode:
        raise SystemExit(f"error: make demo has failed:\n{done.stdout[-1000:]}")
    printed = done.stdout.replace(str(PROJECT), "~/medseg").splitlines()
    lines = [line for line in printed if not line.startswith("WARNING: ")]  # pip's, of how this machine is set up
    return "".join(f"{line.rstrip()}\n" for line in lines)


def moments(lines: Sequence[str]) -> list[int]:
    """Return how many lines there are when the training begins, in its middle, and at the end."""
    epochs = [number for number, line in enumerate(lines, start=1) if line.startswith("INFO epoch")]
    return [epochs[0], epochs[len(epochs) // 2], len(lines)]


def terminal(lines: Sequence[str]) -> Image.Image:
    """Draw the last rows of a terminal that has printed some lines."""
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    font = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), SIZE)
    wide, high = font.getlength("m"), SIZE + 6
    printed = [part for line in lines for part in textwrap.wrap(line, COLUMNS, drop_whitespace=False) or [""]]
    rows = ["~/medseg$ make demo", *printed][-ROWS:]
    sheet = Image.new("RGB", (round(wide * COLUMNS) + 40, high * len(rows) + 28), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        draw.text((20, 14 + number * high), row, font=font, fill=INK)
    return sheet


if __name__ == "__main__":
    main()
