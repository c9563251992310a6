from __future__ import annotations

import json
import re
import shlex

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from medseg.data.datasets import Folder
from medseg.data.prepared.prepare import prepare_from_config
from medseg.errors import ConfigError, DataError
from tests.data.folders import folder, indices, read_all
from tests.data.image_files import MemorySource, encode, mask, picture, pillow
from tests.data.sources.test_decode_masks import coloured
from tests.data.tiny import write_folder
from tests.helpers import compose_config

BLACK, RED, GREEN, WHITE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 255)


def refusal(source: MemorySource, **options: object) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        Folder(**options).list_samples(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def advised(message: str) -> list[list[str]]:
    """The words of each option that a message advises."""
    _, _, advice = message.partition("escribe them: ")
    return [[word for word in shlex.split(way) if "=" in word] for way in advice.split("; or ")]


def labels_of(message: str) -> dict[str, object]:
    """The first `data.labels` that a message advises."""
    return yaml.safe_load(re.search(r"'data.labels=(.*?)'", message)[1])


# Two values


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (7, 200), (1, 2), (0, 65535), (255, 256), (-1, 0)])
def test_two_values_of_any_kind_are_background_and_foreground(low, high):
    extension = ".tif" if low < 0 else ".png"
    source = folder([indices(low, high), indices(*[low] * 2), indices(high)], extension)
    if low < 0:
        source = folder([pillow(Image.fromarray(indices(*v)), "TIFF") for v in ((low, high), (low,), (high,))], ".tif")
    if (low, high) == (-1, 0):
        source.files["masks/c.tif"] = pillow(Image.fromarray(indices(0).astype(np.int32)), "TIFF")
    listing = Folder().list_samples(source)
    assert listing.class_names == ("background", "foreground")
    assert listing.labels == {
        "background": [low],
        "foreground": [high],
        "rule": "two values: the lower one is background",
    }
    assert not listing.problems
    labels = read_all(source)
    np.testing.assert_array_equal(labels["a"], indices(0, 1))
    assert not labels["b"].any()  # all background
    assert labels["c"].all()  # all foreground
    assert labels["a"].dtype == np.uint8


@pytest.mark.parametrize(("one", "other"), [(BLACK, RED), (RED, BLACK)])
def test_of_black_and_a_colour_black_is_background(one, other):
    source = folder([coloured(mask(high=1), one, other), coloured(mask(high=0), one, other)])
    np.testing.assert_array_equal(read_all(source)["a"], mask(high=1) if one == BLACK else 1 - mask(high=1))
    assert "black is background" in Folder().list_samples(source).labels["rule"]


def test_palettes_in_an_order_of_their_own_give_one_class_map():
    files = []
    for order in ((0, 1), (1, 0)):
        image = Image.fromarray(np.array(order, np.uint8)[mask(high=1)])
        image.putpalette([part for index in np.argsort(order) for part in (BLACK, RED)[index]])
        files.append(pillow(image, "PNG"))
    labels = read_all(folder([*files, coloured(mask(high=1), BLACK, RED)]))
    for class_map in labels.values():
        np.testing.assert_array_equal(class_map, mask(high=1))


@pytest.mark.parametrize("value", [0, 1, 255])
def test_masks_of_one_value_are_refused(value):
    assert f"every mask holds value {value} and nothing else" in refusal(folder([indices(value)] * 3))


# Class indices


@pytest.mark.parametrize("count", [3, 4, 51])
def test_class_indices_are_found_and_counted_over_all_masks(count):
    stripes = [indices(*range(k, min(k + 32, count))) for k in range(0, count, 32)]
    source = folder([*stripes, indices(0)])
    listing = Folder().list_samples(source)
    assert listing.num_classes == count
    assert listing.class_names[:2] == ("background", "class 1")
    assert listing.labels["class 2"] == [2]
    np.testing.assert_array_equal(read_all(source)["a"], stripes[0])


def test_16_bit_class_indices_become_a_uint8_class_map():
    labels = read_all(folder([indices(0, 1, 2).astype(np.uint16)]))["a"]
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, indices(0, 1, 2))


def test_masks_in_equal_channels_count_as_grey():
    rgba = np.dstack([mask(high=2)] * 3 + [np.full((24, 32), 255, np.uint8)])
    source = folder([np.dstack([mask(high=1)] * 3), rgba])
    assert Folder().list_samples(source).num_classes == 3
    np.testing.assert_array_equal(read_all(source)["b"], mask(high=2))


