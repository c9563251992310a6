"""Run folders from a stranger: whatever is in them, each command ends in time, in one line, running nothing."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from medseg.errors import printable
from medseg.runs.folder import RunFolder
from medseg.runs.show import print_run
from medseg.system import files
from medseg.system.files import read_csv, write_csv
from tests.fuzzing.run_folders import BOMB, COMMANDS, TAG, fuzz, trained
from tests.helpers import command
from tests.reporting.fabricate import fabricate

ENDS = {"tried", "one line", "accepted"}


def assert_harmless(folder: Path, cases: int, commands: list[str]) -> None:
    run, images = trained(folder)
    # Imported once, for all that is forked.
    for module in ("medseg.training.evaluation", "medseg.trained.predicting.folder", "medseg.reporting.report"):
        import_module(module)
    counts, bad = fuzz(run, images, cases, 0, commands)
    assert {word for word, count in counts.items() if count} <= ENDS, "\n".join(bad)
    assert counts["one line"] > cases / 10, "the changes do something"


@pytest.mark.slow
def test_status_report_and_card_of_hostile_runs(tmp_path: Path) -> None:
    assert_harmless(tmp_path, 24, ["status", "report", "card"])


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_on_hostile_runs(tmp_path: Path) -> None:
    assert_harmless(tmp_path, 140, list(COMMANDS))


def test_a_table_that_would_not_fit_into_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(files.MAX_BYTES, ".csv", 100)
    file = tmp_path / "metrics.csv"
    file.write_text("a,b\n" + "1,2\n" * 50)
    with pytest.raises(files.UserError, match=r"metrics\.csv: damaged \(204 bytes; 100 are allowed\)"):
        read_csv(file)


def test_names_that_no_terminal_should_obey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\rb\x1b[31m\u202e\udcff\n") == "a\\rb\\x1b[31m\\u202e\\udcff\n"
    assert printable("größer ≈ 1 %") == "größer ≈ 1 %"
    sweep = fabricate(tmp_path / "runs" / "main", {"unet": 0.0}, images=8)
    (run,) = (file.parent for file in sweep.glob("*/run.json"))
    run = run.rename(run.with_name("a\rb\x1b[31m\udcff"))
    print_run(RunFolder(run))
    shown = capsys.readouterr().out
    assert shown.count("a\\rb\\x1b[31m\\udcff") == 7
    assert not {"\r", "\x1b"} & set(shown)
    (run / "metrics.csv").write_text("")
    for name, words in (("status", []), ("report", ["output=out", "figures=false"])):
        done = command(name, str(sweep), *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "a\\rb\\x1b[31m\\udcff" in done.stdout + done.stderr
        assert not {"\r", "\x1b"} & set(done.stdout + done.stderr)


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"image": "b\udcff.png"}])
    assert read_csv(tmp_path / "a.csv") == [{"image": "b\\udcff.png"}]


@pytest.mark.parametrize("content", [BOMB, TAG], ids=["bomb", "tag"])
def test_yaml_that_grows_or_calls(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(files.UserError, match=r"config\.yaml: damaged"):
        files.read_yaml(tmp_path / "config.yaml")
