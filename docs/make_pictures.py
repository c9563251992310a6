"""Make the pictures of the README and the docs: `python docs/make_pictures.py ~/Downloads`.

The folder has `stage1_train.zip` of the Data Science Bowl 2018 (CC0). Two small networks are trained for 120 steps on
these images, and what medseg makes of them is photographed in a headless Chromium: the page of a dataset, test images
of a report, figures, panels of a run, overlays. The networks are far from their best: the pictures show what there is
to see, not which network is better. The top of the report page is that of `experiments/first_table`.

`--work FOLDER` keeps the runs, by default build/pictures; the same command skips what is finished. `--report` makes the
picture of that report alone.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

PICTURES = Path(__file__).resolve().parent / "pictures"
REPORT = PICTURES.parent.parent / "experiments/first_table/results/report.html"

TRAINING = (
    "-m", "model=unet,attention_unet", "data=dsb", "seed=0,1", "experiment=pictures", "data.image_size=64",
    "model.base_channels=8", "optimizer.lr=3e-3", "trainer=cpu", "trainer.max_epochs=6",
    "+trainer.limit_train_batches=20", "data.num_workers=0", "logger=csv",
)  # fmt: skip

NAMES = "names={unet: U-Net, attention_unet: Attention U-Net, dsb: DSB 2018}"

DESKTOP = (1280, 860)
WIDTH, LARGEST = 1000, 140_000
"""Of a picture, pixels and bytes, at the most."""

UNSTUCK = """() => {
  for (const each of document.querySelectorAll("*"))
    if (getComputedStyle(each).position === "sticky") each.style.position = "static";
}"""
"""What stays at the top of the window would cover the part that is photographed."""

ENDS = """(part, limit) => Math.max(...[...part.querySelectorAll("p, li, figure, .scroll, .standings")]
  .map(each => each.getBoundingClientRect().bottom - part.getBoundingClientRect().top).filter(end => end <= limit))"""
"""Where the last paragraph, picture, plot or table ends that is whole in a picture of this height."""

MARGIN = 24
"""Around a part of a page, pixels."""


def main() -> None:
    """Make the pictures that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", type=Path, help="folder with stage1_train.zip")
    parser.add_argument("--report", action="store_true", help="photograph the report of the README, and nothing else")
    parser.add_argument("--work", type=Path, default=Path("build/pictures"), help="folder of the runs")
    options = parser.parse_args()
    if (options.source is None) != options.report:
        parser.error("give the folder with stage1_train.zip, or --report")
    PICTURES.mkdir(exist_ok=True)
    photograph(REPORT, {"report": None})
    if options.report:
        return
    source, work = options.source.expanduser().resolve(), options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    medseg(work, "train", *TRAINING, f"data.source={source}")
    medseg(work, "report", "runs/pictures", NAMES)
    medseg(work, "inspect", "dsb", f"data.source={source}", "data.image_size=64", "output=inspect.html")
    report, run = work / "runs/pictures/report", next((work / "runs/pictures").glob("unet-dsb-*-seed0"))
    photograph(report / "report.html", {"report_images": "#images"})
    photograph(work / "inspect.html", {"inspect": None, "augmentation": "#augmented"})
    for figure in ("boxes", "differences", "reliability", "error_detection"):
        keep(Image.open(report / "figures" / f"{figure}.png"), figure)
    keep(Image.open(run / "images/curves.png"), "curves")
    with Image.open(run / "images/worst.png") as panel:
        keep(last_rows(panel), "worst")
    overlays(work, run, source / "stage1_train.zip")


def medseg(folder: Path, *words: str) -> None:
    """Run a command of medseg's in a folder, by this Python."""
    subprocess.run([sys.executable, "-m", "medseg", *words], cwd=folder, check=True)


def last_rows(panel: Image.Image, rows: int = 4, kept: int = 2) -> Image.Image:
    """Return the heading of a picture of examples above the last of its rows: they are in falling order of the Dice."""
    from medseg.training.panels import HEADING  # not above: it imports torch, and the report alone needs none

    height = (panel.height - HEADING) // rows * kept
    sheet = Image.new("RGB", (panel.width, HEADING + height), "white")
    sheet.paste(panel.crop((0, 0, panel.width, HEADING)), (0, 0))
    sheet.paste(panel.crop((0, panel.height - height, panel.width, panel.height)), (0, HEADING))
    return sheet


