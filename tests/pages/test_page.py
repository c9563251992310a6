"""The base of all pages: one file, nothing fetched, tables that sort and filter."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg.pages import embed_json, make_page, picture, read_asset
from tests.browsing import open_page


def table(name: str, *rows: tuple[str, str]) -> str:
    cells = "".join(f'<tr><td>{text}</td><td class="number">{number}</td></tr>' for text, number in rows)
    heading = '<th>name</th><th class="number" data-first="ascending">number</th>'
    return f'<table class="sortable" id="{name}"><thead><tr>{heading}</tr></thead><tbody>{cells}</tbody></table>'


def test_text_is_not_markup() -> None:
    page = make_page("<b>title</b>", embed_json("data", {"text": "</script><b>"}), description="<b>")
    assert "<title>&lt;b&gt;title&lt;/b&gt; – medseg</title>" in page
    assert "<b>" not in page
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    assert json.loads(found[1]) == {"text": "</script><b>"}


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        embed_json("data", [float("nan")])


@pytest.mark.parametrize(("form", "furthest"), [("png", 0), ("webp", 12)])
def test_a_picture_comes_back(form: str, furthest: int) -> None:
    image = np.tile(np.linspace(0, 200, 32).astype(np.uint8)[:, None, None], (1, 16, 3))
    kind, _, content = picture(image, form, quality=95).partition(";base64,")  # type: ignore[arg-type]
    assert kind == f"data:image/{form}"
    back = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB")).astype(int)
    assert np.abs(back - image).max() <= furthest


def test_tables_sort_and_filter_and_nothing_is_fetched(tmp_path: Path) -> None:
    # A picture from elsewhere would be stopped by the page's policy; that is said on the console, so none is here.
    rows = (("b", "10"), ("a", "9"), ("c", ""))
    body = '<input aria-label="filter" data-filter="one two">' + table("one", *rows) + table("two", *rows[:1])
    file = tmp_path / "page.html"
    file.write_text(
        make_page("t", body, description="a table", scripts=[read_asset("medseg.pages", "tables.js")]), encoding="utf-8"
    )
    with open_page(file) as page:

        def names(table: str = "one") -> str:
            return "".join(page.locator(f"#{table} tbody tr:visible td:first-child").all_inner_texts())

        button = page.locator("#one th button")
        button.nth(0).click()
        assert names() == "abc"
        button.nth(0).press("Enter")
        assert names() == "cba"
        # By value, first as the heading says; what is missing stays last.
        button.nth(1).click()
        assert names() == "abc"
        button.nth(1).click()
        assert names() == "bac"
        assert page.locator("#one th[aria-sort]").get_attribute("aria-sort") == "descending"
        page.get_by_label("filter").fill("A")
        assert (names(), names("two")) == ("a", "")
        page.get_by_label("filter").fill("b 1")
        assert (names(), names("two")) == ("b", "b")
