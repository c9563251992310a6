"""How the split files of the published datasets were made, so that anyone can make them again from the ids.

`python experiments/splits/make_split_files.py` writes `medseg/data/split_files/`; a test checks that they come out as
they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from medseg.config.checks.data import FOLDS
from medseg.data.splits.random_splits import draw, folds_by_count, folds_of_groups, members, split_by_count
from medseg.data.splits.split_files import FOLD_COLUMNS, read_table, split_files


def make_kvasir(ids: Collection[str], official_test: Collection[str], together: Sequence[Collection[str]]) -> dict:
    """Make Kvasir-SEG's tables: official 880/120 with 88 of the 880 for validation; random 810/90/100; folds."""
    return {
        "official": split_by_count(ids, val=88, test=official_test, key="kvasir/official", together=together),
        "random": split_by_count(ids, val=90, test=100, key="kvasir/random", together=together),
        "folds": folds_by_count(ids, "kvasir", together=together),
    }


def make_isic(ids: Collection[str], together: Sequence[Collection[str]]) -> dict:
    """Make ISIC 2018's tables over its 2594 official training images: random 1815/259/520; folds."""
    return {
        "random": split_by_count(ids, val=259, test=520, key="isic/random", together=together),
        "folds": folds_by_count(ids, "isic", together=together),
    }


def make_dsb(types: Mapping[str, str], together: Sequence[Collection[str]]) -> dict:
    """Make DSB 2018's tables: 536/67/67 stratified by image type; folds stratified alike."""
    return {
        "stratified": split_by_count(types, val=67, test=67, key="dsb/stratified", types=types, together=together),
        "folds": folds_by_count(types, "dsb", types=types, together=together),
    }


def make_isbi(ids: Sequence[str]) -> dict:
    """Make ISBI 2012's tables: blocks of neighbouring slices, 20/4/6; fold k tests slices 6k to 6k + 5.

    Neighbouring slices are near-copies of each other, so a random split would test on what was trained on. A fold's
    validation block is the first three slices of the next fold's test block.
    """
    folds = [
        block_split(ids, slice(6 * k, 6 * k + 6), slice(6 * ((k + 1) % FOLDS), 6 * ((k + 1) % FOLDS) + 3))
        for k in range(FOLDS)
    ]
    return {"blocks": block_split(ids, slice(24, 30), slice(20, 24)), "folds": folds}


CVC_LAST_FRAMES = (
    25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317, 342, 363, 383, 408, 428, 447, 466, 478, 503,
    528, 546, 571, 591, 612,
)  # fmt: skip
"""The last frame of each of CVC-ClinicDB's 29 sequences, as its published table has them."""


def cvc_videos() -> dict[str, str]:
    """Map the id of each frame of CVC-ClinicDB to the number of its sequence."""
    frames = range(1, CVC_LAST_FRAMES[-1] + 1)
    return {f"{frame:03d}": f"{bisect_left(CVC_LAST_FRAMES, frame) + 1:02d}" for frame in frames}


def make_cvc(videos: Mapping[str, str]) -> dict:
    """Make CVC-ClinicDB's tables: whole sequences, about a fifth of the frames for the test, a tenth for validation."""
    together = list(members(videos).values())
    return {
        "sequences": split_by_count(videos, val=61, test=122, key="cvc/sequences", together=together),
        "folds": folds_of_groups(videos, "cvc"),
    }


def make_drive() -> dict:
    """Make DRIVE's tables: the official 20/20, with 4 of the 20 training images for validation; folds of all 40."""
    test = [f"{number:02d}_test" for number in range(1, 21)]
    ids = [*test, *(f"{number:02d}_training" for number in range(21, 41))]
    return {
        "official": split_by_count(ids, val=4, test=test, key="drive/official"),
        "folds": folds_by_count(ids, "drive"),
    }


