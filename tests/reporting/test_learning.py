"""The learning curves: which runs they are made of, and that they are drawn in every form of the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from medseg.metrics.measures import MEASURES
from medseg.reporting.comparison import compare_runs
from medseg.reporting.learning import learning_curves
from medseg.reporting.names import Names
from medseg.reporting.report import compare
from medseg.runs.reading import read_runs
from medseg.system.files import write_json
from tests.reporting.fabricate import fabricate

FRACTIONS = (0.1, 0.25, 0.5, 1.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks of which one is better where data are scarce, and one that was trained on everything alone."""
    folder = tmp_path_factory.mktemp("learning") / "runs" / "fractions"
    effects = {"unet": (-0.25, -0.12, -0.05, 0.0), "convunext": (-0.15, -0.08, -0.03, 0.005)}
    networks = {
        f"{name} data.fraction={fraction}": effect
        for name, of in effects.items()
        for fraction, effect in zip(FRACTIONS, of, strict=True)
    }
    fabricate(
        folder, networks | {"amsunet data.fraction=1.0": 0.0}, data=("kvasir", "dsb"), seeds=(0, 1, 2), seed_noise=0.02
    )
    for run in read_runs(folder):
        whole = {"kvasir": 792, "dsb": 536}[run.data]
        counts = {"train": round(whole * run.config["data"]["fraction"]), "val": 88, "test": 60}
        write_json(run.folder / "data.json", {"title": run.data, "counts": counts})
    return folder


def test_each_network_of_several_fractions_is_a_curve(runs: Path) -> None:
    comparison = compare_runs(read_runs(runs).runs, MEASURES["dice"])
    curves = learning_curves(comparison)
    assert {network.label for network in curves} == {"unet", "convunext"}, "not the network of one fraction"
    for of in curves.values():
        assert {column.label for column in of} == {"dsb", "kvasir"}
    unet = next(of for network, of in curves.items() if network.label == "unet")
    points = next(of for column, of in unet.items() if column.label == "kvasir")
    assert [point.images for point in points] == [79, 198, 396, 792]
    assert [point.mean for point in points] == sorted(point.mean for point in points)
    assert all(point.low < point.mean < point.high for point in points if point.low is not None)
    assert points[0].low is not None
    # A fraction is a row of its own, on the same test images.
    assert len(comparison.rows) == 9
    assert {dict(row.facts)["data.fraction"] for row in comparison.rows} == {"0.1", "0.25", "0.5", "1"}


def test_curves_have_the_printed_names(runs: Path) -> None:
    comparison = compare_runs(read_runs(runs).runs, MEASURES["dice"], names=Names(networks={"unet": "U-Net"}))
    assert [network.label for network in learning_curves(comparison)] == ["U-Net", "convunext"]


def test_the_report_has_the_figure_in_every_form(runs: Path, tmp_path: Path) -> None:
    compare(read_runs(runs)).write(tmp_path, images=0)
    with Image.open(tmp_path / "figures" / "learning_curve.png") as picture:
        assert picture.size[0] > 1000
    assert all((tmp_path / "figures" / f"learning_curve.{form}").stat().st_size > 3000 for form in ("pdf", "svg"))
    assert "figures/learning_curve.png" in (tmp_path / "report.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert "Learning curves" in page
    assert "data:image/png;base64," in page


def test_a_report_without_fractions_has_none(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "runs" / "plain", {"unet": 0.0, "convunext": 0.01}, seeds=(0, 1))
    report = compare(read_runs(folder))
    assert learning_curves(report.comparison) == {}
    report.write(tmp_path / "report", images=0)
    assert not (tmp_path / "report" / "figures" / "learning_curve.png").exists()
    assert "Learning curves" not in (tmp_path / "report" / "report.html").read_text()
