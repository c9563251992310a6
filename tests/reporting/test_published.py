"""Published figures: found under our names, the closest protocol first, never made up."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medseg.config import yaml_files
from medseg.errors import UserError
from medseg.metrics.measures import MEASURES
from medseg.models.facts import published_networks
from medseg.reporting.line import Line
from medseg.reporting.published import (
    COLUMNS,
    DATASETS,
    KINDS,
    OURS,
    find,
    find_published,
    kind_of,
    published_files,
    read_published,
)

ROW = dict.fromkeys(COLUMNS, "") | {
    "source": "A", "year": "2020", "dataset": "Kvasir-SEG", "model": "U-Net", "dice": "0.8", "image_size": "256",
    "split": "official 880/120", "metric_convention": "per image, averaged",
}  # fmt: skip


def file_of(folder: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    file = folder / "published.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return file


def sources(*rows: dict[str, str], score: str = "dice", **ours: object) -> list[str]:
    return [found.row["source"] for found in find(rows, "unet", "kvasir", score, **ours)]  # type: ignore[arg-type]


# The shipped files.


def test_known_figures_are_found_with_their_convention_and_source() -> None:
    rows = read_published(published_files())
    first, second, *_ = find(rows, "unet", "kvasir", "dice")
    assert (first.value, first.kind, first.ours, first.same_split) == (0.8264, "per image", "dice", True)
    assert "TransResU-Net" in first.source
    assert (second.value, second.kind, second.ours) == (0.5969, "not stated", None)
    assert [one.value for one in find(rows, "unet", "kvasir", "pooled_dice")] == [0.8655]
    two_class = find(rows, "unet", "isic", "mean_iou_with_background")
    assert {one.kind for one in two_class} == {"two-class"}
    assert 0.8491 in [one.value for one in two_class]
    assert [one.kind for one in find(rows, "unetpp", "dsb", "iou")] == ["batch"]


def test_what_nobody_published_is_not_there() -> None:
    rows = read_published(published_files())
    for network in ("convunext", "amsunet", "segnext_t", "net_of_mine"):
        for data in (*DATASETS, "synthetic", "folder"):
            found = [published.row["source"].partition(" ")[0] for published in find(rows, network, data, "dice")]
            assert found == (["nnLoGoNet"] if (network, data) == ("convunext", "drive") else []), (network, data)
    assert find(rows, "unet", "kvasir", "hd95") == []


def test_shipped_rows_are_facts(shared_data: Path) -> None:
    facts = shared_data.parent / "facts" / "published.csv"
    if not facts.exists():
        pytest.skip(f"needs {facts}")
    known = {tuple(row.values())[:-1] for row in read_published([facts])}  # a note may correct a row
    further = (facts.parent / "measured.md").read_text()
    files = published_files()
    assert {file.parent.name for file in files} >= {"convunext", "amsunet", "lightweight", "optimizers"}
    for file in files:
        rows = read_published([file])
        assert rows
        for row in rows:
            if tuple(row.values())[:-1] not in known:
                (line,) = [line for line in further.splitlines() if line.startswith(f"| {row['model']} ")]
                score = str(row["dice"] or row["iou"]).lstrip("0")
                assert score in line, (file, row)


def test_names_are_those_of_our_networks_and_datasets() -> None:
    assert set(DATASETS) <= set(yaml_files.options("data"))
    published = {row["model"] for row in read_published(published_files())}
    # Every further name of a network's facts is that of a published row.
    sizes = [size for facts in published_networks() for size in facts.sizes]
    assert {name for size in sizes for name in size.publications} <= published
    assert set(OURS.values()) <= set(MEASURES)
    assert {score for _, score in OURS} <= {measure.score for measure in MEASURES.per_image}


@pytest.mark.parametrize(
    ("model", "theirs"),
    [
        ("unet", "U-Net"), ("unetpp", "UNet++"), ("unetpp", "U-Net++"), ("unet2015", "U-Net (2015)"),
        ("attention_unet", "Attention U-Net"), ("resunet", "ResU-Net"), ("cmunext_s", "CMUNeXt-S"),
        ("unext", "UNeXt (re-implemented)"), ("smp_unet_resnet34", "U-Net ResNet-34"),
        ("smp_unet_efficientnet-b0", "U-Net EfficientNet-B0"),
        ("smp_unet_mit_b0", "U-Net MiT-B0"),
    ],
)  # fmt: skip
def test_a_network_is_known_by_its_name_in_other_letters(model: str, theirs: str) -> None:
    rows = [{**ROW, "model": name} for name in (theirs, "U-Net3+", "Residual U-Net")]
    assert [found.row["model"] for found in find(rows, model, "kvasir", "dice")] == [theirs]


def test_a_network_is_known_by_the_names_that_its_run_has() -> None:
    rows = [{**ROW, "model": "Residual U-Net"}]
    assert find(rows, "resunet", "kvasir", "dice") == []
    assert len(find(rows, "resunet", "kvasir", "dice", names=("Residual U-Net",))) == 1
    comparison = compared("resunet", dice=0.9)
    (run,) = next(iter(comparison.cells.values())).runs
    run.summary["network"] = {"publications": ["ResUNet", "Residual U-Net"]}
    assert [cell.published.row["model"] for cell in find_published(comparison, rows)] == ["Residual U-Net"]


# The search.


@pytest.mark.parametrize(
    ("closer", "farther"),
    [
        ({}, {"split": "PraNet 900/100"}),
        ({"split": "800/100/100"}, {"split": ""}),
        ({"split": "800/100/100"}, {"split": "mixed: splits differ between entries"}),
        ({}, {"metric_convention": "DSC, Jaccard"}),
        ({"metric_convention": "dataset-level micro"}, {"metric_convention": "DSC"}),
        ({"metric_convention": "DSC"}, {"metric_convention": "UNeXt-style batch metric"}),
        ({"metric_convention": "DSC"}, {"split": "80/20"}),
        ({}, {"image_size": "512"}),
        ({"image_size": "512"}, {"image_size": ""}),
        ({"year": "2024"}, {}),
        ({}, {"year": ""}),
    ],
)
def test_the_closer_protocol_comes_first(closer: dict[str, str], farther: dict[str, str]) -> None:
    near, far = {**ROW, **closer, "source": "near"}, {**ROW, **farther, "source": "far"}
    assert sources(far, near) == sources(near, far) == ["near", "far"]


def test_our_split_and_size_decide_what_is_close() -> None:
    ours, theirs = {**ROW, "source": "small"}, {**ROW, "source": "large", "image_size": "512"}
    assert sources(ours, theirs) == ["small", "large"]
    assert sources(ours, theirs, image_size=480) == ["large", "small"]
    (found,) = find([ROW], "unet", "kvasir", "dice", split="random")
    assert not found.same_split


def test_a_row_speaks_of_the_scores_it_has() -> None:
    both = {**ROW, "iou": "0.7", "metric_convention": "Dice per image; mIoU (two classes)"}
    assert [one.value for one in find([both], "unet", "kvasir", "iou")] == [0.7]
    (found,) = find([both], "unet", "kvasir", "mean_iou_with_background")
    assert (found.score, found.kind) == ("iou", "two-class")
    assert find([ROW], "unet", "kvasir", "iou") == []


@pytest.mark.parametrize(
    ("convention", "dice", "iou"),
    [
        ("per image, averaged", "per image", "per image"),
        ("per image (micro), mean of 3 seeds", "per image", "per image"),
        ("Dice per image, foreground; IoU foreground from one confusion matrix", "per image", "pooled"),
        ("dataset-level micro", "pooled", "pooled"),
        ("DSC, Jaccard; pairs satisfy Dice = 2IoU/(1+IoU)", "pooled", "pooled"),
        ("F1; mIoU (two classes)", "not stated", "two-class"),
        ("Dice foreground; IoU is the mean over background and foreground", "not stated", "two-class"),
        ("F1 and IoU averaged over both classes", "two-class", "two-class"),
        ("mean of 3 splits; batch metric averaged over batches (code default batch 4)", "batch", "batch"),
        ("IoU over the flattened batch, averaged over batches", "not stated", "batch"),
        ("mDice, mIoU", "not stated", "not stated"),
        ("", "not stated", "not stated"),
    ],
)
def test_conventions_are_read_as_they_are_written(convention: str, dice: str, iou: str) -> None:
    assert (kind_of(convention, "dice"), kind_of(convention, "iou")) == (dice, iou)
    assert {dice, iou} <= {kind for kind, _ in KINDS} | {"not stated"}


# Beside the cells of a report.


def compared(
    model: str, score: str = "dice", size: tuple[int, int] = (256, 256), *, fold: int | None = None, **scores: float
) -> Any:
    """A comparison with one finished run on Kvasir-SEG, as far as published scores look at it."""
    row, column = Line(model, model, ()), Line("kvasir", "kvasir", ())
    run = SimpleNamespace(finished=True, fold=fold, summary={"evaluation_size": list(size), "split_name": None})
    cell = SimpleNamespace(runs=(run,), scores={name: SimpleNamespace(mean=mean) for name, mean in scores.items()})
    return SimpleNamespace(
        rows=(row,), datasets=(column,), cells={(row, column): cell}, measure=MEASURES[score], measures=MEASURES
    )


@pytest.mark.parametrize(
    ("row", "measure", "difference", "differs_in"),
    [
        ({}, "dice", 0.1, ()),
        ({"metric_convention": "dataset-level"}, "pooled_dice", -0.2, ()),
        ({"metric_convention": "DSC", "split": ""}, "dice", 0.1, ("split (not stated)", "convention (not stated)")),
        ({"metric_convention": "batch", "image_size": "512"}, "dice", None, ("convention (batch)", "size (512)")),
        ({"split": "80/20", "image_size": ""}, "dice", 0.1, ("split (80/20)", "size (not stated)")),
    ],
)
def test_a_cell_compares_under_the_mean_of_the_source(
    row: dict[str, str], measure: str, difference: float | None, differs_in: tuple[str, ...]
) -> None:
    (cell,) = find_published(compared("unet", dice=0.9, pooled_dice=0.6), [{**ROW, **row}])
    assert (cell.measure, cell.differs_in) == (MEASURES[measure], differs_in)
    assert cell.ours.mean == (0.6 if measure == "pooled_dice" else 0.9)
    assert cell.difference == (None if difference is None else pytest.approx(difference))


def test_folds_are_no_official_split() -> None:
    (cell,) = find_published(compared("unet", fold=0, dice=0.9), [ROW])
    assert not cell.published.same_split
    assert cell.differs_in == ("split (official 880/120)",)


def test_a_cell_without_published_scores_or_without_the_measure_is_left_out() -> None:
    assert find_published(compared("segnext_t", dice=0.9), [ROW]) == []
    assert find_published(compared("unet", iou=0.9), [ROW]) == []
    assert find_published(compared("unet", "iou", iou=0.9), [ROW]) == []
    (cell,) = find_published(compared("unet", "iou", iou=0.9), [{**ROW, "iou": "0.7"}])
    assert cell.difference == pytest.approx(0.2)
    # Of a measure that nobody publishes, Dice.
    (cell,) = find_published(compared("unet", "hd95", dice=0.9), [ROW])
    assert cell.measure is MEASURES["dice"]


# The file.


def test_a_row_that_two_studies_share_counts_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    files = [file_of(tmp_path / "a", ROW), file_of(tmp_path / "b", ROW, {**ROW, "note": "other"})]
    assert len(read_published(files)) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"dice": "80.1"}, "dice is '80.1'; it must be a fraction"),
        ({"iou": "high"}, "iou is 'high'; it must be a fraction"),
        ({"params_m": "4M"}, "params_m is '4M'; it must be a number"),
        ({"source": ""}, "no source"),
    ],
)
def test_a_wrong_row_is_named(row: dict[str, str], message: str, tmp_path: Path) -> None:
    file = file_of(tmp_path, ROW, {**ROW, **row})
    with pytest.raises(UserError) as error:
        read_published([file])
    assert str(error.value).startswith(f"{file}:3: ")
    assert message in str(error.value)


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_published([tmp_path / "none.csv"])
    with pytest.raises(UserError, match="the columns must be source,year"):
        read_published([file_of(tmp_path, columns=COLUMNS[:-1])])
    file = file_of(tmp_path, ROW)
    file.write_text(file.read_text() + "one,cell too few\n")
    with pytest.raises(UserError, match=r":3: not 12 cells"):
        read_published([file])
