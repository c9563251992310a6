from __future__ import annotations

from collections import Counter

import pytest

from experiments.splits.make_split_files import block_split, make_all, same_picture, write_split_files
from medseg.config.checks.data import FOLDS
from medseg.data.datasets import DRIVE, DSB2018, ISBI2012, ISIC2018, CVCClinicDB, GlaS, KvasirSEG
from medseg.data.datasets.base import Sample
from medseg.data.sources.finding import open_source
from medseg.data.splits import SPLITS
from medseg.data.splits.random_splits import draw, random_split
from medseg.data.splits.split_files import FOLD_COLUMNS, check_fold, file_split, read_table, split_files, split_names
from medseg.errors import ConfigError, DataError

DATASETS = {
    "kvasir": KvasirSEG(), "isic": ISIC2018(), "dsb": DSB2018(), "isbi": ISBI2012(), "cvc": CVCClinicDB(),
    "drive": DRIVE(), "glas": GlaS(),
}  # fmt: skip
GROUPED = ("cvc", "glas")
"""Datasets whose folds are of whole videos or patients."""
SIZES = {
    ("kvasir", "official"): (792, 88, 120),
    ("kvasir", "random"): (810, 90, 100),
    ("isic", "random"): (1815, 259, 520),
    ("dsb", "stratified"): (536, 67, 67),
    ("isbi", "blocks"): (20, 4, 6),
    ("cvc", "sequences"): (429, 61, 122),
    ("drive", "official"): (16, 4, 20),
    ("glas", "official"): (76, 9, 80),
    ("glas", "testA"): (76, 9, 60),
    ("glas", "testB"): (76, 9, 20),
}
COLUMNS = [(dataset, split, "split") for dataset, split in SIZES] + [
    (dataset, "folds", column) for dataset in DATASETS for column in FOLD_COLUMNS
]


def parts(dataset: str, table: str, column: str) -> dict[str, list[str]]:
    rows = read_table(dataset, table)
    return {part: [id_ for id_, row in rows.items() if row[column] == part] for part in SPLITS}


def test_every_split_file_is_known_here():
    assert {(dataset, split) for dataset in DATASETS for split in split_names(dataset)} == set(SIZES)


@pytest.mark.parametrize("dataset", DATASETS)
def test_split_files_come_out_of_the_functions_that_made_them(dataset):
    for stem, text in make_all()[dataset].items():
        assert (split_files(dataset) / f"{stem}.csv").read_text(encoding="utf-8") == text, stem


def test_writing_the_split_files_again_changes_nothing(tmp_path, monkeypatch):
    made = make_all()
    for dataset in made:
        (tmp_path / dataset).mkdir()
    monkeypatch.setattr("experiments.splits.make_split_files.split_files", lambda dataset: tmp_path / dataset)
    monkeypatch.setattr("experiments.splits.make_split_files.make_all", lambda: made)
    write_split_files()
    for dataset, tables in made.items():
        for stem in tables:
            assert (tmp_path / dataset / f"{stem}.csv").read_bytes() == (
                split_files(dataset) / f"{stem}.csv"
            ).read_bytes()


@pytest.mark.parametrize(("dataset", "table"), SIZES)
def test_split_sizes(dataset, table):
    assert tuple(len(ids) for ids in parts(dataset, table, "split").values()) == SIZES[dataset, table]


@pytest.mark.parametrize(("dataset", "table", "column"), COLUMNS)
def test_parts_are_disjoint_and_complete(dataset, table, column):
    # Ids are counted in the raw text: a table read into a dict could not show an id that stands there twice.
    lines = (split_files(dataset) / f"{table}.csv").read_text(encoding="utf-8").splitlines()[1:]
    ids = [line.split(",")[0] for line in lines]
    assert len(ids) == len(set(ids))
    if table in ("testA", "testB"):
        ids = [id_ for id_ in ids if id_.partition("_")[0] in ("train", table)]
    chosen = parts(dataset, table, column)
    assert sorted(chosen["train"] + chosen["val"] + chosen["test"]) == sorted(ids)


@pytest.mark.parametrize("dataset", [name for name in DATASETS if name not in GROUPED])  # of these it is not there
def test_splits_cover_the_real_archive_exactly(dataset, shared_data):
    listed = {s.id for s in DATASETS[dataset].list_samples(open_source(DATASETS[dataset], shared_data)).samples}
    for table in [*split_names(dataset), "folds"]:
        assert read_table(dataset, table).keys() == listed


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_image_is_tested_in_one_fold(dataset):
    for row in read_table(dataset, "folds").values():
        assert sum(row[column] == "test" for column in FOLD_COLUMNS) == 1
    sizes = [len(parts(dataset, "folds", column)["test"]) for column in FOLD_COLUMNS]
    assert max(sizes) - min(sizes) <= {"cvc": 16, "glas": 5}.get(dataset, 1)
    for column in FOLD_COLUMNS:
        chosen = parts(dataset, "folds", column)
        assert abs(len(chosen["val"]) / (len(chosen["train"]) + len(chosen["val"])) - 0.1) < (
            0.05 if dataset == "glas" else 0.03
        )


