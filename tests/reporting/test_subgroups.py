"""Subgroups of the test images: how they are made, what is measured in them, what the gap between them is worth."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from medseg.errors import ConfigError, UserError
from medseg.metrics.measures import MEASURES
from medseg.reporting.contrasts import contrast, level_of
from medseg.reporting.divisions import FEWEST, Division, by_size, by_value, cut
from medseg.reporting.line import Line
from medseg.reporting.report import compare
from medseg.reporting.samples import Sample
from medseg.reporting.subgroups import Divided, score_division
from medseg.reporting.wanted import Wanted
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv, write_csv
from tests.reporting.fabricate import fabricate

DICE, HD95 = MEASURES["dice"], MEASURES["hd95"]
DATA = Line("data", "data", ())
UNET = Line("unet", "unet", ())


def sample(
    dice: Sequence[Sequence[float]] | np.ndarray, groups: Sequence[str] | None = None, foreground: Sequence[int] = ()
) -> Sample:
    """Scores of some seeds on images of 100 pixels, `foreground` of which are the target."""
    scores = np.array(dice, dtype=float)
    counts = np.zeros((*scores.shape, 1, 4), dtype=np.int64)
    counts[..., 0, 2] = foreground if len(foreground) else 10
    counts[..., 0, 3] = 100 - counts[..., 0, 2]
    ids = tuple(f"{k:03d}" for k in range(scores.shape[1]))
    of = None if groups is None else tuple(groups)
    return Sample(tuple(range(len(scores))), ids, {"dice": scores}, counts, counts[:, :, 0].astype(float), of)


def divided(of: Sample, subgroups: Sequence[int], apart: Sequence[str] = ()) -> Divided:
    """Score a network on the subgroups that the images are of."""
    images = {f"s{k}": tuple(i for i, s in zip(of.ids, subgroups, strict=True) if s == k) for k in sorted({*subgroups})}
    return score_division(Division(DATA, "type", images, tuple(apart)), {UNET: of}, DICE)


# Which image is in which subgroup.


def test_thirds_are_of_equal_size_and_equal_values_stay_together() -> None:
    assert cut({name: float(k) for k, name in enumerate("abcdefghij")}) == {
        0: ("a", "b", "c", "d"), 1: ("e", "f", "g"), 2: ("h", "i", "j")
    }  # fmt: skip
    assert cut({"a": 1, "b": 2, "c": 2, "d": 2, "e": 2, "f": 3}) == {0: ("a",), 2: ("b", "c", "d", "e", "f")}
    assert cut({"a": 0.1, "b": 0.2, "c": 0.3}, (0.2, 0.9)) == {0: ("a", "b"), 1: ("c",)}
    assert cut({}) == {}


def test_sizes_are_parts_of_the_true_image_and_images_without_a_target_are_apart() -> None:
    of = sample([[0.5] * 7], foreground=[0, 1, 2, 10, 20, 50, 60])
    thirds = by_size(DATA, [of], None)
    assert thirds.images == {
        "small, 1 to 2 %": ("001", "002"),
        "medium, 10 to 20 %": ("003", "004"),
        "large, 50 to 60 %": ("005", "006"),
        "no target": ("000",),
    }
    assert thirds.apart == ("no target",)
    bounded = by_size(DATA, [of], (0.02, 0.5))
    assert bounded.images == {
        "up to 2 %": ("001", "002"), "2 to 50 %": ("003", "004", "005"), "above 50 %": ("006",), "no target": ("000",),
    }  # fmt: skip


def test_false_positives_are_not_part_of_the_size() -> None:
    of = sample([[0.5] * 2], foreground=[10, 20])
    of.counts[..., 1] = 30
    of.counts[..., 3] -= 30
    assert [*by_size(DATA, [of], (0.15,)).images] == ["up to 15 %", "above 15 %"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("f m f m f", {"f": "ace", "m": "bd"}),
        ("10 9 10 9 NA", {"9": "bd", "10": "ac", "not known": "e"}),
        ("10 9 x 9 -", {"-": "e", "10": "a", "9": "bd", "x": "c"}),
        ("3 3.0 x 03 x", {"03": "d", "3": "a", "3.0": "b", "x": "ce"}),
        ("3 3.0 7 03 7.0", {"3": "abd", "7": "ce"}),
        ("3 inf 4 -nan 3", {"3": "ae", "4": "c", "not known": "bd"}),
        ("1 2 3 4 5 6 7 inf", {"1 to 3": "abc", "4 to 5": "de", "6 to 7": "fg", "not known": "h"}),
        ("1 1 1 2 3 4 5 6 7", {"1": "abc", "2 to 4": "def", "5 to 7": "ghi"}),
        ("31 30 29 28 27 26 25 24", {"24 to 26": "fgh", "27 to 29": "cde", "30 to 31": "ab"}),
    ],
)
def test_a_column_makes_a_subgroup_of_each_value_or_thirds_of_numbers(values: str, expected: Mapping[str, str]) -> None:
    ids = "abcdefghi"[: len(values.split())]
    made = by_value(DATA, "column", dict(zip(ids, values.split(), strict=True)), ids)
    assert {name: "".join(images) for name, images in made.images.items()} == expected
    assert [*made.images] == [*expected]
    assert made.apart == (("not known",) if "not known" in expected else ())


@pytest.mark.parametrize("sizes", [[0.2, 0.1], [0.1, 0.1], [0.0], [1.0]])
def test_bounds_rise_between_0_and_1(sizes: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"bounds that rise are expected"):
        Wanted.read(None, sizes)


# What is measured.


def test_of_independent_images_the_gap_has_welchs_interval() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0.8, 0.02, 5), random.normal(0.6, 0.1, 12)
    made = divided(sample([[*first, *second]]), [0] * 5 + [1] * 12)
    whole = stats.ttest_ind(first, second, equal_var=False)
    assert contrast_of(first, second) == pytest.approx((whole.statistic, whole.df))
    gap = made.gaps[UNET]
    assert (gap.best, gap.worst) == ("s0", "s1")
    assert gap.difference == pytest.approx(first.mean() - second.mean())
    # Two subgroups are one pair; few images count with care, so the interval is a little wider than Welch's.
    low = whole.confidence_interval().low
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low == pytest.approx(low, abs=0.003)
    assert (gap.low + gap.high) / 2 == pytest.approx(gap.difference)
    cells = made.cells[UNET]
    assert cells["s0"].score is not None
    assert cells["s0"].score.mean == pytest.approx(first.mean())
    assert (cells["s0"].score.low, cells["s0"].score.high) == pytest.approx(
        stats.t.interval(0.95, 4, first.mean(), stats.sem(first))
    )


def contrast_of(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return t and the degrees of freedom of a difference, as they are before care is taken with small numbers."""
    values = np.concatenate([first, second])[None]
    members = np.arange(values.shape[1]) < len(first)
    made = contrast(values, np.arange(values.shape[1]), members, ~members)
    assert made is not None
    variances = np.array([first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)])
    assert made.units.variance == pytest.approx(variances.sum())
    freedoms = np.array([len(first) - 1, len(second) - 1])
    careful = variances * (1 + 2 / freedoms) ** 2
    assert made.units.freedom == pytest.approx(careful.sum() ** 2 / (careful**2 / freedoms).sum())
    return float(made.seed_means[0] / made.units.variance**0.5), float(
        variances.sum() ** 2 / (variances**2 / freedoms).sum()
    )