def make_glas(patients: Mapping[str, str], grades: Mapping[str, str]) -> dict:
    """Make GlaS's tables: the official parts, with whole patients of the training images for validation; folds.

    In `testA` and `testB` the images of the other test part have no split.
    """
    training = {id_: patient for id_, patient in patients.items() if id_.startswith("train_")}
    val = draw(training, 9, "glas/val", together=members(training).values())

    def official(*tests: str) -> dict[str, str]:
        tested = [id_ for id_ in patients if id_.partition("_")[0] in tests]
        used = {id_: "val" if id_ in val else "train" for id_ in training} | dict.fromkeys(tested, "test")
        return {id_: used.get(id_, "") for id_ in patients}

    return {
        "official": official("testA", "testB"),
        "testA": official("testA"),
        "testB": official("testB"),
        "folds": folds_of_groups(patients, "glas", grades),
    }


def block_split(ids: Sequence[str], test: slice, val: slice) -> dict[str, str]:
    """Split a sequence of slices, of which neighbours are near-copies, into runs of neighbours."""
    assignment = dict.fromkeys(ids, "train")
    return assignment | dict.fromkeys(ids[val], "val") | dict.fromkeys(ids[test], "test")


def make_all() -> dict[str, dict[str, str]]:
    """Make every split file again from the ids (and types, patients, official test images) in the shipped ones.

    Returns dataset -> file stem -> text of the file.
    """
    kvasir, dsb = read_table("kvasir", "official"), read_table("dsb", "stratified")
    official_test = [id_ for id_, row in kvasir.items() if row["split"] == "test"]
    types = {id_: row["type"] for id_, row in dsb.items()}
    glas, videos = read_table("glas", "official"), cvc_videos()
    patients = {id_: row["group"] for id_, row in glas.items()}
    grades = {id_: row["type"] for id_, row in glas.items()}
    tables = {
        "kvasir": make_kvasir(kvasir.keys(), official_test, same_picture("kvasir")),
        "isic": make_isic(read_table("isic", "random").keys(), same_picture("isic")),
        "dsb": make_dsb(types, same_picture("dsb")),
        "isbi": make_isbi(list(read_table("isbi", "blocks"))),
        "cvc": make_cvc(videos),
        "drive": make_drive(),
        "glas": make_glas(patients, grades),
    }
    more = {"dsb": {"type": types}, "cvc": {"group": videos}, "glas": {"type": grades, "group": patients}}
    return {
        dataset: {stem: to_csv(table, more.get(dataset, {})) for stem, table in made.items()}
        for dataset, made in tables.items()
    }


def same_picture(dataset: str) -> list[set[str]]:
    """Sets of ids that show one picture (in other colours, or a frame apart) and must not be split.

    `same_picture.csv` lists them with the columns `id,picture`; how they were detected is described in
    `split_files/README.md`.
    """
    if not (split_files(dataset) / "same_picture.csv").is_file():
        return []
    pictures = {id_: row["picture"] for id_, row in read_table(dataset, "same_picture").items()}
    return [set(ids) for ids in members(pictures).values()]


def to_csv(table: dict[str, str] | list[dict[str, str]], more: Mapping[str, Mapping[str, str]]) -> str:
    """Write a split, or the list of folds, as the text of its CSV file; `more` are further columns, id -> text."""
    columns = [table] if isinstance(table, dict) else table
    header = ["id", *(["split"] if isinstance(table, dict) else FOLD_COLUMNS), *more]
    rows = [[id_, *(column[id_] for column in columns), *(texts[id_] for texts in more.values())] for id_ in columns[0]]
    return "".join(",".join(row) + "\n" for row in [header, *rows])


def write_split_files() -> None:
    """Write every split file again, in place; they come out as they are unless a rule above was changed."""
    for dataset, made in make_all().items():
        for stem, text in made.items():
            path = Path(str(split_files(dataset) / f"{stem}.csv"))
            path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_split_files()