# What is not certain: one message, whose advice works as it stands


def blocks(count: int, first: int = 1) -> np.ndarray:
    """A mask with separate objects, numbered from `first`."""
    labels = np.zeros((24, 32), np.int32)
    for number in range(count):
        y, x = divmod(number, 8)
        labels[y * 4 : y * 4 + 3, x * 4 : x * 4 + 3] = first + number
    return labels


def as_colours(ids: np.ndarray) -> np.ndarray:
    """Ids of 24 bits in three channels, as instances are often stored."""
    return np.dstack([ids & 255, ids >> 8 & 255, ids >> 16 & 255]).astype(np.uint8)


UNCERTAIN = {
    "cup and disc": ([indices(*[255] * 6, 128, 0)] * 4, {"background": 255, "class_1": 0, "class_2": 128}),
    "from one": ([indices(1, 1, 2, 3)] * 4, {"background": 1, "class_1": 2, "class_2": 3}),
    "gap": ([indices(0, 0, 1, 3)] * 4, {"background": 0, "class_1": 1, "class_2": 3}),
    "colours": (
        [coloured(indices(0, 0, 1, 2), BLACK, RED, GREEN)] * 4,
        {"background": 0, "class_1": "#00ff00", "class_2": "#ff0000"},
    ),
    "minus one": (
        [pillow(Image.fromarray(indices(-1, 0, 0, 1).astype(np.int32)), "TIFF") for _ in range(4)],
        {"background": 0, "class_1": -1, "class_2": 1},
    ),
    "off by one": ([indices(0, 0, 254, 255)] * 4, {"background": 0, "foreground": [254, 255]}),
    "white and a colour": (
        [coloured(indices(0, 0, 0, 1), WHITE, RED)] * 4,
        {"background": 255, "class_1": "#ff0000"},
    ),
    "0 and 1 beside 0 and 255": (
        [indices(0, 0, 1)] * 2 + [indices(0, 0, 255)] * 2,
        {"background": 0, "foreground": [1, 255]},
    ),
    "8 beside 16 bits": ([indices(0, 255)] * 2 + [indices(0, 65535)], {"background": 0, "foreground": [255, 65535]}),
    "void": ([indices(0, 0, 1, 255)] * 4, {"background": 0, "class_1": 1, "class_2": 255}),
    "void of classes": ([indices(0, 0, 1, 2, 255)] * 4, None),
    "one mask with a stray value": ([indices(0, 255), indices(0, 255), indices(0, 0, 37, 255), indices(0, 255)], None),
    "one mask with another class": ([indices(0, 0, 1, 2)] * 3 + [indices(0, 0, 1, 9)], None),
    "objects": ([blocks(number).astype(np.uint8) for number in (3, 5, 9, 4)], None),
    "few objects": ([(1000 * blocks(number)).astype(np.uint16) for number in (1, 2, 2)], None),
    "few objects with a gap": ([(blocks(number) * 7).astype(np.uint8) for number in (1, 2, 3, 4)], None),
    "colours with a border": (
        [coloured(indices(0, 0, 0, 1, 2, 3), BLACK, RED, GREEN, (224, 224, 192))] * 3,
        {"background": 0, "class_1": "#00ff00", "class_2": "#ff0000"},
    ),
    "many objects": ([blocks(40, first).astype(np.uint16) for first in (1, 300, 41, 41)], None),
    "objects in 24 bits": ([as_colours(blocks(40, first)) for first in (1, 70_000, 300, 300)], None),
    "objects without a gap": ([blocks(number).astype(np.uint8) for number in (45, 40, 48, 47, 46)], None),
    "shades of grey": ([np.random.default_rng(k).integers(0, 256, (24, 32), np.uint8) for k in range(4)], None),
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_advice_works_as_it_is_typed(name, tmp_path):
    masks, described = UNCERTAIN[name]
    source = folder(masks)
    message = refusal(source)
    assert "% of the pixels, in " in message
    if described is not None:
        assert labels_of(message) == described
    write_folder(tmp_path / "mine", source.files)
    ways = advised(message)
    assert all(ways)
    for way in ways:
        base = ("data=folder", f"data.root={tmp_path / 'mine'}", f"data_dir={tmp_path}", "data.image_size=32")
        _, prepared = prepare_from_config(compose_config("prepare", *base, *way).data)
        assert len(prepared.ids) == len(masks) - ("data.skip_bad=true" in way)
        assert 0 < prepared.fingerprint["class_fractions"]["background"] < 1


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("void", "data.ignore=255"),
        ("void of classes", "data.ignore=255"),
        ("minus one", "data.ignore=-1"),
        ("one mask with a stray value", "data.skip_bad=true"),
        ("one mask with another class", "data.skip_bad=true"),
        ("objects", "data.foreground=above_zero"),
        ("few objects", "data.foreground=above_zero"),
        ("few objects with a gap", "data.foreground=above_zero"),
        ("objects", "data.num_classes=10"),
        ("colours with a border", 'data.ignore="#e0e0c0"'),
        ("many objects", "data.foreground=above_zero"),
        ("objects in 24 bits", "data.foreground=above_zero"),
        ("objects without a gap", "data.foreground=above_zero"),
        ("shades of grey", 'data.labels={background: "0-127", foreground: "128-255"}'),
    ],
)
def test_the_option_that_fits_is_advised(name, option):
    ways = advised(refusal(folder(UNCERTAIN[name][0])))
    assert option in [word for way in ways for word in way]