@pytest.mark.parametrize(("dataset", "table", "column"), [entry for entry in COLUMNS if entry[0] in GROUPED])
def test_no_video_and_no_patient_is_in_two_parts_but_those_that_the_official_parts_share(dataset, table, column):
    of_group: dict[str, set[str]] = {}
    for row in read_table(dataset, table).values():
        of_group.setdefault(row["group"], set()).add(row[column])
    shared = {group for group, parts_ in of_group.items() if len(parts_ - {""}) > 1}
    if dataset == "cvc" or table == "folds":
        assert not shared
    else:
        assert not any({"train", "val"} <= of_group[group] for group in shared)


def test_the_videos_of_cvc_are_the_published_frame_ranges():
    videos = {id_: row["group"] for id_, row in read_table("cvc", "sequences").items()}
    assert list(videos) == [f"{frame:03d}" for frame in range(1, 613)]
    first = {video: id_ for id_, video in reversed(videos.items())}
    assert sorted(first) == [f"{video:02d}" for video in range(1, 30)]
    assert list(videos.values()) == sorted(videos.values())
    known = {
        "02": "026",
        "08": "152",
        "14": "278",
        "18": "364",
        "23": "467",
        "27": "547",
    }  # the archive of 60 frames has the first of each
    assert {video: first[video] for video in known} == known


def test_the_grades_of_glas_are_those_of_its_paper():
    grades = Counter((id_.partition("_")[0], row["type"]) for id_, row in read_table("glas", "official").items())
    assert grades == {
        ("train", "benign"): 37, ("train", "malignant"): 48, ("testA", "benign"): 33, ("testA", "malignant"): 27,
        ("testB", "benign"): 4, ("testB", "malignant"): 16,
    }  # fmt: skip


def test_kvasir_official_split_is_the_published_one(shared_data):
    lists = shared_data.parent / "facts" / "splits"
    chosen = parts("kvasir", "official", "split")
    assert set(chosen["test"]) == set((lists / "kvasir_official_test.txt").read_text().split())
    assert set(chosen["train"] + chosen["val"]) == set((lists / "kvasir_official_train.txt").read_text().split())


@pytest.mark.parametrize(("table", "column"), [("stratified", "split"), *(("folds", c) for c in FOLD_COLUMNS)])
def test_dsb_parts_hold_each_kind_of_image_in_proportion(table, column):
    rows = read_table("dsb", table)
    totals = Counter(row["type"] for row in rows.values())
    assert len(totals) == 4
    for part in SPLITS:
        ids = parts("dsb", table, column)[part]
        for type_, total in totals.items():
            expected = total * len(ids) / len(rows)
            assert abs(sum(rows[id_]["type"] == type_ for id_ in ids) - expected) < 1.5
            assert any(rows[id_]["type"] == type_ for id_ in ids)


@pytest.mark.parametrize(("dataset", "table", "column"), COLUMNS)
def test_the_same_picture_is_on_one_side_only(dataset, table, column):
    rows = read_table(dataset, table)
    groups = same_picture(dataset)
    assert len(groups) == {"kvasir": 5, "isic": 34, "dsb": 1}.get(dataset, 0)
    for group in groups:
        assert len(group) == 2
        assert len({rows[id_][column] for id_ in group}) == 1


@pytest.mark.parametrize(("table", "column"), [("blocks", "split"), *(("folds", c) for c in FOLD_COLUMNS)])
def test_isbi_test_and_validation_slices_are_runs_of_neighbours(table, column):
    for part in ("val", "test"):
        numbers = sorted(int(id_.removeprefix("slice_")) for id_ in parts("isbi", table, column)[part])
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.name)
def test_datasets_hand_out_their_files(dataset):
    rows = read_table(dataset.name, "folds")
    samples = [Sample(id_, "", (), "train" if dataset.name == "isic" else "") for id_ in rows]
    default = dataset.default_split
    table = read_table(dataset.name, default)
    assert dataset.assign_splits(samples, None, None) == {id_: row["split"] for id_, row in table.items()}
    assert dataset.assign_splits(samples, default, 3) == {id_: row["fold3"] for id_, row in rows.items()}
    with pytest.raises(ConfigError, match=r"data\.split=offical.*data\.fold"):
        dataset.assign_splits(samples, "offical", None)
    with pytest.raises(ConfigError, match=r"data\.fold is 5; it must be one of the 5 folds, 0 to 4"):
        dataset.assign_splits(samples, None, 5)


