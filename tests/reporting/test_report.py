"""`medseg report`: what it writes and prints, how long it takes, what it says when it cannot."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import medseg.reporting
from medseg.commands.report import report
from medseg.config.overrides import add_keys
from medseg.errors import UserError
from medseg.metrics.measures import MEASURES
from medseg.reporting.comparison import compare_runs
from medseg.reporting.report import report_of
from medseg.runs.reading import read_runs
from tests.helpers import command, compose_config
from tests.reporting.fabricate import fabricate

NETWORKS = {"unet": 0.0, "convunext": 0.03, "convunext model.kernel_size=3": 0.0}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rows, two datasets, two seeds; one run failed, one waits."""
    states = {("unet", "dsb", 1): "failed", ("convunext", "kvasir", 0): "waiting"}
    folder = tmp_path_factory.mktemp("report") / "runs" / "first"
    return fabricate(folder, NETWORKS, data=("kvasir", "dsb"), seeds=(0, 1), states=states)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def write(runs: Path, output: Path, form: str = "all", **measure: str) -> dict[str, bytes]:
    chosen = MEASURES.choose(measure.get("score"), measure.get("convention", "per_image"))
    found = read_runs([runs]).checked().runs
    report_of(found, compare_runs(found, chosen)).write(output, form, figures=False)
    return contents(output)


# The command.


