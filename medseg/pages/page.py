"""One HTML file that holds all it needs."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from PIL import Image

PICTURE_FORMATS = Literal["png", "webp"]


LONGEST = 300
"""Characters of a description; what is beyond, search engines and link previews leave out."""


def make_page(
    title: str, body: str, *, description: str, styles: Sequence[str] = (), scripts: Sequence[str] = ()
) -> str:
    """Make a page.

    Args:
        title: of the page, plain text; its tab has the name of medseg behind it.
        body: HTML of everything in `<main>`, the heading included.
        description: what the page shows, plain text; a long one is cut.
        styles: CSS beside that of all pages.
        scripts: JavaScript that is run at the end of the page, each in a separate scope.

    The page has a policy that forbids it to fetch anything.
    """
    css = "\n".join([read_asset("medseg.pages", "page.css"), *styles])
    code = "\n".join(f"<script>(() => {{\n{script}\n}})();</script>" for script in scripts)
    icon = f"data:image/svg+xml,{quote(read_asset('medseg.pages', 'icon.svg').strip())}"
    cut = description if len(description) <= LONGEST else f"{description[: LONGEST - 1].rstrip()}…"
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escape(title)} – medseg</title>
<meta name="description" content="{escape(cut)}">
<link rel="icon" type="image/svg+xml" href="{icon}">
<style>
{css}
</style>
</head>
<body>
<main>
{body}
</main>
{code}
</body>
</html>
"""


def picture(image: np.ndarray, form: PICTURE_FORMATS = "png", quality: int = 80) -> str:
    """Return an image as a `data:` address for the `src` of an `<img>`.

    Args:
        image: uint8, H x W or H x W x 3.
        form: png keeps every pixel; webp is smaller.
        quality: of webp, 0 to 100.
    """
    stream = io.BytesIO()
    options: dict[str, Any] = {"quality": quality, "method": 4} if form == "webp" else {"optimize": False}
    Image.fromarray(image).save(stream, format=form, **options)
    return f"data:image/{form};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def embed_json(name: str, content: Any) -> str:
    """Return an element that a script reads with `JSON.parse(document.getElementById(name).textContent)`.

    NaN is not JSON: use None instead.
    """
    # A script element ends at the first "</script", even inside a string.
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{escape(name)}">{text}</script>'


def read_asset(package: str, name: str) -> str:
    """Read a style or a script that lies beside the code of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
