"""Tables as Markdown, LaTeX and CSV: emphasis, escapes, alignment; LaTeX compiles where there is one."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from medseg.reporting.render import (
    TERMINAL,
    Entry,
    Heading,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    escape_latex,
    superscript,
)
from medseg.reporting.words import last_line, number, p_value, signed

TABLE = Table(
    "some",
    "Dice & co: 95 % of a_b",
    (Heading("network"), Heading("Dice ↓", number=True)),
    (
        ("attention_unet", Entry("0.9", " ± 0.1 [0.8, 1.0] ≈¹²", 1)),
        ("a|b * <x>", Entry("0.8", place=2)),
        ("[1,1,3]", Entry("-")),
    ),
    ('¹² p <0.001; C:\\new #1 $5 {x} ~ ^ "q" – é',),
)


def test_markdown_is_aligned_in_its_source() -> None:
    assert as_markdown(TABLE).splitlines() == [
        "| network        |                       Dice ↓ |",
        "| -------------- | ---------------------------: |",
        "| attention_unet | **0.9** ± 0.1 [0.8, 1.0] ≈¹² |",
        "| a\\|b \\* &lt;x> |               <ins>0.8</ins> |",
        "| [1,1,3]        |                            - |",
        "",
        '- ¹² p <0.001; C:\\\\new #1 $5 {x} ~ ^ "q" – é',
    ]


def test_every_line_of_markdown_has_the_same_cells() -> None:
    lines = [line for line in as_markdown(TABLE).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}


def test_the_terminal_is_spared_the_markup_of_pages() -> None:
    text = as_markdown(TABLE, TERMINAL)
    assert "_0.8_" in text
    assert "<ins>" not in text


def test_latex_is_booktabs_and_escaped() -> None:
    text = as_latex(TABLE)
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lr}", r"\label{tab:some}"):
        assert part in text
    assert r"\caption{Dice \& co: 95 \% of a\_b}" in text
    assert r"attention\_unet & \textbf{0.9} $\pm$ 0.1 [0.8, 1.0] $\approx$\textsuperscript{12} \\" in text
    assert r"\underline{0.8}" in text
    assert r"{}[1,1,3] & - \\" in text, "after \\\\, a bracket would be its argument"
    for brackets in ("{}", "[]"):
        plain = text.replace("\\{", "").replace("\\}", "")
        assert plain.count(brackets[0]) == plain.count(brackets[1])


def test_latex_escapes_each_special_character() -> None:
    shown = {"&": r"\&", "_": r"\_", "%": r"\%", "#": r"\#", "$": r"\$", "~": r"\textasciitilde{}", "<": "$<$"}
    for character, expected in shown.items():
        assert escape_latex(character) == expected
    assert escape_latex("-1.2 [-3.4, +0.5] x-2 2018-1") == "$-$1.2 [$-$3.4, +0.5] x-2 2018-1"
    assert escape_latex("\\&{}") == r"\textbackslash{}\&\{\}"


SENTENCES = Table("words", "Words", (Heading("a"), Heading("b", share=0.3)), (("x", "A long sentence. " * 9),))


def test_columns_of_sentences_are_broken_into_lines() -> None:
    text = as_latex(SENTENCES)
    assert r"p{0.3\linewidth}" in text
    assert "resizebox" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    page = ["\\documentclass{article}", "\\usepackage[T1]{fontenc}", "\\usepackage{array,booktabs,graphicx}"]
    page += ["\\begin{document}", as_latex(TABLE), as_latex(SENTENCES), "\\end{document}"]
    (tmp_path / "page.tex").write_text("\n".join(page), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_has_raw_numbers() -> None:
    rows = [{"network": "a, b", "dice": 0.1 + 0.2, "p": 1e-20, "images": 120, "none": None, "text": 'say "x"'}]
    (row,) = csv.DictReader(io.StringIO(as_csv(rows)))
    assert row == {"network": "a, b", "dice": "0.3", "p": "1e-20", "images": "120", "none": "", "text": 'say "x"'}
    assert as_csv([{"x": 1 / 3}]) == "x\n0.333333333333\n"
    assert as_csv([]) == ""


def test_numbers_in_words() -> None:
    assert number(0.8235, 3) == "0.824"
    assert number(-0.0001, 3) == "0.000"
    assert number(None, 3) == "-"
    assert signed(1.25, 1) == "+1.2"
    assert signed(-0.001, 2) == "0.00"
    assert p_value(0.00099) == "<0.001"
    assert p_value(0.0499) == "0.050"
    assert superscript(12) == "¹²"
    assert last_line("Traceback\n  File\n\nValueError: no\n") == "ValueError: no"
    assert last_line(None) == ""
    assert len(last_line("x" * 500)) == 160
