"""Subgroups that were asked for: those of the table that was named, or a line that says why there are none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from medseg.errors import DataError
from medseg.metrics.measures import MEASURES
from medseg.reporting.report import Report, compare
from medseg.reporting.tables.subgroups import gap_entry, joined, subgroup_tables
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv, write_csv
from tests.reporting.fabricate import fabricate
from tests.reporting.fabricate_evaluations import fabricate_evaluations

Divisions = Mapping[tuple[str, str], Mapping[str, int]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks on a dataset and another, of which both know a device, with external tests and tests with flips."""
    folder = tmp_path_factory.mktemp("named") / "runs" / "named"
    fabricate(folder, {"unet": 0.0, "convunext": 0.03}, data=("kvasir", "dsb"), seeds=(0, 1), images=30)
    for run in read_runs(folder):
        rows = read_csv(run.folder / "images.csv")
        known = [{"device": f"{run.data}{k % 2}", "centre": "one", "ward": ""} for k in range(len(rows))]
        write_csv(run.folder / "images.csv", [row | more for row, more in zip(rows, known, strict=True)])
    own = {"source_identity": None, "data_identity": "kvasir"}
    fabricate_evaluations(folder, "cvc", images=20, devices=3, of=lambda run: run.data == "kvasir")
    fabricate_evaluations(
        folder, "kvasir", name="flips", images=30, of=lambda run: run.data == "kvasir", tta=True, devices=2, **own
    )
    for file in folder.glob("*/evaluations/cvc/prepared_size.csv"):
        write_csv(file, [row | {"dice": "0.5"} for row in read_csv(file)])
    return folder


def counted(report: Report) -> Divisions:
    """Return the number of images of each subgroup of each division."""
    return {
        (one.division.column.label, one.division.by): {name: len(ids) for name, ids in one.division.images.items()}
        for one in report.subgroups.divided
    }


def table(folder: Path, rows: Mapping[str, str], columns: str = "id,device", name: str = "table.csv") -> str:
    """Write a table of images; return its path."""
    (folder / name).write_text("\n".join([columns, *(f"{id_},{rest}" for id_, rest in rows.items())]))
    return str(folder / name)


def test_a_column_named_group_is_taken_from_a_table(runs: Path, tmp_path: Path) -> None:
    file = table(tmp_path, {f"dsb_{k:04d}": f"1,{'ab'[k % 2]},{k // 15}" for k in range(30)}, "id,size,group,stain")
    assert counted(compare(read_runs(runs), subgroups=f"{file}:group")) == {("dsb", "group"): {"a": 15, "b": 15}}
    report = compare(read_runs(runs), subgroups=file)
    assert [*counted(report)] == [("dsb", "stain")]
    assert "Not divided by these columns of table.csv: size, group." in report.subgroups.notes


def test_a_table_of_one_dataset_is_not_mixed_with_what_the_runs_know_of_another(runs: Path, tmp_path: Path) -> None:
    file = table(tmp_path, {f"dsb_{k:04d}": "xy"[k % 2] for k in range(28)})
    report = compare(read_runs(runs), subgroups=f"{file}:device")
    assert counted(report) == {("dsb", "device"): {"x": 14, "y": 14, "not known": 2}}
    assert report.subgroups.notes == (
        "device is from table.csv, which has no image of kvasir.",
        "device is from table.csv, which has no image of kvasir, tta=true.",
        "device is from table.csv, which has no image of kvasir -> cvc.",
        "device is from table.csv; 2 of 30 images of dsb are not in it.",
    )


def test_tables_of_several_datasets_are_one_column(runs: Path, tmp_path: Path) -> None:
    dsb = table(tmp_path, {f"dsb_{k:04d}": "xy"[k % 2] for k in range(30)}, name="dsb.csv")
    cvc = table(tmp_path, {f"cvc_{k:04d}": "xy"[k % 2] for k in range(20)}, name="cvc.csv")
    report = compare(read_runs(runs), subgroups=[f"{dsb}:device", cvc])
    assert counted(report) == {
        ("kvasir -> cvc", "device"): {"x": 10, "y": 10}, ("dsb", "device"): {"x": 15, "y": 15},
    }  # fmt: skip
    assert "device is from dsb.csv and cvc.csv." in report.subgroups.notes
    other = table(tmp_path, {"dsb_0000": "z"}, name="other.csv")
    with pytest.raises(DataError, match=r"'dsb_0000' is of device 'z', and of 'x' in dsb.csv"):
        compare(read_runs(runs), subgroups=[dsb, other])


def test_what_does_not_divide_a_dataset_is_a_note(runs: Path) -> None:
    report = compare(read_runs(runs), subgroups=["size", "centre", "ward"], sizes=[0.0001])
    assert counted(report) == {}
    notes = report.subgroups.notes
    assert "Not divided by size of the target: all of the images of dsb are of one subgroup, above 0.01 %." in notes
    assert "Not divided by centre: all of the images of dsb are of one subgroup, one." in notes
    assert "Not divided by ward: it is not known of the images of dsb." in notes
    assert "centre is not known of the images of kvasir -> cvc." in notes


def test_external_tests_and_tests_with_flips_have_subgroups_of_their_images(runs: Path) -> None:
    found = counted(compare(read_runs(runs), subgroups=["device"]))
    cvc = {"device0": 7, "device1": 7, "device2": 6}
    assert found["kvasir -> cvc", "device"] == cvc, "as images.csv of the evaluation has them"
    assert found["kvasir, tta=true", "device"] == {"device0": 15, "device1": 15}
    assert found["kvasir", "device"] == {"kvasir0": 15, "kvasir1": 15}


