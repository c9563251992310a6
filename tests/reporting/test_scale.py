"""That a report and a status of many runs grow with the runs: every file of a run is read once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from medseg.reporting.report import compare
from medseg.runs.progress import read_progress
from medseg.runs.reading import read_runs
from tests.reporting.fabricate import fabricate


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """Count how often each file is read."""
    counts: Counter[Path] = Counter()
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        counts[path] += 1
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    return counts


@pytest.mark.parametrize("seeds", [2, 6])
def test_a_report_reads_every_file_of_a_run_once(seeds: int, tmp_path: Path, reads: Counter[Path]) -> None:
    sweep = fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.03}, seeds=range(seeds), images=8)
    compare(read_runs(sweep)).write(tmp_path / "report", figures=False)
    of_runs = Counter({path: n for path, n in reads.items() if path.is_relative_to(sweep) and path.parent != sweep})
    assert {path.name for path in of_runs} >= {"config.yaml", "metrics.csv", "per_image.csv", "summary.json"}
    assert set(of_runs.values()) == {1}


@pytest.mark.parametrize("seeds", [2, 6])
def test_a_status_reads_no_scores(seeds: int, tmp_path: Path, reads: Counter[Path]) -> None:
    sweep = fabricate(tmp_path / "sweep", {"unet": 0.0, "convunext": 0.03}, seeds=range(seeds), images=8)
    assert len(read_progress([sweep]).jobs) == 2 * seeds
    of_runs = {path: n for path, n in reads.items() if path.is_relative_to(sweep) and path.parent != sweep}
    assert "per_image.csv" not in {path.name for path in of_runs}
    assert set(of_runs.values()) == {1}
