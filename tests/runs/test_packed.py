"""The file of `medseg pack`: the same bytes for the same runs, read as a folder, nothing of the machine in it."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from medseg.commands.pack import pack as pack_command
from medseg.commands.report import report
from medseg.commands.score import score
from medseg.commands.status import status
from medseg.commands.unpack import unpack as unpack_command
from medseg.errors import UserError
from medseg.reporting.report import compare
from medseg.runs.folder import RunFolder, find_run, run_folder
from medseg.runs.packed.archive import MANIFEST, read_content
from medseg.runs.packed.packing import default_file, select, write_packed
from medseg.runs.packed.private import Paths, without_private
from medseg.runs.packed.unpacking import unpack
from medseg.runs.reading import read_runs
from medseg.runs.run import is_run
from medseg.sweeps.evaluations import evaluate_runs
from medseg.system.files import read_json, read_yaml, write_csv, write_json
from medseg.system.locks import BusyError
from medseg.system.process import machine, process_mark
from tests.helpers import compose_config
from tests.reporting.fabricate import fabricate
from tests.reporting.fabricate_evaluations import fabricate_evaluations

STATES = {("unet", "kvasir", 2): "failed", ("unext", "kvasir", 2): "waiting"}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = fabricate(
        tmp_path / "runs" / "mine", {"unet": 0.0, "unext": 0.03}, seeds=(0, 1, 2), states=STATES, images=9
    )
    fabricate_evaluations(folder, "cvc", images=5)
    return folder


def pack(folder: Path, file: Path | None = None, **options: bool) -> Path:
    file = file or default_file(folder)
    write_packed(select([folder], **options), file)
    return file


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_the_report_reads_is_in_the_file_and_the_rest_is_not(sweep: Path, tmp_path: Path) -> None:
    run = next(sweep.glob("unet*seed0"))
    for name in (
        "checkpoints/best.ckpt", "train.log", "wandb/offline-run-1/x.wandb", "tensorboard/events", "images/a.png",
        "test/predictions.npz", "test/probabilities.npz", "evaluations/cut/per_image.csv", ".lock",
    ):  # fmt: skip
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(b"large")
    (sweep / "names.yaml").write_text("unet: U-Net\n")
    (sweep / "report").mkdir()
    (sweep / "report" / "report.json").write_text("{}")
    held = set(read_content(pack(sweep)).entries)
    own = {name.removeprefix(f"mine/{run.name}/") for name in held if run.name in name}
    evaluated = {"per_image.csv", "prepared_size.csv", "images.csv", "summary.json"}
    name = next((run / "evaluations").glob("*/summary.json")).parent.name
    records = {"run.json", "status.json", "config.yaml", "environment.json", "images.csv", "metrics.csv"}
    tested = {"test/per_image.csv", "test/prepared_size.csv", "test/summary.json"}
    there = {file for file in evaluated if (run / "evaluations" / name / file).exists()}
    assert own == records | tested | {f"evaluations/{name}/{file}" for file in there}
    assert held >= {"mine/sweep.json", "mine/names.yaml"}
    assert not any("report" in name for name in held)
    with_all = set(read_content(pack(sweep, tmp_path / "all.zip", predictions=True, images=True)).entries) - held
    assert {name.removeprefix(f"mine/{run.name}/") for name in with_all} == {"test/predictions.npz", "images/a.png"}


def test_the_same_runs_give_the_same_bytes_wherever_they_lie_and_equal_files_are_stored_once(
    sweep: Path, tmp_path: Path
) -> None:
    first = pack(sweep).read_bytes()
    assert pack(sweep).read_bytes() == first
    shutil.copytree(sweep, tmp_path / "elsewhere" / "runs" / "mine", copy_function=shutil.copy)
    assert pack(tmp_path / "elsewhere" / "runs" / "mine").read_bytes() == first
    with zipfile.ZipFile(sweep / "mine.zip") as archive:
        stored = archive.namelist()
        assert sum(name.endswith("images.csv") and "evaluations" not in name for name in stored) == 1
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    listed = [name for name in read_content(sweep / "mine.zip").entries if name.endswith("seed0/images.csv")]
    assert len(listed) == 2, "of both networks"


def test_reports_from_the_folder_and_from_the_file_are_the_same_bytes(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep, tmp_path / "results" / "packed.zip")
    compare(read_runs(sweep)).write(tmp_path / "of_folder", images=0, figures=False)
    compare(read_runs(file)).write(tmp_path / "of_file", images=0, figures=False)
    of_folder, of_file = content(tmp_path / "of_folder"), content(tmp_path / "of_file")
    missing = f"checkpoint=[{sweep}]", f"medseg evaluate {sweep}"
    assert of_folder.keys() == of_file.keys()
    for name, text in of_folder.items():
        for word in missing:
            text = text.replace(word.encode(), word.replace(str(sweep), "runs/mine").encode())
        assert of_file[name] == text, name
    assert str(tmp_path).encode() not in b"".join(of_file.values())


def test_a_run_trained_again_is_named_by_the_folder_that_unpack_makes(sweep: Path, tmp_path: Path) -> None:
    other = fabricate(tmp_path / "other" / "mine", {"unet": 0.01}, seeds=(0,), images=9)
    again = next(other.glob("unet-kvasir*seed0"))
    again.rename(sweep / f"{again.name}-again")
    compare(read_runs(pack(sweep, tmp_path / "x.zip"))).write(tmp_path / "report", images=0, figures=False)
    written = b"".join(content(tmp_path / "report").values())
    assert f"runs/mine/{again.name}-again".encode() in written
    assert b"medseg-runs-" not in written


def test_the_commands_read_the_file_and_write_beside_it(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pack_command(compose_config("pack", f"runs=[{sweep}]", "output=results/packed.zip"))
    file = Path("results", "packed.zip")
    assert "5 runs (1 failed, 4 finished), without checkpoints" in capsys.readouterr().out
    status(compose_config("status", f"runs=[{file}]"))
    assert "6 runs: 4 finished, 1 failed, 1 waiting" in capsys.readouterr().out
    report(compose_config("report", f"runs=[{file}]", "format=csv", "figures=false"))
    assert "CSV:      results/report/csv" in capsys.readouterr().out
    page = tmp_path / "page"
    compare(read_runs(file)).write(page, "html")
    assert "they were not packed (medseg pack predictions=true packs them)" in (page / "report.html").read_text()
    before = read_runs(sweep).runs
    again = read_runs(file).runs
    assert [(run.name, run.state, run.scores) for run in again] == [(run.name, run.state, run.scores) for run in before]


def test_a_file_that_was_replaced_is_read_again(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep, tmp_path / "x.zip")
    first = read_runs(file)
    assert read_runs(file)[0].folder == first[0].folder, "unpacked once"
    fabricate(tmp_path / "runs" / "mine", {"unet": 0.0}, seeds=(3, 4), images=9)
    pack(sweep, file)
    again = read_runs(file)
    assert {run.seed for run in again} == {0, 1, 2, 3, 4}
    assert {run.seed for run in first} == {0, 1, 2}
    assert all(len(run.per_image.content) > 0 for run in first if run.finished), "what was read before is still there"
    shown = [run.damaged(f"{run.folder}/x").error for run in (first[0], again[0])]
    assert all(str(error).startswith(f"{file}/mine/unet") for error in shown)


def test_what_a_killed_reader_left_is_removed_by_the_next_one(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pack(sweep)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    dead = subprocess.Popen(["true"])
    dead.wait()
    elsewhere = "00000000" if machine() != "00000000" else "00000001"
    left = f"{machine()}-{dead.pid}-abcd_123"
    others = [f"{machine()}-{os.getppid()}-abcd_123", f"{elsewhere}-{dead.pid}-abcd_123", "abcd_123", f"x-{left}"]
    for name in (left, *others):
        (tmp_path / "tmp" / f"medseg-runs-{name}" / "mine").mkdir(parents=True)
    folder = read_runs(file)[0].folder.parents[1]
    assert folder.name.startswith(f"medseg-runs-{process_mark()}-")
    there = {each.name for each in (tmp_path / "tmp").iterdir()}
    assert there == {folder.name, *(f"medseg-runs-{name}" for name in others)}
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError):
        read_runs(file)
    assert {each.name for each in (tmp_path / "tmp").iterdir()} == there, "of a damaged file nothing is left"


def test_unpacked_runs_are_as_they_were_and_nothing_is_replaced(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep)
    target = tmp_path / "other"
    done = unpack(file, target)
    assert len(done.added) == 5
    assert not list(target.glob(".*"))
    here, there = content(sweep), content(target / "mine")
    assert {name for name in here if name not in there} == {"mine.zip"}
    del there[".sweep.lock"]
    assert {Path(name).name for name in there if here[name] != there[name]} == {"status.json", "summary.json"}
    assert pack(target / "mine").read_bytes() == file.read_bytes()
    assert len(unpack(file, target).same) == len(unpack(file, tmp_path / "runs").same) == 5
    # One that differs stays, one that lacks an evaluation has it again, a checkpoint does not matter.
    one, two, *_ = sorted(target.glob("mine/*seed0"))
    (one / "metrics.csv").write_text("epoch\n")
    shutil.rmtree(two / "evaluations")
    (two / "checkpoints").mkdir()
    (two / "checkpoints" / "best.ckpt").write_text("trained elsewhere")
    before = content(one)
    done = unpack(file, target)
    assert (done.differing, done.completed, len(done.same)) == ({one: "finished"}, [two], 3)
    assert content(one) == before
    assert list(two.glob("evaluations/*/summary.json"))
    with pytest.raises(UserError, match=r"1 run of 5 in .* not unpacked, because its folder holds something else"):
        unpack_command(compose_config("unpack", f"file={file}", f"runs_dir={target}"))


def test_what_a_killed_process_left_is_removed_by_the_next_one(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, target = pack(sweep), tmp_path / "there"
    kill = "import os, signal, sys; from pathlib import Path; from medseg.runs.packed import unpacking; "
    kill += "unpacking.put_back = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
    kill += "unpacking.unpack(Path(sys.argv[1]), Path(sys.argv[2]))"
    killed = subprocess.Popen([sys.executable, "-c", kill, str(file), str(target)])
    killed.wait()
    (left,) = target.iterdir()
    assert left.name.startswith(f".unpacking-{machine()}-{killed.pid}-")
    (target / f".unpacking-node-{killed.pid}-abcd_123").mkdir()  # the form of earlier versions
    # Of a process that runs, and of machines whose names begin alike.
    others = [f"{machine()}-{os.getpid()}", f"node-7-{killed.pid}", f"node-{killed.pid}-7-{killed.pid}"]
    for mark in others:
        (target / f".unpacking-{mark}-abcd_123").mkdir()
    monkeypatch.setattr(platform, "node", lambda: "node")
    unpack(file, target)
    there = {each.name for each in target.iterdir()}
    assert there == {"mine", *(f".unpacking-{mark}-abcd_123" for mark in others)}


def test_a_run_that_is_running_is_left_and_told(sweep: Path, tmp_path: Path) -> None:
    file, target = pack(sweep), tmp_path / "there"
    one, two, three, *_ = sorted(sweep.glob("*seed*"))
    shutil.copytree(one, target / "mine" / one.name)
    running = RunFolder(target / "mine" / one.name)
    running.set_state("running")
    for name in (two.name, three.name):
        (target / "mine" / name).mkdir()
        (target / "mine" / name / ".lock").touch()
    shutil.copyfile(three / "images.csv", target / "mine" / three.name / "images.csv")
    with (target / "mine" / two.name / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = content(target)
        with pytest.raises(UserError) as caught:
            unpack_command(compose_config("unpack", f"file={file}", f"runs_dir={target}"))
        assert {name: of for name, of in content(target).items() if name in before} == before
    first, rest = str(caught.value).split("; unpack again when it has ended; ")
    running_there = f"{running.path}, {target / 'mine' / two.name}"
    assert first == f"2 runs of 5 in {file}: not unpacked, because it is running there: {running_there}"
    assert f"{target / 'mine' / three.name} (no run); move what is there elsewhere" in rest
    shutil.rmtree(target / "mine" / three.name)
    alone = r"^1 run of 5 in .* it is running there: [^;]*; unpack again when it has ended$"
    with pytest.raises(BusyError, match=alone):  # the lock of the other is free now
        unpack_command(compose_config("unpack", f"file={file}", f"runs_dir={target}"))
    assert is_run(target / "mine" / two.name)


def test_a_run_that_lacks_files_and_is_worked_on_does_not_keep_the_others_back(sweep: Path, tmp_path: Path) -> None:
    file, target = pack(sweep), tmp_path / "there"
    unpack(file, target)
    one, two, *_ = sorted((target / "mine").glob("*seed0"))
    for run in (one, two):
        shutil.rmtree(run / "evaluations")
    with (one / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = unpack(file, target)
    assert (done.running, done.completed, len(done.same)) == ([one], [two], 3)
    assert not (one / "evaluations").exists()
    assert unpack(file, target).completed == [one]


def test_a_folder_that_a_killed_start_left_counts_as_none(sweep: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    file, mine = pack(sweep), tmp_path / "there" / "mine"
    one, two, three, *_ = sorted(folder.name for folder in sweep.glob("*seed*"))
    for name in (one, two, three):
        (mine / name).mkdir(parents=True)
    (mine / two / ".lock").write_text(f"{dead.pid}\nnode\n")
    (mine / three / ".lock").touch()
    (mine / three / f".run.json.{machine()}-{dead.pid}.partial").touch()
    done = unpack(file, tmp_path / "there")
    assert len(done.added) == 5
    assert len(read_runs(mine)) == 6
    assert not [*mine.glob("*/.*")]


def test_a_run_that_another_process_adds_at_the_same_moment_is_there_already(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, target = pack(sweep), tmp_path / "there"
    rename = Path.rename
    first: list[Path] = []

    def slow(source: Path, goal: Path) -> Path:
        if not first:
            first.append(goal)
            shutil.copytree(source, goal)
        return rename(source, goal)

    monkeypatch.setattr(Path, "rename", slow)
    done = unpack(file, target)
    assert done.same == first
    assert len(done.added) == 4


def test_a_file_is_not_replaced_by_one_that_holds_fewer_runs_or_is_something_else(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep)
    shutil.rmtree(next(sweep.glob("unet*seed0")))
    with pytest.raises(UserError, match="holds 1 run that would be lost, such as mine/unet-kvasir"):
        pack(sweep)
    assert len(read_content(file).runs) == 5
    other = tmp_path / "thesis.zip"
    other.write_text("years of work")
    with pytest.raises(UserError, match="no file of medseg pack; choose another one"):
        pack(sweep, other)
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        pack(sweep, tmp_path)


def test_what_has_not_ended_or_is_damaged_is_left_out_with_a_line(sweep: Path) -> None:
    one, two, *_ = sorted(sweep.glob("*seed*"))
    RunFolder(one).set_state("interrupted")
    (two / "config.yaml").write_text("mod")
    selection = select([sweep])
    assert len(selection.runs) == 3
    assert [line for line in selection.left_out if "interrupted" in line or "config.yaml: damaged" in line]
    for run in sweep.glob("*seed*"):
        RunFolder(run).set_state("interrupted")
    with pytest.raises(UserError, match="no run in it has ended"):
        select([sweep])


def test_a_run_alone_and_a_renamed_experiment(sweep: Path, tmp_path: Path) -> None:
    run = next(sweep.glob("unet*seed0"))
    file = pack(run)
    assert file == sweep / f"{run.name}.zip"
    assert read_content(file).runs == [f"mine/{run.name}"]
    assert "mine/sweep.json" not in read_content(file).entries
    moved = sweep.rename(tmp_path / "runs" / "renamed")
    assert {Path(name).parts[0] for name in read_content(pack(moved)).runs} == {"renamed"}


def test_a_run_without_its_checkpoints_says_so(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep)
    unpack(file, tmp_path / "other")
    run = next(tmp_path.glob("other/mine/unet*seed0"))
    with pytest.raises(UserError, match="was unpacked from a file of medseg pack, which holds no checkpoints"):
        find_run(run)
    with pytest.raises(UserError, match="a file of medseg pack, which holds no checkpoints"):
        find_run(file)
    with pytest.raises(UserError, match=r"medseg unpack .* makes run folders of it"):
        run_folder(file)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").write_text("")
    assert find_run(run)[0].path == run
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UserError, match="holds no checkpoints, so nothing can be evaluated"):
        evaluate_runs(compose_config("evaluate", f"checkpoint={run.parent}"), [])
    with pytest.raises(UserError, match="a file, no folder of runs"):
        score(compose_config("score", f"runs=[{file}]"))


# Nothing of the machine is in it.


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/home/ann/project/data", "data"),
        ("/home/ann/project/data/prepared/kvasir-128", "data/prepared/kvasir-128"),
        ("/home/ann/my images/site A", "site A"),
        ("/home/ann/my images/site A/x.png", "site A/x.png"),
        ("/srv/ann/images", "images"),
        ("/srv/bob/images", "images-2"),
        ("~/Downloads", "Downloads"),
        ("~ann/Downloads/set.zip", "set.zip"),
        ("file:///home/ann/weights.pth", "weights.pth"),
        ("data.source=/home/ann/My Downloads/x.zip", "data.source=x.zip"),
        ("+model.encoder_weights=~/w.pth", "+model.encoder_weights=w.pth"),
        ("data.groups=/home/ann/groups.csv:patient", "data.groups=groups.csv:patient"),
        ("continue_from=/home/ann/old/mine/unet-kvasir-1a2b3c4d-seed0/checkpoints/last.ckpt",
         "continue_from=unet-kvasir-1a2b3c4d-seed0/checkpoints/last.ckpt"),
        ("No space left: '/home/ann/x/z' (/tmp/k.npz), see https://a.org/b/c",
         "No space left: 'z' (k.npz), see https://a.org/b/c"),
        ("[/home/ann/a.csv,/home/ann/b.csv]", "[a.csv,b.csv]"),
        ("images/s, 1/2, tp / (tp + fp), a/b", "images/s, 1/2, tp / (tp + fp), a/b"),
        ("/", "/"),
    ],
)  # fmt: skip
def test_absolute_paths_are_shortened(text: str, public: str) -> None:
    paths = Paths.of(
        [
            {"data_dir": "/home/ann/project/data", "runs_dir": "runs", "data": {"root": "/home/ann/my images/site A"}},
            {"data_dir": "/home/ann/project/data/", "runs_dir": "runs", "data": {"root": "/srv/ann/images"}},
            {"data_dir": "/home/ann/project/data", "runs_dir": "runs", "data": {"root": "/srv/bob/images"}},
        ]
    )
    assert paths.in_text(text) == public
    assert paths.in_text(public) == public, "what is short stays as it is"


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("data_dir='/tmp/x/Alice Smith/data'", "data_dir='data'"),
        ("[Errno 2] No such file: '/home/Alice Smith/data/x.png'", "[Errno 2] No such file: 'x.png'"),
        ("cannot read /home/Alice Smith/data/x.png (no such file)", "cannot read x.png (no such file)"),
        ("data.sources=[/home/Alice Smith/a.csv,/home/Alice Smith/b.csv]", "data.sources=[a.csv,b.csv]"),
        ('["/home/Alice Smith/a.csv", "/home/Alice Smith/b.csv"]', '["a.csv", "b.csv"]'),
        ("model={path:/home/Alice Smith/w.pt,n:3}", "model={path:w.pt,n:3}"),
        ("https://alice:pw@host/x.zip", "https://host/x.zip"),
        ("get https://alice@host:80/x.zip from /home/alice/y", "get https://host:80/x.zip from y"),
        (r"C:\Users\alice\data\x.png", "x.png"),
        (r"data.root=C:\Users\Alice Smith\data", "data.root=data"),
        (r"no file 'C:\\Users\\alice\\x.png' in D:\alice\y", "no file 'x.png' in y"),
        ("in C:/Users/alice/x.png", "in x.png"),
        (r"\\server\alice", "share"),
        (r"\\server\alice\data", "data"),
        ("//nas/alice/data", "data"),
        ("not in //nas/alice", "not in share"),
        ("file://nas/alice/data/x", "x"),
        ("/home/alice", "home"),
        (r"C:\Users\alice", "home"),
        ("copied /data/a to /data/b, 7 // 2, a\\b, see http://a.org//b/c", "copied a to b, 7 // 2, a\\b, see http://a.org//b/c"),
    ],
)  # fmt: skip
def test_users_and_servers_are_no_part_of_what_is_left(text: str, public: str) -> None:
    paths = Paths.of([{}])
    assert paths.in_text(text) == public
    assert paths.in_text(public) == public
    assert paths.in_value({text: [text]}) == {public: [public]}, "keys as well"


def with_setting(run: Path, option: str, value: str) -> None:
    group, name = option.split(".")
    config = read_yaml(run / "config.yaml")
    config[group] = {**config[group], name: value}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    record = read_json(run / "run.json")
    write_json(run / "run.json", {**record, "overrides": [*record.get("overrides", ()), f"{option}={value}"]})


def test_paths_with_the_same_last_part_stay_apart_in_every_file(sweep: Path, tmp_path: Path) -> None:
    weights = {0: "/weights/dino/best.pt", 1: "/weights/simclr/best.pt", 2: "best-2.pt"}
    for seed, value in weights.items():
        with_setting(next(sweep.glob(f"unet-*seed{seed}")), "model.encoder_weights", value)
    file = pack(sweep)
    left = {0: "best.pt", 1: "best-3.pt", 2: "best-2.pt"}
    packed = {run.seed: run for run in read_runs(file) if run.model == "unet"}
    for seed, value in left.items():
        assert packed[seed].config["model"]["encoder_weights"] == value
        assert f"model.encoder_weights={value}" in read_json(packed[seed].folder / "run.json")["overrides"]
    assert len({str(run.settings.get("model.encoder_weights")) for run in packed.values()}) == 3
    # The runs that it was made of are known again, though each by itself would have no number; so are those unpacked.
    assert len(unpack(file, sweep.parent).same) == 5
    unpack(file, tmp_path / "other")
    assert pack(tmp_path / "other" / "mine").read_bytes() == file.read_bytes()
    run = next(sweep.glob("unet-*seed1"))
    config = read_yaml(run / "config.yaml")
    config["model"]["encoder_weights"] = "/weights/simclr/last.pt"
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert unpack(file, sweep.parent).differing == {run: "finished"}


def test_host_process_and_accounts_are_taken_out() -> None:
    paths = Paths.of([{}])
    status = b'{"state": "finished", "host": "ward7", "pid": 3, "epoch": 5}'
    assert json.loads(without_private(Path("status.json"), status, paths)) == {
        "state": "finished", "epoch": 5, "unpacked": True,
    }  # fmt: skip
    record = b'{"overrides": ["model=unet", "logger=wandb", "logger.wandb.entity=ann", "++hydra.x=1"]}'
    assert json.loads(without_private(Path("run.json"), record, paths)) == {"overrides": ["model=unet", "logger=wandb"]}
    config = b"lr: 1.0e-05\nlogger:\n  mlflow:\n    tracking_uri: http://ward7:5000\nseed: 3\n"
    assert yaml.safe_load(without_private(Path("config.yaml"), config, paths)) == {"lr": 1e-5, "logger": {}, "seed": 3}
    unchanged = b"lr:   1e-5 # as it was\nlogger: {}\n"
    assert without_private(Path("config.yaml"), unchanged, paths) == unchanged


# Files from elsewhere.


def changed(file: Path, change: Callable[[zipfile.ZipFile], object]) -> Path:
    with zipfile.ZipFile(file, "a") as archive:
        change(archive)
    return file


def link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("mine/x/config.yaml")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


def run_in_a_run(archive: zipfile.ZipFile) -> None:
    run = next(name for name in archive.namelist() if name.endswith("/run.json"))
    archive.writestr(run.replace("/run.json", "/evaluations/x/run.json"), "{}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda archive: archive.writestr("../../evil/run.json", "{}"), "is no file of a run"),
        (lambda archive: archive.writestr("/etc/run.json", "{}"), "is no file of a run"),
        (lambda archive: archive.writestr("mine/..\\x/run.json", "{}"), "is no file of a run"),
        (lambda archive: archive.writestr("mine/x/run.py", "{}"), "is no file of a run"),
        (lambda archive: archive.writestr("mine/.git/config.json", "{}"), "is no file of a run"),
        (lambda archive: archive.writestr("mine/x/a\x1b[31m.py", "{}"), "is no file of a run"),
        (lambda archive: archive.writestr("mine/sweep.json/run.json", "{}"), "is a file and a folder"),
        (lambda archive: archive.writestr("mine/sweep.json", "{}"), "two entries of one name"),
        (link, "is no file of a run"),
        (lambda archive: archive.writestr("mine/x/config.yaml", b" " * 2**23), "has 8,388,608 bytes"),
        (lambda archive: archive.writestr("mine/x/evaluations/y/summary.json", "{}"), "is no file of a run in it"),
        (lambda archive: archive.writestr("mine/x/tuning.json", "{}"), "is no file of a run in it"),
        (lambda archive: archive.writestr("mine/x.yaml", "{}"), "is no file of a run in it"),
        (lambda archive: archive.writestr("other/sweep.json", "{}"), "is no file of a run in it"),
        (lambda archive: archive.writestr("run.json", "{}"), "'run.json' is no file of a run in it"),
        (lambda archive: archive.writestr("sweep.json", "{}"), "'sweep.json' is no file of a run in it"),
        (run_in_a_run, "x/run.json' is no file of a run in it"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_unsafe_file_is_refused_before_anything_is_unpacked(
    sweep: Path, tmp_path: Path, change: Callable[[zipfile.ZipFile], object], message: str
) -> None:
    file = changed(pack(sweep), change)
    with pytest.raises(UserError, match=message) as caught:
        unpack(file, tmp_path / "other")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "other").exists()
    with pytest.raises(UserError, match=message):
        read_runs(file)


def rewritten(source: Path, file: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Write a zip with other content of some entries; None leaves one out."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(file, "w") as written:
        for name in dict.fromkeys([*archive.namelist(), *changes]):
            new = changes.get(name, archive.read(name) if name in archive.namelist() else None)
            if new is not None:
                written.writestr(name, new)
    return file


def test_nothing_gets_into_a_run_that_is_there_but_what_its_own_run_lacks(sweep: Path, tmp_path: Path) -> None:
    source = pack(sweep, tmp_path / "source.zip")
    run = next(sweep.glob("unet*seed0"))
    inside = f"mine/{run.name}"
    record = (run / "run.json").read_bytes()
    without = {f"{inside}/run.json": None, f"{inside}/evaluations/x/summary.json": b"{}"}
    hidden = {name: None for name in read_content(source).entries if name.startswith(f"{inside}/")}
    hidden[MANIFEST] = b'{"format": 1, "copies": {}}'
    cases = {
        "is no file of a run in it": without,
        f"{run}: the folder of a run, which .* would put other files into": {
            **hidden,
            f"{inside}/evaluations/x/run.json": record,
        },
        f"{run}: the folder of a run": {**hidden, f"{inside}/x/run.json": record, f"{inside}/names.yaml": b"a: b"},
    }
    before = content(tmp_path)
    for message, changes in cases.items():
        file = rewritten(source, tmp_path / "x.zip", changes)
        with pytest.raises(UserError, match=message):
            unpack(file, sweep.parent)
        file.unlink()
        assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("sweep.json", b'{"jobs": 5}'),
        ("sweep.json", b'{"jobs": "x"}'),
        ("sweep.json", b"[]"),
        ("sweep.json", b"{"),
        ("names.yaml", b"[1]"),
        ("benchmarks/a.json", b"{"),
    ],
)
def test_a_damaged_file_of_an_experiment_is_told_before_anything_is_unpacked(
    sweep: Path, tmp_path: Path, name: str, written: bytes
) -> None:
    file = rewritten(pack(sweep), tmp_path / "x.zip", {f"mine/{name}": written})
    with pytest.raises(UserError) as caught:
        unpack(file, tmp_path / "other")
    assert str(caught.value).startswith(f"{file}/mine/{name}: damaged (")
    assert not (tmp_path / "other").exists()
    if name == "sweep.json":
        assert read_runs(file).problems == [str(caught.value)]
        (sweep / name).write_bytes(written)
        with pytest.raises(UserError, match=r"mine/sweep.json: damaged"):
            pack(sweep)


def test_a_file_without_runs_is_told_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(MANIFEST, '{"format": 1, "copies": {}}')
    with pytest.raises(UserError, match=f"^{file}: no runs in it"):
        read_runs(file)


def test_a_bomb_of_copies_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", b"0" * 2**20)
        copies = {f"m/{n}.csv": "a.csv" for n in range(10_000)}
        archive.writestr(MANIFEST, json.dumps({"format": 1, "copies": copies}))
    with pytest.raises(UserError, match=r"10,001 files of 10.5 GB in it"):
        unpack(file, tmp_path / "other")


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("{", "damaged"),
        ("[]", "has no 'copies'"),
        ('{"format": 1, "copies": {"a.csv": 3}}', "has no 'copies'"),
        ('{"format": 1, "copies": {"../a.csv": "b.csv"}}', "names copies that cannot be"),
        ('{"format": 1, "copies": {"a.csv": "c.csv"}}', "names copies that cannot be"),
        ('{"format": 2, "medseg": "9.0", "copies": {}}', r"written by a later version of medseg \(9.0\)"),
    ],
)
def test_a_wrong_manifest(tmp_path: Path, manifest: str, message: str) -> None:
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("b.csv", "id\n")
        archive.writestr(MANIFEST, manifest)
    with pytest.raises(UserError, match=message):
        read_content(file)


def test_cut_flipped_and_foreign_files_are_one_line(sweep: Path, tmp_path: Path) -> None:
    whole = pack(sweep).read_bytes()
    file = tmp_path / "x.zip"
    middle = len(whole) // 3
    for content in (
        whole[:middle],
        whole[:-1],
        b"",
        b"PK\x05\x06" + bytes(18),
        whole[:middle] + bytes(200) + whole[middle + 200 :],
        whole[:200] + bytes(b ^ 255 for b in whole[200:230]) + whole[230:],
    ):
        file.write_bytes(content)
        for use in (read_runs, lambda file: unpack(file, tmp_path / "other")):
            with pytest.raises(UserError) as caught:
                use(file)
            assert "x.zip" in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "other").exists()


def test_a_damaged_run_in_a_file_is_told_by_the_files_name(sweep: Path, tmp_path: Path) -> None:
    pack(sweep)
    file = tmp_path / "x.zip"
    with zipfile.ZipFile(sweep / "mine.zip") as archive, zipfile.ZipFile(file, "w") as written:
        for entry in archive.infolist():
            cut = entry.filename.endswith("seed0/test/summary.json") and "unet" in entry.filename
            written.writestr(entry, archive.read(entry)[: 20 if cut else None])
    tree = read_runs(file).checked()
    (damaged,) = [run for run in tree.runs if run.state == "damaged"]
    assert str(damaged.error).startswith(f"{file}/mine/unet")


def test_damaged_files_of_experiments_are_logged_by_the_files_name(
    sweep: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = next(sweep.glob("unet*seed0")).name
    changes = {"names.yaml": b"[1]", "benchmarks/a.json": b"{", f"{run}/test/calibration.csv": b"cut"}
    file = rewritten(pack(sweep), tmp_path / "x.zip", {f"mine/{name}": of for name, of in changes.items()})
    with caplog.at_level("WARNING", "medseg"):
        compare(read_runs(file)).write(tmp_path / "report", images=0, figures=False)
    lines = [record.getMessage() for record in caplog.records]
    assert sorted(line.partition(": damaged")[0] for line in lines) == sorted(f"{file}/mine/{name}" for name in changes)


def test_a_file_that_another_tool_unpacked_is_told_with_what_to_do(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep)
    extracted = tmp_path / "extracted"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(extracted)
    for given in (extracted, extracted / "mine", next(extracted.glob("mine/unet*seed0"))):
        lines = [line for line in read_runs(given).problems if "was not unpacked by medseg unpack, so" in line]
        assert len(lines) == 1, given
        assert lines[0].endswith("files of its runs are missing; unpack the file again, with medseg unpack FILE.zip")
    for name in read_content(file).entries:
        if not (extracted / name).exists():
            shutil.copyfile(sweep.parent / name, extracted / name)
    assert not read_runs(extracted).problems
    (extracted / MANIFEST).write_text("{")
    assert f"{extracted / MANIFEST}: damaged" in read_runs(extracted).problems[0]


def test_folders_in_a_zip_are_skipped(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep)
    with zipfile.ZipFile(file, "a") as archive:
        for name in ("mine/", "mine/empty/"):
            archive.writestr(name, "")
    assert len(unpack(file, tmp_path / "other").added) == 5
    assert not (tmp_path / "other" / "mine" / "empty").exists()


# A sweep goes on where another machine has ended.


def test_jobs_are_added_to_those_that_are_there(sweep: Path, tmp_path: Path) -> None:
    file = pack(sweep)
    jobs = read_json(sweep / "sweep.json")["jobs"]
    other = tmp_path / "other" / "mine"
    mine = {**jobs[0], "overrides": ["model=unet", "data_dir=here"]}
    write_json(other / "sweep.json", {"jobs": [{**jobs[0], "name": "another-kvasir-1-seed0"}, mine]})
    unpack(file, tmp_path / "other")
    merged = read_json(other / "sweep.json")["jobs"]
    assert [job["name"] for job in merged] == ["another-kvasir-1-seed0", *(job["name"] for job in jobs)]
    assert merged[1] == mine, "what is there stays"


@pytest.mark.parametrize(
    ("known", "given", "merged", "told"),
    [
        ({"unet": "U-Net"}, {"unext": "UNeXt"}, {"unet": "U-Net", "unext": "UNeXt"}, None),
        ({"unet": "Mine"}, {"unet": "U-Net", "unext": "UNeXt"}, {"unet": "Mine", "unext": "UNeXt"}, "unet"),
        (
            {"networks": {"unet": "U-Net"}},
            {"cvc": "CVC"},
            {"networks": {"unet": "U-Net", "cvc": "CVC"}, "datasets": {"cvc": "CVC"}},
            None,
        ),
        ({"networks": {"a": "A"}}, {"networks": {"b": "B"}}, {"networks": {"a": "A", "b": "B"}}, None),
    ],
)
def test_names_are_merged_where_they_agree(
    sweep: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    known: dict[str, object],
    given: dict[str, object],
    merged: dict[str, object],
    told: str | None,
) -> None:
    (sweep / "names.yaml").write_text(yaml.safe_dump(given))
    file = pack(sweep)
    names = tmp_path / "other" / "mine" / "names.yaml"
    names.parent.mkdir(parents=True)
    names.write_text("# mine\n" + yaml.safe_dump(known))
    with caplog.at_level("WARNING", "medseg"):
        unpack(file, tmp_path / "other")
        written = names.read_bytes()
        lines = [record.getMessage() for record in caplog.records]
        assert lines == ([f"{names}: other names of {told} in the unpacked file; those there stay"] if told else [])
        unpack(file, tmp_path / "other")
    assert read_yaml(names) == merged
    assert names.read_bytes() == written


def test_settings_stay_the_same(sweep: Path, tmp_path: Path) -> None:
    run = next(sweep.glob("unet*seed0"))
    config = {**read_yaml(run / "config.yaml"), "data_dir": "/home/ann/data", "runs_dir": str(sweep.parent)}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    write_csv(run / "images.csv", [{"id": "a", "split": "test", "group": ""}])
    file = pack(sweep)
    (packed,) = [one for one in read_runs(file) if one.name == run.name]
    (read,) = [one for one in read_runs(sweep) if one.name == run.name]
    assert packed.settings == read.settings
    assert packed.training_key == read.training_key
    assert packed.config["data_dir"] == "data"
