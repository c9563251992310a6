"""The notebook of the examples, executed in a kernel of its own; what it shows is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "medseg.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_notebook_runs_and_shows_tables_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parent.parent))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    results = [outputs(cell) for cell in notebook.cells if cell.cell_type == "code"]
    _, table, frame, comparison, prediction, scores = results
    assert table["text/html"].count("<tr") == 5  # the head, and a row for each run
    assert "convunext" in frame["text/html"]
    assert "<table" in comparison["text/html"]
    assert "image/png" in prediction
    assert 0 <= eval(scores["text/plain"])["mean"] <= 1
    assert len(list(tmp_path.glob("runs/notebook/*/status.json"))) == 4


def outputs(cell: Any) -> dict[str, Any]:
    """What a cell returns, by type; a cell may print beside that."""
    assert not [output for output in cell.outputs if output.output_type == "error"]
    return {key: value for output in cell.outputs if "data" in output for key, value in output["data"].items()}
