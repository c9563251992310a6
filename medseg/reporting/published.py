"""Published scores: the rows of `experiments/<study>/published.csv`, and those that a cell of ours compares with.

A row is what a source prints: network, dataset, split, image size, Dice and IoU as fractions, and in words how it
takes the mean. Nothing is filled in. A number compares with ours only where both are averaged in the same way:

    | kind       | what the source averages            | ours                                                    |
    |------------|-------------------------------------|---------------------------------------------------------|
    | per image  | the foreground of each image        | `dice`, `iou`                                           |
    | pooled     | nothing: counts of the whole split  | `pooled_dice`, `pooled_iou`                             |
    | two-class  | foreground and background           | `mean_dice_with_background`, `mean_iou_with_background` |
    | batch      | counts of each batch, of its size   | none                                                    |
    | not stated |                                     | none                                                    |

A network is looked up by its name. Width and details are those of the source.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from medseg.errors import UserError
from medseg.metrics.measures import Measure
from medseg.reporting.cells import Score
from medseg.reporting.comparison import Comparison
from medseg.reporting.costs import size_of
from medseg.reporting.line import Line

COLUMNS = (
    "source", "year", "dataset", "split", "image_size", "model", "params_m", "macs_g", "dice", "iou",
    "metric_convention", "note",
)  # fmt: skip

DATASETS = {
    "kvasir": "Kvasir-SEG", "isic": "ISIC 2018", "dsb": "DSB 2018",
    "cvc": "CVC-ClinicDB", "drive": "DRIVE", "busi": "BUSI",
}  # fmt: skip
"""Our name of a dataset -> the name in the files."""

SPLITS = {
    ("kvasir", None): r"official 880/120",
    ("kvasir", "official"): r"official 880/120",
    ("isic", None): r"70/10/20",
    ("isic", "random"): r"70/10/20",
    ("isic", "official"): r"official 2594/100/1000",
    ("dsb", None): r"80[/:]10[/:]10",
    ("dsb", "stratified"): r"80[/:]10[/:]10",
    ("drive", None): r"official 20/20",
    ("drive", "official"): r"official 20/20",
}
"""Our way to split (None: the default) -> what a source calls the same, or one of the same proportions."""

FOLDS = "folds"
"""Our way to split in cross-validation, which no source is known to share."""

WORDS = {"dice": r"dice|dsc|f1", "iou": r"iou|jaccard|\bjs\b"}
"""What sources call a score."""

KINDS = (
    ("batch", r"batch"),
    ("two-class", r"both classes|two classes|background and foreground"),
    ("pooled", r"dataset-level|one confusion matrix|dice = 2iou"),
    ("per image", r"per image"),
)
"""What in a convention's words tells of which kind it is, first match first."""

OURS = {
    ("per image", "dice"): "dice",
    ("per image", "iou"): "iou",
    ("pooled", "dice"): "pooled_dice",
    ("pooled", "iou"): "pooled_iou",
    ("two-class", "dice"): "mean_dice_with_background",
    ("two-class", "iou"): "mean_iou_with_background",
}
"""Kind and score -> the score of ours that is taken in the same way; none for the others."""


@dataclass(frozen=True)
class Published:
    """One published score.

    Attributes:
        row: of the file, `""` where the source does not state it.
        score: `dice` or `iou`, the column that it stands in.
        value: as a fraction.
        kind: how the source takes the mean: `per image`, `pooled`, `two-class`, `batch` or `not stated`.
        ours: the score of ours that is taken in the same way; None where there is none, or it is not known.
        same_split: the source names our split, or one of the same proportions.
    """

    row: Mapping[str, str]
    score: str
    value: float
    kind: str
    ours: str | None
    same_split: bool

    @property
    def source(self) -> str:
        """The source, with its year."""
        name, year = self.row["source"], self.row["year"]
        return f"{name}, {year}" if year and year not in name else name


def read_published(files: Iterable[Path]) -> list[dict[str, str]]:
    """Read the rows of some `published.csv`, each different row once.

    Raises `UserError` for a file that is not of that form.
    """
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for file in files:
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                reader = csv.DictReader(stream, strict=True)
                if tuple(reader.fieldnames or ()) != COLUMNS:
                    raise UserError(f"{file}: the columns must be {','.join(COLUMNS)}")
                for row in reader:
                    check_row(row, f"{file}:{reader.line_num}")
                    rows.setdefault(tuple(row.values()), row)
        except OSError as error:
            raise UserError(f"{file}: cannot be read ({error.strerror})") from None
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{file}: not a CSV file ({error})") from None
    return list(rows.values())


def check_row(row: dict[str, str], where: str) -> None:
    """Raise `UserError` where a row has too few or too many cells, no source, or a score that is no fraction."""
    if None in row or None in row.values():
        raise UserError(f"{where}: not {len(COLUMNS)} cells; quote a cell that holds a comma")
    if not row["source"]:
        raise UserError(f"{where}: no source; a published number needs one")
    for column in ("dice", "iou", "params_m", "macs_g"):
        most, what = (1.0, "a fraction") if column in WORDS else (float("inf"), "a number")
        try:
            right = not row[column] or 0 <= float(row[column]) <= most
        except ValueError:
            right = False
        if not right:
            raise UserError(f"{where}: {column} is {row[column]!r}; it must be {what}")