def test_void_is_advised_first_where_it_is_beside_classes_alone():
    assert advised(refusal(folder([indices(0, 0, 1, 255)] * 2 + [indices(0, 255)])))[0] == ["data.ignore=255"]
    ways = advised(refusal(folder([indices(0, 1)] * 3 + [indices(0, 255)])))
    assert ways[0] == ["data.labels={background: 0, foreground: [1, 255]}"]
    assert ways[-1] == ["data.ignore=255"]


def test_the_message_shows_how_often_each_value_occurs():
    message = refusal(folder([indices(0, 0, 0, 128), indices(0, 0, 0, 255)]))
    assert "0 (75 % of the pixels, in 2 of 2 masks), 128 (12 % of the pixels, in 1 of 2 masks), 255 (12" in message


def test_names_that_are_given_are_in_the_advice():
    source = folder([indices(0, 0, 0, 128, 255)] * 3)
    names = ["background", "optic disc", "cup"]
    message = refusal(source, class_names=names)
    assert "num_classes=3 does not fit the masks" in message
    labels = labels_of(message)
    assert labels == {"background": 0, "optic_disc": 128, "cup": 255}
    assert Folder(labels=labels, class_names=names).list_samples(source).class_names == tuple(names)
    merged = labels_of(refusal(source, num_classes=2))
    assert merged == {"background": 0, "foreground": [128, 255]}
    assert Folder(labels=merged, num_classes=2).list_samples(source).num_classes == 2


# Soft edges, JPEG


def soft(seed: int) -> np.ndarray:
    """A large black and white mask whose edges were interpolated."""
    small = cv2.circle(np.zeros((60, 80), np.uint8), (30 + seed, 30), 15, 255, -1)
    return cv2.resize(small, (640, 480), interpolation=cv2.INTER_LINEAR)


def test_masks_with_soft_edges_are_thresholded_and_it_is_stated():
    source = folder([soft(k) for k in range(4)])
    listing = Folder().list_samples(source)
    assert listing.labels["rule"] == "0 and 255 with a few grey pixels: values above 127 are foreground"
    source.files |= {name: encode(np.zeros((480, 640, 3), np.uint8)) for name in source.names if "images" in name}
    np.testing.assert_array_equal(read_all(source)["b"], soft(1) > 127)


def test_a_grey_class_is_no_soft_edge():
    ring = soft(0)
    ring[(ring > 0) & (ring < 255)] = 128
    assert "3 values" in refusal(folder([ring] * 3))
    assert "What they mean is not certain" in refusal(folder([indices(0, 0, 0, 0, 60, 70, 80, 90, 255)] * 3))


def test_a_smudge_is_no_class_and_rare_classes_beside_void_are_no_edges():
    smudged = np.zeros((480, 640), np.uint8)
    smudged[100:300, 200:400] = 255
    smudged[:6, :40] = np.array([16, 17, 18, 19, 20] * 8, np.uint8)[None]
    clean = cv2.circle(np.zeros((480, 640), np.uint8), (300, 200), 90, 255, -1)
    listing = Folder().list_samples(folder([smudged, *[clean] * 3]))
    assert "few grey pixels" in listing.labels["rule"]
    classes = np.zeros((480, 640), np.uint8)
    classes[:150] = 255
    for number, value in enumerate((7, 8, 11, 13)):
        classes[200:240, 60 * number : 60 * number + 50] = value
    assert "6 values" in refusal(folder([classes] * 4))