def test_what_the_images_of_a_patient_share_cancels_out() -> None:
    patient = np.array([0.3, 0.5, 0.7, 0.9, 0.6, 0.4])
    scores = np.stack([patient + 0.1, patient]).T.ravel()  # an image of each patient in both subgroups
    subgroups, units = [0, 1] * 6, np.repeat(np.arange(6), 2)
    members = np.array(subgroups) == 0
    paired = contrast(scores[None], units, members, ~members)
    apart = contrast(scores[None], np.arange(12), members, ~members)
    assert paired is not None
    assert apart is not None
    assert paired.units.variance == pytest.approx(0, abs=1e-12), "each patient has the same difference"
    assert apart.units.variance == pytest.approx(2 * patient.var(ddof=1) / 6)
    assert paired.seed_means == pytest.approx([0.1])
    noisy = scores + np.tile([0.03, -0.03, -0.02, 0.02], 3)
    differences = noisy[::2] - noisy[1::2]
    paired = contrast(noisy[None], units, members, ~members)
    assert paired is not None
    assert paired.units.variance == pytest.approx(differences.var(ddof=1) / 6), "as of a paired test"


def test_patients_in_one_subgroup_each_count_once() -> None:
    patient = np.array([0.3, 0.5, 0.7, 0.9, 0.6, 0.4, 0.8, 0.2])
    scores, units = np.repeat(patient, 3), np.repeat(np.arange(8), 3)
    members = units < 4
    made = contrast(scores[None], units, members, ~members)
    alone = contrast(patient[None], np.arange(8), np.arange(8) < 4, np.arange(8) >= 4)
    assert made is not None
    assert alone is not None
    assert made.units.variance == pytest.approx(alone.units.variance), "three frames say no more than one"
    assert made.units.freedom < 8