def test_the_command_prints_the_comparison_and_says_where_the_files_are(sweep: Path) -> None:
    place = sweep.parent.parent
    done = command("report", "runs/first", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "first: 12 runs (10 finished, 1 failed, 1 waiting): 3 rows, 2 datasets, 2 seeds."
    assert lines[2].startswith("network ")
    assert "¹ unet on dsb: seed 1 failed (OutOfMemoryError: 12 GiB are not enough)" in done.stdout
    assert "³ convunext, kernel_size=7 on kvasir: seed 0 waiting" in done.stdout
    assert "Markdown: runs/first/report/report.md" in lines
    made = sweep / "report"
    page = (made / "report.md").read_text(encoding="utf-8")
    title = "# Comparison of 3 settings of 2 networks on kvasir and dsb"
    for heading in (title, "## Comparison", "## Scores", "## Paired tests", "## Ablations", "## Figures"):
        assert f"\n{heading}\n" in f"\n{page}"
    for line in page.splitlines():
        if line.startswith("!["):
            assert (made / line.partition("(")[2].rstrip(")")).is_file()
    assert {"comparison.tex", "pairs.tex", "ablation-kernel_size.tex"} <= {f.name for f in (made / "latex").iterdir()}
    assert {"comparison.csv", "scores.csv", "runs.csv", "pairs.csv", "ablations.csv", "ranks.csv"} <= {
        f.name for f in (made / "csv").iterdir()
    }
    shutil.rmtree(made)


def test_format_and_output_choose_what_is_written_and_where(sweep: Path, tmp_path: Path) -> None:
    done = command(
        "report", str(sweep), "format=csv", "output=here", "score=hd95", "figures=false", cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["csv"]
    assert "HD95" in done.stdout
    assert not (sweep / "report").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 1, "nothing: no such folder"),
        (["empty"], 1, "empty: no runs in it"),
        (["waiting"], 1, "waiting: nothing is finished yet (1 waiting, 1 failed)"),
        ([], 2, "which runs? Give their folder"),
        (["waiting", "score=dcie"], 2, "score is 'dcie'; with convention=per_image it must be one of dice, iou"),
        (["waiting", "score=hd95", "convention=pooled"], 2, "with convention=pooled it must be one of dice, iou"),
        (["waiting", "convention=mean"], 2, "convention is 'mean'; it must be one of per_image, pooled"),
        (["first", "format=pdf"], 2, "format is 'pdf'; it must be one of markdown, latex, csv, html, all"),
        (["first", "size=big"], 2, "size is 'big'; it must be null or a number of pixels"),
        (["first", "size=[1,2,3]"], 2, "size is [1, 2, 3]; it must be null or a number of pixels"),
        (["first", "figures=maybe"], 2, "figures is 'maybe'"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    states = {("unet", "kvasir", 0): "waiting", ("unet", "kvasir", 1): "failed"}
    fabricate(tmp_path / "waiting", {"unet": 0.0}, seeds=(0, 1), states=states)
    with pytest.raises(UserError) as caught:
        report(compose_config("report", *add_keys(arguments, ("runs*",), "report")))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == code


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [(["nothing"], 1, "error: nothing: no such folder"), (["x", "sorce=iou"], 2, "did you mean 'score'")],
)
def test_the_command_ends_with_that_line(arguments: list[str], code: int, message: str, tmp_path: Path) -> None:
    done = command("report", *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_score_that_no_run_has(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, images=5)
    file = read_runs([folder]).runs[0].folder / "test" / "per_image.csv"
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(row[:-2] for row in rows)
    with pytest.raises(UserError, match="no run has a score HD95"):
        report(compose_config("report", f"runs=['{folder}']", "score=hd95"))


def test_read_only_runs_are_reported_elsewhere(sweep: Path) -> None:
    # Not by permissions, which do not stop root.
    code = (
        f"import os, sys; sys.argv = ['medseg.report', {str(sweep)!r}, 'format=csv', 'figures=false']\n"
        f"may = os.access; os.access = lambda path, how: not str(path).startswith({str(sweep)!r}) and may(path, how)\n"
        "from medseg.commands.report import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "permission denied" in done.stderr
    assert "write elsewhere with output=FOLDER" in done.stderr


def test_help_names_every_key_and_is_quick(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['report', '--help']\n"
        "from medseg.commands.report import main; main()\n"
        "assert not {'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules), 'slow imports'"
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    done = run_python(tmp_path / "script.py", tmp_path)
    assert done.returncode == 0, done.stderr
    for key in ("runs", "format", "output", "score", "convention", "figures", "size"):
        assert f"\n    {key} " in done.stdout


def test_folders_without_a_key_are_the_runs() -> None:
    assert add_keys(["runs/a", "score=iou", "runs/it's"], ("runs*",), "report") == [
        "score=iou",
        "runs=['runs/a','runs/it\\'s']",
    ]
    assert add_keys(["score=iou"], ("runs*",), "report") == ["score=iou"]


# Time, imports.


@pytest.mark.slow
def test_a_hundred_runs_take_seconds_and_no_torch(tmp_path: Path) -> None:
    networks = {f"net{number}": 0.01 * number for number in range(6)}
    folder = fabricate(tmp_path / "s", networks, data=("kvasir", "isic", "dsb"), seeds=range(6), images=150, epochs=3)
    assert len(read_runs([folder]).runs) == 108
    script = (
        "import sys, time; started = time.process_time()\n"
        f"sys.argv = ['report', {str(folder)!r}, 'figures=false']\n"
        "from medseg.commands.report import main; main()\n"
        "heavy = {'torch', 'lightning', 'cv2', 'albumentations', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print('seconds', time.process_time() - started)"
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    started = time.perf_counter()
    done = run_python(tmp_path / "script.py", tmp_path)
    assert done.returncode == 0, done.stderr
    seconds = float(done.stdout.rpartition("seconds ")[2])
    # Of the processor: others may share it. 2.2 s on one core of an Intel Xeon while other work ran.
    assert seconds < 6, f"{seconds} s"
    assert time.perf_counter() - started < 60


def run_python(script: Path, cwd: Path):
    import os
    import subprocess

    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.run(
        [sys.executable, str(script)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


# The same from the same.


def test_the_report_is_the_same_byte_for_byte_wherever_it_is_made(sweep: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "an other" / "place" / "first"
    elsewhere.parent.mkdir(parents=True)
    shutil.copytree(sweep, elsewhere)
    one, other = write(sweep, tmp_path / "one"), write(elsewhere, tmp_path / "other")
    assert list(one) == list(other)
    assert one == other
    everything = b"".join(one.values())
    for place in (str(sweep), str(tmp_path), str(Path.home())):
        assert place.encode() not in everything


def test_files_do_not_depend_on_the_order_they_are_read_in(sweep: Path, tmp_path: Path) -> None:
    chosen = MEASURES.choose(None, "per_image")
    runs = read_runs([sweep]).runs
    report_of(runs, compare_runs(runs, chosen)).write(tmp_path / "a", "all", figures=False)
    folders = sorted((run.folder for run in runs if run.folder.exists()), reverse=True)
    again = read_runs([*folders, sweep]).runs
    report_of(again, compare_runs(again, chosen)).write(tmp_path / "b", "all", figures=False)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


# What is written.


def test_csv_holds_what_the_page_shows(sweep: Path, tmp_path: Path) -> None:
    write(sweep, tmp_path / "out")
    with (tmp_path / "out" / "csv" / "comparison.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert len(rows) == 6
    for row in rows:
        assert f"{float(row['mean']):.3f}" in page
        assert f"[{float(row['low']):.3f}, {float(row['high']):.3f}]" in page
        assert int(row["runs"]) == 2
    assert sorted(int(row["runs_finished"]) for row in rows) == [1, 1, 2, 2, 2, 2]
    with (tmp_path / "out" / "csv" / "runs.csv").open(encoding="utf-8") as stream:
        runs = list(csv.DictReader(stream))
    assert sorted(run["state"] for run in runs) == ["failed", *["finished"] * 10, "waiting"]
    (failed,) = [run for run in runs if run["state"] == "failed"]
    assert failed["error"] == "OutOfMemoryError: 12 GiB are not enough"
    assert failed["dice"] == ""


@pytest.mark.parametrize(
    ("measure", "title"),
    [
        ({"convention": "pooled"}, "pooled Dice"),
        ({"convention": "pooled", "score": "iou"}, "pooled IoU"),
        ({"convention": "mean_iou_with_background"}, "mean IoU with background"),
        ({"convention": "accuracy"}, "accuracy"),
        ({"score": "assd"}, "ASSD, pixels ↓"),
    ],
)
def test_the_page_under_every_convention(measure: dict[str, str], title: str, sweep: Path, tmp_path: Path) -> None:
    write(sweep, tmp_path, "markdown", **measure)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"### {title} of every network on every dataset" in page


def test_one_run_alone_has_a_report(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, images=6)
    write(folder, tmp_path / "out")
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "1 run (1 finished): 1 row, 1 dataset, 1 seed." in page
    assert "Paired tests" not in page
    assert "**" not in page.partition("## Scores")[0]


def test_one_image_has_no_interval(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.1}, images=1)
    write(folder, tmp_path / "out")
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "kvasir, 1 image " in page
    assert "[" not in page.partition("## Scores")[0].partition("| unet")[2].partition("\n")[0]
    assert "not judged" in page


# From the folders alone.


def test_a_copy_is_named_and_changes_no_number(sweep: Path, tmp_path: Path) -> None:
    place = tmp_path / "runs" / "first"
    shutil.copytree(sweep, place)
    before = write(place, tmp_path / "before")
    run = next(folder.parent for folder in sorted(place.glob("*/test")))
    for copy in (place / "0 copy", place.parent / "second" / run.name, place.parent / "backup"):
        shutil.copytree(run, copy)
    assert write(place.parent, tmp_path / "after") == before
    done = command("report", "runs", "figures=false", "format=markdown", "output=out", cwd=tmp_path)
    assert done.stdout.count("a copy of") == 3
    assert (tmp_path / "out" / "report.md").read_text(encoding="utf-8").count("a copy of") == 3


def test_one_damaged_run_costs_one_line(sweep: Path, tmp_path: Path) -> None:
    place = tmp_path / "runs" / "first"
    shutil.copytree(sweep, place)
    run = next(folder.parent for folder in sorted(place.glob("unet-kvasir-*/test")))
    (run / "test" / "per_image.csv").write_text("")
    (place / "sweep.json").write_text("")
    done = command("report", "runs/first", "figures=false", "format=all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "sweep.json: damaged (empty)" in done.stdout
    page = (place / "report" / "report.md").read_text(encoding="utf-8")
    assert page.count("per_image.csv: damaged") >= 1
    assert "1 damaged" in page
    assert "| convunext" in page


def test_todays_options_change_no_byte(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same folders, with other defaults in `conf/`: a report of an older sweep stays what it was."""
    before = write(sweep, tmp_path / "before")
    other = tmp_path / "conf"
    shutil.copytree(Path(__file__).parents[2] / "conf", other)
    file = other / "model" / "convunext.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("kernel_size: 7", "kernel_size: 9"), encoding="utf-8")
    assert "kernel_size: 9" in file.read_text(encoding="utf-8")
    monkeypatch.setattr("medseg.config.yaml_files.config_dir", lambda: other)
    assert write(sweep, tmp_path / "after") == before


def test_the_recorded_runs_of_an_earlier_version_have_a_report(tmp_path: Path) -> None:
    write(Path(__file__).parents[1] / "recorded" / "first_sweep", tmp_path)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "6 runs (6 finished): 3 rows, 1 dataset, 3 seeds." in page
    assert "not judged" in page


def test_names_are_read_beside_the_runs_and_from_the_command_line(sweep: Path, tmp_path: Path) -> None:
    place = tmp_path / "runs" / "first"
    shutil.copytree(sweep, place)
    (place / "names.yaml").write_text("networks: {unet: U-Net}\ndatasets: {dsb: DSB 2018, kvasir: Kvasir-SEG}\n")
    options = ["figures=false", "format=markdown"]
    done = command("report", "runs/first", *options, cwd=tmp_path)
    assert "DSB 2018, " in done.stdout
    assert done.stdout.index("DSB 2018") < done.stdout.index("Kvasir-SEG")
    done = command("report", "runs/first", *options, "names={unet: Ours}", cwd=tmp_path)
    assert "Ours" in done.stdout
    assert "DSB 2018" not in done.stdout
    done = command("report", "runs/first", *options, "names=nowhere.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: nowhere.yaml: missing\n")


@pytest.mark.parametrize("name", ["run.json", "status.json", "config.yaml", "environment.json", "test/per_image.csv"])
def test_a_damaged_run_does_not_stop_the_report(tmp_path: Path, name: str) -> None:
    folder = fabricate(tmp_path / "runs" / "s", {"unet": 0.0, "convunext": 0.03}, seeds=(0, 1, 2), images=8)
    broken = next(iter(sorted(folder.glob("unet*seed1")))) / name
    broken.write_text(broken.read_text()[: broken.stat().st_size // 2])
    made = write(folder, tmp_path / "out")
    rows = list(csv.DictReader(made["csv/comparison.csv"].decode().splitlines()))
    assert [row["network"] for row in rows] == ["unet", "convunext"]


# From Python.


@pytest.mark.slow
def test_python_compares_as_the_command_does(sweep: Path, tmp_path: Path) -> None:
    made = medseg.reporting.compare(read_runs(sweep), names={"unet": "U-Net"})
    with pytest.raises(AttributeError, match="no attribute 'contrast'"):
        _ = medseg.reporting.contrast
    done = command("report", str(sweep), f"output={tmp_path / 'a'}", "names={unet: U-Net}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{made}\n\n")
    written = made.write(tmp_path / "b")
    assert written == {
        "Markdown": tmp_path / "b" / "report.md", "LaTeX": tmp_path / "b" / "latex", "CSV": tmp_path / "b" / "csv",
        "HTML": tmp_path / "b" / "report.html", "figures": tmp_path / "b" / "figures",
    }  # fmt: skip
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_python_chooses_runs_and_what_they_are_compared_by(sweep: Path) -> None:
    runs = [run for run in read_runs(sweep) if run.data == "kvasir"]
    made = medseg.reporting.compare(runs, "iou", "pooled")
    assert made.comparison.measure.name == "pooled_iou"
    assert [column.name for column in made.comparison.columns] == ["kvasir"]
    with pytest.raises(UserError, match="nothing is finished yet"):
        medseg.reporting.compare([run for run in runs if not run.finished])


def test_a_notebook_displays_the_comparison(sweep: Path) -> None:
    html = medseg.reporting.compare(read_runs(sweep), names={"unet": "<i>U-Net</i>"})._repr_html_()
    assert "<table" in html
    assert "&lt;i&gt;U-Net" in html
    assert "<i>" not in html