def test_a_misspelt_split_names_the_close_matches():
    with pytest.raises(ConfigError, match=r"did you mean 'official'\? \(it has official, random"):
        file_split("kvasir", [], "offical", None)


@pytest.mark.parametrize("fold", [-1, 5, True, 1.0, "1"])
def test_a_fold_that_is_none_is_refused(fold):
    with pytest.raises(ConfigError, match="5 folds"):
        check_fold(fold)


def test_an_image_outside_the_published_dataset_is_refused():
    with pytest.raises(DataError, match="1 image is not in its split 'official', the first is 'mine'"):
        file_split("kvasir", [*read_table("kvasir", "official"), "mine"], "official", None)


def test_a_split_names_every_image_so_that_a_missing_one_is_noticed():
    table = read_table("kvasir", "official")
    few = list(table)[:3]
    assert file_split("kvasir", few, "official", None) == {id_: row["split"] for id_, row in table.items()}


IDS = [f"image{k:03d}" for k in range(50)]


def test_drawing_is_fixed_for_good():
    # From sha256sum over "key:<id>": other results here would move the images of every user's split.
    assert sorted(draw(IDS, 4, "key")) == ["image009", "image028", "image030", "image045"]
    assert draw(reversed(IDS), 4, "key") == draw(IDS, 4, "key")
    assert draw(IDS, 4, "another key") != draw(IDS, 4, "key")


def test_drawing_keeps_sets_together_and_the_count_exact():
    together = [{"image000", "image001"}, {"image002", "image003", "image004"}, {"image005", "elsewhere"}]
    for key in map(str, range(30)):
        chosen = draw(IDS, 10, key, together=together)
        assert len(chosen) == 10
        assert all(len(chosen & group) in (0, len(group & set(IDS))) for group in together)


def test_drawing_is_in_proportion_to_the_types():
    types = {id_: "a" if k < 40 else "b" if k < 48 else "c" for k, id_ in enumerate(IDS)}
    assert Counter(types[id_] for id_ in draw(IDS, 10, "key", types)) == {"a": 8, "b": 2}
    assert Counter(types[id_] for id_ in draw(IDS, 25, "key", types)) == {"a": 20, "b": 4, "c": 1}
    assert draw(IDS, 50, "key", types) == set(IDS)


@pytest.mark.parametrize(("count", "sizes"), [(3, (1, 1, 1)), (9, (7, 1, 1)), (20, (16, 2, 2)), (50, (40, 5, 5))])
def test_random_split_is_80_10_10_with_one_image_at_least(count, sizes):
    split = random_split("key", IDS[:count], None, None)
    assert tuple(Counter(split.values())[part] for part in SPLITS) == sizes
    assert split == random_split("key", IDS[:count][::-1], None, None)


def test_one_more_image_moves_few_others():
    before, after = random_split("key", IDS[:40], None, None), random_split("key", IDS[:41], None, None)
    assert sum(before[id_] != after[id_] for id_ in before) <= 3


@pytest.mark.parametrize(("count", "are"), [(0, "0 images are"), (1, "1 image is"), (2, "2 images are")])
def test_too_few_images_for_a_split(count, are):
    with pytest.raises(DataError, match=f"^{are} too few.*3 or more"):
        random_split("key", IDS[:count], None, None)


@pytest.mark.parametrize("count", [5, 7, 50])
def test_random_folds_test_every_image_once(count):
    folds = [random_split("key", IDS[:count], None, k) for k in range(FOLDS)]
    assert Counter(id_ for fold in folds for id_, part in fold.items() if part == "test") == dict.fromkeys(
        IDS[:count], 1
    )
    assert all(set(fold.values()) == set(SPLITS) for fold in folds)


def test_too_few_images_for_folds_and_wrong_folds():
    with pytest.raises(DataError, match="4 images are too few for 5 folds"):
        random_split("key", IDS[:4], None, 0)
    with pytest.raises(ConfigError, match="5 folds"):
        random_split("key", IDS, None, 5)


def test_block_split():
    assert block_split(["a", "b", "c", "d"], slice(2, 4), slice(1, 2)) == {
        "a": "train",
        "b": "val",
        "c": "test",
        "d": "test",
    }
