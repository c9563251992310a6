"""What is predicted is on the scale of the training's images, or refused with the option that states its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import medseg
from medseg.data.pixel_format import PixelFormat
from medseg.errors import ConfigError, UserError
from medseg.trained.checkpoint import Checkpoint
from medseg.trained.exporting.module import file_metadata
from medseg.trained.files import KEY
from medseg.trained.network import TrainedNetwork
from medseg.trained.predicting.folder import predict_images
from medseg.trained.predicting.predictor import Predictor
from tests.helpers import compose_config
from tests.trained.predicting.checkpoints import picture, write_checkpoint, write_image

DEEP = PixelFormat(1, 0, 4095, ("uint16",))
FLOAT = PixelFormat(1, -1.0, 1.0, ("float32",))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write the checkpoint of a network that was trained on some pixels; the weights are always the same."""
    folder = tmp_path_factory.mktemp("networks")

    def write(pixels: PixelFormat, in_channels: int = 3) -> Path:
        file = folder / f"{hash(pixels)}-{in_channels}.ckpt"
        return file if file.exists() else write_checkpoint(file, in_channels=in_channels, pixels=pixels.to_dict())

    return write


def same(model: Predictor, image: object, other: Predictor, bytes_: np.ndarray) -> bool:
    return np.array_equal(model.predict(image).probabilities, other.predict(bytes_).probabilities)


GREY = picture(32, 32)[:, :, 0]
DEPTH = GREY.astype(np.uint16) * 16 + 3


def scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.floor((values.astype(float) - low) * 255 / (high - low) + 0.5), 0, 255).astype(np.uint8)


def test_16_bit_files_and_arrays_have_the_range_of_the_training(trained, tmp_path: Path) -> None:
    deep, plain = medseg.load(trained(DEEP)), medseg.load(trained(PixelFormat()))
    dim = DEPTH // 4  # whose own maximum says 10 bits
    for pixels in (DEPTH, dim):
        expected = scaled(pixels, 0, 4095)
        assert same(deep, write_image(tmp_path / "scan.png", pixels), plain, expected)
        for array in (pixels, pixels[:, :, None], pixels.astype(np.int32)):
            assert same(deep, array, plain, expected)
    assert deep.predict(DEPTH).image.dtype == np.uint8


def test_floats_have_the_range_of_the_training(trained, tmp_path: Path) -> None:
    model, plain = medseg.load(trained(FLOAT)), medseg.load(trained(PixelFormat()))
    values = (GREY / 200 - 0.5).astype(np.float32)
    tifffile.imwrite(tmp_path / "scan.tif", values)
    for image in (values, values.astype(np.float64), tmp_path / "scan.tif"):
        assert same(model, image, plain, scaled(values, -1, 1))


@pytest.mark.parametrize(
    ("pixels", "image"),
    [
        (PixelFormat(), DEPTH),
        (PixelFormat(), GREY.astype(np.float32) / 255),
        (PixelFormat(), GREY.astype(np.int64)),
        (DEEP, GREY),
        (DEEP, GREY.astype(np.float32)),
        (DEEP, GREY.astype(np.uint16) * 256),
        (FLOAT, GREY),
        (FLOAT, GREY * 3.0),
    ],
)
def test_other_scales_are_refused_and_the_range_that_is_named_works(trained, pixels, image) -> None:
    with pytest.raises(UserError, match="the network was trained on") as error:
        medseg.load(trained(pixels)).predict(image)
    low, high = map(float, re.search(r"intensity_range=\[(.+?),(.+?)\]", str(error.value)).groups())
    stated = medseg.load(trained(pixels), intensity_range=[low, high])
    plain = medseg.load(trained(PixelFormat()))
    assert same(stated, image, plain, scaled(image, low, high))