def photograph(page: Path, wanted: dict[str, str | None]) -> None:
    """Photograph parts of a page: name of the picture -> selector of the part, or None for the top of the page."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        raise SystemExit("error: no Chromium on this machine; install chromium or google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]}, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.evaluate(UNSTUCK)
        for name, selector in wanted.items():
            shot = PICTURES / f".{name}.png"
            part = tab.locator(selector or "body")
            part.scroll_into_view_if_needed()
            tab.wait_for_timeout(500)  # the pictures are drawn when they come into view
            bottom = part.evaluate(ENDS, DESKTOP[1])
            if selector is None:
                tab.screenshot(path=str(shot))
                bottom += MARGIN // 3
            else:
                part.screenshot(path=str(shot))
            with Image.open(shot) as picture:
                end = min(round(bottom), picture.height)
                whole = picture.convert("RGB").crop((0, 2, picture.width, end))  # below the line of a section
            keep(whole if selector is None else with_margin(whole), name)
            shot.unlink()
        browser.close()


def with_margin(part: Image.Image) -> Image.Image:
    """Return a part of a page with a margin of the colour of the page, which is right of a heading."""
    return ImageOps.expand(part, MARGIN, fill=part.getpixel((part.width - 1, 10)))  # type: ignore[arg-type]


def keep(picture: Image.Image, name: str) -> None:
    """Write a picture as a PNG of 256 colours and at most `LARGEST` bytes, as wide as that allows."""
    picture, file = picture.convert("RGB"), PICTURES / f"{name}.png"
    for width in range(min(picture.width, WIDTH), 0, -50):
        smaller = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
        smaller.quantize(palette=palette(smaller), dither=Image.Dither.NONE).save(file, optimize=True)
        if file.stat().st_size <= LARGEST:
            break
    print(f"{file}: {smaller.width} x {smaller.height}, {file.stat().st_size // 1000} kB")


def palette(picture: Image.Image) -> Image.Image:
    """Choose colours: most by the pixels that have them, others for what few pixels have, such as outlines."""
    common = picture.quantize(192, Image.Quantize.MEDIANCUT).getpalette() or []
    rare = picture.quantize(64, Image.Quantize.MAXCOVERAGE).getpalette() or []
    chosen = Image.new("P", (1, 1))
    chosen.putpalette(common[: 192 * 3] + rare[: 64 * 3])
    return chosen


def overlays(work: Path, run: Path, archive: Path, count: int = 4) -> None:
    """Predict some test images of a run and lay their overlays side by side."""
    images, predicted = work / "images", work / "predicted"
    with (run / "images.csv").open(encoding="utf-8", newline="") as stream:
        tested = [row["id"] for row in csv.DictReader(stream) if row["split"] == "test"]
    images.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive) as members:
        files = {Path(name).stem: name for name in members.namelist() if "/images/" in name and name.endswith(".png")}
        for id_ in tested[:: max(1, len(tested) // count)][:count]:
            (images / f"{id_}.png").write_bytes(members.read(files[id_]))
    medseg(work, "predict", str(run), str(images), str(predicted), "overlays=true")
    keep(side_by_side([Image.open(file) for file in sorted((predicted / "overlays").glob("*.png"))]), "overlay")


def side_by_side(pictures: Sequence[Image.Image], side: int = 240) -> Image.Image:
    """Lay squares from the middle of some pictures side by side."""
    sheet = Image.new("RGB", (len(pictures) * (side + 8) - 8, side), "white")
    for number, picture in enumerate(pictures):
        edge = min(picture.size)
        left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
        square = picture.convert("RGB").crop((left, top, left + edge, top + edge)).resize((side, side))
        sheet.paste(square, (number * (side + 8), 0))
    return sheet


if __name__ == "__main__":
    main()
