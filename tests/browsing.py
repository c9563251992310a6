"""Pages in a headless Chromium: `with open_page(file) as page:`; an error on the page's console fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHONE = (390, 844)
DESKTOP = (1280, 900)


@contextmanager
def open_page(
    place: Path | str, *, size: tuple[int, int] = DESKTOP, dark: bool = False, noise: Sequence[str] = ()
) -> Iterator[Page]:
    """Open a page, a file or an address; at the end, nothing may have been said on its console, nothing fetched.

    A page with an address may fetch from there.

    Args:
        place: of the page.
        size: width and height of the window.
        dark: whether the reader prefers dark pages.
        noise: what a library of the page says on its console whatever it is used for.
    """
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    address = place.resolve().as_uri() if isinstance(place, Path) else place
    said: list[str] = []
    fetched: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(address)
        yield page
        browser.close()
    assert [text for text in said if text not in noise] == []
    outside = [url for url in fetched if not url.startswith(("data:", "blob:"))]
    if isinstance(place, Path):
        assert outside == [address]
    else:
        assert [url for url in outside if not url.startswith(address)] == []
