"""Rows whose settings were chosen by trials: one row whatever was chosen, with what that took, and what is unfair."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from medseg.cards.collect import collect
from medseg.cards.document import describe_training
from medseg.reporting.report import Report, compare
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv, read_json, write_json
from tests.reporting.fabricate import fabricate

GIVEN = {
    "search": "grid", "space": {"optimizer": {"lr": ["x1", "x10"]}}, "trials": None, "epochs": None, "seed": 0,
    "pruning": "median",
}  # fmt: skip


def tuned(
    experiment: Path, network: str, lr: float, data: str, *, given: Mapping[str, Any] = GIVEN, effect: float = 0.0
) -> None:
    """Make up the runs of a network on a dataset for which a learning rate was chosen."""
    before = set(experiment.iterdir()) if experiment.exists() else set()
    fabricate(experiment, {f"{network} optimizer.lr={lr}": effect}, data=(data,), seeds=(0, 1))
    space = {"optimizer.lr": [0.001, 0.01]}
    ends = {0.001: "trained", 0.01: "trained" if lr == 0.01 else "diverged"}
    trials = [
        {
            "name": f"{network}-{data}-trial{n}",
            "values": {"optimizer.lr": value},
            "state": state,
            "epochs": 5,
            "seconds": 1800.0,
        }
        | {"dice": None if state == "diverged" else 0.7 + n / 10}
        for n, (value, state) in enumerate(ends.items())
    ]
    budget = {"trials": 2, "epochs": given["epochs"] or 5, "seed": 0, "pruning": "median"}
    chosen = [trial["values"]["optimizer.lr"] for trial in trials].index(lr)
    for folder in set(experiment.iterdir()) - before:
        if not folder.is_dir():
            continue
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.safe_dump({**config, "tuning": dict(given)}, sort_keys=False))
        record = read_json(folder / "run.json")
        deviating = {f"tuning.{key}": None for key in given if key != "space"} | {"tuning.space.optimizer.lr": None}
        write_json(folder / "run.json", {**record, "defaults": {**record["defaults"], **deviating}})
        content = {"search": "grid", "space": space, "budget": budget, "trials": trials, "chosen": chosen}
        write_json(folder / "tuning.json", content)


def report_of(folder: Path) -> Report:
    return compare(read_runs(folder))


def test_what_was_chosen_on_each_dataset_is_one_row(tmp_path: Path) -> None:
    sweep = tmp_path / "runs" / "tuned"
    for network in ("unet", "convunext"):
        tuned(sweep, network, 0.001, "kvasir")
        tuned(sweep, network, 0.01, "dsb", effect=0.02)
    report = report_of(sweep)
    assert [row.label for row in report.comparison.rows] == ["unet", "convunext"]
    assert [column.label for column in report.comparison.columns] == ["kvasir", "dsb"]
    assert ("optimizer.lr", "tuned") in report.comparison.rows[0].facts
    written = report.write(sweep / "report", figures=False)
    page = written["Markdown"].read_text()
    section = page.partition("\n## Tuning\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    assert rows[0][:5] == ["network", "dataset", "chosen", "validation Dice", "trials"]
    assert rows[2] == ["unet", "kvasir", "lr=0.001", "0.7000", "2", "0", "1", "5", "1.00"]
    assert rows[3] == ["unet", "dsb", "lr=0.01", "0.8000", "2", "0", "0", "5", "1.00"]
    assert "a grid over optimizer.lr [x1, x10" in section
    assert "2 trials of 5 epochs, seed 0, median pruning" in section
    assert "Settings of 2 rows were chosen by 8 trials on validation images, 4 h of training" in page
    assert "were not" not in page
    assert 'id="tuning"' in written["HTML"].read_text()
    assert "lr=0.01" in (written["LaTeX"] / "tuning.tex").read_text()
    assert "chosen by 8 trials" in (written["LaTeX"] / "comparison.tex").read_text().replace("\n", " ")
    (_, first, *_) = read_csv(written["CSV"] / "tuning.csv")
    assert (first["chosen"], first["seconds"], first["search"]) == ("lr=0.01", "3600", "grid")
    assert first["space"] == '{"optimizer.lr": [0.001, 0.01]}'


def test_a_choice_at_the_edge_of_the_space_is_a_warning(tmp_path: Path) -> None:
    for network in ("unet", "convunext", "resunet"):
        tuned(tmp_path / "tuned", network, 0.01, "kvasir")
    report = report_of(tmp_path / "tuned")
    (warning,) = report.comparison.warnings
    edge = "Chosen at the edge of the space: on kvasir, lr=0.01 of unet, convunext and resunet. With a wider"
    assert warning.startswith(edge)
    assert warning.endswith(" the new values alone.")
    page = report.write(tmp_path / "report", "html", figures=False)["HTML"].read_text()
    assert page.index('<div class="overview">') < page.index(edge), "the verdicts come first"


def test_rows_that_were_not_tuned_alike_are_a_warning(tmp_path: Path) -> None:
    tuned(tmp_path / "tuned", "unet", 0.01, "kvasir")
    fabricate(tmp_path / "plain", {"convunext": 0.0, "unet": 0.0}, seeds=(0, 1))
    comparison = compare(read_runs([tmp_path / "tuned", tmp_path / "plain"])).comparison
    assert [row.label for row in comparison.rows] == [
        "convunext, optimizer.lr=0.001", "unet, optimizer.lr=0.001", "unet, optimizer.lr=tuned",
    ]  # fmt: skip
    warnings = " ".join(comparison.warnings)
    assert "The settings of unet, optimizer.lr=tuned were chosen by trials, those of convunext," in warnings
    assert "the same budget" not in warnings
    tuned(tmp_path / "more", "amsunet", 0.01, "kvasir", given={**GIVEN, "epochs": 9})
    comparison = compare(read_runs([tmp_path / "tuned", tmp_path / "more"])).comparison
    assert [row.label for row in comparison.rows] == ["amsunet, tuning.epochs=9", "unet, tuning.epochs=null"]
    assert any(line.startswith("Not all rows were tuned with the same budget (") for line in comparison.warnings)


def test_runs_that_were_not_tuned_have_no_such_section(tmp_path: Path) -> None:
    report = report_of(fabricate(tmp_path / "plain", {"unet": 0.0, "convunext": 0.0}, seeds=(0, 1)))
    assert "Tuning" not in report.write(tmp_path / "report", "markdown", figures=False)["Markdown"].read_text()


def test_a_card_tells_how_settings_were_chosen(tmp_path: Path) -> None:
    tuned(tmp_path / "tuned", "unet", 0.01, "kvasir")
    text = describe_training(collect(read_runs(tmp_path / "tuned").runs))
    assert "chosen by trials on the validation images: optimizer.lr 0.01; a grid over optimizer.lr" in text


@pytest.mark.parametrize("content", ["{", '{"search": "grid"}', '{"search": 3}'])
def test_a_damaged_file_is_told(content: str, tmp_path: Path) -> None:
    tuned(tmp_path / "tuned", "unet", 0.01, "kvasir")
    tuned(tmp_path / "tuned", "convunext", 0.01, "kvasir")
    (file,) = (tmp_path / "tuned").glob("unet*seed0/tuning.json")
    file.write_text(content)
    tree = read_runs(tmp_path / "tuned").checked()
    assert [run.state for run in tree].count("damaged") == 1
    assert len(compare(tree).comparison.rows) == 2


def test_a_wider_space_that_chose_other_values_replaces_the_runs_before(tmp_path: Path) -> None:
    sweep = tmp_path / "tuned"
    tuned(sweep, "unet", 0.001, "kvasir")
    earlier = {path.name for path in sweep.iterdir()}
    tuned(sweep, "unet", 0.01, "kvasir")
    for file in sweep.glob("*/tuning.json"):
        if file.parent.name not in earlier:
            content = read_json(file)
            further = {**content["trials"][0], "name": "trial2", "values": {"optimizer.lr": 0.1}, "dice": 0.5}
            space = {"optimizer.lr": [0.001, 0.01, 0.1]}
            write_json(file, {**content, "space": space, "trials": [*content["trials"], further]})
    report = report_of(sweep)
    assert len(report.runs) == 2
    assert [row.label for row in report.comparison.rows] == ["unet"]
    assert {run.config["optimizer"]["lr"] for run in report.runs} == {0.01}
    assert [note for note in report.notes if note.startswith("2 runs not counted: a tuning with more trials, or a")]
    page = report.write(sweep / "report", "markdown", figures=False)["Markdown"].read_text()
    assert "were chosen by 3 trials on validation images" in page
