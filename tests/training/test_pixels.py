"""A run on images of five channels and 16 bits, to its evaluation; images on another scale are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import medseg
from medseg.data.datasets.folder import Folder
from medseg.data.module import SegmentationDataModule
from medseg.data.pixel_format import PixelFormat
from medseg.data.prepared.dataset import PreparedDataset
from medseg.errors import ConfigError, UserError
from medseg.inspecting.facts import collect
from medseg.inspecting.sections import intensities
from medseg.runs.folder import RunFolder
from medseg.trained.checkpoint import Checkpoint
from medseg.training.evaluation import evaluate_checkpoint
from tests.data.image_files import mask, picture
from tests.helpers import compose_config, train

FIVE = PixelFormat(5, 0, 4095, ("uint16",))


def write(folder: Path, dtype: str, channels: int, factor: int, count: int = 8) -> Path:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        pixels = np.dstack([picture(number), picture(number + 50)])[:, :, :channels].astype(dtype) * factor
        options = {"photometric": "rgb"} if channels == 3 else {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(folder / "images" / f"{number}.tif", pixels.squeeze(), **options)
        Image.fromarray(mask()).save(folder / "masks" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pixels")


def trained(place: Path, data: Path, *words: str) -> RunFolder:
    return train(
        place, "data=folder", f"data.root={data}", "data.image_size=32", "data.batch_size=2", "data.num_workers=0",
        "model=unet", "model.base_channels=4", "trainer=cpu", "trainer.max_epochs=1", "logger=csv", *words, tiny=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def five(place: Path) -> RunFolder:
    return trained(place, write(place / "five", "uint16", 5, 16), "data.in_channels=5")


@pytest.fixture(scope="module")
def plain(place: Path) -> RunFolder:
    return trained(place, write(place / "plain", "uint8", 3, 1))


def evaluate(place: Path, run: RunFolder, *words: str) -> Path:
    given = [f"checkpoint={run.path}", f"data_dir={place / 'data'}", *words]
    return evaluate_checkpoint(compose_config("evaluate", *given), given)[0]


def test_five_channels_are_trained_on_predicted_and_evaluated(five: RunFolder, place: Path) -> None:
    metadata = Checkpoint.read(five.best_checkpoint).metadata
    assert metadata.pixels == FIVE
    assert len(metadata.mean or ()) == 5
    assert (five.images / "worst.png").exists()
    prediction = medseg.load(five.path).predict(place / "five" / "images" / "0.tif")
    assert prediction.image.shape == (24, 32, 5)
    folder = evaluate(place, five)
    assert (folder / "per_image.csv").read_bytes() == (five.test / "per_image.csv").read_bytes()


def test_other_images_are_scored_on_the_scale_of_the_training(five: RunFolder, place: Path) -> None:
    dim = write(place / "dim", "uint16", 5, 3)  # whose own maximum says 10 bits
    folder = evaluate(place, five, "data=folder", f"data.root={dim}")
    assert folder.exists()
    folders = [file.parent for file in (place / "data" / "prepared").glob("folder-32x32-5channels-*/fingerprint.json")]
    ranges = {PreparedDataset(path).pixels.range for path in folders}
    assert ranges == {"[0,4095]"}


def test_images_outside_the_range_are_refused_as_in_prediction(five: RunFolder, place: Path) -> None:
    bright = write(place / "bright", "uint16", 5, 256)
    words = ("data=folder", f"data.root={bright}")
    with pytest.raises(UserError, match=r"of \[0,4095\], the range of the network's training") as error:
        evaluate(place, five, *words)
    with pytest.raises(UserError, match=r"intensity_range=\[0,65535\]"):
        medseg.load(five.path).predict(bright / "images" / "0.tif")
    option = re.search(r"data\.intensity_range=\S+$", str(error.value))
    assert option
    assert option[0] == "data.intensity_range=[0,65535]"
    assert evaluate(place, five, *words, option[0]).exists()


def test_images_in_a_small_part_of_the_range_are_a_warning_at_each_evaluation(
    five: RunFolder, place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("data=folder", f"data.root={write(place / 'dark', 'uint16', 5, 1)}")
    for _ in range(2):
        caplog.clear()
        evaluate(place, five, *words)
        (warning,) = [each for each in caplog.messages if "nearly black" in each]
        assert "all images are in [0,255], a small part of [0,4095]" in warning
    option = warning.rpartition(" ")[2]
    assert option == "data.intensity_range=[0,255]"
    caplog.clear()
    evaluate(place, five, *words, option)
    assert "nearly black" not in caplog.text


@pytest.mark.parametrize("dtype", ["uint16", "uint8"])
def test_images_of_another_kind_are_refused_and_the_option_that_is_named_works(
    five: RunFolder, plain: RunFolder, place: Path, tmp_path: Path, dtype: str
) -> None:
    run, channels = (plain, 3) if dtype == "uint16" else (five, 5)
    other = write(tmp_path / "other", dtype, channels, 16 if dtype == "uint16" else 1)
    words = ("data=folder", f"data.root={other}")
    with pytest.raises(ConfigError, match=r"was trained on .* become 0 to 255, the files of") as error:
        evaluate(place, run, *words)
    option = re.search(r"data\.intensity_range=\S+$", str(error.value))
    assert option
    assert evaluate(place, run, *words, option[0]).exists()


def test_the_page_of_a_dataset_shows_every_channel(five: RunFolder, place: Path) -> None:
    data = SegmentationDataModule(
        dataset=Folder(), source=place / "five", data_dir=place / "data", image_size=32, in_channels=5
    )
    assert "channel 5" in intensities(collect(data))


def test_a_range_is_for_folders_alone(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.intensity_range=\[0,100\] is for data=folder"):
        train(place, "data.intensity_range=[0,100]")
