from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from PIL import Image

from medseg.data.datasets import Folder
from medseg.data.sources.source import FolderSource
from medseg.data.splits import SPLITS
from medseg.errors import ConfigError, DataError
from tests.data.image_files import MemorySource, encode, mask, picture, pillow

IMAGE = encode(picture())


def indices(*values: int) -> np.ndarray:
    """A mask with a stripe of each value."""
    return np.repeat(np.resize(np.array(values), 32)[None].astype(np.uint16 if max(values) > 255 else np.uint8), 24, 0)


def folder(masks: list[np.ndarray | bytes], extension: str = ".png") -> MemorySource:
    """Images a, b, c, ... with the given masks."""
    files = {}
    for letter, labels in zip("abcdefghijklmnopqrstuvwxyz", masks, strict=False):
        files[f"images/{letter}.png"] = IMAGE
        files[f"masks/{letter}{extension}"] = labels if isinstance(labels, bytes) else encode(labels, extension)
    return MemorySource(files)


def named(*names: str) -> MemorySource:
    """Files of the given names; masks are black and white."""
    return MemorySource({name: encode(mask()) if "masks/" in name.lower() else IMAGE for name in names})


def read_all(source: MemorySource, **options) -> dict[str, np.ndarray]:
    dataset = Folder(**options)
    return {sample.id: dataset.read(source, sample)[1] for sample in dataset.list_samples(source).samples}


# Names


@pytest.mark.parametrize(
    ("image", "mask_", "id_"),
    [
        ("images/a.png", "masks/a.png", "a"),
        ("images/a.JPG", "masks/a.png", "a"),
        ("Images/a.TIFF", "MASKS/a.Bmp", "a"),
        ("images/a.png", "masks/a_mask.png", "a"),
        ("images/a.png", "masks/a_segmentation.png", "a"),
        ("images/p1/a.png", "masks/p1/a.png", "p1__a"),
        ("mine/images/p1/a.png", "mine/masks/p1/a.png", "p1__a"),
        ("images/a.b.png", "masks/a.b.png", "a.b"),
    ],
)
def test_pairs_are_found_by_name(image, mask_, id_):
    other = (
        image.replace("a.", "z.").replace("p1", "p2"),
        mask_.replace("a.", "z.").replace("a_", "z_").replace("p1", "p2"),
    )
    listing = Folder().list_samples(named(image, mask_, *other))
    assert not listing.problems
    assert (listing.samples[0].id, listing.samples[0].image, listing.samples[0].masks) == (id_, image, (mask_,))
    assert len(listing.samples) == 2


def test_an_images_own_name_goes_before_a_suffix():
    names = ["images/a.png", "masks/a.png", "images/a_mask.png", "masks/a_mask.png"]
    pairs = {s.id: s.masks[0] for s in Folder().list_samples(named(*names)).samples}
    assert pairs == {"a": "masks/a.png", "a_mask": "masks/a_mask.png"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["images/a.png", "images/a.jpg", "masks/a.png"], "images/a.jpg and images/a.png have the same name"),
        (["images/a.png", "masks/a.png", "masks/a_mask.png"], "more than one mask"),
        (["images/p__a.png", "images/p/a.png", "masks/p/a.png", "masks/p__a.png"], "same id 'p__a'"),
        (["images/a.png", "images/b.png"], "no masks found"),
        (["masks/a.png"], "no images found"),
        (["pictures/a.png", "labels/a.png"], "no images found"),
        (["images/a.png", "masks/z.png"], "no image has a usable mask"),
        (["images/a.dcm", "masks/a.png"], r"\.dcm are not known"),
    ],
)
def test_a_layout_that_is_not_met_is_refused(names, message):
    with pytest.raises(DataError, match=message):
        Folder().list_samples(named(*names))


def test_missing_and_extra_masks_and_unreadable_ones_are_told_by_file():
    source = named("images/a.png", "masks/a.png", "images/b.png", "masks/c.png", "images/d.png", "masks/d.png")
    source.files["masks/d.png"] = source.files["masks/d.png"][:40]
    listing = Folder().list_samples(source)
    assert [sample.id for sample in listing.samples] == ["a"]
    assert {(p.kind, p.file, p.sample) for p in listing.problems} == {
        ("missing mask", "images/b.png", "b"),
        ("extra mask", "masks/c.png", ""),
        ("unreadable", "masks/d.png", "d"),
    }


# Values


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (7, 200), (1, 2), (0, 65535), (255, 256)])
def test_two_values_of_any_kind_are_background_and_foreground(low, high):
    source = folder([indices(low, high), indices(low), indices(high)])
    listing = Folder().list_samples(source)
    assert listing.class_names == ("background", "foreground")
    assert not listing.problems
    labels = read_all(source)
    np.testing.assert_array_equal(labels["a"], indices(0, 1))
    assert not labels["b"].any()  # all background
    assert labels["c"].all()  # all foreground
    assert labels["a"].dtype == np.uint8


