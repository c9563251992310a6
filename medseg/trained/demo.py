"""The demo: a page on this machine where an image is dropped and its mask is looked at, threshold and all."""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from omegaconf import DictConfig

from medseg.data.labels import COLOURS
from medseg.errors import UserError
from medseg.trained.predicting.folder import plain
from medseg.trained.predicting.inputs import find_inputs, read_image
from medseg.trained.predicting.measures import Regions
from medseg.trained.predicting.outputs import as_uint16, is_result
from medseg.trained.predicting.predictor import Options, Predictor, load, most_probable
from medseg.training.build import quiet_libraries
from medseg.training.panels import outline

SHOWN = 1600
"""Longest side of the pictures on the page in pixels; the mask that can be downloaded has the image's own size."""

HEIGHT = 380
"""Of each picture on the page in pixels."""

EXAMPLES = 12
"""Example images on the page at the most."""

MOST_PROBABLE = "the most probable class"

STYLE = """
.gradio-container { width: 100% !important; max-width: 1280px !important; margin: 0 auto !important; }
.regions { width: 100%; border-collapse: collapse; font-size: 0.93rem; font-variant-numeric: tabular-nums; }
.regions, .regions * { border: 0 !important; background: none; }
.regions tr { border-bottom: 1px solid var(--border-color-primary) !important; }
.regions th, .regions td { padding: 0.35rem 0.4rem !important; text-align: right; }
.regions th { font-weight: 600; }
.regions th:first-child { text-align: left; }
.regions td { white-space: nowrap; }
.regions i { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em; border-radius: 2px; }
@media (max-width: 600px) {
  .gradio-container main { padding: 1rem !important; }
  .regions { font-size: 0.85rem; }
}
"""


@dataclass(frozen=True)
class Seen:
    """An image that was predicted, kept so that another threshold needs no network.

    Attributes:
        image: H x W x 3 uint8, RGB.
        mask: H x W uint8, the most probable class of each pixel.
        probabilities: foreground classes x H x W uint16, 65535 for 1: half the memory of float32, and rounding leaves
            every value on its side of 0.5, as float16 would not.
    """

    image: np.ndarray
    mask: np.ndarray
    probabilities: np.ndarray


def see(predictor: Predictor, file: str) -> Seen:
    """Predict an image file. Raises `SampleError` for one that cannot be read."""
    image = read_image(Path(file))
    parts = [(most_probable(strip)[0], as_uint16(strip[1:])) for strip in predictor.strips(image)]
    masks, probabilities = zip(*parts, strict=True)
    return Seen(image, np.concatenate(masks), np.concatenate(probabilities, axis=1))


