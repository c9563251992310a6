"""The learning curves on the page: the figure of the report, as a picture."""

from __future__ import annotations

import base64
from pathlib import Path
from tempfile import TemporaryDirectory

from medseg.reporting.comparison import Comparison
from medseg.reporting.learning import learning_curves


def learning_html(comparison: Comparison) -> str:
    """Write the figure; nothing where no network was trained on several fractions."""
    if not learning_curves(comparison):
        return ""
    from medseg.reporting.figures import draw_one  # not above: few reports have this figure
    from medseg.reporting.figures.content import content_of

    with TemporaryDirectory() as folder:
        files = draw_one("learning.draw_learning", content_of(comparison), Path(folder))
        picture = next(file for file in files if file.suffix == ".png").read_bytes()
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return f'<img class="figure" style="max-width: 100%; width: 640px" alt="score over training images" src="{source}">'