def test_where_most_is_foreground_the_way_to_turn_it_around_is_logged(caplog):
    source = folder([mask(high=0, low=255)] * 3)
    np.testing.assert_array_equal(read_all(source)["a"], mask(high=0, low=1))
    option = re.search("'data.labels=(.*)'", caplog.text)[1]
    assert option in Folder().list_samples(source).labels["note"]  # stays after the log is gone
    assert "note" not in Folder(labels=yaml.safe_load(option)).list_samples(source).labels
    np.testing.assert_array_equal(read_all(source, labels=yaml.safe_load(option))["a"], mask(high=1))
    caplog.clear()
    Folder().list_samples(folder([mask()] * 3))
    assert "turn them around" not in caplog.text


def test_pictures_are_no_masks():
    message = refusal(folder([np.maximum(picture(k), 1) for k in range(3)]))
    assert "They look like pictures; a mask has one value for a class" in message
    assert "data." not in message.partition("They look")[2]


def test_jpeg_masks_are_thresholded():
    files = folder([mask(), indices(0)], ".jpg").files | {
        name: data for name, data in folder([b"", b"", mask()]).files.items() if data
    }
    listing = Folder().list_samples(MemorySource(files))
    assert (listing.num_classes, len(listing.samples), listing.problems) == (2, 3, [])
    labels = read_all(MemorySource(files))
    np.testing.assert_array_equal(labels["a"], mask(high=1))
    np.testing.assert_array_equal(labels["c"], mask(high=1))
    assert not labels["b"].any()


def test_only_empty_jpeg_masks_are_refused():
    assert "every mask holds value 0" in refusal(folder([indices(0)] * 2, ".jpg"))


def test_jpeg_masks_do_not_go_with_more_than_two_classes():
    files = folder([mask()], ".jpg").files | {"images/z.png": encode(mask()), "masks/z.png": encode(indices(0, 1, 2))}
    assert "masks/a.jpg is a JPEG" in refusal(MemorySource(files))


def test_what_is_wrong_with_a_jpeg_is_named():
    assert "values 0 to" in (message := refusal(folder([mask(high=2)] * 3, ".jpg")))
    assert "in a JPEG, which changes class indices; save the masks as PNG" in message
    red = coloured(mask(high=1), BLACK, RED)
    assert "colours in a JPEG" in refusal(folder([red] * 3, ".jpg"))
    files = folder([mask()] * 2, ".jpg").files | {
        "images/z.png": encode(mask()),
        "masks/z.jpg": encode(mask(low=120), ".jpg"),
    }
    (problem,) = Folder().list_samples(MemorySource(files)).problems
    assert (problem.kind, problem.file) == ("unexpected label", "masks/z.jpg")
    assert "grey areas in a JPEG" in problem.detail


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
    assert f"num_classes={num_classes} does not fit the masks, which hold" in refusal(
        folder(masks), num_classes=num_classes
    )


def test_a_stray_value_beyond_the_number_given_is_told_by_file():
    listing = Folder(num_classes=3).list_samples(folder([indices(0, 1, 2), indices(0, 2), indices(0, 9)]))
    assert [(p.file, p.detail) for p in listing.problems] == [
        ("masks/c.png", "value 9; the masks hold background 0, class 1 1, class 2 2")
    ]


@pytest.mark.parametrize("num_classes", [0, 1, 256])
def test_impossible_numbers_of_classes_are_refused(num_classes):
    with pytest.raises(ConfigError, match="must be 2 to 255"):
        Folder(num_classes=num_classes)


# Described


def test_classes_are_described_by_their_values():
    source = folder([indices(0, 128, 255)] * 3)
    listing = Folder(labels={"disc": 128, "cup": 0, "Background": 255}).list_samples(source)
    assert listing.class_names == ("Background", "disc", "cup")
    assert listing.labels == {"Background": [255], "disc": [128], "cup": [0], "rule": "data.labels"}
    options = {"labels": {"disc": 128, "cup": 0, "Background": 255}}
    np.testing.assert_array_equal(read_all(source, **options)["a"], indices(2, 1, 0))


def test_ranges_lists_and_colours_describe_classes():
    source = folder([indices(0, 3, 50, 51, 300)] * 2)
    labels = {"background": [0, "51-60"], "a": "1-50", "b": 300}
    np.testing.assert_array_equal(read_all(source, labels=labels)["a"], indices(0, 1, 1, 0, 2))
    colours = folder([coloured(indices(0, 1, 2), WHITE, RED, GREEN)])
    labels = {"background": "#FFFFFF", "a": ["#ff0000", "#00ff00"]}
    np.testing.assert_array_equal(read_all(colours, labels=labels)["a"], indices(0, 1, 1))


