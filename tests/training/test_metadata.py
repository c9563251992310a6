"""What is known of the images, from the data to the list of images in the run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from medseg.data.datasets import DSB2018
from medseg.data.module import SegmentationDataModule
from medseg.errors import ConfigError, DataError
from medseg.runs.folder import RunFolder
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv
from medseg.training.data_record import check_same_split, image_rows, write_data
from tests.data.own_folder import numbered, own_folder
from tests.training.test_evaluation import evaluate
from tests.training.test_groups import train_own

NAMES = numbered(6, 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose splits.csv knows the centre and the group of each image, and a table that knows the device."""
    folder = tmp_path_factory.mktemp("metadata")
    parts = ["train"] * 10 + ["val"] * 4 + ["test"] * 4
    rows = [f"{name},{part},{name[:3]},{'AB'[k % 2]}" for k, (name, part) in enumerate(zip(NAMES, parts, strict=True))]
    own_folder(folder / "mine", NAMES, files={"splits.csv": "\n".join(["id,split,patient,centre", *rows])})
    lines = [f"images/{name}.png,{k % 3},{name}" for k, name in enumerate(NAMES[:-1])]
    (folder / "devices.csv").write_text("\n".join(["id,device,split", *lines, "another,9,x"]))
    return folder


def datamodule(place: Path, metadata: Path | None) -> SegmentationDataModule:
    from medseg.data.datasets import Folder

    table = None if metadata is None else str(metadata)
    return SegmentationDataModule(
        dataset=Folder(), data_dir=place / "data", root=place / "mine", image_size=32, metadata=table, num_workers=0
    )


def test_columns_of_the_split_and_of_a_table_are_in_the_run_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    run = train_own(place, "data.metadata=devices.csv")
    rows = {row["id"]: row for row in read_csv(run.splits)}
    assert [*rows[NAMES[0]]] == ["id", "split", "group", "patient", "centre", "device"]
    assert [rows[name]["device"] for name in NAMES] == [str(k % 3) for k in range(17)] + [""], "the last has no line"
    assert [rows[name]["centre"] for name in NAMES] == ["A", "B"] * 9
    assert rows[NAMES[0]]["split"] == "train", "the split is that of splits.csv alone"
    (read,) = read_runs(run.path)
    assert read.config["data"]["metadata"] == str(place / "devices.csv")
    monkeypatch.chdir(place.parent)
    folder = evaluate(place, f"checkpoint={run.path}", "split=val")
    assert {row["device"] for row in read_csv(folder / "images.csv")} == {"0", "1", "2"}
    # What is known of the images makes no other run.
    assert train_own(place).path == run.path


def test_other_metadata_make_no_other_split(place: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_data(folder, datamodule(place, None))
    check_same_split(folder, datamodule(place, place / "devices.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,device\nx,1\ny,2\n", r"none of its 2 ids is an image of .*; it has 'x', the images are such as 'p00_0'"),
        ("id,device\np00_0,1\np00_0.png,2\n", r"line 3: 'p00_0.png' is of device '1' and of device '2'"),
        ("name,device\np00_0,1\n", r"data\.metadata=.*: the columns id and at least one other are expected"),
        ("id,split\np00_0,test\n", r"has no column beside id, split and group"),
        (None, "cannot be read"),
    ],
)
def test_a_table_that_does_not_fit_is_one_line(place: Path, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "table.csv").write_text(content)
    with pytest.raises((DataError, ConfigError), match=message) as refused:
        image_rows(datamodule(place, tmp_path / "table.csv"))
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_gone_costs_its_columns_alone(place: Path, tmp_path: Path) -> None:
    made = datamodule(place, place / "devices.csv")
    assert {*made.prepared.ids} == {*NAMES}
    made.source = tmp_path / "gone"
    assert [*made.columns] == ["device"]


def test_dsb_knows_the_kind_of_its_images() -> None:
    from medseg.data.splits.split_files import read_table

    types = {row["type"] for row in read_table(DSB2018.name, DSB2018.default_split).values()}
    assert types == {"fluorescence", "brightfield", "histology_white", "histology_purple"}