@pytest.mark.parametrize("count", [3, 4, 255])
def test_class_indices_are_found_and_counted_over_all_masks(count):
    stripes = [indices(*range(k, min(k + 32, count))) for k in range(0, count, 32)]
    source = folder([*stripes, indices(0)])
    listing = Folder().list_samples(source)
    assert listing.num_classes == count
    assert listing.class_names[:2] == ("background", "class 1")
    np.testing.assert_array_equal(read_all(source)["a"], stripes[0])


def test_16_bit_class_indices_become_a_uint8_class_map():
    labels = read_all(folder([indices(0, 1, 2).astype(np.uint16)]))["a"]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, indices(0, 1, 2))


def test_one_mask_with_a_stray_value_is_told_by_file():
    source = folder([mask(), mask(), indices(0, 37, 255), indices(0)])
    listing = Folder().list_samples(source)
    (problem,) = listing.problems
    assert (problem.kind, problem.file, problem.sample) == ("unexpected label", "masks/c.png", "c")
    assert problem.detail == "value 37; the masks hold values 0, 255"
    assert [sample.id for sample in listing.samples] == ["a", "b", "d"]
    assert listing.num_classes == 2


def test_a_stray_value_among_class_indices_is_told_by_file():
    listing = Folder().list_samples(folder([indices(0, 1), indices(0, 1, 2, 3), indices(0, 3), indices(0, 1, 99)]))
    assert listing.num_classes == 4
    assert [(p.file, p.detail) for p in listing.problems] == [
        ("masks/d.png", "value 99; the masks hold values 0, 1, 2, 3")
    ]


def test_values_that_make_no_sense_are_refused():
    grey = [np.random.default_rng(k).integers(0, 256, (24, 32), dtype=np.uint8) for k in range(3)]
    with pytest.raises(DataError, match="neither two values nor class indices"):
        Folder().list_samples(folder(grey))


@pytest.mark.parametrize("value", [0, 1, 255])
def test_masks_of_one_value_are_refused(value):
    with pytest.raises(DataError, match=f"every mask holds value {value} and nothing else"):
        Folder().list_samples(folder([indices(value)] * 3))


def test_masks_in_equal_channels_count_as_grey():
    rgba = np.dstack([mask(high=2)] * 3 + [np.full((24, 32), 255, np.uint8)])
    source = folder([np.dstack([mask(high=1)] * 3), rgba])
    assert Folder().list_samples(source).num_classes == 3
    np.testing.assert_array_equal(read_all(source)["b"], mask(high=2))


def test_masks_in_colours_are_told_by_file():
    listing = Folder().list_samples(folder([mask(), np.dstack([mask(), mask(high=0), mask(high=0)])]))
    assert [(p.kind, p.file) for p in listing.problems] == [("unexpected label", "masks/b.png")]


def test_palette_masks_count_by_index():
    image = Image.fromarray(indices(0, 1, 2))
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    np.testing.assert_array_equal(read_all(folder([pillow(image, "PNG")]))["a"], indices(0, 1, 2))


def test_jpeg_masks_are_thresholded():
    source = folder([mask(), indices(0)], ".jpg")
    source.files |= folder([mask(), indices(0), mask()]).files | {"masks/a.png": b"", "masks/b.png": b""}
    files = {name: data for name, data in source.files.items() if data}  # two JPEG masks and a PNG one
    listing = Folder().list_samples(MemorySource(files))
    assert (listing.num_classes, len(listing.samples), listing.problems) == (2, 3, [])
    labels = read_all(MemorySource(files))
    np.testing.assert_array_equal(labels["a"], mask(high=1))
    np.testing.assert_array_equal(labels["c"], mask(high=1))
    assert not labels["b"].any()


def test_only_empty_jpeg_masks_are_refused():
    with pytest.raises(DataError, match="every mask holds value 0"):
        Folder().list_samples(folder([indices(0)] * 2, ".jpg"))


def test_empty_lossless_masks_beside_jpeg_masks_are_background():
    files = folder([mask()], ".jpg").files | {"images/z.png": IMAGE, "masks/z.png": encode(indices(0))}
    labels = read_all(MemorySource(files))
    assert labels["a"].any()
    assert not labels["z"].any()


def test_jpeg_masks_do_not_go_with_more_than_two_classes():
    files = folder([mask()], ".jpg").files | {"images/z.png": IMAGE, "masks/z.png": encode(indices(0, 1, 2))}
    with pytest.raises(DataError, match="JPEG"):
        Folder().list_samples(MemorySource(files))


