"""The model that all formats are written from: what is displayed, what is in CSV, footnotes, blocks."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import pytest

from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.html import as_html
from medseg.reporting.render.latex import as_latex
from medseg.reporting.render.markdown import as_markdown
from medseg.reporting.render.table import Blocks, Column, Entry, Table
from medseg.reporting.render.text import as_text

DISPLAYS = (as_markdown, as_latex, as_html, as_text)


@dataclass(frozen=True)
class Score:
    network: str
    data: str
    mean: float | None
    sd: float = 0.0125


COLUMNS = (
    Column[Score]("network", "network", lambda s: s.network),
    Column[Score]("dataset", "dataset", lambda s: s.data),
    Column[Score]("mean", "Dice", lambda s: s.mean, "{:.3f}".format, number=True),
    Column[Score]("sd", value=lambda s: s.sd),
    Column[Score]("", "grade", lambda s: "high" if (s.mean or 0) > 0.85 else "low"),
)
SCORES = [Score("unet", "kvasir", 0.9), Score("unet", "isic", 0.8), Score("resunet", "kvasir", 1 / 3)]


def parsed(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv(table))))


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.grid.rows]


@pytest.mark.parametrize("write", DISPLAYS)
def test_one_more_column_is_in_every_format(write) -> None:
    more = Column[Score]("letters", "letters of it", lambda s: len(s.network), lambda n: f"{n} letters", number=True)
    before, after = (Table("t", "t", columns, SCORES) for columns in (COLUMNS, (*COLUMNS, more)))
    assert "7 letters" not in write(before)
    assert "7 letters" in write(after)
    assert [row["letters"] for row in parsed(after)] == ["4", "4", "7"]


@pytest.mark.parametrize("write", DISPLAYS)
def test_csv_has_its_own_columns_and_so_has_what_is_displayed(write) -> None:
    table = Table("t", "t", COLUMNS, SCORES)
    assert "0.0125" not in write(table)
    assert "grade" in write(table)
    assert list(parsed(table)[0]) == ["network", "dataset", "mean", "sd"]


def test_csv_has_all_records_in_full_precision() -> None:
    table = Table("t", "t", COLUMNS, SCORES, displayed=SCORES[:1])
    assert texts(table) == [["unet", "kvasir", "0.900", "high"]]
    assert [row["mean"] for row in parsed(table)] == ["0.9", "0.8", "0.333333333333"]


def test_csv_quotes_what_it_must_and_changes_nothing() -> None:
    names = ["x=1", "a-x", 'say "x"', "a, b", "two\nlines", "+5", "-0.5"]
    columns = [Column("name"), Column("number"), Column("both"), Column("none"), Column("right")]
    records = [{"name": n, "number": -0.1 - 0.2, "both": ("a", "b"), "none": None, "right": True} for n in names]
    rows = parsed(Table("t", "t", columns, records))
    assert [row["name"] for row in rows] == names
    assert rows[0] == {"name": "x=1", "number": "-0.3", "both": "a; b", "none": "", "right": "1"}


@pytest.mark.parametrize("name", ["=1+1", "-x", "@a", "+1-1", "\t=1", "\r=1", "=HYPERLINK(1)", "=5"])
def test_no_text_in_csv_is_a_formula_for_a_spreadsheet(name: str) -> None:
    columns = [Column("name"), Column("several"), Column("number")]
    (row,) = parsed(Table("t", "t", columns, [{"name": name, "several": (name, "b"), "number": -1.5}]))
    safe = "'" + name.replace("\r", "\n")
    assert row == {"name": safe, "several": f"{safe}; b", "number": "-1.5"}


def test_a_table_without_records_is_its_headings() -> None:
    table = Table("t", "t", COLUMNS, [])
    assert as_csv(table) == "network,dataset,mean,sd\n"
    for write in DISPLAYS:
        assert "network" in write(table)


def test_a_column_without_values_is_not_displayed() -> None:
    table = Table("t", "t", COLUMNS, [Score("unet", "kvasir", None)])
    assert [heading.text for heading in table.grid.headings] == ["network", "dataset", "grade"]
    mixed = Table("t", "t", COLUMNS, [Score("unet", "kvasir", None), Score("unet", "isic", 0.5)])
    assert texts(mixed)[0] == ["unet", "kvasir", "-", "low"]


def wide(*repeated: Column[Score]) -> Table:
    columns = (COLUMNS[0], Column[Score]("dataset", value=lambda s: s.data), *repeated, COLUMNS[4])
    return Table("t", "t", columns, SCORES, blocks=Blocks(lambda s: s.network, lambda s: s.data, HEADINGS))


HEADINGS = {"kvasir": "Kvasir, 120", "isic": "ISIC, 520"}
MEAN = Column[Score]("mean", "Dice", lambda s: s.mean, "{:.2f}".format, number=True, repeated=True)
SD = Column[Score]("sd", "sd", lambda s: s.sd, str, repeated=True)


def test_blocks_put_records_side_by_side_and_csv_keeps_them_apart() -> None:
    table = wide(MEAN)
    assert [heading.text for heading in table.grid.headings] == ["network", "Kvasir, 120", "ISIC, 520", "grade"]
    assert texts(table) == [["unet", "0.90", "0.80", "high"], ["resunet", "0.33", "-", "low"]]
    assert [(row["dataset"], row["mean"][:3]) for row in parsed(table)] == [
        ("kvasir", "0.9"), ("isic", "0.8"), ("kvasir", "0.3")
    ]  # fmt: skip


def test_several_columns_of_a_block_carry_its_heading() -> None:
    table = wide(MEAN, SD)
    assert [heading.text for heading in table.grid.headings][1:3] == ["Kvasir, 120: Dice", "Kvasir, 120: sd"]
    assert [heading.block for heading in table.grid.headings] == [0, 1, 1, 2, 2, 3]
    assert r"\multicolumn{2}{c}{" in as_latex(table)
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in as_latex(table)


def test_equal_footnotes_share_a_mark_and_marks_are_in_the_order_of_the_cells() -> None:
    def text(score: Score) -> Entry:
        return Entry(score.network, notes=("why",) if score.data == "kvasir" else ("why", f"of {score.data}"))

    table = Table("t", "t", [Column[Score]("network", "network", lambda s: s.network, text=text)], SCORES)
    assert table.grid.footnotes == ("why", "of isic")
    assert [row[0].marks for row in table.grid.rows] == [(1,), (1, 2), (1,)]
    assert as_markdown(table).splitlines()[-2:] == ["- ¹ why", "- ² of isic"]
    assert r"unet\textsuperscript{1,2}" in as_latex(table)
    assert r"\textsuperscript{2} of isic" in as_latex(table)


def test_text_is_aligned_and_cells_can_have_several_lines() -> None:
    columns = [
        Column("name", "network"),
        Column("parameters", "parameters", show="{:,}".format, number=True),
        Column("claims", "as claimed"),
        Column("height"),
    ]
    rows = [("U-Net | 32", 4318434, ("a, b", "c"), 256), ("AMSUnet", None, (), 256)]
    records = [dict(zip(("name", "parameters", "claims", "height"), row, strict=True)) for row in rows]
    table = Table("t", "t", columns, records, notes=("a note",))
    assert as_text(table).splitlines() == [
        "network     parameters  as claimed",
        "----------  ----------  ----------",
        "U-Net | 32   4,318,434  a, b",
        "                        c",
        "AMSUnet              -",
        "",
        "a note",
    ]
    assert "| a, b<br>c  |" in as_markdown(table)


def test_the_terminal_is_spared_the_markup_of_pages() -> None:
    def text(score: Score) -> Entry:
        return Entry(score.network, " after", {"unet": 1, "resunet": 2}[score.network])

    table = Table("t", "t", [Column[Score]("network", "network", lambda s: s.network, text=text)], SCORES)
    assert [line.rstrip() for line in as_text(table).splitlines()[2:]] == [
        "**unet** after", "**unet** after", "_resunet_ after"
    ]  # fmt: skip
