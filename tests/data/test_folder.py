from __future__ import annotations

import logging
import pickle
import re
import unicodedata
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from medseg.data.datasets import Folder
from medseg.data.sources.finding import open_source
from medseg.data.sources.problems import SampleError
from medseg.data.sources.source import FolderSource
from medseg.data.splits import SPLITS
from medseg.errors import ConfigError, DataError
from tests.data.folders import IMAGE, folder, indices
from tests.data.image_files import MemorySource, encode, mask, picture


def named(*names: str) -> MemorySource:
    """Files of the given names; masks are black and white."""
    return MemorySource({name: encode(mask()) if "masks/" in name.lower() else IMAGE for name in names})


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


@pytest.mark.parametrize(
    "names",
    [
        ("a1.png", "a1_lesion.bmp", "a2.png", "a2_lesion.bmp", "a12.png", "a12_lesion.bmp"),
        ("1.png", "1_gt.png", "2.png", "2_gt.png", "12.png", "12_gt.png"),
        ("21_training.tif", "21_manual1.gif", "22_training.tif", "22_manual1.gif", "30_training.tif", "30_manual1.gif"),
        ("img_001.png", "mask_001.png", "img_002.png", "mask_002.png", "img_010.png", "mask_010.png"),
        ("im1.png", "im1.ah.png", "im2.png", "im2.ah.png", "im11.png", "im11.ah.png"),
        ("A1.JPG", "a1_gt.png", "A2.JPG", "a2_gt.png", "B1.JPG", "b1_gt.png"),
        ("IMG 1.PNG", "IMG 1 Anno.PNG", "IMG 2.PNG", "IMG 2 Anno.PNG", "IMG 3.PNG", "IMG 3 Anno.PNG"),
    ],
)
def test_a_prefix_or_suffix_that_is_the_same_for_all_is_found(names):
    pairs = dict(zip(names[::2], names[1::2], strict=True))
    listing = Folder().list_samples(
        named(*(f"images/{image}" for image in pairs), *(f"masks/{m}" for m in pairs.values()))
    )
    assert {s.image.split("/")[1]: s.masks[0].split("/")[1] for s in listing.samples} == pairs
    assert not listing.problems


def test_other_suffixes_are_given():
    names = [f"images/{k}.png" for k in "abc"] + [f"masks/{k}_{kind}.png" for k in "abc" for kind in ("gt", "contour")]
    with pytest.raises(DataError, match=r"a has more than one mask.*'data\.mask_pattern=\*_contour' or .*\*_gt'"):
        Folder().list_samples(named(*names))
    listing = Folder(mask_pattern="*_contour").list_samples(named(*names))
    assert [s.masks for s in listing.samples] == [(f"masks/{k}_contour.png",) for k in "abc"]
    assert [p.kind for p in listing.problems] == ["extra mask"] * 3
    for wrong in ("_contour", "*_*", "m/*"):
        with pytest.raises(ConfigError, match=r"data\.mask_pattern is .*it must be null or a name with \*"):
            Folder(mask_pattern=wrong)


@pytest.mark.parametrize("kinds", [("img_{}", "img_{}_contour"), ("gt_img_{}", "edge_img_{}")])
def test_the_patterns_that_are_advised_pair_images_whose_names_end_in_a_number(kinds):
    names = [f"images/img_{n}.png" for n in range(4)] + [
        f"masks/{kind.format(n)}.png" for kind in kinds for n in range(4)
    ]
    with pytest.raises(DataError, match="choose one kind with") as raised:
        Folder().list_samples(named(*names))
    patterns = re.findall(r"'data\.mask_pattern=(.*?)'", str(raised.value))
    assert {pattern.replace("*", "img_{}") for pattern in patterns} == {*kinds}
    for pattern in patterns:
        samples = Folder(mask_pattern=pattern).list_samples(named(*names)).samples
        assert [s.masks for s in samples] == [(f"masks/{pattern.replace('*', f'img_{n}')}.png",) for n in range(4)]


