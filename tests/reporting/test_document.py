"""The report as a whole: its sections, its files, and names that are no markup in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from medseg.reporting.contents import sections
from medseg.reporting.file_names import file_name
from medseg.reporting.report import Report, as_page, pictures
from tests.reporting.tables.made import make_ablation, make_comparison, make_run


def make_report(networks: int = 3, datasets: int = 2, **more) -> Report:
    made = make_comparison(networks, datasets)
    runs = [run for cell in made.cells.values() for run in cell.runs]
    ablations = [make_ablation(made)] if networks > 1 else []
    return Report(runs=runs, comparison=made, ablations=ablations, published=[], **more)


def test_sections_are_in_their_order_and_empty_ones_are_left_out() -> None:
    assert [section.title for section in sections(make_report())] == [
        "Comparison", "Scores", "Paired tests", "Rank stability", "Planning", "Ablations",
        "What the runs were made with",
    ]  # fmt: skip
    alone = make_report(1, 1)
    alone = replace(alone, comparison=replace(alone.comparison, stability=None, plans=()))
    assert [section.title for section in sections(alone)] == ["Comparison", "Scores", "What the runs were made with"]


def test_unfinished_runs_have_a_section(tmp_path: Path) -> None:
    report = make_report()
    failed = make_run("network1", "data1", 7, "failed", status={"epoch": 2, "max_epochs": 5})
    failed = replace(failed, error="Traceback\nOutOfMemoryError: 12 GiB")
    report = replace(report, runs=[*report.runs, failed])
    (table,) = next(s for s in sections(report) if s.title == "Runs that are not finished").tables
    assert [cell.text for cell in table.grid.rows[0]] == [
        "network1", "data1", "seed 7", "failed", "2 of 5", failed.name, "OutOfMemoryError: 12 GiB"
    ]  # fmt: skip
    report.write(tmp_path, "csv", figures=False)
    lines = (tmp_path / "csv" / "runs.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(report.runs)


def test_every_table_has_a_file_in_each_format(tmp_path: Path) -> None:
    make_report().write(tmp_path, "latex", figures=False)
    make_report().write(tmp_path, "csv", figures=False)
    make_report().write(tmp_path, "markdown", figures=False)
    assert {file.name for file in (tmp_path / "latex").iterdir()} == {
        "comparison.tex", "scores-data1.tex", "conventions-data1.tex", "scores-data2.tex", "conventions-data2.tex",
        "pairs.tex", "wins.tex", "ranks.tex", "stability.tex", "stability-data1.tex", "planning.tex",
        "ablation-kernel_size.tex",
    }  # fmt: skip
    assert {file.name for file in (tmp_path / "csv").iterdir()} == {
        "comparison.csv", "scores.csv", "pairs.csv", "wins.csv", "ranks.csv", "stability.csv", "planning.csv",
        "ablations.csv", "runs.csv",
    }  # fmt: skip


def test_a_figure_is_shown_with_its_files_for_print() -> None:
    files = [Path("x", f"score costs_{suffix}") for suffix in ("a.png", "a.pdf", "a.svg", "b.png")]
    assert pictures(files) == (
        "![score costs a](figures/score%20costs_a.png)\n\n"
        "[PDF](figures/score%20costs_a.pdf), [SVG](figures/score%20costs_a.svg)",
        "![score costs b](figures/score%20costs_b.png)",
    )


def test_names_are_no_markup_on_the_page() -> None:
    markdown = pytest.importorskip("markdown")
    hostile = "<script>alert(1)</script> [a](http://b) **c** | `d`"
    made = make_comparison([hostile, "# e"], [hostile, "- f"])
    runs = [replace(run, experiment=hostile) for cell in made.cells.values() for run in cell.runs]
    report = Report(runs=runs, comparison=made, ablations=[make_ablation(made)], published=[])
    html = markdown.markdown(as_page(report, sections(report)), extensions=["tables"])
    assert "<script" not in html
    assert "<a " not in html
    assert "<code>" not in html
    shown = "&lt;script&gt;alert(1)&lt;/script&gt; [a](http://b) **c** | `d`"
    assert f"<h1>Comparison of 2 networks on {shown} and - f</h1>" in html
    assert f"<p>{shown}: 12 runs (12 finished)" in html
    assert f"<li>On {shown}, {shown} has the highest Dice" in html
    assert "<th>&lt;script&gt;alert(1)&lt;/script&gt; [a](http://b) **c** | `d`, 120 images</th>" in html


def test_file_names_are_such_that_any_system_takes_them() -> None:
    assert file_name("scores-data, size=512/..\\x y") == "scores-data-size-512-..-x-y"
    assert len(file_name("scores-" + 300 * "x")) < 200


def test_tables_of_like_names_have_files_and_labels_of_other_names(tmp_path: Path) -> None:
    labels = ("息肉", "细胞核", "GlaS (A)", "GlaS A", "glas a", "GlaS A 2")
    made = replace(make_report(2, 1), comparison=make_comparison(2, labels), ablations=[])
    made.write(tmp_path, "latex", figures=False)
    files = sorted((tmp_path / "latex").iterdir())
    assert len(files) == sum(len(section.tables) for section in sections(made))
    assert {file.stem for file in files if file.stem.startswith("scores")} == {
        "scores", "scores-2", "scores-GlaS-A", "scores-GlaS-A-2", "scores-glas-a-3", "scores-GlaS-A-2-2"
    }  # fmt: skip
    texts = [file.read_text(encoding="utf-8") for file in files]
    for file, text in zip(files, texts, strict=True):
        assert f"\\label{{tab:{file.stem}}}" in text
    found = re.findall(r"\\label{(.*?)}", "".join(texts))
    assert len(found) == len(set(found)) > len(files), "some are continued"