def test_a_grey_jpeg_mask_is_told_by_file():
    files = folder([mask()], ".jpg").files | {"images/z.png": IMAGE, "masks/z.jpg": encode(mask(low=120), ".jpg")}
    (problem,) = Folder().list_samples(MemorySource(files)).problems
    assert (problem.kind, problem.file) == ("unexpected label", "masks/z.jpg")


# A number of classes given


def test_classes_that_do_not_occur_are_kept_when_their_number_is_given():
    assert Folder(num_classes=5).list_samples(folder([indices(0, 1, 3)])).num_classes == 5
    names = ["background", "organ", "vessel", "lesion"]
    listing = Folder(class_names=names).list_samples(folder([indices(0, 2)]))
    assert listing.class_names == tuple(names)
    # Two values would be background and foreground without the number.
    np.testing.assert_array_equal(read_all(folder([indices(0, 2)]), num_classes=3)["a"], indices(0, 2))


def test_two_classes_given_take_any_two_values():
    np.testing.assert_array_equal(read_all(folder([indices(7, 200)]), num_classes=2)["a"], indices(0, 1))
    assert read_all(folder([indices(1)]), num_classes=2)["a"].all()


@pytest.mark.parametrize(
    ("masks", "num_classes"),
    [([indices(0, 1, 2)], 2), ([indices(0, 1, 2, 3)] * 2, 3), ([indices(0, 255)], 3), ([indices(3, 90, 200)], 2)],
)
def test_a_number_of_classes_that_does_not_fit_is_refused(masks, num_classes):
    with pytest.raises(ConfigError, match=f"num_classes={num_classes} does not fit the masks, which hold values"):
        Folder(num_classes=num_classes).list_samples(folder(masks))


def test_a_stray_value_beyond_the_number_given_is_told_by_file():
    listing = Folder(num_classes=3).list_samples(folder([indices(0, 1, 2), indices(0, 2), indices(0, 9)]))
    assert [p.file for p in listing.problems] == ["masks/c.png"]
    listing = Folder(num_classes=2).list_samples(folder([mask(), mask(), indices(0, 37, 255)]))
    assert [p.file for p in listing.problems] == ["masks/c.png"]


@pytest.mark.parametrize("num_classes", [0, 1, 256])
def test_impossible_numbers_of_classes_are_refused(num_classes):
    with pytest.raises(ConfigError, match="must be 2 to 255"):
        Folder(num_classes=num_classes).list_samples(folder([mask()]))


def test_names_and_number_that_disagree_are_refused():
    with pytest.raises(ConfigError, match="has 2 names"):
        Folder(class_names=["background", "polyp"], num_classes=3)


# Reading


def test_images_of_all_kinds_are_read_and_sizes_are_checked():
    source = folder([mask(), mask(), mask(height=30)])
    source.files["images/b.png"] = encode(picture()[:, :, 0])
    dataset = Folder()
    first, second, third = dataset.list_samples(source).samples
    assert dataset.read(source, first)[0].shape == dataset.read(source, second)[0].shape == (24, 32, 3)
    with pytest.raises(DataError, match=r"masks/c\.png: size mismatch .*32 x 30.*32 x 24"):
        dataset.read(source, third)


def test_a_copy_in_another_process_reads_the_same():
    source = folder([indices(7, 200)])
    sample = Folder().list_samples(source).samples[0]
    fresh = pickle.loads(pickle.dumps(Folder()))  # has not listed anything
    np.testing.assert_array_equal(fresh.read(source, sample)[1], indices(0, 1))


def test_a_real_folder_on_disk(tmp_path):
    for kind, data in (("images", IMAGE), ("masks", encode(mask()))):
        (tmp_path / kind / "sub").mkdir(parents=True)
        for name in ("a", "b"):
            (tmp_path / kind / "sub" / f"{name}.png").write_bytes(data)
    listing = Folder().list_samples(FolderSource(tmp_path))
    assert [sample.id for sample in listing.samples] == ["sub__a", "sub__b"]


def test_options_are_part_of_the_cache_key():
    assert Folder().options != Folder(num_classes=3).options


# Splits


def splits_of(source: MemorySource, split: str | None = None, fold: int | None = None) -> dict[str, str]:
    dataset = Folder()
    return dataset.assign_splits(dataset.list_samples(source).samples, split, fold)


def numbered(count: int) -> list[str]:
    return [f"{kind}/{k:02d}.png" for k in range(count) for kind in ("images", "masks")]


