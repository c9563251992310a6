"""What keeps a report quick, by counts, which are the same on any machine: nothing is read or tested twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from medseg.commands.report import report
from medseg.reporting.signed_ranks import wilcoxon_each
from medseg.runs import scores
from tests.helpers import compose_config
from tests.reporting.fabricate import fabricate

NETWORKS = {"unet": 0.0, "convunext": 0.03, "amsunet": 0.02}


class Counted:
    """A function that counts its calls."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.function(*args, **options)


def test_scores_are_read_once_for_tables_page_and_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fabricate(tmp_path / "s", NETWORKS, data=("kvasir", "dsb"), seeds=(0, 1), images=12)
    read, seen = scores.read_per_image, tmp_path / "seen.txt"

    def noted(file: Path, *content: bytes) -> Any:
        with seen.open("a", encoding="utf-8") as stream:  # a file: the figures are drawn in another process
            stream.write(f"{file}\n")
        return read(file, *content)

    monkeypatch.setattr(scores, "read_per_image", noted)
    report(compose_config("report", f"runs=['{folder}']", f"output='{tmp_path / 'out'}'"))
    assert (tmp_path / "out" / "figures" / "boxes.png").exists()
    assert sorted(seen.read_text(encoding="utf-8").split()) == sorted(map(str, folder.glob("*/test/per_image.csv")))


def test_pairs_of_as_many_images_are_tested_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(stats.wilcoxon)
    monkeypatch.setattr(stats, "wilcoxon", counted)
    differences = np.random.default_rng(0).normal(0.1, 1, (45, 40))
    found = wilcoxon_each(differences)
    assert counted.calls == 1
    assert found == [wilcoxon_each([difference])[0] for difference in differences]


def test_few_datasets_of_many_images_need_no_scipy_stats(tmp_path: Path) -> None:
    fabricate(tmp_path / "s", NETWORKS, seeds=(0, 1), images=200)
    code = (
        "import sys; from medseg.reporting import compare; from medseg.runs.reading import read_runs\n"
        f"compare(read_runs({str(tmp_path / 's')!r})).write({str(tmp_path / 'out')!r}, figures=False)\n"
        "assert 'scipy.special' in sys.modules and 'scipy.stats' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("images", [4, 13, 14, 50, 51, 200])
def test_tests_of_several_pairs_are_those_of_each(images: int) -> None:
    random = np.random.default_rng(images)
    exact = random.normal(0.2, 1, (6, images))
    some = 2 if images == 13 else 6  # with ties, scipy tries all signs of 13 values, a second each
    tied = random.integers(1, 9, (some, images)) * random.choice([-1.0, 1.0], (some, images))
    shorter = np.where(random.random((6, images)) < 0.3, 0.0, random.normal(0.2, 1, (6, images)))
    shorter[:, :2] = 1.5, -2.5  # not all are 0
    differences = np.concatenate([exact, tied, shorter, np.full((1, images), np.nan)])
    found = wilcoxon_each(differences)
    assert found[-1] == (1.0, 0.0)
    for difference, (p, _) in zip(differences[:-1], found, strict=False):
        assert p == stats.wilcoxon(difference[difference != 0]).pvalue
