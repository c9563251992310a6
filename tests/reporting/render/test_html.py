"""Tables as HTML: what a page sorts by, cells of sentences, and names that are never markup."""

from __future__ import annotations

import re
from html import unescape

from medseg.reporting.render.html import as_html
from medseg.reporting.render.table import Column, Entry, Table
from tests.reporting.render.hostile import NAMES, flat, hostile_table


def cells(html: str) -> list[str]:
    return [unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", html)]


def test_columns_of_numbers_sort_by_their_values_not_by_their_texts() -> None:
    columns = [
        Column("name", "name"),
        Column("p", "p", show=lambda p: "<0.001" if p < 0.001 else f"{p:.3f}", order="ascending"),
        Column("none", "none", text=lambda record: "?", number=True),
        Column("words", "words"),
    ]
    records = [
        {"name": "a", "p": 1 / 3000, "none": None, "words": "12"},
        {"name": "b", "p": 0.0123, "none": None, "words": "x"},
    ]
    html = as_html(Table("t", "t", columns, records), name="one")
    assert re.findall(r'data-value="([^"]*)"', html) == ["0.000333333333333", "", "0.0123", ""]
    assert '<table class="sortable" id="one">' in html
    assert html.count('class="number"') == 2 * 3
    assert '<th scope="col" class="number" data-first="ascending">p</th>' in html


def test_cells_of_sentences_name_their_column_for_narrow_screens() -> None:
    columns = [Column("name", "name"), Column("words", "its words")]
    html = as_html(Table("t", "t", columns, [{"name": "a", "words": "word " * 20}]))
    assert 'class="sortable wordy"' in html
    assert 'data-label="its words"' in html
    short = as_html(Table("t", "t", columns, [{"name": "a", "words": "word"}]))
    assert "data-label" not in short


def test_verdicts_have_a_colour_and_the_best_is_strong() -> None:
    texts = {
        "d": Entry("equivalent"),
        "a": Entry("better"),
        "b": Entry("0.9", " ≈", 1, ("why",)),
        "c": Entry("undecided"),
    }
    columns = [Column[str]("name", "name", lambda n: n), Column[str]("v", "v", lambda n: n, text=lambda n: texts[n])]
    html = as_html(Table("t", "t", columns, list(texts)))
    assert '<span class="good">better</span>' in html
    assert '<span class="same">equivalent</span>' in html
    assert "<strong>0.9</strong>" in html
    assert '<abbr title="not shown to differ from the best">≈</abbr>¹' in html
    assert "<li>¹ why</li>" in html
    assert "<td>undecided</td>" in html


def test_names_are_never_markup() -> None:
    html = as_html(hostile_table())
    assert "<script" not in html
    assert "alert(1)" in html
    allowed = {"div", "table", "thead", "tbody", "tr", "th", "td", "strong", "span", "ul", "li"}
    assert {tag.strip("/") for tag in re.findall(r"<(/?\w+)", html)} == allowed
    assert [flat(cell) for cell in cells(html)[3::3]] == [flat(name) for name in NAMES]