@pytest.mark.parametrize(("brightest", "words"), [(1, 1), (16, 0)])
def test_images_that_all_use_a_small_part_of_the_range_are_a_warning(
    trained, tmp_path: Path, caplog: pytest.LogCaptureFixture, brightest: int, words: int
) -> None:
    for name, factor in {"a": 1, "b": brightest}.items():
        write_image(tmp_path / "images" / f"{name}.png", np.minimum(GREY, 200).astype(np.uint16) * factor)
    given = [f"checkpoint={trained(DEEP)}", f"input={tmp_path / 'images'}", "device=cpu"]
    predict_images(compose_config("predict", *given, f"output={tmp_path / 'out'}"))
    warnings = [each for each in caplog.messages if "nearly black" in each]
    assert len(warnings) == words
    for warning in warnings:
        assert "all 2 images are in [0,255], a small part of [0,4095]" in warning
        assert warning.endswith("intensity_range=[0,255]")
    assert "small part of the range:" not in caplog.text
    caplog.clear()
    predict_images(compose_config("predict", *given, f"output={tmp_path / 'out2'}", "intensity_range=[0,255]"))
    assert "nearly black" not in caplog.text


def test_what_is_no_number_and_what_is_not_finite_is_refused(trained) -> None:
    with pytest.raises(UserError, match="bool pixels are no image"):
        medseg.load(trained(PixelFormat()), intensity_range=[0, 1]).predict(GREY > 3)
    values = GREY.astype(np.float32) / 255
    values[0, 0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        medseg.load(trained(FLOAT)).predict(values)


def test_channels_are_those_of_the_training(trained, tmp_path: Path) -> None:
    model = medseg.load(trained(PixelFormat(5), in_channels=5))
    five = np.dstack([picture(32, 32), picture(32, 32, seed=1)[:, :, :2]])
    prediction = model.predict(five)
    assert prediction.image.shape == (32, 32, 5)
    assert np.array_equal(prediction.overlay()[prediction.mask == 0], five[:, :, :3][prediction.mask == 0])
    assert prediction._repr_html_()
    tifffile.imwrite(tmp_path / "five.tif", five, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(model.predict(tmp_path / "five.tif").probabilities, prediction.probabilities)
    with pytest.raises(UserError, match=r"H x W x \(5\) values"):
        model.predict(picture(32, 32))
    with pytest.raises(UserError, match="3 channels; the network was trained on images of 5"):
        model.predict(write_image(tmp_path / "rgb.png", picture(32, 32)))
    with pytest.raises(UserError, match="5 channels; the network was trained on images of 3"):
        medseg.load(trained(PixelFormat())).predict(tmp_path / "five.tif")


def test_a_prediction_is_upright(trained, tmp_path: Path) -> None:
    model, pixels = medseg.load(trained(PixelFormat())), picture(24, 40)
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.rot90(pixels).copy()).save(tmp_path / "phone.png", exif=exif)
    prediction = model.predict(tmp_path / "phone.png")
    assert np.array_equal(prediction.image, pixels)
    assert np.array_equal(prediction.mask, model.predict(pixels).mask)


def test_networks_of_other_ranges_are_not_averaged(trained) -> None:
    other = trained(PixelFormat(1, 0, 1023, ("uint16",)))
    with pytest.raises(ConfigError, match=r"0 to 4095.*0 to 1023"):
        medseg.load([trained(DEEP), other])
    assert medseg.load([trained(DEEP), other], intensity_range=[0, 4095]).predict(DEPTH)


def test_a_checkpoint_and_an_exported_file_name_the_pixels(trained) -> None:
    assert Checkpoint.read(trained(DEEP)).metadata.pixels == DEEP
    metadata = file_metadata(TrainedNetwork.load(trained(DEEP)), with_preprocessing=True, min_size=None)
    assert metadata["pixels"] == {"channels": 1, "low": 0, "high": 4095, "stored": ["uint16"]}


def test_a_checkpoint_that_does_not_say_is_of_8_bits(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "silent.ckpt")
    content = torch.load(file, weights_only=True)
    del content[KEY]["pixels"]
    torch.save(content, file)
    assert Checkpoint.read(file).metadata.pixels == PixelFormat()


@pytest.mark.parametrize("change", [{"high": -1}, {"channels": 5}, {"stored": ["code"]}, {"low": None}])
def test_damaged_pixels_in_a_checkpoint_are_refused(tmp_path: Path, change) -> None:
    file = write_checkpoint(tmp_path / "other.ckpt", pixels=PixelFormat().to_dict() | change)
    with pytest.raises(UserError, match="settings are damaged"):
        Checkpoint.read(file)
