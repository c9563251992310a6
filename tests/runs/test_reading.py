"""Runs as they are read from their folders: each once, whatever it is called and wherever it was copied to."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medseg.errors import UserError
from medseg.runs.reading import RunTree, read_runs
from medseg.runs.run import Run
from tests.reporting.fabricate import fabricate

RECORDED = Path(__file__).parents[1] / "recorded" / "first_sweep"

NETWORKS = {"unet": 0.0, "convunext": 0.03}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return fabricate(tmp_path / "runs" / "main", NETWORKS, seeds=(0, 1), images=8)


def dice(tree: RunTree) -> dict[str, list[float]]:
    return {run.name: run.per_image.scores["dice"].tolist() for run in tree.runs}


def run_folders(sweep: Path) -> list[Path]:
    return sorted(folder.parent for folder in sweep.glob("*/run.json"))


def test_a_run_of_an_earlier_version_is_read() -> None:
    tree = read_runs([RECORDED]).checked()
    assert (tree.copies, tree.problems) == ([], [])
    assert [run.state for run in tree.runs] == ["finished"] * 6
    run = next(run for run in tree.runs if run.name == "convunext-synthetic-0610f8f4-seed1")
    assert (run.model, run.data, run.seed, run.parameters) == ("convunext", "synthetic", 1, 3_505_730)
    assert run.defaults is None
    assert run.groups == {}
    assert run.settings["optimizer.lr"] == 0.003
    assert run.settings["augmentation.transforms.1.p"] == 0.7
    assert run.config["seed"] == 1
    assert "seed" not in run.settings
    assert run.summary["headline"]["dice"]["mean"] == pytest.approx(run.per_image.scores["dice"].mean())
    assert len(run.epochs) == 4


def test_settings_are_parsed_once_for_all_seeds() -> None:
    runs = [run for run in read_runs([RECORDED]).runs if run.setting == "unet-synthetic-e0cfe257"]
    assert len(runs) == 3
    assert len({id(run.settings) for run in runs}) == 1


# Copies.


def linked(sweep: Path) -> None:
    (sweep.parent / "link").symlink_to(sweep, target_is_directory=True)
    (sweep / "again").symlink_to(run_folders(sweep)[0], target_is_directory=True)


def looped(sweep: Path) -> None:
    (sweep / "loop").symlink_to(sweep.parent, target_is_directory=True)
    (sweep.parent / "self").symlink_to(sweep.parent / "self", target_is_directory=True)


@pytest.mark.parametrize("link", [linked, looped])
def test_a_folder_that_is_met_twice_counts_once(sweep: Path, link: Callable[[Path], None]) -> None:
    before = dice(read_runs([sweep.parent]))
    link(sweep)
    tree = read_runs([sweep.parent, sweep, run_folders(sweep)[0]])
    assert dice(tree) == before
    assert tree.copies == []


@pytest.mark.parametrize("place", ["main/a copy", "main/aaa", "other/deep/unet", "zzz", "main_backup/{name}", "{name}"])
def test_a_copied_run_is_named_and_changes_nothing(sweep: Path, place: str) -> None:
    before = dice(read_runs([sweep.parent]))
    originals = run_folders(sweep)
    original = originals[0]
    copy = sweep.parent / place.format(name=original.name)
    shutil.copytree(original, copy)
    tree = read_runs([sweep.parent])
    assert dice(tree) == before
    assert tree.copies == [f"{copy}: a copy of {original}, so it is not counted"]
    assert [run.folder for run in tree.runs] == originals


def test_a_copied_sweep_counts_once_with_its_jobs_that_wait(tmp_path: Path) -> None:
    states = {("unet", "kvasir", 1): "waiting", ("unet", "kvasir", 0): "failed", ("convunext", "kvasir", 0): "running"}
    sweep = fabricate(tmp_path / "runs" / "main", NETWORKS, seeds=(0, 1), images=8, states=states)
    before = [(run.name, run.state) for run in read_runs([sweep]).runs]
    assert sorted(state for _, state in before) == ["failed", "finished", "running", "waiting"]
    shutil.copytree(sweep, tmp_path / "runs" / "backup" / "main")
    tree = read_runs([tmp_path / "runs"])
    assert [(run.name, run.state) for run in tree.runs] == before
    assert len(tree.copies) == 3


def test_a_run_that_was_renamed_or_moved_is_the_job_of_its_sweep(sweep: Path) -> None:
    before = dice(read_runs([sweep]))
    first, second = run_folders(sweep)[:2]
    first.rename(sweep / "my favourite")
    second.rename(sweep.parent / "elsewhere")
    assert dice(read_runs([sweep.parent])) == before


def test_the_same_seed_trained_twice_is_no_copy(sweep: Path) -> None:
    original = run_folders(sweep)[0]
    copy = sweep.parent / "other" / original.name
    shutil.copytree(original, copy)
    table = copy / "test" / "per_image.csv"
    table.write_text(table.read_text().replace("kvasir_0000,polyp,", "kvasir_0000,polyp,1"))
    tree = read_runs([sweep.parent])
    assert tree.copies == []
    assert len(tree.runs) == 5


HALF = ["status.json", "test", "test/per_image.csv", "test/summary.json", "config.yaml", "images.csv"]


@pytest.mark.parametrize("lost", HALF)
def test_half_a_copy_is_a_copy(sweep: Path, lost: str) -> None:
    before = dice(read_runs([sweep]))
    original = run_folders(sweep)[0]
    copy = sweep / "0 half"
    shutil.copytree(original, copy)
    shutil.rmtree(copy / lost) if (copy / lost).is_dir() else (copy / lost).unlink()
    for tree in (read_runs([sweep]), read_runs([sweep]).checked()):
        assert dice(tree) == before
        assert tree.copies == [f"{copy}: a copy of {original}, so it is not counted"]


@pytest.mark.parametrize("lost", ["test/per_image.csv", "config.yaml"])
def test_the_whole_one_of_two_copies_counts(sweep: Path, lost: str) -> None:
    before = dice(read_runs([sweep]))
    original = run_folders(sweep)[0]
    shutil.copytree(original, sweep / "backup")
    (original / lost).unlink()
    tree = read_runs([sweep]).checked()
    assert dice(tree) == before
    assert tree.copies == [f"{original}: a copy of {sweep / 'backup'}, so it is not counted"]


def test_a_copy_whose_scores_are_cut_is_named_with_its_damage(sweep: Path) -> None:
    before = dice(read_runs([sweep]))
    original = run_folders(sweep)[0]
    shutil.copytree(original, sweep / "0 half")
    broken = sweep / "0 half" / "test" / "per_image.csv"
    broken.write_text(broken.read_text()[:-200])
    tree = read_runs([sweep]).checked()
    assert dice(tree) == before
    (line,) = tree.copies
    assert line.startswith(f"{broken}: damaged (")
    assert line.endswith(f"; a copy of {original}, so it is not counted")


def crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


@pytest.mark.parametrize("rewrite", [crlf, str.rstrip, lambda text: text + "\n", lambda text: "\ufeff" + text])
def test_a_copy_in_other_bytes_is_a_copy(sweep: Path, rewrite: Callable[[str], str]) -> None:
    before = dice(read_runs([sweep]))
    original = run_folders(sweep)[0]
    copy = shutil.copytree(original, sweep / "0 copy")
    for name in ("config.yaml", "test/per_image.csv"):
        file = copy / name
        file.write_bytes(rewrite(file.read_text()).encode())
        for tree in (read_runs([sweep]), read_runs([sweep]).checked()):
            assert dice(tree) == before
            assert len(tree.copies) == 1
            assert f"a copy of {original}, so it is not counted" in tree.copies[0]


def test_a_copy_stands_for_an_original_with_a_damaged_file(sweep: Path) -> None:
    before = dice(read_runs([sweep]))
    original = run_folders(sweep)[0]
    copy = shutil.copytree(original, sweep / "backup")
    (original / "test" / "summary.json").write_text("{")
    tree = read_runs([sweep]).checked()
    assert dice(tree) == before
    assert [run.folder for run in tree.runs if run.name == original.name] == [copy]
    assert len(tree.copies) == 1


# Damaged files.


def half_row(file: Path) -> None:
    text = file.read_text()
    file.write_text(text[: text.rindex(",", 0, len(text) - 4)])


def infinite(file: Path) -> None:
    """Deep enough to end a recursive parser."""
    file.write_text('{"a":' * 100_000)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_text(""),
    "no text": lambda file: file.write_bytes(b"\xff\xfe\x00\x80" * 9),
    "half": lambda file: file.write_text(file.read_text()[: len(file.read_text()) // 2]),
    "cut short": lambda file: file.write_text(file.read_text()[:-3]),
    "a list": lambda file: file.write_text("[1, 2]"),
    "nested": infinite,
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["run.json", "status.json", "config.yaml", "test/summary.json", "test/per_image.csv"])
def test_a_damaged_file_costs_its_run_alone_and_is_named(sweep: Path, name: str, damage: str) -> None:
    before = dice(read_runs([sweep]))
    broken = run_folders(sweep)[0] / name
    DAMAGE[damage](broken)
    tree = read_runs([sweep]).checked()
    lines = tree.problems + [run.error for run in tree.runs if run.state == "damaged"]
    assert len(lines) == 1
    assert lines[0].startswith(f"{broken}: ")
    assert "\n" not in lines[0]
    others = {run.name: run.per_image.scores["dice"].tolist() for run in tree.runs if run.finished}
    assert others == {name: values for name, values in before.items() if name != broken.relative_to(sweep).parts[0]}


def test_a_number_that_nothing_can_have_is_damage(sweep: Path) -> None:
    file = run_folders(sweep)[0] / "test" / "summary.json"
    summary = json.loads(file.read_text())
    assert isinstance(summary["parameters"], int)
    file.write_text(json.dumps(summary | {"parameters": 10**400}))
    (damaged,) = (run for run in read_runs([sweep]).checked().runs if run.state == "damaged")
    assert damaged.error.startswith(f"{file}: ")


def pipe(file: Path) -> None:
    """Reading it would wait for somebody to write."""
    file.unlink()
    os.mkfifo(file)


def endless(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


@pytest.mark.parametrize("damage", [pipe, endless])
@pytest.mark.parametrize(
    "name",
    ["run.json", "status.json", "config.yaml", "images.csv", "metrics.csv", "test/summary.json", "test/per_image.csv"],
)
def test_only_regular_files_are_read(sweep: Path, name: str, damage: Callable[[Path], None]) -> None:
    broken = run_folders(sweep)[0] / name
    damage(broken)
    tree = read_runs([sweep]).checked()
    (line,) = tree.problems + [run.error for run in tree.runs if run.state == "damaged"]
    assert line is not None
    assert line.startswith(f"{broken}: cannot be read (no regular file)")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_sweep_file_costs_its_waiting_jobs_alone(sweep: Path, damage: str) -> None:
    before = dice(read_runs([sweep]))
    DAMAGE[damage](sweep / "sweep.json")
    tree = read_runs([sweep]).checked()
    assert dice(tree) == before
    assert all(line.startswith(f"{sweep / 'sweep.json'}: ") for line in tree.problems)
    assert len(tree.problems) == 1


@pytest.mark.parametrize("damage", [half_row, *(DAMAGE[name] for name in ("no text", "a folder"))])
def test_damaged_curves_cost_the_curves_alone(sweep: Path, damage: Callable[[Path], object]) -> None:
    broken = run_folders(sweep)[0] / "metrics.csv"
    damage(broken)
    tree = read_runs([sweep]).checked()
    assert [run.state for run in tree.runs] == ["finished"] * 4
    assert tree.runs[0].epochs == []
    assert len(tree.problems) == 1
    assert tree.problems[0].startswith(f"{broken}: ")


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("run.json", "seed", "one"),
        ("run.json", "seed", None),
        ("run.json", "name", 3),
        ("run.json", "choices", ["model"]),
        ("run.json", "overrides", "model=unet"),
        ("status.json", "state", "done"),
        ("status.json", "pid", "x"),
        ("test/summary.json", "evaluation_size", 96),
        ("test/summary.json", "own_metrics", [1]),
        ("test/summary.json", "headline", {"dice": 0.5}),
        ("test/summary.json", "headline", {"dice": {"mean": "0.5"}}),
        ("environment.json", "packages", "torch"),
        ("test/summary.json", "training_seconds", float("inf")),
        ("test/summary.json", "training_seconds", float("nan")),
    ],
)
def test_a_wrong_type_is_damage(sweep: Path, name: str, key: str, value: object) -> None:
    file = run_folders(sweep)[0] / name
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: value}))
    tree = read_runs([sweep]).checked()
    (line,) = tree.problems + [run.error for run in tree.runs if run.state == "damaged"]
    assert line.startswith(f"{file}: damaged ({key!r} is ")


@pytest.mark.parametrize(
    ("key", "value"),
    [("title", None), ("licence", 3), ("about", []), ("counts", {"val": 3}), ("counts", {"train": "3"}),
     ("fingerprint", {"problems": {}}), ("fingerprint", "x")],
)  # fmt: skip
def test_wrong_types_in_the_facts_of_the_data_are_damage(sweep: Path, key: str, value: object) -> None:
    file = run_folders(sweep)[0] / "data.json"
    facts = {"title": "Polyps", "licence": "", "about": "", "citation": "", "counts": {"train": 3}, "fingerprint": {}}
    file.write_text(json.dumps(facts))
    assert read_runs([sweep]).checked().problems == []
    assert all(run.finished for run in read_runs([sweep]).checked().runs)
    file.write_text(json.dumps({**facts, key: value}))
    (line,) = [run.error for run in read_runs([sweep]).checked().runs if run.state == "damaged"]
    assert line is not None
    assert line.startswith(f"{file}: damaged ({key!r} is ")


@pytest.mark.parametrize("value", ["inf", "-inf", "1e300"])
def test_infinite_scores_are_left_out_with_a_note(sweep: Path, value: str) -> None:
    file = run_folders(sweep)[0] / "test" / "per_image.csv"
    header, first, *rest = file.read_text().splitlines()
    cells = first.split(",")
    cells[header.split(",").index("hd95")] = value
    file.write_text("\n".join([header, ",".join(cells), *rest, ""]))
    tree = read_runs([sweep]).checked()
    assert tree.problems == [f"{file.parent.parent}: infinite values of hd95 are left out"]
    assert np.isnan(tree.runs[0].per_image.scores["hd95"]).sum() == 1


def test_a_folder_that_may_not_be_read_is_named(sweep: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    closed = sweep / "closed"
    closed.mkdir(mode=0)
    assert read_runs([sweep]).problems == [f"{closed}: cannot be read (Permission denied)"]


def test_no_folder_and_no_runs_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        read_runs([tmp_path / "missing"])
    with pytest.raises(UserError, match="no runs in it"):
        read_runs([tmp_path])
    with pytest.raises(UserError, match="no runs in it"):
        read_runs([RECORDED, tmp_path])
    with pytest.raises(UserError, match="which runs"):
        read_runs([])


def test_one_class_of_several_is_scored_by_itself(tmp_path: Path) -> None:
    sweep = fabricate(tmp_path / "s", {"unet": 0.0}, images=6, classes=("background", "disc", "cup"))
    (run,) = read_runs([sweep]).runs
    cup = run.per_image.of_class("cup")
    assert isinstance(run, Run)
    assert cup.classes == ("cup",)
    assert cup.counts.shape == (6, 1, 4)
    both = (run.per_image.of_class("disc").scores["dice"] + cup.scores["dice"]) / 2
    assert both == pytest.approx(run.per_image.scores["dice"])