def test_a_number_behind_a_pattern_is_the_image_s_before_it_is_the_mask_s():
    source = named("images/img.png", "images/img_1.png", *(f"masks/mask_img{n}.png" for n in ("", "_1", "_1_2", "_2")))
    samples = Folder(mask_pattern="mask_*").list_samples(source).samples
    assert {s.id: s.masks for s in samples} == {
        "img": ("masks/mask_img.png", "masks/mask_img_2.png"),
        "img_1": ("masks/mask_img_1.png", "masks/mask_img_1_2.png"),
    }


@pytest.mark.parametrize(
    ("masks", "pairs"),
    [
        ("1_1 2_1 3_1", "1:1_1 2:2_1 3:3_1"),
        ("1_2 2_1", "1:1_2 2:2_1"),
        ("2_1", "2:2_1"),
        ("1_1 1_2 1_3 2_1 3_1", "1:1_1,1_2,1_3 2:2_1 3:3_1"),
        ("1_1 1_12 12_1", "1:1_1,1_12 12:12_1"),
        ("1 2 3 1_2", "1:1,1_2 2:2 3:3"),
        ("1_mask_1 1_mask_2 2_mask_1", "1:1_mask_1,1_mask_2 2:2_mask_1"),
        ("1_manual1 2_manual1 3_manual1", "1:1_manual1 2:2_manual1 3:3_manual1"),
        ("1 (1) 1 (2) 2 (1)".replace(" (", "("), "1:1(1),1(2) 2:2(1)"),
        ("1_1 1_2 1_3", "1:1_1 2:1_2 3:1_3"),  # a prefix
        ("m1_1 m1_2 m1_3", "1:m1_1 2:m1_2 3:m1_3"),
    ],
)
def test_masks_of_images_whose_names_are_numbers(masks, pairs):
    images = {*"123", "12"} if "12" in masks else {*"123"}
    source = named(*(f"images/{n}.png" for n in images), *(f"masks/{name}.png" for name in masks.split()))
    listing = Folder().list_samples(source)
    expected = {n: of.split(",") for n, _, of in (pair.partition(":") for pair in pairs.split())}
    assert {s.id: [m[6:-4] for m in s.masks] for s in listing.samples} == expected
    assert {p.sample: p.kind for p in listing.problems} == dict.fromkeys(images - expected.keys(), "missing mask")