def experiments_folder() -> Path:
    """Return the folder of the studies: inside the package when installed, else beside it."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "experiments"
    return inside if inside.is_dir() else package.parent / "experiments"


def published_files(folder: Path | None = None) -> list[Path]:
    """List the `published.csv` of all studies, sorted."""
    return sorted((folder or experiments_folder()).glob("*/published.csv"))


def find(
    rows: Iterable[Mapping[str, str]],
    model: str,
    data: str,
    score: str,
    *,
    names: Collection[str] = (),
    split: str | None = None,
    image_size: int = 256,
) -> list[Published]:
    """Find what was published for a network on a dataset, the protocol closest to ours first; empty where nothing was.

    Args:
        rows: of `read_published`.
        model, data: our names, `Run.model` and `Run.data`.
        score: `dice` or `iou` for all that was published as such, whatever the convention (`Published.ours` tells with
            what it compares); the name of another of our scores, such as `pooled_dice`, for what was taken in that way.
        names: what publications call the network, besides the name that is ours in other letters.
        split: our way to split; None is the dataset's default, `FOLDS` cross-validation.
        image_size: ours, in pixels.

    Closest: the same split before another before an unknown one; then a convention that we compute before one that is
    not stated before one that cannot be compared; then the image size; then the newest; then the source's name.
    """
    dataset, same = DATASETS.get(data), SPLITS.get((data, split))
    scores = []
    of_cell = [row for row in rows if row["dataset"] == dataset and is_of(model, names, row["model"])]
    for row, column in product(of_cell, WORDS):
        kind = kind_of(row["metric_convention"], column)
        ours = OURS.get((kind, column))
        if row[column] and score in (column, ours):
            same_split = same is not None and re.search(same, row["split"]) is not None
            scores.append(Published(row, column, float(row[column]), kind, ours, same_split))
    return sorted(scores, key=lambda item: distance(item, image_size))


def is_of(model: str, names: Collection[str], theirs: str) -> bool:
    """Tell whether a source's name of a network is one of `names`, or ours in other letters: UNet++ is unetpp.

    A remark in brackets is no part of a name, a year is: U-Net (2015).
    """
    without_remark = re.sub(r"\(\D*\)", "", theirs)
    ours, plain = (re.sub("[^a-z0-9]", "", name.lower().replace("+", "p")) for name in (model, without_remark))
    return theirs in names or ours.removeprefix("smp") == plain


def kind_of(convention: str, score: str) -> str:
    """Return the kind of mean that a convention's words describe for its Dice or its IoU.

    `;` separates what is about single scores; a part that names neither is about both. "mDice" and "mean Dice" do not
    state what the mean is taken of.
    """
    named = [
        (part, [name for name, words in WORDS.items() if re.search(words, part)])
        for part in convention.lower().split(";")
    ]
    about = [part for part, names in named if score in names or not names]
    return next((kind for kind, words in KINDS if any(re.search(words, part) for part in about)), "not stated")


def distance(item: Published, image_size: int) -> tuple[object, ...]:
    """Order published scores by how far their protocol is from ours."""
    row = item.row
    unknown_split = not row["split"] or row["split"].startswith("mixed")
    split = 0 if item.same_split else 2 if unknown_split else 1
    convention = 0 if item.ours else 1 if item.kind == "not stated" else 2
    size = abs(int(row["image_size"]) - image_size) if row["image_size"].isdigit() else 10_000
    return (split, convention, size, -int(row["year"]) if row["year"].isdigit() else 0, row["source"], row["model"])


# Beside our scores.


@dataclass(frozen=True)
class PublishedCell:
    """A cell beside what was published for it, `ours` being its score under the convention of the source.

    The difference is ours - published, None where the two cannot be compared; `differs_in` names what is known to be
    different in the protocols.
    """

    row: Line
    column: Line
    measure: Measure
    ours: Score
    published: Published
    difference: float | None
    differs_in: tuple[str, ...]


def find_published(comparison: Comparison, rows: Sequence[dict[str, str]]) -> list[PublishedCell]:
    """Find the published scores of the cells; `rows` are those of `read_published`.

    Of an overlap score only: Dice, or IoU where the comparison is about that.
    """
    score = comparison.measure.score if comparison.measure.score in ("dice", "iou") else "dice"
    cells = []
    for row, column in product(comparison.rows, comparison.datasets):
        cell = comparison.cells.get((row, column))
        run = next((run for run in cell.runs if run.finished), None) if cell else None
        if cell is None or run is None:
            continue
        size = size_of(run) or (256, 256)
        names = (run.summary.get("network") or {}).get("publications") or ()
        split = FOLDS if run.fold is not None else run.summary.get("split_name")
        sources = find(rows, row.name, column.name, score, names=names, split=split, image_size=max(size))
        name = (sources[0].ours or sources[0].score) if sources else ""
        if name in cell.scores:
            comparable = sources[0].ours is not None or sources[0].kind == "not stated"
            difference = cell.scores[name].mean - sources[0].value if comparable else None
            ours = (comparison.measures[name], cell.scores[name])
            cells.append(PublishedCell(row, column, *ours, sources[0], difference, differences(sources[0], size)))
    return cells


def differences(published: Published, size: tuple[int, int]) -> tuple[str, ...]:
    """Name what is known to differ between the protocol of a source and ours."""
    theirs = {name: published.row[name] or "not stated" for name in ("split", "image_size")}
    parts = {
        f"split ({theirs['split']})": not published.same_split,
        f"convention ({published.kind})": published.ours is None,
        f"size ({theirs['image_size']})": theirs["image_size"] != str(size[0]) or size[0] != size[1],
    }
    return tuple(part for part, differs in parts.items() if differs)
