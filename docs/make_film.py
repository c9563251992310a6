"""Draw `make demo` as a film of a few pictures: `python docs/make_film.py`, in the folder of the project.

It runs `make demo` and keeps what the command prints, with the seconds, in `docs/pictures/demo.txt`, where the folder
of the project is written as ~/medseg. Then it draws what a terminal shows at some moments, and photographs the page
that the command has made. `--keep` draws the kept text again, and the page that is there.
"""

from __future__ import annotations

import argparse
import subprocess
import textwrap
import time
from pathlib import Path

import matplotlib
from make_pictures import PICTURES, keep, photograph
from PIL import Image, ImageDraw, ImageFont

PROJECT = Path(__file__).resolve().parent.parent
TEXT = PICTURES / "demo.txt"
COLUMNS, ROWS, SIZE = 100, 26, 14
"""Of the terminal: characters, lines, and pixels of a letter."""

MOMENTS = ("first", "training", "scores")
BACKGROUND, INK, FAINT = (24, 26, 34), (226, 228, 236), (140, 146, 166)


def main() -> None:
    """Run the demo, or take what is kept, and draw the film."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="draw the kept text of an earlier run")
    if not parser.parse_args().keep:
        TEXT.write_text(recorded(), encoding="utf-8")
    lines = read(TEXT)
    for number, last in enumerate(moments(lines), start=1):
        keep(terminal(lines[:last]), f"demo_{number}", colours=32)
    photograph(PROJECT / "runs/demo/report/report.html", {f"demo_{len(MOMENTS) + 1}": None})


def recorded() -> str:
    """Run `make demo` and return its lines, each behind the seconds since the start and a tab."""
    start, text = time.monotonic(), ""
    process = subprocess.Popen(
        ["make", "demo"], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    for line in process.stdout:
        text += f"{time.monotonic() - start:.0f}\t{line.rstrip()}\n".replace(str(PROJECT), "~/medseg")
    if process.wait():
        raise SystemExit(f"error: make demo has failed:\n{text[-1000:]}")
    return text


def read(file: Path) -> list[tuple[int, str]]:
    """Read the seconds and the text of each line."""
    pairs = (line.split("\t", 1) for line in file.read_text(encoding="utf-8").splitlines())
    return [(int(seconds), text) for seconds, text in pairs]


def moments(lines: list[tuple[int, str]]) -> list[int]:
    """Return how many lines there are when the training begins, in its middle, and at the end."""
    epochs = [number for number, (_, text) in enumerate(lines) if "epoch" in text]
    return [epochs[0] + 1, epochs[len(epochs) // 2] + 1, len(lines)]


def terminal(lines: list[tuple[int, str]]) -> Image.Image:
    """Draw the last rows of a terminal that has printed some lines, and the seconds so far above them."""
    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    font = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), SIZE)
    wide, high = font.getlength("m"), SIZE + 6
    rows = [part for _, text in lines for part in textwrap.wrap(text, COLUMNS, drop_whitespace=False) or [""]]
    rows = ["~/medseg$ make demo", *rows][-ROWS:]
    sheet = Image.new("RGB", (round(wide * COLUMNS) + 40, high * (ROWS + 2) + 20), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((20, 10), f"{lines[-1][0]} s", font=font, fill=FAINT)
    for number, row in enumerate(rows, start=1):
        draw.text((20, 14 + number * high), row, font=font, fill=INK)
    return sheet


if __name__ == "__main__":
    main()