def test_the_kinds_of_masks_of_numbers_are_told_by_what_is_behind_the_number():
    names = [f"masks/{n}_{kind}_1.png" for n in "123" for kind in ("gt", "contour")]
    with pytest.raises(DataError, match=r"'data\.mask_pattern=\*_contour' or 'data\.mask_pattern=\*_gt'"):
        Folder().list_samples(named(*(f"images/{n}.png" for n in "123"), *names))


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("pattern", [None, "*_mask\u00e4"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_an_image_and_its_mask_in_another_unicode_form(forms, pattern, beside):
    image, mask_ = (unicodedata.normalize(form, "M\u00fcller") for form in forms)
    behind = unicodedata.normalize(forms[1], "_mask\u00e4")
    top, below = ("", "") if beside else ("images/", "masks/")
    source = named(f"{top}a.png", f"{below}a{behind}.png", f"{top}{image}.png", f"{below}{mask_}{behind}.png")
    source.files |= {name: encode(mask()) for name in source.files if "_mask" in name}
    listing = Folder(mask_pattern=pattern).list_samples(source)
    assert not listing.problems
    assert {s.id: s.masks for s in listing.samples} == {
        "a": (f"{below}a{behind}.png",),
        image: (f"{below}{mask_}{behind}.png",),
    }


def test_names_that_differ_in_their_unicode_form_alone_are_two_images():
    names = [unicodedata.normalize(form, "M\u00fcller") for form in ("NFC", "NFD")]
    listing = Folder().list_samples(named(*(f"{part}/{name}.png" for part in ("images", "masks") for name in names)))
    assert {s.id: s.masks for s in listing.samples} == {name: (f"masks/{name}.png",) for name in names}


@pytest.mark.parametrize("kind", ["labels", "Annotations", "Ground Truth"])
def test_folders_of_other_names_are_found_where_only_they_can_be_meant(kind):
    names = [f"{folder}/{k}.png" for folder in ("Original", kind) for k in "abc"]
    source = named(*names)
    source.files |= {name: encode(mask()) for name in names if name.startswith(kind)}
    assert [s.masks for s in Folder().list_samples(source).samples] == [(f"{kind}/{k}.png",) for k in "abc"]
    source = named("images/a.png", "mask/a.png", "1st_manual/a.png")
    with pytest.raises(
        DataError, match=r"mask/ and 1st_manual/ could all hold the masks; rename the right one to masks/"
    ):
        Folder().list_samples(source)


def test_masks_beside_their_images_are_found():
    masks = ["benign/b (1)_mask", "benign/b (1)_mask_1", "benign/b (10)_mask", "normal/n (1)_mask"]
    source = named(*(f"{name}.png" for name in ["benign/b (1)", "benign/b (10)", "normal/n (1)", *masks]))
    source.files |= {f"{name}.png": encode(part) for name, part in zip(masks, [*halves(), mask(), mask()], strict=True)}
    listing = Folder().list_samples(source)
    assert {s.id: len(s.masks) for s in listing.samples} == {
        "benign__b (1)": 2,
        "benign__b (10)": 1,
        "normal__n (1)": 1,
    }
    with pytest.raises(DataError, match="no images found"):
        Folder().list_samples(named("a.png", "a_b.png"))


@pytest.mark.parametrize("above", ["", "images/", "mine/Imgs/p1/"])
@pytest.mark.parametrize(("pattern", "kind"), [(None, "a{}_mask"), ("gt-*", "gt-a{}")])
def test_masks_beside_their_images_are_found_in_folders_of_images(above, pattern, kind):
    pairs = {f"a{number}": f"{above}{kind.format(number)}.png" for number in range(3)}
    source = named(*(f"{above}{name}.png" for name in pairs), *pairs.values())
    source.files |= {name: encode(mask()) for name in pairs.values()}
    listing = Folder(mask_pattern=pattern).list_samples(source)
    assert {s.id.split("__")[-1]: s.masks for s in listing.samples} == {name: (m,) for name, m in pairs.items()}
    assert not listing.problems


def halves() -> list[np.ndarray]:
    """Two masks without a pixel in common."""
    left, right = mask(), mask()
    left[:, 12:] = 0
    right[:, :12] = 0
    return [left, right]


LAYOUTS = {
    "numbers": ("images/a.png", "masks/a.png", "masks/a_1.png"),
    "numbers in brackets": ("images/a.png", "masks/a_mask (1).png", "masks/a_mask (2).png"),
    "a folder for each image": ("images/a.png", "masks/a/x.png", "masks/a/y.png"),
    "as DSB 2018": ("a/images/a.png", "a/masks/x.png", "a/masks/y.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_masks_of_an_image_are_united_and_its_instances(layout, caplog):
    names = LAYOUTS[layout]
    others = [name.replace("a.", "b.").replace("a/", "b/").replace("a_", "b_") for name in names]
    source = named(*names, *others)
    parts = dict(zip([*names[1:], *others[1:]], halves() * 2, strict=True))
    source.files |= {name: encode(part) for name, part in parts.items()}
    with caplog.at_level(logging.INFO):
        listing = Folder().list_samples(source)
    assert (len(listing.samples), listing.problems) == (2, [])
    assert listing.labels["united"] == 2
    assert "2 images have 2 or more masks, which are united" in caplog.text
    dataset = Folder()
    np.testing.assert_array_equal(dataset.read(source, listing.samples[1])[1], mask(high=1))
    left, right = halves()
    np.testing.assert_array_equal(dataset.instances(source, listing.samples[1]), (left > 0) + 2 * (right > 0))
    dataset.list_samples(source)
    assert dataset.has_instances


def test_objects_are_known_where_every_value_is_one():
    source = named("images/a.png", "masks/a.png")
    source.files["masks/a.png"] = encode(mask(high=3))
    numbers, classes = Folder(foreground="above_zero"), Folder(labels={"background": 0, "cell": 3})
    for dataset, known in ((numbers, True), (classes, False)):
        dataset.list_samples(source)
        assert dataset.has_instances is known


def test_several_masks_that_do_not_go_together_are_refused():
    names = [
        "images/a.png",
        "masks/a_1.png",
        "masks/a_2.png",
        "images/b.png",
        "masks/b_1.png",
        "images/c.png",
        "masks/c_1.png",
    ]
    source = named(*names)
    (sample, *_) = Folder().list_samples(source).samples  # two readings of one object
    with pytest.raises(DataError, match=r"masks/a_2\.png.*covers what masks/a_1\.png cover.*'data\.mask_pattern=\*_1'"):
        Folder().read(source, sample)
    assert [len(s.masks) for s in Folder(mask_pattern="*_1").list_samples(source).samples] == [1, 1, 1]
    source.files |= {name: encode(indices(0, 1, 2)) for name in names if "masks" in name}
    (problem,) = Folder().list_samples(source).problems
    assert (problem.kind, problem.sample) == ("unexpected label", "a")
    assert "united where they are binary; these have 3 classes" in problem.detail


def test_what_is_ignored_in_one_of_several_masks_is_ignored():
    left, right = halves()
    left[:3], right[20:] = 128, 128
    source = named("images/a.png", "masks/a.png", "masks/a_1.png")
    source.files |= {"masks/a.png": encode(left), "masks/a_1.png": encode(right)}
    dataset = Folder(ignore=128)
    (sample,) = dataset.list_samples(source).samples
    expected = mask(high=1)
    expected[:3] = expected[20:] = 255
    np.testing.assert_array_equal(dataset.read(source, sample)[1], expected)


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
        (["images/a.png", "masks/z.png"], "no image has a mask .masks.z.png has no image of its name"),
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


def test_links_to_a_store_are_followed_in_a_folder_of_the_users_own(tmp_path):
    for kind, data in (("store", IMAGE), ("mine/masks", encode(mask()))):
        (tmp_path / kind).mkdir(parents=True)
        for name in ("a", "b"):
            (tmp_path / kind / f"{name}.png").write_bytes(data)
    mine = tmp_path / "mine"
    (mine / "images").symlink_to(tmp_path / "store")
    (mine / "masks" / "b.png").rename(tmp_path / "b.png")
    (mine / "masks" / "b.png").symlink_to(tmp_path / "b.png")
    (mine / "masks" / "loop").symlink_to(mine)
    source = open_source(Folder(), mine)
    listing = Folder().list_samples(source)
    assert [sample.id for sample in listing.samples] == ["a", "b"]
    assert Folder().read(source, listing.samples[1])[1].any()
    with pytest.raises(DataError, match="a symbolic link that leads out"):
        FolderSource(mine)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    for kind, data in (("images", IMAGE), ("masks", encode(mask()))):
        (tmp_path / kind).mkdir()
        for name in ("a", "b", "c"):
            (tmp_path / kind / f"{name}.png").write_bytes(data)
    for name in ("images/a.png", "masks/b.png"):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to("nowhere.png")
    source = open_source(Folder(), tmp_path)
    reason = "a symbolic link to nowhere.png, which does not exist"
    listing = Folder().list_samples(source)
    assert [(one.kind, one.file, one.detail) for one in listing.problems] == [("unreadable", "masks/b.png", reason)]
    with pytest.raises(SampleError, match=f"images/a.png: unreadable \\({reason}"):
        Folder().read(source, listing.samples[0])
    (tmp_path / "masks").rename(tmp_path / "moved")
    (tmp_path / "masks").symlink_to("nowhere")
    with pytest.raises(DataError, match="masks: a symbolic link to nowhere, which does not exist"):
        open_source(Folder(), tmp_path)


def test_a_real_folder_on_disk(tmp_path):
    for kind, data in (("images", IMAGE), ("masks", encode(mask()))):
        (tmp_path / kind / "sub").mkdir(parents=True)
        for name in ("a", "b"):
            (tmp_path / kind / "sub" / f"{name}.png").write_bytes(data)
    listing = Folder().list_samples(FolderSource(tmp_path))
    assert [sample.id for sample in listing.samples] == ["sub__a", "sub__b"]


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


@pytest.mark.parametrize("parts", [("train", "val"), ("test",), ("val",), ("train",)])
def test_a_folder_may_have_some_of_the_parts(parts):
    names = [f"{part}/{name}" for part in parts for name in numbered(20)]
    split = splits_of(named(*names))
    expected = dict.fromkeys(parts, 20) if parts != ("train",) else {"train": 18, "val": 2}
    assert Counter(split.values()) == expected
    assert set(splits_of(named(*names), "random").values()) == set(SPLITS)


def test_files_that_are_left_out_are_counted_by_ending(caplog):
    names = [*numbered(4), "images/note.txt", "images/Thumbs.db", "masks/note.txt"]
    source = named(*names)
    Folder().list_samples(source)
    assert "left out in images/ and masks/, by ending: 1 .db, 2 .txt" in caplog.text


def test_a_folder_that_is_not_there_is_named_by_its_option(tmp_path):
    with pytest.raises(DataError, match=f"your images: data.root={tmp_path / 'none'} does not exist"):
        open_source(Folder(), tmp_path / "none")
    with pytest.raises(DataError, match=r"data\.root=https://host/mine\.zip must be a folder"):
        open_source(Folder(), "https://host/mine.zip")


def test_images_outside_the_split_folders_are_told():
    names = [f"{part}/{name}" for part in SPLITS for name in numbered(1)] + numbered(1)
    with pytest.raises(DataError, match="1 image is outside the train, val and test folders"):
        splits_of(named(*names))


TABLE = "id,split\nimages/00.png,train\n01,valid\n02.jpg,Test\nsub/x,train\n"
TABLE_NAMES = [*numbered(3), "images/sub/x.png", "masks/sub/x.png"]


def test_splits_csv_is_used():
    source = named(*TABLE_NAMES)
    source.files["splits.csv"] = TABLE.replace("images/", "").encode()
    source.names = sorted(source.files)
    assert splits_of(source) == {"00": "train", "01": "val", "02": "test", "sub__x": "train"}


def with_table(table: str, *names: str) -> MemorySource:
    source = named(*names)
    source.files["splits.csv"] = table.encode()
    source.names = sorted(source.files)
    return source


@pytest.mark.parametrize(
    "table",
    [
        "id;split;note\r\n00;train;\r\n01;val;\r\n02;test;\r\n;;\r\n;;\r\n",
        ";;\nid;split;note\n00;train;\n\n01;val;\n02;test;\n",
        'id,split,note\n00,train,"two\nlines"\n01,val,a\u2028b\u0085c\n02,test,\n',
        "ID,Split\r00,train\r01,val\r02,test\r",
    ],
)
def test_what_spreadsheets_write_is_read(table):
    assert splits_of(with_table(table, *numbered(3))) == {"00": "train", "01": "val", "02": "test"}


def test_lines_of_a_table_are_those_of_the_file():
    with pytest.raises(DataError, match=r"line 5: there is no image '99'"):
        splits_of(with_table('id,split,note\n\n00,train,"two\nlines"\n99,val,\n', *numbered(3)))


def test_a_name_counts_as_it_is_before_its_ending_is_left_out():
    names = ["images/img.tif.png", "masks/img.tif.png", "images/img.png", "masks/img.png"]
    source = with_table("id,split\nimg.tif,train\nimg.png,test\n", *names)
    assert splits_of(source) == {"img.tif": "train", "img": "test"}


@pytest.mark.parametrize("of_files", ["NFC", "NFD"])
def test_ids_of_a_table_in_another_unicode_form(of_files):
    name, other = (unicodedata.normalize(form, "Müller_1") for form in (of_files, {"NFC": "NFD"}.get(of_files, "NFC")))
    source = with_table(f"id,split\n{other}.png,train\n", f"images/{name}.png", f"masks/{name}.png")
    assert splits_of(source) == {name: "train"}
    both = [f"{folder}/{one}.png" for folder in ("images", "masks") for one in (name, other)]
    assert splits_of(with_table(f"id,split\n{other},train\n{name},test\n", *both)) == {other: "train", name: "test"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,part\n00,train\n", "columns id,split"),
        ("id,split\n99,train\n", "line 2: there is no image '99'"),
        ("id,split\n00,holdout\n", "line 2: split 'holdout' is not train, val or test"),
        ("id,split\n00,train\n00,test\n", "line 3: '00' is in train and in test"),
        ("id,split,group\n00,train,p1\n00,train,p2\n", "line 3: '00' is of group 'p1' and of group 'p2'"),
        ("id,split,split\n00,train,test\n", "more than one column is split (split, split); leave one"),
        ("id,split,Group,group\n00,train,a,b\n", "more than one column is group (Group, group); leave one"),
        ("id,split\n00,train\n01,val\n02,val\n", "1 image has no line in it, the first is 'sub__x'"),
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
    source.files["splits.csv"] = b"id,split,group\n00,train,p1\n01,val, p2 \n02,test,p3\nsub/x,train,\n"
    source.names = sorted(source.files)
    samples = Folder().list_samples(source).samples
    # An image without one is a group by itself.
    assert Folder().groups(samples) == {"00": "p1", "01": "p2", "02": "p3", "sub__x": "sub__x"}
    assert splits_of(source) == {"00": "train", "01": "val", "02": "test", "sub__x": "train"}


@pytest.mark.parametrize("columns", ["id,split,group", "ID,Split,Group"])
def test_a_split_that_cuts_a_group_is_refused_and_a_drawn_one_cuts_none(columns):
    source = named(*TABLE_NAMES)
    source.files["splits.csv"] = columns.encode() + b"\n00,train,p1\n01,val,p2\n02,test,p2\nsub/x,train,\n"
    source.names = sorted(source.files)
    message = r"cuts 1 of 3 groups, the first is 'p2' \(val and test\).*data\.split=random"
    with pytest.raises(DataError, match=message):
        splits_of(source)
    drawn = splits_of(source, "random")
    assert drawn["01"] == drawn["02"]


def test_validation_that_is_drawn_from_the_training_images_cuts_no_group():
    names = [f"train/{name}" for name in numbered(20)] + [f"test/{name}" for name in numbered(5)]
    source = named(*names)
    dataset = Folder()
    samples = [replace(s, group=s.id[-1] if s.split == "train" else s.id) for s in dataset.list_samples(source).samples]
    split = dataset.assign_splits(samples, None, None)
    assert [list(split.values()).count(part) for part in SPLITS] == [18, 2, 5]
    assert len({split[sample.id] for sample in samples if sample.group == "3"}) == 1


def test_without_that_column_there_are_no_groups():
    source = named(*TABLE_NAMES)
    source.files["splits.csv"] = b"id,split\n00,train\n01,val\n02,test\nsub/x,train\n"
    source.names = sorted(source.files)
    assert Folder().groups(Folder().list_samples(source).samples) == {}
