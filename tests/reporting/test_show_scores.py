"""What the tables of a report say: every number in its column, what is missing said."""

from __future__ import annotations

from pathlib import Path

import pytest
from medseg.reporting.records import read_runs

from medseg.metrics.measures import MEASURES
from medseg.report import make_report
from medseg.reporting.ablation import find_ablations
from medseg.reporting.comparison import compare
from medseg.reporting.document import sections
from medseg.reporting.published import COLUMNS
from medseg.reporting.published_cells import find_published
from medseg.reporting.render import Entry, Table
from medseg.reporting.show_scores import comparison_table, published_table, unfinished_table
from medseg.reporting.show_tests import ablation_table, pairs_table
from medseg.reporting.words import p_value
from tests.reporting.fabricate import ERROR, fabricate
from tests.reporting.test_comparison import benchmark, cell, compared


def shown(table: Table) -> list[dict[str, str]]:
    """The rows of a table, by their headings; best in **, second in __."""
    marks = {None: "", 1: "**", 2: "__"}

    def text(entry: str | Entry) -> str:
        if isinstance(entry, str):
            return entry
        return f"{marks[entry.place]}{entry.text}{marks[entry.place]}{entry.after}"

    headings = [heading.text for heading in table.headings]
    return [dict(zip(headings, map(text, row), strict=True)) for row in table.rows]


def test_a_cell_says_its_runs_what_it_lacks_and_its_place(tmp_path: Path) -> None:
    networks = {"unet": -0.1, "resunet": 0.0, "convunext": 0.001, "amsunet": 0.0}
    states = {("unet", "kvasir", 1): "failed", ("amsunet", "kvasir", 0): "failed", ("amsunet", "kvasir", 1): "waiting"}
    comparison = compared(fabricate(tmp_path / "s", networks, seeds=(0, 1), states=states))
    table = comparison_table(comparison)
    cells = {row["network"]: row["kvasir, 60 images"] for row in shown(table)}
    score = {name: cell(comparison, name, "kvasir").scores.get("dice") for name in networks}
    best, second = sorted(("resunet", "convunext"), key=lambda name: -score[name].mean)
    for name, before in ((best, "**"), (second, "__"), ("unet", "")):
        assert cells[name].startswith(f"{before}{score[name].mean:.3f}{before} ")
        assert f"[{score[name].low:.3f}, {score[name].high:.3f}]" in cells[name]
    assert f" ± {score[best].sd:.3f} [" in cells[best]
    assert cells[best].endswith("(2)")
    assert cells[second].endswith("(2) ≈"), "not told from the best"
    assert "≈" not in cells["unet"]
    assert cells["unet"].endswith("(1 of 2)¹")
    assert cells["amsunet"] == "failed²"
    assert "¹ unet on kvasir: seed 1 failed (OutOfMemoryError: 12 GiB are not enough)" in table.notes
    assert "² amsunet on kvasir: seed 0 failed (OutOfMemoryError: 12 GiB are not enough); seed 1 waiting" in table.notes


def test_costs_stand_in_their_columns(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0})
    (run,) = read_runs([folder])
    benchmark(folder, run, 96, "2026-11-01T10:00:00+00:00", name="a", macs=1_234_000_000)
    (row,) = shown(comparison_table(compared(folder)))
    assert row["parameters, M"] == "4.32"
    assert row["MACs, G (96 x 96)"] == "1.23"
    assert (row["latency, ms"], row["memory, MiB"]) == ("12.5", "300")
    assert row["training, min"] == f"{run.training_seconds / 60:.1f}"


def test_a_published_figure_has_its_source_and_our_difference(tmp_path: Path) -> None:
    row = dict.fromkeys(COLUMNS, "") | {
        "source": "A paper", "year": "2022", "dataset": "Kvasir-SEG", "split": "official 880/120", "image_size": "96",
        "model": "U-Net", "dice": "0.7", "metric_convention": "per image, averaged",
    }  # fmt: skip
    comparison = compared(fabricate(tmp_path / "s", {"unet": 0.0}))
    (said,) = shown(published_table(find_published(comparison, [row])))
    ours = cell(comparison, "unet", "kvasir").scores["dice"].mean
    assert (said["published"], said["source"]) == ("0.700", "A paper, 2022")
    assert said["difference, points"] == f"{100 * (ours - 0.7):+.1f}"
    assert said["ours"].startswith(f"{ours:.3f} [")
    assert said["protocol differs in"] == "nothing known"


def test_unfinished_runs_have_a_table(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0, 1), states={("unet", "kvasir", 1): "failed"})
    runs = read_runs([folder])
    table = unfinished_table(runs)
    assert table is not None
    (said,) = shown(table)
    assert (said["run"], said["state"], said["epoch"]) == (runs[1].name, "failed", "2 of 5")
    assert said["error, last line"] == ERROR.splitlines()[-1]
    assert unfinished_table(runs[:1]) is None
    page = sections(make_report(runs, MEASURES["dice"]))
    assert table in next(section.parts for section in page if section.title == "Runs that are not finished")


def test_an_ablation_shows_the_difference_from_the_default_and_the_corrected_p(tmp_path: Path) -> None:
    networks = {f"convunext model.kernel_size={k}": effect for k, effect in ((3, -0.015), (7, 0.0), (9, 0.004))}
    comparison = compare(read_runs([fabricate(tmp_path / "s", networks)]), MEASURES["dice"])
    (ablation,) = find_ablations(comparison)
    default, *others = shown(ablation_table(ablation, comparison))
    assert default["kernel_size"] == "7 (default)"
    assert default["p, Holm"] == default["difference, points [95 % interval]"] == ""
    for row, pair in zip(others, ablation.blocks[0].pairs.values(), strict=True):
        values = tuple(100 * value for value in (pair.difference, pair.low, pair.high))
        assert row["difference, points [95 % interval]"] == "{:+.2f} [{:+.2f}, {:+.2f}]".format(*values)
        assert row["p, Holm"] == p_value(pair.corrected)
    assert any(p_value(pair.corrected) != p_value(pair.p) for pair in ablation.blocks[0].pairs.values())


def test_a_pair_is_shown_from_its_first_row(tmp_path: Path) -> None:
    comparison = compared(fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.06}))
    table = pairs_table(comparison)
    assert table is not None
    (said,) = shown(table)
    (pair,) = comparison.pairs
    assert (said["network"], said["against"], said["verdict"]) == ("unet", "convunext", "worse")
    assert said["difference, points [95 % interval]"].startswith(f"{100 * pair.difference:+.2f} [")
    assert pair.difference == pytest.approx(-0.06, abs=0.02)
