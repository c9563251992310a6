"""Tables as LaTeX: escapes, labels, parts; and that pdflatex sets them without an overfull box."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from medseg.reporting.render.latex import as_latex
from medseg.reporting.render.latex_text import escape_latex, wrap
from medseg.reporting.render.table import Blocks, Column, Entry, Table
from medseg.reporting.tables.outlook import planning_table, stability_tables
from medseg.reporting.tables.scores import comparison_table, score_tables
from medseg.reporting.tables.tests import ablation_tables, pairs_table, ranking_table, wins_table
from tests.reporting.render.hostile import hostile_table
from tests.reporting.tables.made import make_ablation, make_comparison, make_run, make_sample

needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")


def names_table(names: Iterable[str], title: str = "t") -> Table:
    return Table("a_b #1 %é", title, [Column[str]("name", "na_me", lambda name: name)], list(names))


def test_it_is_booktabs_with_caption_and_a_safe_label() -> None:
    text = as_latex(names_table(["attention_unet"], "Dice & co: 95 % of a_b"))
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{@{}l@{}}", r"\label{tab:a_b-1}"):
        assert part in text
    assert r"\caption{Dice \& co: 95 \% of a\_b}" in text
    assert r"attention\_unet \\" in text
    assert r"na\_me \\" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("& _ % # $ { } ~ ^", r"\& \_ \% \# \$ \{ \} \textasciitilde{} \textasciicircum{}"),
        ("\\&{}", r"\textbackslash{}\&\{\}"),
        ("-1.2 [-3.4, +0.5] x-2 2018-1", "$-$1.2 [$-$3.4, +0.5] x-2 2018-1"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("é ñ Å ç ø ß ł ğ", r"{\'e} {\~n} {\r A} {\c c} {\o} {\ss} {\l} {\u g}"),
        ("α Σ Α λ", r"$\alpha$ $\Sigma$ A $\lambda$"),
        ("ϛ ά ㎛", r"? $\alpha$ $\mu$m"),
        ("✓ ✗ ± ≈ ↓ ×", r"$\surd$ $\times$ $\pm$ $\approx$ $\downarrow$ $\times$"),
        ("x² H₂O ﬁ ½", r"x\textsuperscript{2} H2O fi 1/2"),
        ("医学 \U0001f600 \u200b\u0301", r"?? ? "),
        ("a\nb\tc", "a b c"),
    ],
)
def test_what_latex_takes_for_something_else_or_lacks(text: str, expected: str) -> None:
    assert escape_latex(text) == expected
    assert escape_latex(text).isascii()


def test_wide_words_may_be_broken_after_punctuation_or_anywhere() -> None:
    assert escape_latex("short and_long_word", 8.0) == r"short and\_\allowbreak{}long\_\allowbreak{}word"
    assert escape_latex("x" * 20, 10.0).count(r"\allowbreak{}") == 2
    assert escape_latex("x" * 20) == "x" * 20
    assert wrap("kvasir, 120 images", 12.0) == ["kvasir, 120", "images"]


def test_a_bracket_at_the_start_of_a_row_is_no_argument() -> None:
    text = as_latex(names_table(["[1,1,3]", "*x"]))
    assert "{}[1,1,3]" in text
    assert "{}*x" in text


def test_what_is_too_wide_is_continued_dataset_by_dataset() -> None:
    keys = [(row, column) for row in "ab" for column in range(12)]
    columns = [
        Column[tuple[str, int]]("row", "network", lambda key: key[0]),
        Column[tuple[str, int]](
            "mean", "m", lambda key: 0.5, text=lambda key: f"0.{key[1]:02d}5 ± 0.01 [0.7, 0.9]", repeated=True
        ),
    ]
    blocks = Blocks(lambda key: key[0], lambda key: key[1], {k: f"data{k}" for k in range(12)})
    text = as_latex(Table("t", "Scores", columns, keys, ("a note",), blocks))
    parts = text.split(r"\end{table}")[:-1]
    assert len(parts) > 1
    assert [re.findall(r"data\d+", part) for part in parts] != [[]]
    assert re.findall(r"data\d+", text) == [f"data{k}" for k in range(12)]
    assert all(part.count("network &") == 1 for part in parts)
    assert r"\caption{Scores (1 of " in parts[0]
    assert r"\label{tab:t:2}" in parts[1]
    assert [part.count("a note") for part in parts] == [1] + [0] * (len(parts) - 1)


def test_a_footnote_stands_below_the_part_that_has_its_mark() -> None:
    names = [f"n{k}" for k in range(120)]
    notes = {"n0": ("first",), "n119": ("last",)}
    column = Column[str]("name", "name", lambda n: n, text=lambda n: Entry(n, notes=notes.get(n, ())))
    parts = as_latex(Table("t", "t", [column], names)).split(r"\end{table}")[:-1]
    assert len(parts) > 1
    assert r"\textsuperscript{1} first" in parts[0]
    assert "last" not in parts[0]
    assert r"\textsuperscript{2} last" in parts[-1]


# Set by pdflatex.

PACKAGES = r"\usepackage{array,booktabs,graphicx}"


def compile_tables(folder: Path, tables: Iterable[Table]) -> tuple[str, str]:
    """Set tables in an article; return what pdflatex printed and the text of the pages."""
    page = [r"\documentclass{article}", PACKAGES, r"\begin{document}"]
    page += [f"{as_latex(table)}\n\\clearpage" for table in tables]
    (folder / "page.tex").write_text("\n".join([*page, r"\end{document}"]), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=folder, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    text = ""
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "-layout", "page.pdf", "-"], cwd=folder, capture_output=True, text=True
        ).stdout
    return done.stdout, text


def check_log(log: str) -> None:
    for fault in ("Overfull", "Undefined", "undefined", "Float too large", "Missing character"):
        assert fault not in log, [line for line in log.splitlines() if fault in line][:5]


def every_table(networks: int, datasets: int, *, long: bool, seeds: int = 3, groups: int | None = None) -> list[Table]:
    names = [
        f"network{k}_with_a_long_name, model.attention=scse, optimizer=adamw" if long else f"net{k}"
        for k in range(networks)
    ]
    data = [
        f"data{k}_with_a_long_name, image_size=512, split=official_2018_x" if long else f"data{k}"
        for k in range(datasets)
    ]
    made = make_comparison([n[:60] for n in names], [d[:60] for d in data], seeds=seeds, groups=groups, measured=True)
    tables = [
        comparison_table(made),
        *score_tables(made)[:2],
        pairs_table(made),
        wins_table(made),
        planning_table(made),
    ]
    tables += stability_tables(made)
    if made.ranking:
        tables.append(ranking_table(made.ranking, made.measure))
    if networks > 1:
        tables += ablation_tables([make_ablation(made)], made)
    return [table for table in tables if table.grid.rows]


@needs_pdflatex
@pytest.mark.parametrize(("networks", "datasets"), [(1, 1), (1, 8), (2, 3), (3, 1), (8, 4), (20, 2), (20, 8)])
@pytest.mark.parametrize("long", [False, True])
def test_no_table_of_a_report_is_wider_or_higher_than_a_page(
    networks: int, datasets: int, long: bool, tmp_path: Path
) -> None:
    log, text = compile_tables(tmp_path, every_table(networks, datasets, long=long, groups=6 if long else None))
    check_log(log)
    if text and not long:
        assert {f"net{k}" for k in range(networks)} <= set(text.split())


@needs_pdflatex
@pytest.mark.parametrize("letter", ["x", "W", "@"])
def test_a_name_that_is_one_long_word_fits(letter: str, tmp_path: Path) -> None:
    name = letter * 60
    made = make_comparison([name, "b"], [name, "c"], measured=True)
    (key, cell), *others = made.cells.items()
    failed = replace(cell, runs=(*cell.runs, make_run(name, name, 9, "failed")))
    sample = make_sample(3, 6)  # of one dataset alone: the notes name the others
    cells = {key: failed, **{k: replace(c, sample=sample) if k[1].name == "c" else c for k, c in others}}
    made = replace(made, cells=cells, warnings=(f"{name}: other images",))
    tables = [comparison_table(made), *score_tables(made), *stability_tables(made), pairs_table(made)]
    log, _ = compile_tables(tmp_path, [*tables, *ablation_tables([make_ablation(made)], made)])
    check_log(log)


@needs_pdflatex
def test_one_seed_fits_as_well(tmp_path: Path) -> None:
    log, text = compile_tables(tmp_path, every_table(3, 3, long=False, seeds=1))
    check_log(log)
    if text:
        assert "Not judged (one seed)" in " ".join(text.split())


@needs_pdflatex
def test_hostile_names_are_set_and_stay_inside(tmp_path: Path) -> None:
    log, text = compile_tables(tmp_path, [hostile_table()])
    check_log(log)
    if text:
        for part in ("<script>alert(1)", "50 % & more", r"\end{document}", "a--b", "[x]: http://x"):
            assert part.replace(" ", "") in text.replace(" ", ""), part
