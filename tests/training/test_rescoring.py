"""Further scores from saved class maps: the same as if they had been measured in the test."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from medseg.commands import score as command
from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder
from medseg.runs.predictions import read_predictions, write_predictions
from medseg.system.files import read_csv, read_json, write_json
from tests.helpers import compose_config, train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rescoring")


@pytest.fixture(scope="module")
def measured(place: Path) -> RunFolder:
    """A run that was tested with everything."""
    return train(place, "scores=[nsd]", "nsd_tolerance=3", "data.spacing=0.5", "experiment=measured")


@pytest.fixture
def run(measured: RunFolder, tmp_path: Path) -> RunFolder:
    """The same run without the optional scores, but with a score that no class map has."""
    folder = tmp_path / "run"
    shutil.copytree(measured.path, folder)
    for file in (folder / "test" / "per_image.csv", folder / "test" / "prepared_size.csv"):
        header, *rows = [line.split(",") for line in file.read_text().splitlines()]
        left = [n for n, name in enumerate(header) if name not in ("hd95_mm", "assd_mm", "nsd")]
        lines = [[*(row[n] for n in left), "0.25"] for row in rows]
        lines = [[*(header[n] for n in left), "of_network"], *lines]
        file.write_text("\n".join(map(",".join, lines)) + "\n")
    summary = read_json(folder / "test" / "summary.json")
    write_json(folder / "test" / "summary.json", {**summary, "spacing": None, "nsd_tolerance": 2.0})
    return RunFolder(folder)


def score(run: RunFolder, *options: str) -> None:
    command.score(compose_config("score", f"runs=[{run.path}]", *options))


def test_scores_that_are_computed_later_are_those_of_the_test(run: RunFolder, measured: RunFolder) -> None:
    score(run, "scores=[nsd]", "nsd_tolerance=3", "spacing=0.5")
    for name in ("per_image.csv", "prepared_size.csv"):
        rows, expected = read_csv(run.test / name), read_csv(measured.test / name)
        assert [row.pop("of_network") for row in rows] == ["0.25"] * len(rows)
        assert rows == expected
    summary, expected_summary = read_json(run.summary), read_json(measured.summary)
    for part in (summary, summary["prepared_size"]):
        assert part["headline"].pop("of_network") == {"mean": 0.25, "sd": 0.0}
        for of_class in part["classes"].values():
            del of_class["of_network"]
    assert summary == expected_summary


def test_without_options_nothing_changes(measured: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(measured.path, tmp_path / "run")
    score(RunFolder(tmp_path / "run"))
    for file in measured.test.iterdir():
        assert (tmp_path / "run" / "test" / file.name).read_bytes() == file.read_bytes()


def test_class_maps_of_other_scores_are_refused(run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    ids = [row["id"] for row in read_csv(run.per_image)]
    maps = read_predictions(run.test / "predictions.npz", ids)
    write_predictions(run.test / "predictions.npz", ids, [1 - each for each in maps.values()])
    before = run.per_image.read_bytes()
    with pytest.raises(UserError, match="1 of 1 could not be scored"):
        score(run, "scores=[nsd]")
    assert "not the class maps that were scored" in caplog.text
    assert run.per_image.read_bytes() == before
    write_predictions(run.test / "predictions.npz", ids[1:], list(maps.values())[1:])
    with pytest.raises(UserError):
        score(run, "scores=[nsd]")
    assert "lacks images that are scored" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prepared": "nowhere"}, "the prepared data are not at nowhere any more"),
        ({"data_identity": "0" * 16}, "are not those of the test"),
        ({"prepared_size": None}, "scored by an older version"),
    ],
)
def test_data_that_are_gone_are_named(
    changes: dict[str, str | None], message: str, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    summary = {**read_json(run.summary), **changes}
    write_json(run.summary, {key: value for key, value in summary.items() if value is not None or key == "spacing"})
    with pytest.raises(UserError):
        score(run)
    assert message in caplog.text


def test_a_run_without_its_class_maps_does_not_stop_the_others(
    run: RunFolder, measured: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    (run.test / "predictions.npz").unlink()
    with pytest.raises(UserError, match="1 of 1 could not be scored"):
        score(run, "scores=[nsd]")
    assert "predictions.npz: missing; evaluate the run again" in caplog.text
    shutil.copy(measured.test / "predictions.npz", run.test)
    lines = run.per_image.read_text().splitlines(keepends=True)
    run.per_image.write_text("".join(lines[:-1]))
    with pytest.raises(UserError):
        score(run, "scores=[nsd]")
    assert "are not of the same images" in caplog.text


def test_an_evaluation_measures_what_the_test_measured(measured: RunFolder, place: Path) -> None:
    from medseg.training.evaluation import evaluate_checkpoint

    words = [f"checkpoint={measured.path}", f"data_dir={place / 'data'}", f"output={place / 'again'}"]
    folder, summary = evaluate_checkpoint(compose_config("evaluate", *words), words)
    assert (folder / "per_image.csv").read_bytes() == measured.per_image.read_bytes()
    assert (summary["nsd_tolerance"], summary["spacing"]) == (3.0, [0.5, 0.5])


def test_a_finished_run_names_the_command_for_further_scores(
    measured: RunFolder, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ("experiment=measured", "data.spacing=0.5", "scores=[nsd,mcc]")
    assert train(place, *options, "nsd_tolerance=1").path == measured.path
    assert f"medseg score {measured.path} 'scores=[mcc,nsd]' nsd_tolerance=1" in caplog.text
    caplog.clear()
    train(place, "experiment=measured", "scores=[nsd]", "nsd_tolerance=3", "data.spacing=0.5")
    assert "scored otherwise" not in caplog.text


def test_no_finished_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which runs"):
        command.score(compose_config("score"))
    with pytest.raises(UserError):
        score(RunFolder(tmp_path))
    with pytest.raises(UserError, match="matches no folder"):
        command.score(compose_config("score", f"runs=['{tmp_path}/unet-*']"))


def test_a_pattern_stands_for_the_folders_that_it_matches(tmp_path: Path) -> None:
    for name in ("unet-a", "unet-b", "unext-a", ".unet-c"):
        (tmp_path / name).mkdir()
    (tmp_path / "unet-file").write_text("")
    assert [folder.name for folder in command.folders_of(f"{tmp_path}/unet-*")] == ["unet-a", "unet-b"]
    assert command.folders_of(str(tmp_path / "unext-a")) == [tmp_path / "unext-a"]


def test_a_score_of_the_users_own_is_added(run: RunFolder) -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "conf"
    score(run, "metrics=kappa", f"hydra.searchpath=[file://{example}]")
    values = np.array([float(row["kappa"]) for row in read_csv(run.per_image)])
    assert read_json(run.summary)["headline"]["kappa"]["mean"] == pytest.approx(values.mean())
    assert "kappa" in read_json(run.summary)["own_metrics"]