def test_subgroups_are_of_scores_at_the_prepared_size_where_these_are_compared(runs: Path) -> None:
    native, prepared = (
        compare(read_runs(runs), convention=convention, subgroups=["size", "device"])
        for convention in ("per_image", "prepared_size")
    )
    assert counted(prepared).keys() == counted(native).keys()
    for report, at_size in ((native, False), (prepared, True)):
        (of,) = [
            one.cells
            for one in report.subgroups.divided
            if (one.division.column.label, one.division.by) == ("kvasir -> cvc", "device")
        ]
        scores = [cell.score for cells in of.values() for cell in cells.values()]
        assert {score is not None and score.mean == pytest.approx(0.5) for score in scores} == {at_size}


def test_a_division_whose_subgroups_are_too_small_to_compare_is_shown_only_where_it_is_named(tmp_path: Path) -> None:
    fabricate(tmp_path, {"unet": 0.0}, data=("kvasir",), seeds=(0, 1), images=10)
    for run in read_runs(tmp_path):
        rows = read_csv(run.folder / "images.csv")
        known = [{"age": f"{20 + k % 4}", "sex": "f" if k < 5 else "m"} for k in range(len(rows))]
        write_csv(run.folder / "images.csv", [row | more for row, more in zip(rows, known, strict=True)])
    report = compare(read_runs(tmp_path))
    assert [by for _, by in counted(report)] == ["sex"]
    assert report.subgroups.notes == (
        "Not divided by size of the target: of the 3 subgroups of kvasir, fewer than 2 have 4 images; subgroups=size "
        "shows them.",
        "Not divided by age: of the 4 subgroups of kvasir, fewer than 2 have 4 images; subgroups=age shows them.",
    )
    named = compare(read_runs(tmp_path), subgroups=["size", "age"])
    assert [len(images) for images in counted(named).values()] == [3, 4]
    assert [by for _, by in counted(compare(read_runs(tmp_path), sizes=[0.06]))] == ["size", "sex"]


def test_the_gap_names_its_worst_and_its_best_subgroup(runs: Path, tmp_path: Path) -> None:
    names = ("20 to 39", "40, or above")
    file = table(tmp_path, {f"dsb_{k:04d}": f'"{names[k % 2]}"' for k in range(30)})
    report = compare(read_runs(runs), subgroups=["size", f"{file}:device"])
    for made, of in zip(subgroup_tables(report.subgroups, MEASURES["dice"]), report.subgroups.divided, strict=True):
        for record in made.displayed or ():
            gap = of.gaps[record.row]
            worst, best = (
                name.partition(",")[0] if of.division.by == "size" else name for name in (gap.worst, gap.best)
            )
            assert gap_entry(record).after.endswith(f"]; worst: {worst}; best: {best}")
    assert {*report.subgroups.divided[-1].division.images} == {*names}


def test_what_is_written_of_subgroups_says_what_its_numbers_are(runs: Path, tmp_path: Path) -> None:
    names = ["a, b"] * 14 + ["c"] * 15 + ["d, e"]
    file = table(tmp_path, {f"dsb_{k:04d}": f'"{name}"' for k, name in enumerate(names)}, "id,type")
    more = table(tmp_path, {f"dsb_{k:04d}": "xyz"[k % 3] for k in range(30)}, "id,stain", "stain.csv")
    report = compare(read_runs(runs), subgroups=[file, more])
    report.write(tmp_path, images=0, figures=False)
    page = (tmp_path / "report.md").read_text()
    assert "In brackets after a subgroup: the number of its test images." in page
    assert "c (15)" in page
    assert "Fewer than 4 images, so not part of the gap: d, e." in page
    levels = {row["subgroup"]: float(row["gap_level"]) for row in read_csv(tmp_path / "csv" / "subgroups.csv")}
    assert levels == {
        "a, b": 0.95, "c": 0.95, "d, e": 0.95, **dict.fromkeys("xyz", pytest.approx(1 - 0.05 / 3)),
    }  # fmt: skip
    html = (tmp_path / "report.html").read_text()
    assert html.count("Line: 95 % interval of the mean.") == 2
    assert html.count("A point without a line has no interval") == 1
    assert '"ticks":["a, b","c","d, e"]' in html.replace(', "', ',"').replace(": [", ":[")


def test_lists_of_subgroups_with_commas_are_separated_by_semicolons() -> None:
    assert joined(["a", "b"]) == "a, b"
    assert joined(["small, 1 to 2 %", "no target"]) == "small, 1 to 2 %; no target"


@pytest.mark.parametrize("columns", ["ID;Device", "\ufeffid;Device", "Id,Device", "id\tDevice"])
def test_tables_of_spreadsheets_are_read(runs: Path, tmp_path: Path, columns: str) -> None:
    separator = columns[-7]
    file = tmp_path / "table.csv"
    file.write_text("\n".join([columns, *(f"dsb_{k:04d}{separator}{'xy'[k % 2]}" for k in range(30))]))
    report = compare(read_runs(runs), subgroups=f"{file}:Device")
    assert counted(report) == {("dsb", "Device"): {"x": 15, "y": 15}}