def test_without_a_split_of_its_own_a_folder_is_split_80_10_10():
    split = splits_of(named(*numbered(20)))
    assert [list(split.values()).count(part) for part in SPLITS] == [16, 2, 2]
    assert splits_of(named(*numbered(20)), "random") == split
    with pytest.raises(ConfigError, match=r"no such split of folder.*it has random"):
        splits_of(named(*numbered(20)), "own")
    with pytest.raises(DataError, match="too few"):
        splits_of(named(*numbered(2)))


def test_folds_of_a_folder():
    tested = [id_ for k in range(5) for id_, part in splits_of(named(*numbered(7)), fold=k).items() if part == "test"]
    assert sorted(tested) == [f"{k:02d}" for k in range(7)]
    with pytest.raises(ConfigError, match="5 folds"):
        splits_of(named(*numbered(7)), fold=7)


OWN = {"train__a": "train", "train__b": "train", "val__a": "val", "test__c": "test"}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("top", ["", "mine/"])
def test_a_folders_own_split_is_the_default(inside, top):
    names = []
    for id_, part in OWN.items():
        part_folder = {"val": "Validation"}.get(part, part)
        for kind in ("images", "masks"):
            above = f"{kind}/{part_folder}" if inside else f"{part_folder}/{kind}"
            names.append(f"{top}{above}/{id_[-1]}.png")
    expected = {id_.replace("val_", "Validation_"): part for id_, part in OWN.items()}
    assert splits_of(named(*names)) == splits_of(named(*names), "own") == expected
    assert sorted(splits_of(named(*names), "random")) == sorted(expected)


def test_a_tenth_of_the_training_images_validates_where_the_folder_has_none():
    names = [f"train/{name}" for name in numbered(20)] + [f"test/{name}" for name in numbered(5)]
    split = splits_of(named(*names))
    assert [list(split.values()).count(part) for part in SPLITS] == [18, 2, 5]
    assert all(id_.startswith("test__") == (part == "test") for id_, part in split.items())
    random = splits_of(named(*names), "random")
    assert [list(random.values()).count(part) for part in SPLITS] == [21, 2, 2]
    assert random.keys() == split.keys()


def test_a_folder_without_test_images_is_told_so():
    names = [f"{part}/{name}" for part in ("train", "val") for name in numbered(4)]
    with pytest.raises(DataError, match=r"no test images.*data\.split=random"):
        splits_of(named(*names))


def test_images_outside_the_split_folders_are_told():
    names = [f"{part}/{name}" for part in SPLITS for name in numbered(1)] + numbered(1)
    with pytest.raises(DataError, match="1 images are outside the train, val and test folders"):
        splits_of(named(*names))


TABLE = "id,split\nimages/00.png,train\n01,valid\n02.jpg,Test\nsub/x,train\n"
TABLE_NAMES = [*numbered(3), "images/sub/x.png", "masks/sub/x.png"]


def test_splits_csv_is_used():
    source = named(*TABLE_NAMES)
    source.files["splits.csv"] = TABLE.replace("images/", "").encode()
    source.names = sorted(source.files)
    assert splits_of(source) == {"00": "train", "01": "val", "02": "test", "sub__x": "train"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,part\n00,train\n", "columns id,split"),
        ("id,split\n99,train\n", "line 2: there is no image '99'"),
        ("id,split\n00,holdout\n", "line 2: split 'holdout' is not train, val or test"),
        ("id,split\n00,train\n00,test\n", "line 3: '00' is in train and in test"),
        ("id,split,group\n00,train,p1\n00,train,p2\n", "line 3: '00' is of group 'p1' and of group 'p2'"),
        ("id,split\n00,train\n01,val\n", "2 images have no line in it, the first is '02'"),
    ],
)
def test_a_wrong_splits_csv_is_told_by_line(table, message):
    source = named(*TABLE_NAMES)
    source.files["splits.csv"] = table.encode()
    source.names = sorted(source.files)
    with pytest.raises(DataError, match=re.escape(message)):
        Folder().list_samples(source)


# Groups


def test_groups_come_from_splits_csv():
    source = named(*TABLE_NAMES)
    source.files["splits.csv"] = b"id,split,group\n00,train,p1\n01,val, p2 \n02,test,p2\nsub/x,train,\n"
    source.names = sorted(source.files)
    samples = Folder().list_samples(source).samples
    # An image without one is a group by itself.
    assert Folder().groups(samples) == {"00": "p1", "01": "p2", "02": "p2", "sub__x": "sub__x"}
    assert splits_of(source) == {"00": "train", "01": "val", "02": "test", "sub__x": "train"}


def test_without_that_column_there_are_no_groups():
    source = named(*TABLE_NAMES)
    source.files["splits.csv"] = b"id,split\n00,train\n01,val\n02,test\nsub/x,train\n"
    source.names = sorted(source.files)
    assert Folder().groups(Folder().list_samples(source).samples) == {}
