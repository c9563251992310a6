"""Runs as a table, and a report from Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medseg.errors import UserError
from medseg.runs.reading import RunTree, read_runs
from tests.reporting.fabricate import fabricate

NETWORKS = {"unet": 0.0, "<b>own</b> model.kernel_size=3": 0.03}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    states = {("unet", "kvasir", 1): "failed"}
    return fabricate(tmp_path_factory.mktemp("frame") / "first", NETWORKS, seeds=(0, 1), states=states)


def test_a_frame_has_a_row_for_each_run(sweep: Path) -> None:
    pytest.importorskip("pandas")
    tree = read_runs(sweep)
    frame = tree.to_frame()
    assert len(frame) == len(tree) == len(list(tree)) == 4
    assert frame["model"].tolist() == [run.model for run in tree]
    assert sorted(frame["state"]) == ["failed", "finished", "finished", "finished"]
    assert frame.columns[0] == "model"
    assert frame.columns[-1] == "folder"
    of = {Path(row["folder"]): row for _, row in frame.iterrows()}
    for run in tree:
        row = of[run.folder]
        assert row["seed"] == run.seed
        if run.finished:
            assert row["dice"] == run.summary["headline"]["dice"]["mean"]
            assert row["pooled_iou"] == run.summary["conventions"]["pooled_iou"]
            assert row["parameters"] == run.parameters
        else:
            assert row["dice"] != row["dice"]
    # What one run deviates in is told of every run that has a value.
    assert frame[frame["model"] != "unet"]["model.kernel_size"].unique().tolist() == [3]
    assert frame[frame["model"] == "unet"]["model.kernel_size"].unique().tolist() == [7]


def test_a_notebook_displays_runs_with_every_text_escaped(sweep: Path) -> None:
    html = read_runs([sweep])._repr_html_()
    assert html.count("<tr>") == 5
    assert "<b>" not in html
    assert "&lt;b&gt;own&lt;/b&gt;" in html
    assert RunTree()._repr_html_() == "<table><thead><tr></tr></thead><tbody></tbody></table>"


def test_without_pandas_a_frame_says_what_to_install(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'medseg\[notebook\]'"):
        read_runs(sweep).to_frame()