def test_seeds_are_part_of_the_interval_and_missing_scores_are_left_out() -> None:
    random = np.random.default_rng(1)
    image = random.normal(0.7, 0.02, 20)
    steady = sample([image, image, image])
    shaken = sample([image + shift * np.repeat([1, -1], 10) for shift in (-0.03, 0.0, 0.03)])
    subgroups = [0] * 10 + [1] * 10
    widths = [width(divided(of, subgroups)) for of in (steady, shaken)]
    assert widths[1] > 3 * widths[0]
    image[3] = np.nan
    made = divided(sample([image]), subgroups)
    assert made.cells[UNET]["s0"].images == 9
    assert made.cells[UNET]["s0"].score is not None
    assert made.cells[UNET]["s0"].score.mean == pytest.approx(np.nanmean(image[:10]))


def width(made: Divided) -> float:
    gap = made.gaps[UNET]
    assert gap.low is not None
    assert gap.high is not None
    return gap.high - gap.low


def test_subgroups_of_few_images_are_not_compared() -> None:
    random = np.random.default_rng(2)
    scores = [*random.normal(0.8, 0.02, 10), *random.normal(0.7, 0.02, FEWEST), 0.1, 0.95, 0.99]
    made = divided(sample([scores]), [0] * 10 + [1] * FEWEST + [2] + [3] * 2)
    cells = made.cells[UNET]
    assert (made.gaps[UNET].best, made.gaps[UNET].worst) == ("s0", "s1")
    assert cells["s2"].score is not None
    assert (cells["s2"].score.low, cells["s2"].score.remark) == (None, "one image")
    assert divided(sample([scores]), [0] * 10 + [1] * FEWEST + [2] + [3] * 2, apart=["s1"]).gaps == {}


def test_all_pairs_of_subgroups_hold_together() -> None:
    assert level_of(2) == pytest.approx(0.95)
    assert level_of(4) == pytest.approx(1 - 0.05 / 6)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_interval_of_the_gap_holds_0_where_all_subgroups_are_equal(grouped: bool) -> None:
    random = np.random.default_rng(3)
    subgroups = np.arange(60) % 3
    held, experiments = 0, 200
    for _ in range(experiments):
        patient = np.repeat(random.normal(0, 0.08, 15), 4)
        scores = 0.7 + patient + random.normal(0, 0.05, 60)
        groups = [f"p{k // 4}" for k in range(60)] if grouped else None
        gap = divided(sample([scores if grouped else random.permutation(scores)], groups), subgroups.tolist()).gaps[
            UNET
        ]
        assert gap.low is not None
        assert gap.high is not None
        held += gap.low <= 0 <= gap.high
    assert held / experiments > 0.93, "95 %, and the error of 200 experiments"


