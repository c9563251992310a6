from __future__ import annotations

import base64
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import medseg
from medseg.data.prepared.resize import as_grey, resize_image
from medseg.data.prepared.restore import most_probable
from medseg.errors import ConfigError, UserError
from medseg.trained.files import KEY
from medseg.trained.network import TrainedNetwork
from medseg.trained.predicting.prediction import LONGEST_SIDE, Prediction
from medseg.trained.predicting.predictor import find_checkpoints
from tests.trained.predicting.checkpoints import LOCAL, UNET, picture, write_checkpoint, write_image


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("unet") / "unet.ckpt")


def by_hand(file: Path, pixels: np.ndarray) -> torch.Tensor:
    """The probabilities of an image of the network's size, 1 x classes x H x W."""
    trained = TrainedNetwork.load(file)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in trained.normalisation)
    with torch.no_grad():
        return trained.network((image - mean) / std).softmax(1)


def test_import_is_light_and_load_is_there() -> None:
    code = "import sys, medseg; assert callable(medseg.load); assert not {'torch', 'numpy', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


LIGHT = """
import sys
import numpy as np
import medseg

for precision in ("32-true", "bf16-mixed"):
    prediction = medseg.load(sys.argv[1], precision=precision).predict(np.zeros((40, 30, 3), np.uint8))
    assert prediction._repr_html_()
heavy = {"lightning", "albumentations", "matplotlib", "hydra", "omegaconf", "scipy", "wandb", "torchmetrics"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_predicting_imports_no_training(unet: Path) -> None:
    subprocess.run([sys.executable, "-c", LIGHT, str(unet)], check=True)


def test_an_image_of_the_trained_size(unet: Path) -> None:
    image = picture(32, 32)
    found = medseg.load(unet).predict(image)
    assert found.class_names == ("background", "blob")
    assert (found.mask.dtype, found.mask.shape) == (np.uint8, (32, 32))
    assert (found.probabilities.dtype, found.probabilities.shape) == (np.float32, (2, 32, 32))
    assert np.allclose(found.probabilities, by_hand(unet, image)[0], atol=1e-6)
    assert np.array_equal(found.mask, found.probabilities.argmax(0))
    assert 0.1 < found.mask.mean() < 0.9, "the test means nothing where all pixels are of one class"


@pytest.mark.parametrize("size", [(131, 70), (40, 33)])
def test_any_other_image_is_resized_as_in_training_and_back(size: tuple[int, int], unet: Path) -> None:
    image = picture(*size)
    found = medseg.load(unet).predict(image)
    small = by_hand(unet, resize_image(image, (32, 32)))
    expected = F.interpolate(small, size=size, mode="bilinear", align_corners=False)[0].numpy()
    assert found.mask.shape == size
    assert np.allclose(found.probabilities, expected, atol=1e-5)
    assert np.array_equal(found.mask, found.probabilities.argmax(0))


def test_a_smaller_image_gets_probabilities_averaged_by_area(unet: Path) -> None:
    image = picture(16, 8)
    found = medseg.load(unet).predict(image)
    large = by_hand(unet, resize_image(image, (32, 32)))
    assert np.allclose(found.probabilities, F.avg_pool2d(large, (2, 4))[0], atol=1e-5)


def test_flips_are_averaged(unet: Path) -> None:
    image = picture(32, 32)
    expected = torch.zeros(1, 2, 32, 32)
    for turn, back in ((lambda p: p, lambda t: t),
                       (lambda p: p[:, ::-1], lambda t: t.flip(3)),
                       (lambda p: p[::-1], lambda t: t.flip(2)),
                       (lambda p: p[::-1, ::-1], lambda t: t.flip(2, 3))):  # fmt: skip
        expected += back(by_hand(unet, turn(image).copy())) / 4
    found = medseg.load(unet, tta=True).predict(image).probabilities
    assert np.allclose(found, expected[0], atol=1e-6)
    assert not np.allclose(found, medseg.load(unet).predict(image).probabilities, atol=1e-2)


def test_a_temperature_divides_the_logits(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")
    image = picture(32, 32)
    plain = medseg.load(file).predict(image)
    with pytest.raises(UserError, match=r"no temperature was chosen for it .*leave out temperature=true"):
        medseg.load(file, temperature=True)
    (tmp_path / "run" / "temperature.json").write_text('{"temperature": 2.5}\n', encoding="utf-8")
    scaled = medseg.load(tmp_path / "run", temperature=True).predict(image)
    expected = torch.from_numpy(plain.probabilities).log().div(2.5).softmax(0).numpy()
    np.testing.assert_allclose(scaled.probabilities, expected, atol=1e-6)
    np.testing.assert_array_equal(scaled.mask, plain.mask)
    np.testing.assert_array_equal(medseg.load(file).predict(image).probabilities, plain.probabilities)
    (tmp_path / "run" / "temperature.json").write_text('{"temperature": "warm"}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"temperature\.json: damaged"):
        medseg.load(file, temperature=True)


def test_an_ensemble_is_the_average_of_its_networks(unet: Path, tmp_path: Path) -> None:
    image = picture(50, 60)
    other = write_checkpoint(tmp_path / "other.ckpt", seed=1)
    grey = write_checkpoint(tmp_path / "grey.ckpt", seed=2, image_size=[40, 24], in_channels=1)
    single = [medseg.load(file).predict(image).probabilities for file in (unet, other, grey)]
    assert np.array_equal(medseg.load([unet]).predict(image).probabilities, single[0])
    assert np.allclose(medseg.load([unet, other]).predict(image).probabilities, sum(single[:2]) / 2, atol=1e-6)
    assert np.allclose(medseg.load([unet, other, grey]).predict(image).probabilities, sum(single) / 3, atol=1e-6)


def test_networks_of_other_classes_are_not_averaged(unet: Path, tmp_path: Path) -> None:
    polyp = write_checkpoint(tmp_path / "polyp.ckpt", class_names=("background", "polyp"))
    with pytest.raises(ConfigError, match=r"unet\.ckpt predicts background, blob, .*polyp\.ckpt background, polyp"):
        medseg.load([unet, polyp])
    imported = write_checkpoint(tmp_path / "in.ckpt", class_names=("background", "foreground"), data_identity=None)
    assert medseg.load([imported, unet]).class_names == ("background", "blob")
    unknown = write_checkpoint(tmp_path / "unknown.ckpt", data_identity=None, mean=None, std=None)
    with pytest.raises(UserError, match=r"unknown\.ckpt: imported without the authors' normalisation"):
        medseg.load(unknown)


def test_what_a_checkpoint_may_be(tmp_path: Path) -> None:
    runs = [tmp_path / f"run-seed{seed}" for seed in (0, 1)]
    files = [write_checkpoint(run / "checkpoints" / "best.ckpt") for run in runs]
    (tmp_path / "run-report").mkdir()
    assert find_checkpoints(runs[0]) == files[:1]
    assert find_checkpoints(str(tmp_path / "run-*")) == files
    assert find_checkpoints([files[1], runs[0], files[1]]) == [files[1], files[0]], "each once"
    files = [write_checkpoint(tmp_path / "proj [v2]" / run.name / "checkpoints" / "best.ckpt") for run in runs]
    assert find_checkpoints(tmp_path / "proj [v2]" / "run-*") == files
    with pytest.raises(UserError, match=r"walk-\*: finds no run folder"):
        find_checkpoints(tmp_path / "walk-*")
    with pytest.raises(UserError, match="no such run folder or checkpoint"):
        find_checkpoints(tmp_path / "none")
    with pytest.raises(UserError, match="empty list"):
        find_checkpoints([])


def rename(file: Path, target: str) -> None:
    """Let a checkpoint name another class."""
    content = torch.load(file, weights_only=True)
    content[KEY]["config"]["model"]["_target_"] = target
    torch.save(content, file)


def test_a_network_of_your_own_is_loaded_when_you_trust_it(tmp_path: Path) -> None:
    own = write_checkpoint(tmp_path / "own.ckpt", LOCAL)
    with pytest.raises(UserError, match="trust=true"):
        medseg.load(own)
    assert medseg.load(own, trust=True).predict(picture(9, 9)).mask.shape == (9, 9)
    parts = {
        "body": {**LOCAL, "in_channels": 3, "num_classes": 2},
        "last": {"_target_": "torch.nn.Hardtanh", "_partial_": True, "min_val": 0.0},
    }
    file = write_checkpoint(tmp_path / "assembled.ckpt", {"_target_": "tests.networks.Assembled", **parts})
    with pytest.raises(UserError, match="trust=true"):
        medseg.load(file)
    assert medseg.load(file, trust=True).predict(picture(9, 9)).mask.shape == (9, 9)
    missing = write_checkpoint(tmp_path / "missing.ckpt", LOCAL)
    rename(missing, "tests.networks.Gone")
    with pytest.raises(UserError, match=r"missing\.ckpt: Gone cannot be built: .* has no attribute 'Gone'"):
        medseg.load(missing, trust=True)


def test_arrays_of_other_kinds_are_read_as_files_of_theirs_would_be(unet: Path) -> None:
    model = medseg.load(unet)
    grey = as_grey(picture(32, 32))
    rgb = np.repeat(grey, 3, axis=2)
    expected = model.predict(rgb).probabilities
    for same in (grey, grey[:, :, 0], np.dstack([rgb, 255 - grey])):
        assert np.array_equal(model.predict(same).probabilities, expected), same.shape
    for wrong in (rgb[:, :, :2], rgb[0, 0], np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UserError, match="an image has"):
            model.predict(wrong)


def test_files_arrays_and_lists_of_them(unet: Path, tmp_path: Path) -> None:
    model = medseg.load(unet)
    pixels = picture(40, 60)
    file = write_image(tmp_path / "scan.png", pixels)
    expected = model.predict(pixels)
    several = model.predict([file, str(file), pixels])
    for prediction in (model.predict(file), model.predict(str(file)), *several):
        assert np.array_equal(prediction.probabilities, expected.probabilities)
        assert np.array_equal(prediction.image, pixels)
    assert len(several) == 3
    assert model.predict([]) == []
    with pytest.raises(UserError, match=r"none\.png"):
        model.predict(tmp_path / "none.png")
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match=r"scan\.png.*damaged, truncated or not an image"):
        model.predict([pixels, file])


def test_a_notebook_shows_the_image_with_the_outlines_of_its_mask(unet: Path) -> None:
    prediction = medseg.load(unet).predict(picture(100, 200))
    shown = cv2.imdecode(np.frombuffer(prediction._repr_png_(), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(shown, prediction.overlay())
    changed = (shown != prediction.image).any(axis=2)
    assert changed.any()
    assert not (changed & (prediction.mask == 0)).any(), "nothing but the outline is drawn"
    page = prediction._repr_html_()
    assert base64.b64encode(prediction._repr_png_()).decode() in page
    share = prediction.mask.mean()
    assert f"<td>{prediction.mask.sum():,}</td><td>{100 * share:.1f} %</td>" in page
    assert repr(prediction) == f"Prediction(100 x 200 pixels: background {1 - share:.1%}, blob {share:.1%})"


def test_a_large_image_is_shown_smaller() -> None:
    mask = np.zeros((10, 2 * LONGEST_SIDE), np.uint8)
    probabilities = np.ones((2, *mask.shape), np.float32) / 2
    prediction = Prediction(np.dstack([mask] * 3), mask, probabilities, ("background", "blob"))
    shown = cv2.imdecode(np.frombuffer(prediction._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (5, LONGEST_SIDE, 3)


@pytest.mark.parametrize("size", [(150, 97), (20, 300), (31, 12)])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5])
def test_windows_of_a_local_network_are_the_whole_image(size: tuple[int, int], overlap: float, tmp_path: Path) -> None:
    local = write_checkpoint(
        tmp_path / "local.ckpt", LOCAL, class_names=("background", "a", "b"), image_size=list(size)
    )
    image = picture(*size)
    whole = medseg.load(local, trust=True).predict(image)
    tiled = medseg.load(local, trust=True, tile=32, overlap=overlap).predict(image)
    assert np.allclose(tiled.probabilities, whole.probabilities, atol=1e-5)
    assert (tiled.mask != whole.mask).mean() < 1e-3
    assert set(np.unique(whole.mask)) == {0, 1, 2}


def test_windows_of_a_network_with_context_agree_away_from_their_borders(unet: Path) -> None:
    image = picture(200, 150)
    window = medseg.load(unet, tile=512).predict(image).probabilities
    tiled = medseg.load(unet, tile=96, overlap=0.5).predict(image).probabilities
    assert np.abs(tiled - window).mean() < 0.02
    assert np.allclose(medseg.load(unet, scale=1).predict(image).probabilities, window), "one window: as it is"
    # Nothing jumps where one window ends and another begins.
    jumps = np.abs(np.diff(tiled[1], axis=0)).max(axis=1)
    assert jumps.max() < 1.3 * np.abs(np.diff(window[1], axis=0)).max()


def test_scale_shows_the_image_larger_or_smaller(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "unet.ckpt", UNET, image_size=[60, 80])
    image = picture(120, 160)
    half = medseg.load(file, scale=0.5).predict(image)
    assert np.allclose(half.probabilities, medseg.load(file).predict(image).probabilities, atol=1e-5)
    tiled = medseg.load(file, scale=0.5, tile=40, overlap=0.5).predict(image)
    assert tiled.mask.shape == (120, 160)
    assert (tiled.mask != half.mask).mean() < 0.1


def test_windows_smaller_than_the_network_takes_are_mirrored(tmp_path: Path) -> None:
    model = {"_target_": "medseg.models.ConvUNeXt", "base_channels": 4}
    file = write_checkpoint(tmp_path / "next.ckpt", model, image_size=64)
    found = medseg.load(file, tile=64).predict(picture(9, 70))
    assert found.mask.shape == (9, 70)
    assert np.isfinite(found.probabilities).all()


def test_a_network_with_tiles_of_its_own_keeps_them(tmp_path: Path) -> None:
    found = []
    for tile in (None, 20):
        model = {"_target_": "medseg.models.UNet2015", "base_channels": 2, "tile": tile}
        file = write_checkpoint(tmp_path / f"{tile}.ckpt", model, image_size=48)
        found += [medseg.load(file, **options).predict(picture(60, 60)).probabilities for options in ({}, {"tile": 56})]
    assert np.allclose(found[2], found[0], atol=1e-5)
    assert np.allclose(found[3], found[1], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"tile": 16}], ids=str)
def test_pixels_without_finite_output_are_background(
    options: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overflows = write_checkpoint(tmp_path / "overflows.ckpt", {"_target_": "tests.networks.Overflows"})
    local = write_checkpoint(tmp_path / "local.ckpt", LOCAL)
    image = picture(32, 32)
    image[:8, :8] = 255
    image[image == 153] = 152  # 153 is 1 by mean and std of the checkpoints, or not, by rounding
    bright = image[:, :, 0] > 153
    one = medseg.load(overflows, trust=True, **options).predict(image)
    assert caplog.messages == ["background where the output of the network is not finite"]
    usual = medseg.load(local, trust=True, **options).predict(image)
    assert len(caplog.messages) == 1
    assert 0 < bright.mean() < 1
    assert np.array_equal(one.probabilities[0, bright], np.ones(bright.sum()))
    assert not one.mask[bright].any()
    assert np.allclose(one.probabilities[:, ~bright], usual.probabilities[:, ~bright])
    both = medseg.load([overflows, local], trust=True, **options).predict(image)
    assert np.allclose(both.probabilities, (one.probabilities + usual.probabilities) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0}, "tile is 0"),
        ({"tile": 96.5}, "tile is 96.5"),
        ({"scale": 0}, "scale is 0"),
        ({"overlap": 0.7}, "overlap is 0.7"),
        ({"tta": 1}, "tta is 1"),
        ({"device": "gpx"}, "device is 'gpx'"),
        ({"device": "cuda:99"}, "device=cuda:99: PyTorch finds no such device"),
        ({"precision": "33-true"}, "precision=33-true"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str, unet: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        medseg.load(unet, **options)


@pytest.mark.parametrize("options", [{}, {"tile": 512}], ids=["whole", "windows"])
def test_memory_is_that_of_a_strip(options: dict, tmp_path: Path) -> None:
    local = write_checkpoint(tmp_path / "local.ckpt", LOCAL, image_size=64)
    model = medseg.load(local, trust=True, **options)
    image = cv2.resize(picture(100, 100), (3000, 3000))
    mask = np.zeros((3000, 3000), np.uint8)
    tracemalloc.start()
    top = 0
    for strip in model.strips(image):
        mask[top : top + strip.shape[1]] = most_probable(strip)[0]
        top += strip.shape[1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert top == 3000
    # All probabilities at once would be 72 MB; a row of windows is 12 MB, and two of them are there at a time.
    assert peak < 45e6