def test_a_colour_of_three_numbers_is_refused_with_its_right_form():
    orange = (255, 128, 0)
    source = folder([coloured(indices(0, 1, 2), BLACK, orange, GREEN)] * 2)
    message = refusal(source, labels={"lesion": [*orange]})
    assert "lesion is the three values 255, 128, 0" in message
    np.testing.assert_array_equal(
        read_all(source, labels={"lesion": re.search('"(#.*)"', message)[1]})["a"], indices(0, 1, 0)
    )
    assert 'a colour is "#ff0000"' in refusal(source, labels={"lesion": [*RED]})
    assert "data.ignore is the three" in refusal(source, labels={"lesion": "#00ff00"}, ignore=[*orange])
    # Three grey values that the masks hold are no colour.
    greys = coloured(indices(0, 1, 2, 3, 4), BLACK, RED, WHITE, (128,) * 3, (9,) * 3)
    assert Folder(labels={"lesion": [255, 128, 9]}).list_samples(folder([greys] * 2)).num_classes == 2


def test_without_a_background_the_rest_is_background():
    source = folder([coloured(indices(0, 1, 2), BLACK, RED, GREEN)])
    listing = Folder(labels={"lesion": "#ff0000"}).list_samples(source)
    assert listing.class_names == ("background", "lesion")
    assert listing.labels["background"] == ["all other values"]
    np.testing.assert_array_equal(read_all(source, labels={"lesion": "#ff0000"})["a"], indices(0, 1, 0))


def test_with_a_background_other_values_are_told_by_file():
    masks = [indices(0, 255), indices(0, 37, 255), indices(0, 255)]
    listing = Folder(labels={"background": 0, "polyp": 255}).list_samples(folder(masks))
    assert [(p.kind, p.file, p.detail) for p in listing.problems] == [
        ("unexpected label", "masks/b.png", "value 37; the masks hold background 0, polyp 255")
    ]
    # Where half of the masks hold them, the description is wrong, and not the masks.
    message = refusal(folder(masks[:2]), labels={"background": 0, "polyp": 255})
    assert "1 of 2 masks hold values of no class in data.labels: 37 (17 %" in message


@pytest.mark.parametrize("labels", [{"lesion": "#ff0001"}, {"background": [0, "#ff0000"], "lesion": 9}])
def test_a_description_that_fits_nothing_is_refused(labels):
    message = refusal(folder([coloured(mask(high=1), BLACK, RED)] * 2), labels=labels)
    assert "by data.labels every pixel is background; the masks hold 0 (94 %" in message
    assert "#ff0000 (6.2 %" in message


def test_a_jpeg_goes_with_two_described_classes_only():
    source = folder([mask()] * 3, ".jpg")
    np.testing.assert_array_equal(
        read_all(source, labels={"vessel": 0, "background": 255})["a"], mask(high=0, low=1) | (mask() == 0)
    )
    assert "JPEG" in refusal(source, labels={"background": 0, "disc": 128, "cup": 255})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {"a": "red"}}, "data.labels: a is 'red'; it must be a whole number, a range"),
        ({"labels": {"a": "9-3"}}, "data.labels: a is '9-3'"),
        ({"labels": {"a": []}}, "data.labels: a has no value"),
        ({"labels": {"a": "1-5", "b": 3}}, "data.labels: 3 is of a and of b"),
        ({"labels": {"background": 0, "a": 255}, "ignore": 255}, "255 is of a and of data.ignore"),
        ({"labels": {"ignored": 3}}, "'ignored' cannot be the name of a class"),
        ({"labels": {"background": 0}}, "data.labels has 1 classes"),
        ({"labels": {"a": 1}, "foreground": "above_zero"}, "give one of them"),
        ({"labels": {"a": 1}, "class_names": ["background", "b"]}, "class_names background, b"),
        ({"labels": {"a": 1}, "num_classes": 3}, "num_classes=3, but data.labels has 2 classes"),
        ({"foreground": "above_zero", "num_classes": 3}, "num_classes=3, but data.foreground=above_zero has 2 classes"),
        ({"foreground": "above_one"}, "data.foreground is 'above_one'; it must be null or above_zero"),
        ({"ignore": "x"}, "data.ignore is 'x'"),
        ({"class_names": ["background", "polyp"], "num_classes": 3}, "has 2 names"),
    ],
)
def test_a_description_that_contradicts_itself_is_refused(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Folder(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["lesion", "lesion"]}, "'lesion' is there twice"),
        ({"class_names": ["background", "optic\u00a0disc"]}, r"'optic\\xa0disc' has characters that cannot be printed"),
        ({"labels": {"a\tb": 255}}, r"'a\\tb' has characters that cannot be printed"),
        ({"foreground": "above_zero", "class_names": ["cells", "cells"]}, "'cells' is there twice"),
        ({"class_names": ["background", ""]}, "a name is empty"),
    ],
)
def test_names_that_no_checkpoint_can_have_are_refused(options, message):
    with pytest.raises(ConfigError, match=f"^names of classes: {message}"):
        Folder(**options)