# In the report.


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks on two datasets, of which one knows the type, the sex and the name of the file of each image."""
    folder = tmp_path_factory.mktemp("subgroups") / "runs" / "types"
    fabricate(
        folder, {"unet": 0.0, "convunext": 0.03}, data=("dsb", "kvasir"), seeds=(0, 1), images=30, seed_noise=0.01
    )
    for run in read_runs(folder):
        if run.data == "dsb":
            rows = read_csv(run.folder / "images.csv")
            for k, row in enumerate(rows):
                row |= {
                    "type": "fluorescence" if k < 20 else "histology",
                    "sex": "fm"[k % 2] if k else "",
                    "file": f"f{k}",
                }
            write_csv(run.folder / "images.csv", rows)
    return folder


def test_the_report_divides_by_size_and_by_what_runs_know(runs: Path, tmp_path: Path) -> None:
    report = compare(read_runs(runs))
    made = {(one.division.column.label, one.division.by): one for one in report.subgroups.divided}
    assert [*made] == [("dsb", "size"), ("dsb", "type"), ("dsb", "sex"), ("kvasir", "size")]
    assert {name: len(ids) for name, ids in made["dsb", "type"].division.images.items()} == {
        "fluorescence": 20, "histology": 10,
    }  # fmt: skip
    assert report.subgroups.notes == ("Not divided by file, which has 30 values on dsb.",)
    report.write(tmp_path, images=0, figures=False)
    page = (tmp_path / "report.md").read_text()
    assert "### dsb by type: Dice" in page
    assert "fluorescence (20)" in page
    assert "- Not known: not part of the gap." in page
    latex = (tmp_path / "latex" / "subgroups-dsb-type.tex").read_text()
    assert "histology (10)" in latex
    html = (tmp_path / "report.html").read_text()
    assert 'id="subgroups-plot"' in html
    assert html.count('class="of-division"') == 4
    with (tmp_path / "csv" / "subgroups.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["network"] == "unet" and row["divided_by"] == "type"]
    assert [(row["subgroup"], row["images"]) for row in rows] == [("fluorescence", "20"), ("histology", "10")]
    (first,) = {row["gap"] for row in rows}
    assert float(first) == pytest.approx(abs(float(rows[0]["mean"]) - float(rows[1]["mean"])))


def test_a_table_gives_columns_to_finished_runs(runs: Path, tmp_path: Path) -> None:
    lines = [f"dsb_{k:04d}.png,{'ab'[k % 2]}" for k in range(29)]
    (tmp_path / "devices.csv").write_text("\n".join(["id,device", *lines]))
    report = compare(read_runs(runs), subgroups=f"{tmp_path / 'devices.csv'}:device")
    (made,) = report.subgroups.divided
    assert {name: len(ids) for name, ids in made.division.images.items()} == {"a": 15, "b": 14, "not known": 1}
    assert report.subgroups.notes == (
        "device is from devices.csv; 1 of 30 images of dsb are not in it.",
        "device is from devices.csv, which has no image of kvasir.",
    )
    both = compare(read_runs(runs), score="hd95", subgroups=["size", "type"], sizes=[0.1])
    assert [one.division.by for one in both.subgroups.divided] == ["size", "type", "size"]
    assert [*both.subgroups.divided[0].division.images] == ["up to 10 %", "above 10 %"]
    gap = both.subgroups.divided[0].gaps[both.comparison.rows[0]]
    cells = both.subgroups.divided[0].cells[both.comparison.rows[0]]
    best, worst = (cells[name].score for name in (gap.best, gap.worst))
    assert best is not None
    assert worst is not None
    assert best.mean < worst.mean, "a distance is the better the lower it is"
    assert compare(read_runs(runs), subgroups=[]).subgroups.divided == ()


@pytest.mark.parametrize(
    ("given", "content", "message"),
    [
        (
            "tipe",
            "",
            r"subgroups=tipe: the runs do not know that .* did you mean 'type'\?; they know size, type, sex, file",
        ),
        ("file", "", r"subgroups=file: it has 30 values on dsb, and 24 can be shown"),
        ("FILE:device", "id,device\nother,a\n", r"none of the 1 ids of table.csv is a test image .* 'other'"),
        (
            "FILE:devices",
            "id,device\na,b\n",
            r"subgroups=.*: the columns id and devices are expected, .* takes that column",
        ),
        ("FILE", "id\na\n", r"the columns id and at least one other are expected"),
        ("FILE", "id,size,group\na,1,b\n", r"no column beside id, size, group; subgroups=.*:group takes that column"),
        ("FILE", "id,size\na,1\n", r"no column beside id, size; give the column another name"),
        ("FILE:", "id,device\na,b\n", r"a column is expected after ':'; subgroups=.*table.csv takes all of the table"),
        ("FILE:type", "id,type\n", r"table.csv has a line of columns and no line of an image"),
        ("FILE:type", "id,type\nother,a\n", r"none of the 1 ids of table.csv is a test image"),
        ("group", "", r"subgroups=FILE.csv:group takes it from a table"),
        ("FILE:size", "id,size\na,b\n", r"give the column another name"),
        ("FILE:device", None, r"cannot be read"),
    ],
)
def test_what_divides_no_images_is_one_line(
    runs: Path, tmp_path: Path, given: str, content: str | None, message: str
) -> None:
    file = tmp_path / "table.csv"
    if content:
        file.write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        compare(read_runs(runs), subgroups=given.replace("FILE", str(file)))
    assert "\n" not in str(refused.value)


def test_a_pooled_score_has_no_subgroups(runs: Path, tmp_path: Path) -> None:
    report = compare(read_runs(runs), convention="pooled")
    assert report.subgroups.divided == ()
    report.write(tmp_path, "markdown", figures=False)
    assert "subgroups are of scores of images" in (tmp_path / "report.md").read_text()