def mask_of(seen: Seen, label: int | None, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each pixel, H x W uint8, and where that is foreground its probability, H x W float32.

    Args:
        seen: the predicted image.
        label: the class that is shown alone, where its probability is above the threshold; None shows all classes,
            each pixel the most probable one.
        threshold: 0 to 1.
    """
    if label is None:
        # Of the background, whose probability is not asked for, the first class's stands in.
        chosen = np.take_along_axis(seen.probabilities, np.maximum(seen.mask, 1)[None] - 1, axis=0)[0]
        return seen.mask, chosen / np.float32(65535)
    probability = seen.probabilities[label - 1] / np.float32(65535)
    return np.where(probability > threshold, np.uint8(label), np.uint8(0)), probability


def reduced(picture: np.ndarray, interpolation: int) -> np.ndarray:
    """Return a picture with no side longer than `SHOWN`."""
    height, width = picture.shape[:2]
    factor = min(1.0, SHOWN / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return picture if factor == 1 else cv2.resize(picture, size, interpolation=interpolation)


def draw(seen: Seen, mask: np.ndarray) -> np.ndarray:
    """Draw the classes onto the image: tinted, with their outlines."""
    image, small = reduced(seen.image, cv2.INTER_AREA), reduced(mask, cv2.INTER_NEAREST_EXACT)
    colours = np.array([(0, 0, 0), *(COLOURS[k % len(COLOURS)] for k in range(int(mask.max(initial=1))))], np.float32)
    tinted = np.where((small > 0)[..., None], 0.7 * image + 0.3 * colours[small], image)
    return outline(tinted.astype(np.uint8), small)


def describe(class_names: Sequence[str], mask: np.ndarray, confidence: np.ndarray, label: int | None) -> str:
    """Write colour, area, connected parts and mean probability of each class, or of one, as a table in HTML."""
    regions = Regions(len(class_names))
    regions.add(mask, confidence)
    rows = []
    for number, (name, region) in enumerate(zip(class_names[1:], regions.measured(), strict=True)):
        if label not in (None, number + 1):
            continue
        colour = "rgb({}, {}, {})".format(*COLOURS[number % len(COLOURS)])
        cells = (
            f"{region.area:,}",
            f"{100 * region.area / mask.size:.1f} %",
            f"{region.components}",
            "" if region.confidence is None else f"{region.confidence:.3f}",
        )
        head = f'<th scope="row"><i style="background: {colour} !important"></i>{html.escape(name)}</th>'
        rows.append(f"<tr>{head}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "".join(f'<th scope="col">{word}</th>' for word in ("class", "pixels", "share", "parts", "probability"))
    return f'<table class="regions"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def import_gradio() -> Any:
    """Import gradio, told to talk to nobody. Raises `UserError` where it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gradio
    except ModuleNotFoundError:
        raise UserError("the demo needs gradio, which is not installed: pip install 'medseg[demo]'") from None
    return gradio


def build_page(predictor: Predictor, title: str, examples: Sequence[Path] = ()) -> Any:
    """Build the page, a `gradio.Blocks`.

    Args:
        predictor: what predicts.
        title: what the networks are.
        examples: images to try.
    """
    gradio = import_gradio()
    several = predictor.num_classes > 2
    choices = [MOST_PROBABLE, *predictor.class_names[1:]] if several else list(predictor.class_names[1:])

    def show(seen: Seen | None, choice: str, threshold: float) -> tuple[Any, Any, str]:
        if seen is None:
            return None, None, ""
        label = None if choice == MOST_PROBABLE else 1 + list(predictor.class_names[1:]).index(choice)
        mask, confidence = mask_of(seen, label, threshold)
        spread = mask * np.uint8(255 // (predictor.num_classes - 1))
        return draw(seen, mask), spread, describe(predictor.class_names, mask, confidence, label)

    def predict(file: str | None, choice: str, threshold: float) -> tuple[Any, ...]:
        if file is None:
            return None, *show(None, choice, threshold)
        try:
            seen = see(predictor, file)
        except UserError as error:
            reason = getattr(error, "detail", None) or str(error)
            raise gradio.Error(f"This image cannot be predicted: {reason}", print_exception=False) from None
        return seen, *show(seen, choice, threshold)

    with gradio.Blocks(
        analytics_enabled=False, title="medseg demo", fill_width=True, delete_cache=(3600, 3600)
    ) as page:
        seen = gradio.State(None, time_to_live=3600)
        gradio.Markdown(f"# medseg demo\n{title} Drop an image; it stays on this machine.")
        drawn = {"format": "png", "interactive": False, "height": HEIGHT, "buttons": ["download", "fullscreen"]}
        with gradio.Row():
            with gradio.Column():
                image = gradio.Image(
                    label="your image",
                    type="filepath",
                    sources=["upload", "clipboard"],
                    height=HEIGHT,
                    buttons=["fullscreen"],
                )
            with gradio.Column():
                overlay = gradio.Image(label="overlay", elem_id="overlay", **drawn)
            with gradio.Column():
                mask = gradio.Image(label="mask, of the size of the image", elem_id="mask", **drawn)
        with gradio.Row():
            with gradio.Column():
                choice = gradio.Radio(choices, value=choices[0], label="show", visible=several)
                threshold = gradio.Slider(
                    0,
                    1,
                    value=0.5,
                    step=0.01,
                    label="threshold",
                    info="pixels whose probability is above it belong to the class",
                    visible=not several,
                )
            with gradio.Column():
                table = gradio.HTML(padding=False)
        # The file as it is: gradio would turn it round by its EXIF tag, change its mode, and explain a damaged one in
        # its own words.
        image.preprocess = lambda payload: payload and payload.path
        if examples:
            gradio.Examples([[str(file)] for file in examples], [image], examples_per_page=EXAMPLES)
        shown = [overlay, mask, table]
        image.change(predict, [image, choice, threshold], [seen, *shown], api_name="predict")
        again = {"fn": show, "inputs": [seen, choice, threshold], "outputs": shown, "show_progress": "hidden"}
        threshold.change(**again, trigger_mode="always_last", api_visibility="private")
        choice.change(**again, api_visibility="private").then(
            lambda chosen: gradio.update(visible=chosen != MOST_PROBABLE), choice, threshold, api_visibility="private"
        )
    return page


def theme(gradio: Any) -> Any:
    """Return a look with the fonts of the system: others would be fetched."""
    fonts = {
        "font": ["system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"],
        "font_mono": ["ui-monospace", "DejaVu Sans Mono", "monospace"],
    }
    return gradio.themes.Base(primary_hue="blue", neutral_hue="slate", **fonts)


def launch(page: Any, *, host: str = "127.0.0.1", port: int | None = None, browser: bool = False) -> str:
    """Serve the page from threads of this process and return its address.

    Raises `UserError` where the port is taken.
    """
    gradio = import_gradio()
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            footer_links=[],
            ssr_mode=False,
            theme=theme(gradio),
            css=STYLE,
        )
    except OSError as error:
        raise UserError(f"port={port}: {error}; give another port, or port=null for a free one") from None
    return str(address)


def run_demo(cfg: DictConfig) -> None:
    """Serve the demo that `cfg` describes until Ctrl-C. Raises `UserError` for what the user can put right."""
    quiet_libraries()
    import_gradio()
    found = [] if cfg.examples is None else find_inputs(plain(cfg.examples), leave_out=is_result).images
    options = Options(tta=cfg.tta, scale=cfg.scale, tile=cfg.tile, overlap=cfg.overlap)
    predictor = load(
        plain(cfg.checkpoint), device=cfg.device, precision=cfg.precision, trust=cfg.trust, options=options
    )
    page = build_page(predictor, titled(predictor), [image.file for image in found[:EXAMPLES]])
    print(f"demo: {launch(page, host=cfg.host, port=cfg.port, browser=cfg.browser)}  (Ctrl-C ends it)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        page.close(verbose=False)


def titled(predictor: Predictor) -> str:
    """Say what predicts and what it tells apart."""
    names = [f"`{run_name(member.file)}`" for member in predictor.members]
    average = "The average of " if len(names) > 1 else ""
    return f"{average}{', '.join(names)}. Classes: {', '.join(predictor.class_names)}."


def run_name(file: Path) -> str:
    """Return the name of a checkpoint's run folder, or of the file where it has none."""
    return file.parent.parent.name if file.parent.name == "checkpoints" else file.stem
