"""Evaluations on other data in a report: their columns, verdicts, and what networks lose on them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from scipy import stats

from medseg.commands.evaluate import COMMAND
from medseg.config.overrides import add_keys, normalize_overrides
from medseg.errors import UserError
from medseg.metrics.measures import MEASURES
from medseg.reporting.claims.judging import judge
from medseg.reporting.claims.verdict import Verdict
from medseg.reporting.drops import find_drops
from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.text import as_text
from medseg.reporting.report import Report, compare
from medseg.reporting.tables.external import external_table
from medseg.runs.evaluations import NO_SOURCE
from medseg.runs.reading import read_runs
from medseg.runs.run import Run
from tests.reporting.fabricate import fabricate
from tests.reporting.fabricate_evaluations import fabricate_evaluations

NETWORKS = {"unet": 0.0, "convunext": 0.03}


def on_kvasir(run: Run) -> bool:
    return run.data == "kvasir"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("external") / "sweep"
    fabricate(folder, NETWORKS, data=("kvasir", "dsb"), seeds=(0, 1, 2), seed_noise=0.01)
    effects = {"convunext": 0.08}
    fabricate_evaluations(folder, "cvc", loss=0.2, effects=effects, groups=8, seed_noise=0.01, of=on_kvasir)
    fabricate_evaluations(folder, "polypgen", of=lambda run: on_kvasir(run) and run.model == "unet" and run.seed < 2)
    own = {"source_identity": None, "data_identity": "kvasir"}
    fabricate_evaluations(folder, "kvasir", name="flips", images=60, loss=0.0, of=on_kvasir, tta=True, **own)
    fabricate_evaluations(folder, "kvasir", name="val", images=20, of=on_kvasir, split="val", **own)
    fabricate_evaluations(folder, "kvasir", name="test", images=60, of=on_kvasir, **own)
    return folder


@pytest.fixture(scope="module")
def report(sweep: Path) -> Report:
    return compare(read_runs(sweep))


def test_every_evaluation_on_other_data_is_a_column_behind_that_of_the_training(report: Report) -> None:
    labels = [column.label for column in report.comparison.columns]
    assert labels == ["kvasir", "kvasir, tta=true", "kvasir -> cvc", "kvasir -> polypgen", "dsb"]
    assert [column.label for column in report.comparison.datasets] == ["kvasir", "dsb"]
    assert [column.label for column in report.comparison.columns if column.external] == labels[2:4]
    assert "2 datasets, 3 seeds, 2 external tests" in report.opening


def test_an_external_column_has_intervals_over_its_groups_and_verdicts_by_the_rule(report: Report) -> None:
    comparison = report.comparison
    column = next(column for column in comparison.columns if column.label == "kvasir -> cvc")
    unet, convunext = comparison.column_cells(column)
    assert unet.sample is not None
    assert (len(unet.sample.ids), unet.sample.unit_count) == (40, 8)
    assert unet.scores["dice"].mean == pytest.approx(0.6, abs=0.06)
    assert unet.scores["dice"].low is not None
    (pair,) = [pair for pair in comparison.pairs if pair.column == column]
    assert (pair.state, pair.units, pair.grouped) == ("worse", 8, True)
    assert convunext.rank == 1


def test_external_columns_are_no_datasets_that_ranks_wins_costs_and_curves_are_of(report: Report) -> None:
    comparison = report.comparison
    assert comparison.ranking is not None
    assert comparison.ranking.datasets == 2
    assert comparison.stability is not None
    assert [column.label for column in comparison.stability.columns] == ["kvasir", "dsb"]
    assert {sum(counts) for counts in comparison.wins.values()} == {2}
    assert {column.label for column, _ in comparison.plans} == {"kvasir", "dsb"}
    seconds = [run.training_seconds for run in report.runs if run.model == "unet"]
    assert comparison.costs[comparison.rows[0]].training_seconds == pytest.approx(np.mean(seconds))
    assert len(report.runs) == 12


def test_subgroups_of_an_external_test_are_by_what_is_known_of_its_own_images(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1))
    fabricate_evaluations(tmp_path / "sweep", "cvc", devices=2)
    (divided,) = [of for of in compare(read_runs(tmp_path / "sweep")).subgroups.divided if of.division.by == "device"]
    assert divided.division.column.label == "kvasir -> cvc"
    assert {name: len(ids) for name, ids in divided.division.images.items()} == {"device0": 20, "device1": 20}


def test_what_lacks_an_evaluation_is_named_with_the_command_that_makes_it(report: Report, sweep: Path) -> None:
    (line,) = [line for line in report.comparison.warnings if "evaluated" in line]
    assert line == f"kvasir -> polypgen: 4 of 6 runs are not evaluated: medseg evaluate {sweep} data=polypgen"


@pytest.mark.parametrize("names", [("it's my runs",), ("one, two", "three$")])
def test_the_command_can_be_pasted_into_a_shell(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = "ext/my hospital & co_1"
    given = add_keys(["RUN", f"data.root='{root}'", "data=folder"], COMMAND.positional, "evaluate")
    for number, name in enumerate(names):
        fabricate(tmp_path / name, {"unet": 0.0}, seeds=(2 * number, 2 * number + 1))
        fabricate_evaluations(tmp_path / name, "cvc", of=lambda run: run.seed % 2 == 0, words=given[:-1])
    tree = read_runs([tmp_path / name for name in names])
    (line,) = [line for line in compare(tree).comparison.warnings if "evaluated" in line]
    program, command, *words = shlex.split(line.partition("not evaluated: ")[2])
    assert (program, command) == ("medseg", "evaluate")
    chosen = normalize_overrides(add_keys(words, COMMAND.positional, "evaluate"))
    read = {each.key_or_group: each.value() for each in OverridesParser.create().parse_overrides(chosen)}
    folders = read["checkpoint"] if len(names) > 1 else [read["checkpoint"]]
    assert [str(folder) for folder in folders] == [str(tmp_path / name) for name in names]
    assert str(read["data.root"]) == root


def test_the_drop_is_over_the_images_of_both_tests_and_over_trainings_paired_by_seed(report: Report) -> None:
    comparison = report.comparison
    column = next(column for column in comparison.columns if column.label == "kvasir -> cvc")
    drops = find_drops(comparison, column)
    samples = [[cell.sample for cell in drop.cells if cell.sample] for drop in drops]
    own = [one.scores["dice"] for one, _ in samples]
    external = [other.scores["dice"].reshape(3, 8, 5).mean(axis=2) for _, other in samples]
    seeds = [one.mean(axis=1) - other.mean(axis=1) for one, other in zip(own, external, strict=True)]
    pooled = np.mean([of.var(ddof=1) for of in seeds])  # of two networks with three seeds each: 4 degrees of freedom
    for drop, one, other, of in zip(drops, own, external, seeds, strict=True):
        parts = [
            (one.mean(axis=0).var(ddof=1) / 60, 59), (other.mean(axis=0).var(ddof=1) / 8, 7), (pooled / 3, 4)
        ]  # fmt: skip
        weighted = [(variance * (1 + 2 / freedom) ** 2, freedom) for variance, freedom in parts]
        freedom = sum(v for v, _ in weighted) ** 2 / sum(v**2 / f for v, f in weighted)
        half = stats.t.ppf(0.975, freedom) * sum(variance for variance, _ in parts) ** 0.5
        assert drop.drop == pytest.approx(of.mean())
        assert (drop.low, drop.high) == pytest.approx((of.mean() - half, of.mean() + half))
        assert drop.seeds == 3


def test_a_positive_drop_is_a_loss_under_every_score(sweep: Path) -> None:
    dice, distance = (external_table(compare(read_runs(sweep), score).comparison) for score in ("dice", "hd95"))
    for table in (dice, distance):
        assert all(record.drop > 0 for record in table.records if record.column.label == "kvasir -> cvc")
    assert "external - internal" in distance.notes[0]
    assert "internal - external" in dice.notes[0]


def test_columns_of_the_same_data_are_named_by_what_differs(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1))
    for name, facts in {
        "test": {},
        "test-again": {},
        "val": {"split": "val"},
        "flips": {"tta": True},
        "last": {"checkpoint": "RUN/checkpoints/last.ckpt"},
    }.items():
        fabricate_evaluations(tmp_path / "sweep", "cvc", name=name, **facts)
    comparison = compare(read_runs(tmp_path / "sweep")).comparison
    assert [column.label for column in comparison.columns[1:]] == [
        "kvasir -> cvc, checkpoint=best, split=test",
        "kvasir -> cvc, checkpoint=best, split=test, tta=true",
        "kvasir -> cvc, checkpoint=best, split=val",
        "kvasir -> cvc, checkpoint=last, split=test",
    ]
    assert all(len(cell.runs) == 2 for cell in comparison.cells.values()), (
        "an evaluation that was made twice counts once"
    )


def test_columns_of_the_dataset_of_the_training_are_named_by_the_options_that_differ(tmp_path: Path) -> None:
    words = ("data.dataset.style=polyp", "data.dataset.count=60")
    fabricate(tmp_path / "sweep", {"unet": 0.0}, data=("synthetic",), seeds=(0, 1), extra=words)
    for style in ("lesion", "nuclei"):
        chosen = {"data.dataset._target_": "Synthetic", "data.dataset.style": style, "data.dataset.count": 60}
        other = {"data_identity": style, "source_identity": NO_SOURCE, "options": chosen, "known_images": 0}
        fabricate_evaluations(tmp_path / "sweep", "synthetic", name=style, **other)
        labels = [column.label for column in compare(read_runs(tmp_path / "sweep")).comparison.columns]
        assert labels[-1] == f"synthetic -> synthetic, style={style}"
    assert labels[1:] == ["synthetic -> synthetic, style=lesion", "synthetic -> synthetic, style=nuclei"]


def test_folders_of_one_name_are_told_apart_by_as_little_of_their_paths_as_it_takes(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0,))
    for site in ("berne", "lyon"):
        root = {"options": {"data.root": f"/home/me/{site}/mine"}, "data_identity": site}
        fabricate_evaluations(tmp_path / "sweep", "folder", name=site, data_name="mine", **root)
    columns = compare(read_runs(tmp_path / "sweep")).comparison.columns
    external = [column.label for column in columns if column.external]
    assert external == ["kvasir -> mine, data.root=berne/mine", "kvasir -> mine, data.root=lyon/mine"]


def test_the_name_of_the_dataset_is_left_of_the_arrow(tmp_path: Path) -> None:
    for size in (64, 96):
        fabricate(tmp_path / f"of{size}", {"unet": 0.0}, seeds=(0, 1), extra=(f"data.image_size={size}",))
        fabricate_evaluations(tmp_path / f"of{size}", "cvc", size=size)
    runs = read_runs([tmp_path / "of64", tmp_path / "of96"])
    external = [column.label for column in compare(runs).comparison.columns if column.external]
    assert external == ["kvasir, image_size=64 -> cvc", "kvasir, image_size=96 -> cvc"]
    external = [c.label for c in compare(runs, names={"kvasir": "Kvasir-SEG"}).comparison.columns if c.external]
    assert external == ["Kvasir-SEG, image_size=64 -> cvc", "Kvasir-SEG, image_size=96 -> cvc"]


def test_printed_names_are_those_of_both_data(sweep: Path) -> None:
    names = {"kvasir": "Kvasir-SEG", "cvc": "CVC-ClinicDB", "kvasir -> polypgen": "PolypGen, external"}
    columns = compare(read_runs(sweep), names={"datasets": names}).comparison.columns
    labels = ["Kvasir-SEG", "Kvasir-SEG, tta=true", "Kvasir-SEG -> CVC-ClinicDB", "PolypGen, external", "dsb"]
    assert [column.label for column in columns] == labels


def test_a_claim_is_about_an_external_test_where_it_names_it(sweep: Path, report: Report, tmp_path: Path) -> None:
    def judged(more: str) -> list[Verdict]:
        file = tmp_path / "claims.yaml"
        file.write_text(
            f"title: A\nprotocol: {{data.image_size: 64, trainer.max_epochs: 5}}\nclaims:\n"
            f"  - says: better\n    source: table 1\n    better: {{model: convunext}}\n"
            f"    than: {{model: unet}}\n{more}"
        )
        return judge(file, report.comparison)

    def columns(more: str) -> list[str]:
        return [on.pair.column.label for verdict in judged(more) for on in verdict.datasets]

    where = "    where: {data: 'kvasir -> cvc'}\n"
    assert columns("") == ["kvasir", "dsb"]
    assert columns(where) == ["kvasir -> cvc"]
    # Whose parameters are those of the runs that were tested there.
    (verdict,) = judged(f"{where}    with_fewer_parameters: true\n")
    (without,) = judged(where)
    assert verdict.state in (without.state, "contradicted")
    assert any("parameters against" in remark for remark in verdict.remarks)


def test_folds_that_were_evaluated_on_the_same_images_are_averaged(tmp_path: Path) -> None:
    fabricate(tmp_path / "folds", {"unet": 0.0}, seeds=(0, 1), folds=(0, 1, 2), images=20, seed_noise=0.02)
    fabricate_evaluations(tmp_path / "folds", "cvc")
    comparison = compare(read_runs(tmp_path / "folds")).comparison
    column = next(column for column in comparison.columns if column.external)
    (cell,) = comparison.column_cells(column)
    assert cell.sample is not None
    assert len(cell.runs) == 6
    expected = [
        np.mean([run.per_image.scores["dice"] for run in cell.runs if run.seed == seed], axis=0) for seed in (0, 1)
    ]
    np.testing.assert_allclose(cell.sample.scores["dice"], expected)
    assert (cell.sample.counts[0].sum(axis=-1) == 3 * 96 * 96).all(), "the counts of all folds together"


def test_a_damaged_evaluation_is_one_line_and_one_that_was_cut_short_is_none(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1))
    fabricate_evaluations(tmp_path / "sweep", "cvc")
    first, second = sorted((tmp_path / "sweep").glob("*/evaluations/cvc"))
    content = json.loads((first / "summary.json").read_text())
    (first / "summary.json").write_text(json.dumps({**content, "split": 3}))
    made = compare(read_runs(tmp_path / "sweep"))
    (note,) = made.notes
    assert str(first / "summary.json") in note
    assert "medseg evaluate makes it again" in note
    (first / "summary.json").unlink()
    (second / "per_image.csv").write_text("id,class\n")
    made = compare(read_runs(tmp_path / "sweep"))
    assert [str(second) in note for note in made.notes] == [True]
    assert [column.label for column in made.comparison.columns] == ["kvasir"]


def test_runs_without_a_test_split_are_compared_on_other_data(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", NETWORKS, seeds=(0, 1))
    fabricate_evaluations(tmp_path / "sweep", "cvc")
    for run in read_runs(tmp_path / "sweep"):
        status = json.loads((run.folder / "status.json").read_text())
        (run.folder / "status.json").write_text(json.dumps({**status, "state": "trained"}))
        for file in run.files.test.iterdir():
            file.unlink()
    made = compare(read_runs(tmp_path / "sweep"))
    assert [cell.scores["dice"].mean > 0.5 for cell in made.comparison.column_cells(made.comparison.columns[1])]
    assert external_table(made.comparison).records[0].drop is None
    assert "evaluations" not in made.sentences[1]
    for file in (tmp_path / "sweep").glob("*/evaluations/*/summary.json"):
        file.unlink()
    with pytest.raises(UserError, match="nothing is finished yet"):
        compare(read_runs(tmp_path / "sweep"))


def test_evaluations_of_damaged_runs_are_not_counted_against_the_others(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", NETWORKS, seeds=(0, 1), images=8)
    fabricate_evaluations(tmp_path / "sweep", "cvc", images=8)
    first, second, *_ = read_runs(tmp_path / "sweep").runs
    (first.files.test / "prepared_size.csv").write_text("id\n")
    made = compare(read_runs(tmp_path / "sweep"), convention="prepared_size")
    assert made.comparison.warnings == ()
    assert "evaluations" not in made.sentences[1]
    (second.folder / "evaluations" / "cvc" / "summary.json").unlink()
    made = compare(read_runs(tmp_path / "sweep"), convention="prepared_size")
    able = len(read_runs(tmp_path / "sweep").runs) - 1
    assert f"1 of {able} runs is not evaluated: medseg evaluate" in made.comparison.warnings[0]
    assert f"1 of {able} evaluations is missing" in made.sentences[1]


def test_the_report_writes_external_tests_in_every_format(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path, figures=False, images=0)
    assert "## External tests" in (tmp_path / "report.md").read_text()
    assert "kvasir → cvc".replace("→", r"$\rightarrow$") in (tmp_path / "latex" / "external.tex").read_text()
    written = (tmp_path / "csv" / "external.csv").read_text()
    assert written.startswith("network,test,measure,scored_at,internal,external")
    assert 'id="external"' in (tmp_path / "report.html").read_text()
    assert "kvasir -> cvc" in str(report)


def test_scores_at_the_prepared_size_are_a_convention_that_is_named(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1))
    fabricate_evaluations(tmp_path / "sweep", "cvc")
    for file in (tmp_path / "sweep").glob("**/prepared_size.csv"):
        text = (file.parent / "per_image.csv").read_text().splitlines()
        column = text[0].split(",").index("dice")
        rows = [line.split(",") for line in text[1:]]
        lines = [",".join([*row[:column], "0.5", *row[column + 1 :]]) for row in rows]
        file.write_text("\n".join([text[0], *lines, ""]))
    native, small = (compare(read_runs(tmp_path / "sweep"), convention=of) for of in ("per_image", "prepared_size"))
    for column in small.comparison.columns:
        (cell,) = small.comparison.column_cells(column)
        assert cell.scores["dice"].mean == pytest.approx(0.5)
    assert small.comparison.measure.title == "Dice at 96 x 96"
    assert "Dice at 96 x 96" in str(small)
    assert native.comparison.measure.title == MEASURES["dice"].title
    (cell,) = native.comparison.column_cells(native.comparison.columns[0])
    assert cell.scores["dice"].mean == pytest.approx(0.8, abs=0.05)
    small.write(tmp_path / "report", "csv")
    assert "96 x 96" in (tmp_path / "report" / "csv" / "comparison.csv").read_text()


def test_runs_of_before_the_native_size_are_told_apart(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1))
    run = read_runs(tmp_path / "sweep")[0]
    summary = json.loads(run.files.summary.read_text())
    del summary["prepared_size"]
    run.files.summary.write_text(json.dumps(summary))
    run.files.prepared_size.unlink()
    (note,) = compare(read_runs(tmp_path / "sweep")).notes
    assert note.startswith("1 of 2 finished runs of an older version: scored at the prepared size")
    made = compare(read_runs(tmp_path / "sweep"), convention="prepared_size")
    assert not made.notes
    (cell,) = made.comparison.column_cells(made.comparison.columns[0])
    assert len(cell.runs) == 2


def test_images_of_the_runs_own_data_are_not_external_and_a_note_says_so(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1))
    own = read_runs(tmp_path / "sweep")[0].summary["data_identity"]
    copy = {"data_identity": own, "source_identity": "elsewhere", "split_name": "all", "data_name": "copy"}
    fabricate_evaluations(tmp_path / "sweep", "kvasir", name="copy", **copy)
    drawn = {"source_identity": NO_SOURCE, "known_images": 40, "tta": True}
    fabricate_evaluations(tmp_path / "sweep", "kvasir", name="larger", images=40, size=128, **drawn)
    fabricate_evaluations(tmp_path / "sweep", "kvasir", name="val", split="val", data_identity=own)
    made = compare(read_runs(tmp_path / "sweep"))
    assert [column.label for column in made.comparison.columns] == ["kvasir"]
    assert list(made.notes) == [
        "copy (evaluations/copy): 2 evaluations on images of the run's data, so no external test, and without a column",
        "kvasir (evaluations/larger): 2 evaluations on images of the run's data, so no external test, and without "
        "a column",
    ]


def test_some_images_of_the_runs_own_data_in_an_external_test_are_counted(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1))
    fabricate_evaluations(tmp_path / "sweep", "cvc", images=40, known_images=3)
    made = compare(read_runs(tmp_path / "sweep"))
    assert [column.label for column in made.comparison.columns] == ["kvasir", "kvasir -> cvc"]
    (note,) = made.notes
    assert note.startswith("kvasir -> cvc: 3 tested images of the run's data")


def test_a_score_that_own_tests_lack_is_a_note_with_the_command_and_no_drop(tmp_path: Path) -> None:
    fabricate(tmp_path / "my sweep", {"unet": 0.0}, seeds=(0, 1))
    fabricate_evaluations(tmp_path / "my sweep", "cvc")
    for file in (tmp_path / "my sweep").glob("*/evaluations/cvc/per_image.csv"):
        header, *rows = file.read_text().splitlines()
        file.write_text("\n".join([f"{header},mcc", *(f"{row},0.5" for row in rows), ""]))
    for file in (tmp_path / "my sweep").glob("*/evaluations/cvc/summary.json"):
        summary = json.loads(file.read_text())
        summary["headline"]["mcc"] = {"mean": 0.5}
        file.write_text(json.dumps(summary))
    made = compare(read_runs(tmp_path / "my sweep"), "mcc")
    (note,) = made.notes
    command = note.partition("of unet: ")[2]
    assert note.startswith("kvasir -> cvc: no drop of MCC, which the internal tests lack")
    assert shlex.split(command) == ["medseg", "score", str(tmp_path / "my sweep"), "scores=[mcc]"]
    assert external_table(made.comparison).records == []
    assert not compare(read_runs(tmp_path / "my sweep")).notes


def test_an_interval_that_no_drop_can_have_is_a_remark(tmp_path: Path) -> None:
    fabricate(tmp_path / "sweep", {"unet": 0.0}, seeds=(0, 1), seed_noise=0.3, images=6)
    fabricate_evaluations(tmp_path / "sweep", "cvc", images=4, groups=2, seed_noise=0.3)
    table = external_table(compare(read_runs(tmp_path / "sweep")).comparison)
    (drop,) = table.records
    assert (drop.low, drop.high, drop.remark) == (None, None, "too few seeds")
    assert "[too few seeds]" in as_text(table)
    header, row = as_csv(table).splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    names = [f"{of}_{what}" for of in ("internal", "external") for what in ("images", "groups")]
    assert [cells[name] for name in names] == ["6", "", "4", "2"]
