"""Tables as Markdown: alignment, emphasis, and names that come out as they are."""

from __future__ import annotations

import re
from html import unescape

import pytest

from medseg.reporting.render.markdown import as_markdown, escape_line, escape_markdown
from medseg.reporting.render.table import Column, Entry, Table, superscript
from tests.reporting.render.hostile import NAMES, flat, hostile_table

markdown = pytest.importorskip("markdown")

TAG = re.compile(r"<(/?[a-z][a-z0-9]*)[^>]*>", re.IGNORECASE)


def rendered(text: str) -> str:
    return markdown.markdown(text, extensions=["tables", "fenced_code", "sane_lists", "footnotes", "attr_list"])


def plain(html: str) -> str:
    return flat(unescape(TAG.sub("", html)))


def table() -> Table:
    records = {"attention_unet": Entry("0.9", " ± 0.1 [0.8, 1.0] ≈", 1), "a|b <x>": Entry("0.8", rank=2), "c": "-"}
    columns = [
        Column[str]("network", "network", lambda name: name),
        Column[str]("dice", "Dice ↓", lambda name: None, text=lambda name: records[name], number=True),
    ]
    return Table("some", "Dice", columns, list(records), ("p <0.001 [1, 2]",))


def test_markdown_is_aligned_in_its_source() -> None:
    assert as_markdown(table()).splitlines() == [
        "| network        |                     Dice ↓ |",
        "| -------------- | -------------------------: |",
        "| attention_unet | **0.9** ± 0.1 [0.8, 1.0] ≈ |",
        "| a\\|b &lt;x>    |             <ins>0.8</ins> |",
        "| c              |                          - |",
        "",
        "- p <0.001 [1, 2]",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_in_a_cell_a_line_an_item_and_a_title(name: str) -> None:
    cell = rendered(f"| a | b |\n| --- | --- |\n| {escape_markdown(name)} | x |")
    assert re.search(r"<td>(.*?)</td>", cell, re.DOTALL), cell
    assert plain(re.search(r"<td>(.*?)</td>", cell, re.DOTALL)[1]) == flat(name)
    assert [
        tag for tag in TAG.findall(cell) if tag.strip("/") not in ("table", "thead", "tbody", "tr", "th", "td")
    ] == []
    for before, tags in (("", {"p"}), ("- ", {"ul", "li"}), ("# ", {"h1"})):
        html = rendered(f"{before}{escape_line(name)}")
        assert plain(html) == flat(name), html
        assert {tag.strip("/") for tag in TAG.findall(html)} == tags, html


def test_a_table_of_hostile_names_has_no_tag_of_theirs() -> None:
    html = rendered(as_markdown(hostile_table()))
    ours = {"table", "thead", "tbody", "tr", "th", "td", "strong", "ul", "li"}
    assert {tag.strip("/") for tag in TAG.findall(html)} == ours
    cells = re.findall(r"<td>(.*?)</td>", html, re.DOTALL)
    assert [plain(cell) for cell in cells[::3]] == [flat(name) for name in NAMES]
    assert len(cells) == 3 * len(NAMES)


def test_what_is_no_markup_stays_readable_in_the_source() -> None:
    for text in ("attention_unet", "0.8 [0.7, 0.9] (3)", "p <0.001", "a - b", "50 %", "lr=0.001", "C:/x"):
        assert escape_markdown(text) == text


def test_marks_of_footnotes_are_raised() -> None:
    assert superscript(12) == "¹²"
    assert superscript(1, 3) == "¹ ³"
