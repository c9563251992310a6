"""`data.groups`: a column, a table, a pattern, the near-duplicates, or what the dataset knows."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from medseg.data.datasets import Folder, Synthetic
from medseg.data.prepared.prepare import prepare
from medseg.data.splits.grouping import describe_groups, find_groups
from medseg.errors import ConfigError, DataError
from tests.data.own_folder import numbered, own_folder
from tests.data.tiny import Tiny, tiny_files, write_zip

NAMES = numbered(5, 2)
PATIENTS = {name: f"00{name[2]}, left eye" for name in NAMES}


def groups(folder: Path, wanted: str | None) -> dict[str, str]:
    prepared = prepare(Folder(), image_size=32, data_dir=folder / "data", source=folder / "mine")
    return find_groups(wanted, Folder(), prepared, folder / "mine", folder / "data")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grouping")
    rows = [f'{name}.png,train,{PATIENTS[name][:3]},"{PATIENTS[name]}"' for name in NAMES]
    own_folder(folder / "mine", NAMES, files={"splits.csv": "\n".join(["id,split,number,patient", *rows])})
    return folder


def test_a_column_of_splits_csv(place: Path) -> None:
    assert groups(place, "patient") == PATIENTS
    assert groups(place, "number") == {name: group[:3] for name, group in PATIENTS.items()}, "007 is a text"
    assert groups(place, None) == {}, "no column group"
    assert describe_groups(PATIENTS) == "5, of 2 to 2 images each (median 2)"


@pytest.mark.parametrize("form", ["{}", "{}.png", "images/{}.png", "{}.PNG", " {} "])
def test_a_table_whose_ids_have_folders_and_endings(place: Path, tmp_path: Path, form: str) -> None:
    rows = [f'{form.format(name)},"{PATIENTS[name]}",x' for name in NAMES] + ["another,p9,x"]
    file = tmp_path / "my groups.csv"
    file.write_text("\n".join(["\ufeffid,group,study", *rows]), encoding="utf-8")
    assert groups(place, str(file)) == PATIENTS
    assert set(groups(place, f"{file}:study").values()) == {"x"}


def test_capital_letters_do_not_count_in_the_column_group(tmp_path: Path) -> None:
    rows = [f"{name},train,{PATIENTS[name][:3]}" for name in NAMES]
    own_folder(tmp_path / "mine", NAMES, files={"splits.csv": "\n".join(["Id,SPLIT,Group", *rows])})
    (tmp_path / "g.csv").write_text("\n".join(["ID,Group", *(f"{name},{PATIENTS[name][:3]}" for name in NAMES)]))
    for wanted in (None, "group", "Group", f"{tmp_path / 'g.csv'}", f"{tmp_path / 'g.csv'}:Group"):
        assert groups(tmp_path, wanted) == {name: group[:3] for name, group in PATIENTS.items()}, wanted


def test_a_table_finds_ids_that_end_as_files_do_or_are_in_another_unicode_form(tmp_path: Path) -> None:
    own = {"Mu\u0308ller": "p1", "img.tif": "p2", "img": "p3"}
    own_folder(tmp_path / "mine", list(own))
    (tmp_path / "g.csv").write_text("id,group\nM\u00fcller.png,p1\nimg.tif,p2\nimg.png,p3\n", encoding="utf-8")
    assert groups(tmp_path, str(tmp_path / "g.csv")) == own


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("id,group\np00_0,a\n", "", "9 of 10 images have no line in .*, the first is 'p00_1'"),
        ("id,group\np00_0,\n", "", "10 of 10 images have no line"),
        (
            "id,patient\np00_0,a\n",
            "",
            r"columns id and group are .* has id, patient; data\.groups=.*:patient",
        ),
        ("id;group\np00_0;a\n", "", "9 of 10 images have no line in"),
        ("id|group\np00_0|a\n", "", r"has id\|group"),
        ("id,group\np00_0,a\np00_0.png,b\n", "", "line 3: 'p00_0.png' is of group 'a' and of group 'b'"),
        ("id,group\np00_0,a\n", ":study", "columns id and study are expected"),
        (None, "", "cannot be read"),
    ],
)
def test_a_table_that_does_not_fit(place: Path, tmp_path: Path, content: str | None, column: str, message: str) -> None:
    if content is not None:
        (tmp_path / "g.csv").write_text(content)
    with pytest.raises((DataError, ConfigError), match=message):
        groups(place, f"{tmp_path / 'g.csv'}{column}")


@pytest.mark.parametrize(
    "pattern", [r"(?P<patient>p\d+)_.*", r"(p\d+)_\d", r"(p\d+)_(\d)", r"images/(p\d+)_.*\.png", r"(p\d+)_\d\.png"]
)
def test_a_pattern_on_ids_or_on_names_of_files(place: Path, pattern: str) -> None:
    assert groups(place, pattern) == {name: name[:3] for name in NAMES}


def test_every_image_by_itself(place: Path) -> None:
    assert groups(place, "(.*)") == {name: name for name in NAMES}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (r"(p0[01])_.*", "6 of 10 images do not match, the first is 'p02_0'"),
        (r"(p\d+)", "10 of 10 images do not match, the first is 'p00_0' .the whole id has to"),
        (r"(p\d+_.*", "not a regular expression"),
        (r"p(?:\d+)_.*", "one group in brackets is expected"),
        (r"(?P<site>p)(?P<patient>\d+)_.*", "it has site, patient"),
        (r"p\d+_\d()", "10 of 10 images do not match"),
        ("patients", r"no such column of a splits.csv; did you mean 'patient'\?; splits.csv has number, patient"),
    ],
)
def test_what_gives_no_groups_is_refused(place: Path, wanted: str, message: str) -> None:
    with pytest.raises((DataError, ConfigError), match=message) as refused:
        groups(place, wanted)
    assert re.match("data.groups=", str(refused.value))


def test_a_published_dataset_takes_patterns_and_no_columns(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "tiny.zip", tiny_files(8))
    prepared = prepare(Tiny(), image_size=16, data_dir=tmp_path, source=archive)
    assert set(find_groups(r"a0(\d)", Tiny(), prepared).values()) == set("01234567")
    with pytest.raises(ConfigError, match="no such column"):
        find_groups("patient", Tiny(), prepared)


def test_near_duplicates_join_the_groups_that_they_are_of(tmp_path: Path) -> None:
    names = numbered(12, 1)
    own_folder(tmp_path / "mine", names)
    # Noise that is smooth enough to be seen in a thumbnail: its copy, a little brighter, is found again.
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).integers(0, 200, (16, 16, 3)).astype(np.uint8)
        image = cv2.resize(noise, (32, 32), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / "mine" / "images" / f"{name}.png"), image)
    for copy, original in (("p03_0", "p07_0"), ("p07_0", "p09_0")):
        image = cv2.imread(str(tmp_path / "mine" / "images" / f"{original}.png"))
        cv2.imwrite(str(tmp_path / "mine" / "images" / f"{copy}.png"), cv2.add(image, 3))
    image = cv2.imread(str(tmp_path / "mine" / "images" / "p07_0.png"))
    cv2.imwrite(str(tmp_path / "mine" / "images" / "p03_0.png"), cv2.add(image, 3))
    found = groups(tmp_path, "near_duplicates")
    assert found == {name: name for name in names} | {"p07_0": "p03_0", "p09_0": "p03_0"}
    # What is known joins as well: p03 and p04 are one patient.
    rows = [f"{name},train,{'x' if name in ('p03_0', 'p04_0') else ''}" for name in names]
    (tmp_path / "mine" / "splits.csv").write_text("\n".join(["id,split,group", *rows]))
    found = groups(tmp_path, "near_duplicates")
    assert [name for name, group in found.items() if group == "x"] == ["p03_0", "p04_0", "p07_0", "p09_0"]
    assert len(set(found.values())) == 9


def test_drawn_images_are_split_in_groups_as_well(tmp_path: Path) -> None:
    dataset = Synthetic(count=30, size=64)
    prepared = prepare(dataset, image_size=32, data_dir=tmp_path)
    found = find_groups(r"polyp_00(\d)\d", dataset, prepared)
    assert describe_groups(found) == "3, of 10 to 10 images each (median 10)"
    indices = prepared.split_indices(dataset, groups=found)
    assert [len(of) for of in indices.values()] == [10, 10, 10]
