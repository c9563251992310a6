"""The demo: a page on this machine where an image is dropped and its mask is looked at, threshold and all."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from omegaconf import DictConfig

from medseg.data.overlay import as_rgb, colour_of, outline
from medseg.errors import UserError
from medseg.trained.predicting.folder import as_text, load_predictor
from medseg.trained.predicting.inputs import find_inputs
from medseg.trained.predicting.outputs import is_result
from medseg.trained.predicting.prediction import Prediction, describe_classes, reduced
from medseg.trained.predicting.predictor import Predictor

HEIGHT = 380
"""Of each picture on the page in pixels."""

EXAMPLES = 12
"""Example images on the page at the most."""

ICON = Path(__file__).parents[1] / "pages" / "icon.svg"
"""Of the page's tab, as of the other pages."""

TITLE = "Demo of a segmentation network – medseg"
"""Of the page's tab."""

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
@media (max-width: 600px) {
  .gradio-container main { padding: 1rem !important; }
  .regions { font-size: 0.85rem; }
}
"""


def mask_of(prediction: Prediction, label: int | None, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of each pixel, H x W uint8, and its probability, H x W float32.

    Args:
        prediction: of an image.
        label: the class that is shown alone, where its probability is above the threshold; None shows all classes,
            each pixel the most probable one.
        threshold: 0 to 1.
    """
    if label is None:
        return prediction.mask, prediction.probabilities.max(axis=0)
    probability = prediction.probabilities[label]
    return np.where(probability > threshold, np.uint8(label), np.uint8(0)), probability


def draw(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw the classes onto the image: tinted, with their outlines."""
    small_image, small = reduced(as_rgb(image), cv2.INTER_AREA), reduced(mask, cv2.INTER_NEAREST_EXACT)
    colours = np.array([(0, 0, 0), *(colour_of(label) for label in range(1, int(mask.max()) + 1))], np.float32)
    tinted = np.where((small > 0)[..., None], 0.7 * small_image + 0.3 * colours[small], small_image)
    return outline(tinted.astype(np.uint8), small)


def import_gradio() -> Any:
    """Import gradio without its telemetry. Raises `UserError` where it is not installed."""
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
    names = list(predictor.class_names[1:])
    choices = [MOST_PROBABLE, *names] if several else names

    def show(prediction: Prediction | None, choice: str, threshold: float) -> tuple[Any, Any, str]:
        if prediction is None:
            return None, None, ""
        label = None if choice == MOST_PROBABLE else 1 + names.index(choice)
        mask, confidence = mask_of(prediction, label, threshold)
        spread = mask * np.uint8(255 // len(names))
        return draw(prediction.image, mask), spread, describe_classes(predictor.class_names, mask, confidence, label)

    def predict(file: str | None, choice: str, threshold: float) -> tuple[Any, ...]:
        if file is None:
            return None, *show(None, choice, threshold)
        try:
            prediction = predictor.predict(file)
        except UserError as error:
            reason = getattr(error, "detail", None) or str(error)
            raise gradio.Error(f"This image cannot be predicted: {reason}", print_exception=False) from None
        return prediction, *show(prediction, choice, threshold)

    with gradio.Blocks(
        analytics_enabled=False,
        title=TITLE,
        fill_width=True,
        delete_cache=(3600, 3600),
    ) as page:
        state = gradio.State(None, time_to_live=3600)  # another threshold needs no network
        gradio.Markdown(f"# medseg demo\n{title} Drop an image; it stays on this machine.")
        common = {"height": HEIGHT, "buttons": ["fullscreen"]}
        drawn = {**common, "format": "png", "interactive": False, "buttons": ["download", "fullscreen"]}
        with gradio.Row():
            with gradio.Column():
                image = gradio.Image(label="your image", type="filepath", sources=["upload", "clipboard"], **common)
            with gradio.Column():
                overlay = gradio.Image(label="overlay", elem_id="overlay", **drawn)
            with gradio.Column():
                mask = gradio.Image(label="mask, of the size of the image", elem_id="mask", **drawn)
        with gradio.Row():
            with gradio.Column():
                choice = gradio.Radio(choices, value=choices[0], label="show", visible=several)
                info = "pixels whose probability is above it belong to the class"
                threshold = gradio.Slider(0, 1, value=0.5, step=0.01, label="threshold", info=info, visible=not several)
            with gradio.Column():
                table = gradio.HTML(padding=False)
        # The file as it is: gradio would change its mode, and explain a damaged one in other words.
        image.preprocess = lambda payload: payload and payload.path
        if examples:
            gradio.Examples([[str(file)] for file in examples], [image], examples_per_page=EXAMPLES)
        outputs = [overlay, mask, table]
        image.change(predict, [image, choice, threshold], [state, *outputs], api_name="predict")
        again = {"fn": show, "inputs": [state, choice, threshold], "outputs": outputs, "show_progress": "hidden"}
        threshold.change(**again, trigger_mode="always_last", api_visibility="private")
        choice.change(**again, api_visibility="private").then(
            lambda chosen: gradio.update(visible=chosen != MOST_PROBABLE), choice, threshold, api_visibility="private"
        )
    return page


def launch(page: Any, *, host: str = "127.0.0.1", port: int | None = None, browser: bool = False) -> str:
    """Serve the page from threads of this process and return its address.

    Raises `UserError` where the port is taken.
    """
    themes = import_gradio().themes
    # With the fonts of the system: others would be fetched.
    theme = themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
    )
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
            favicon_path=ICON,
            theme=theme,
            css=STYLE,
        )
    except OSError as error:
        raise UserError(f"port={port}: {error}; give another port, or port=null for a free one") from None
    return str(address)


def run_demo(cfg: DictConfig) -> None:
    """Serve the demo that `cfg` describes until Ctrl-C. Raises `UserError` for what the user can put right."""
    import_gradio()
    images = [] if cfg.examples is None else find_inputs(as_text(cfg.examples), leave_out=is_result).images
    predictor = load_predictor(cfg)
    page = build_page(predictor, describe_networks(predictor), [image.file for image in images[:EXAMPLES]])
    print(f"demo: {launch(page, host=cfg.host, port=cfg.port, browser=cfg.browser)}  (Ctrl-C ends it)", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        page.close(verbose=False)


def describe_networks(predictor: Predictor) -> str:
    """Name the runs, or the files, of the networks and the classes they predict."""
    files = [network.file for network in predictor.networks]
    names = [f"`{file.parent.parent.name if file.parent.name == 'checkpoints' else file.stem}`" for file in files]
    average = "The average of " if len(names) > 1 else ""
    return f"{average}{', '.join(names)}. Classes: {', '.join(predictor.class_names)}."