def test_names_given_beside_a_description_are_their_spelling_and_order():
    labels = {"background": 0, "optic_disc": 128, "cup": 255}
    listing = Folder(labels=labels, class_names=["background", "cup", "optic disc"]).list_samples(
        folder([indices(0, 128, 255)] * 2)
    )
    assert listing.class_names == ("background", "cup", "optic disc")
    assert listing.labels["optic disc"] == [128]


def test_what_is_ignored_is_255_in_the_class_map():
    source = folder([indices(0, 1, 255), indices(0, 1)])
    np.testing.assert_array_equal(read_all(source, ignore=255)["a"], indices(0, 1, 255))
    assert Folder(ignore=255).list_samples(source).labels["ignored"] == [255]
    colours = folder([coloured(indices(0, 1, 2), BLACK, RED, WHITE)] * 2)
    np.testing.assert_array_equal(read_all(colours, ignore="#ffffff")["a"], indices(0, 1, 255))
    ranges = folder([indices(0, 7, 250, 255)] * 2)
    np.testing.assert_array_equal(read_all(ranges, ignore=["250-254", 255])["a"], indices(0, 1, 255, 255))


@pytest.mark.parametrize("ignored", [128, 65535])
def test_what_is_ignored_beside_soft_edges_is_no_edge(ignored):
    expected = np.zeros((480, 640), np.uint8)
    cv2.circle(expected, (300, 200), 100, 255, -1)
    cv2.circle(expected, (300, 200), 90, 1, -1)
    masks = []
    for k in range(3):
        masks.append(np.choose(np.minimum(expected, 2), [0, 255, ignored]).astype(np.uint16))
        masks[-1][0, :2] = 100 + k, 200 + k  # as at an edge
    expected[0, 1] = 1
    source = folder(masks)
    source.files |= {name: encode(np.zeros((480, 640, 3), np.uint8)) for name in source.names if "images" in name}
    np.testing.assert_array_equal(read_all(source, ignore=ignored)["c"], expected)


@pytest.mark.parametrize("options", [{}, {"labels": {"lesion": 255}}, {"num_classes": 2}])
def test_a_jpeg_has_nothing_to_ignore(options):
    message = refusal(folder([mask()] * 3, ".jpg"), ignore=128, **options)
    assert "masks/a.jpg is a JPEG, which changes values, so data.ignore cannot be recognised in it" in message


@pytest.mark.parametrize("first", [1, 300, 70_000])
def test_numbers_of_objects_are_foreground_and_instances(first):
    ids = [blocks(number, first) for number in (5, 7, 9)]
    source = folder([pillow(Image.fromarray(each), "TIFF") for each in ids], ".tif")
    dataset = Folder(foreground="above_zero")
    sample = dataset.list_samples(source).samples[2]
    np.testing.assert_array_equal(dataset.read(source, sample)[1], ids[2] > 0)
    np.testing.assert_array_equal(dataset.instances(source, sample), np.where(ids[2] > 0, ids[2] - first + 1, 0))


def test_options_are_part_of_the_cache_key():
    given = [
        {},
        {"num_classes": 3},
        {"labels": {"a": 1}},
        {"labels": {"a": 2}},
        {"labels": {"a": 1, "b": 2}},
        {"labels": {"b": 2, "a": 1}},
        {"mask_pattern": "*_seg"},
        {"ignore": 255},
        {"foreground": "above_zero"},
    ]
    keys = [json.dumps(Folder(**options).options, sort_keys=True) for options in given]
    assert len(set(keys)) == len(keys)
