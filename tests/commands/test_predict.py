"""`medseg predict`: folders of images in, masks and a table out."""

from __future__ import annotations

import io
import os
import shutil
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import medseg
from medseg.data.datasets.base import Sample
from medseg.data.datasets.synthetic import Synthetic
from medseg.errors import ConfigError, UserError
from medseg.runs.predictions import read_predictions
from medseg.runs.run import read_run
from medseg.system.files import read_csv
from medseg.trained.predicting.folder import predict_images
from medseg.trained.predicting.outputs import OutputFolder
from tests.data.image_files import pillow
from tests.forking import PROJECT, start_forked
from tests.helpers import compose_config, train
from tests.trained.predicting.checkpoints import LOCAL, picture, read_png, write_checkpoint, write_image


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "unet.ckpt")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two folders with an image of the same name in each, and one beside them."""
    folder = tmp_path / "images"
    for number, name in enumerate(("a/scan.png", "b/scan.png", "top.jpg")):
        write_image(folder / name, picture(40 + 10 * number, 60, number))
    return folder


def predict(checkpoint: Path, source: object, output: Path, *overrides: str) -> OutputFolder:
    words = (f"checkpoint={checkpoint}", f"input={source}", f"output={output}", *overrides)
    return predict_images(compose_config("predict", *words))


def masks(output: Path) -> dict[str, np.ndarray]:
    found = {file.relative_to(output).as_posix(): file for file in output.rglob("*.png")}
    found = {name: file for name, file in found.items() if not name.startswith(("overlays/", "probabilities/"))}
    return {name: read_png(found[name]) for name in sorted(found)}


def test_the_files_of_a_run_get_the_masks_of_its_own_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, "trainer.max_epochs=1", "+data.dataset.size=64", "+data.dataset.seed=3")
    drawn = Synthetic(count=20, size=64, seed=3)
    ids = list(dict.fromkeys(row["id"] for row in read_csv(run.per_image)))
    native = {}
    for id_ in ids:
        native[id_], _ = drawn.read(None, Sample(id=id_, image=id_, masks=(id_,), type="polyp"))  # type: ignore[arg-type]
        write_image(tmp_path / "images" / f"{id_}.png", native[id_])
    capsys.readouterr()
    predict(run.path, tmp_path / "images", tmp_path / "out", "mask_values=indices")
    said = capsys.readouterr()
    assert "predicted: 2 images" in said.out
    assert "2/2" in said.err, "the progress bar"
    scored = read_predictions(run.test / "predictions.npz", ids)
    found = masks(tmp_path / "out")
    same_size = [id_ for id_ in ids if native[id_].shape == (64, 64, 3)]
    assert same_size
    for id_ in ids:
        assert found[f"{id_}.png"].shape == native[id_].shape[:2]
    for id_ in same_size:
        assert 0 < scored[id_].mean() < 1, "the test means nothing where all pixels are of one class"
        # The run predicted several images at once, which may move a pixel that is on the fence.
        assert (found[f"{id_}.png"] != scored[id_]).sum() <= 2
    again = medseg.load(read_run(run.path)).predict(tmp_path / "images" / f"{ids[0]}.png")
    assert np.array_equal(again.mask, found[f"{ids[0]}.png"])


def test_a_folder_with_all_that_can_be_asked_for(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(checkpoint, images, out, "probabilities=true", "overlays=true")
    found = masks(out)
    assert list(found) == ["a/scan.png", "b/scan.png", "top.png"], "one mask for each of the same name"
    model = medseg.load(checkpoint)
    rows = read_csv(out / "predictions.csv")
    assert [row["image"] for row in rows] == ["a/scan.png", "b/scan.png", "top.jpg"]
    for row in rows[:2]:
        pixels = cv2.cvtColor(read_png(images / row["image"]), cv2.COLOR_BGR2RGB)
        expected = model.predict(pixels)
        mask = found[row["image"]]
        assert mask.shape == pixels.shape[:2], "the image's own size"
        assert np.array_equal(mask, 255 * expected.mask), "two classes: 0 and 255"
        inside = expected.mask == 1
        assert (row["class"], row["height"], row["width"]) == ("blob", str(mask.shape[0]), str(mask.shape[1]))
        assert int(row["area_pixels"]) == inside.sum() > 0
        assert float(row["area_share"]) == pytest.approx(inside.mean())
        assert int(row["components"]) == cv2.connectedComponents(expected.mask, connectivity=8)[0] - 1
        assert float(row["mean_confidence"]) == pytest.approx(expected.probabilities[1][inside].mean(), abs=2e-6)
        assert row["mask"] == row["image"]
        stored = read_png(out / "probabilities" / "1-blob" / row["image"])
        assert stored.dtype == np.uint16
        assert np.allclose(stored / 65535, expected.probabilities[1], atol=1e-5)
        overlay = cv2.cvtColor(read_png(out / "overlays" / row["image"]), cv2.COLOR_BGR2RGB)
        changed = (overlay != pixels).any(axis=2)
        assert changed.any()
        assert not (changed & ~inside).any(), "nothing but the outline is drawn"
    assert not (out / "unreadable.csv").exists()


def test_class_indices_of_three_classes(images: Path, tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "three.ckpt", class_names=("background", "optic disc", "cup"), seed=3)
    predict(file, images, tmp_path / "out", "probabilities=true")
    found = masks(tmp_path / "out")
    pixels = cv2.cvtColor(read_png(images / "b" / "scan.png"), cv2.COLOR_BGR2RGB)
    expected = medseg.load(file).predict(pixels)
    assert np.array_equal(found["b/scan.png"], expected.mask)
    assert set(np.unique(expected.mask)) == {0, 1, 2}
    stored = read_png(tmp_path / "out" / "probabilities" / "1-optic_disc" / "b" / "scan.png")
    assert np.allclose(stored / 65535, expected.probabilities[1], atol=1e-5)
    rows = read_csv(tmp_path / "out" / "predictions.csv")
    assert [row["class"] for row in rows] == ["optic disc", "cup"] * 3
    with pytest.raises(ConfigError, match="mask_values=255 goes with two classes, not with 3"):
        predict(file, images, tmp_path / "other", "mask_values=255")


def test_any_format_is_read_as_the_datasets_read_it(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    rgb = picture(40, 60)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    write_image(folder / "rgb.png", rgb)
    write_image(folder / "grey.png", grey)
    write_image(folder / "grey_as_rgb.png", np.dstack([grey] * 3))
    (folder / "rgba.png").write_bytes(pillow(Image.fromarray(np.dstack([rgb, grey])), "PNG"))
    palette = Image.fromarray(rgb).quantize(32)
    (folder / "palette.png").write_bytes(pillow(palette, "PNG"))
    write_image(folder / "palette_as_rgb.png", np.asarray(palette.convert("RGB")))
    turned = Image.Exif()
    turned[274] = 6
    stored = pillow(Image.fromarray(rgb), "JPEG", exif=turned, quality=95)
    (folder / "turned.jpg").write_bytes(stored)
    write_image(folder / "upright.png", np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))))
    (folder / "notes.txt").write_text("no image")
    predict(checkpoint, folder, tmp_path / "out")
    found = masks(tmp_path / "out")
    assert len(found) == 8
    for one, other in (
        ("rgba", "rgb"), ("grey", "grey_as_rgb"), ("palette", "palette_as_rgb"),
        ("turned", "upright"),
    ):  # fmt: skip
        assert np.array_equal(found[f"{one}.png"], found[f"{other}.png"]), one
    assert not np.array_equal(found["rgb.png"], found["grey.png"])


def test_a_restart_goes_on_where_it_stopped(
    checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    predict(checkpoint, images / "top.jpg", out)
    assert len(read_csv(out / "predictions.csv")) == 1
    first = (out / "top.png").stat().st_mtime_ns
    # A kill in the middle of a line, and a mask whose line was never written.
    with (out / ".finished.jsonl").open("a") as stream:
        stream.write('{"image": "a/scan.png", "stamp"')
    (out / "a").mkdir()
    (out / "a" / "scan.png").write_bytes(b"half a file")
    predict(checkpoint, images, out)
    assert "predicted: 2 images, 1 was there already" in capsys.readouterr().out
    assert [row["image"] for row in read_csv(out / "predictions.csv")] == ["a/scan.png", "b/scan.png", "top.jpg"]
    assert (out / "top.png").stat().st_mtime_ns == first
    assert masks(out)["a/scan.png"].shape == (40, 60)

    # What is gone, has changed, or was not asked for before is predicted again; nothing else is.
    (out / "b" / "scan.png").unlink()
    write_image(images / "top.jpg", picture(30, 30))
    predict(checkpoint, images, out)
    assert "predicted: 2 images, 1 was there already" in capsys.readouterr().out
    assert masks(out)["top.png"].shape == (30, 30)
    predict(checkpoint, images / "a", tmp_path / "sub")
    predict(checkpoint, images / "a", tmp_path / "sub", "overlays=true")
    assert (tmp_path / "sub" / "overlays" / "scan.png").exists()
    predict(checkpoint, images, out)
    assert "predicted: 0 images, 3 were there already" in capsys.readouterr().out


def test_what_other_settings_or_others_have_made_is_not_touched(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(checkpoint, images, out)
    for overrides, named in ((("tta=true",), "tta"), (("tile=32",), "scale, tile, overlap")):
        with pytest.raises(ConfigError, match=f"holds predictions with another {named}; choose another output"):
            predict(checkpoint, images, out, *overrides)
    with pytest.raises(ConfigError, match="another input"):
        predict(checkpoint, images / "a", out)
    retrained = write_checkpoint(tmp_path / "retrained.ckpt", seed=9)
    with pytest.raises(ConfigError, match="another checkpoint"):
        predict(retrained, images, out)
    predict(retrained, images / "a", out, "force=true")
    assert list(masks(out)) == ["scan.png"], "the masks of before are gone"

    truth = write_image(images.parent / "masks" / "top.png", np.full((5, 5), 255, np.uint8))
    before = {file: file.read_bytes() for file in images.parent.rglob("*.*") if file.is_file()}
    for taken in (truth.parent, images):
        with pytest.raises(
            ConfigError, match=r"is not empty \(.*\), and medseg predict has not written it; give output="
        ):
            predict(checkpoint, images, taken)
    assert before == {file: file.read_bytes() for file in before}


@pytest.mark.parametrize(
    "content", ['{"mine": 1}', '[{"a": 1}]', "5", '"medseg"', '["medseg"]', "{", "", "[" * 100_000]
)
def test_a_prediction_json_of_others_stays(content: str, checkpoint: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for folder in (out, images / "a"):
        folder.mkdir(exist_ok=True)
        (folder / "prediction.json").write_text(content)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for words in ((), ("force=true",)):
        with pytest.raises(
            ConfigError, match=r"is not empty \(prediction\.json\).*; give output=FOLDER, a new or empty"
        ):
            predict(checkpoint, images, out, *words)
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    # A folder of images with such a file is no result.
    assert sorted(predict(checkpoint, images, tmp_path / "new").finished) == ["a/scan.png", "b/scan.png", "top.jpg"]


@pytest.mark.parametrize("damage", [b'{"image": "top\xff.jpg"}\n', b"5\n", b'"text"\n', b"\0\0\n"])
def test_a_damaged_line_of_the_journal_is_not_used(
    damage: bytes, checkpoint: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    predict(checkpoint, images, out)
    journal = out / ".finished.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([lines[0], damage, *lines[2:]]))
    capsys.readouterr()
    predict(checkpoint, images, out)
    assert "predicted: 1 image, 2 were there already" in capsys.readouterr().out
    journal.write_bytes(damage)
    predict(checkpoint, images, out, "force=true")
    assert len(read_csv(out / "predictions.csv")) == 3


def test_the_named_folder_holds_the_masks(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "masks"
    for _ in range(2):
        predict(checkpoint, images, out, "overlays=true")
    assert sorted(file.relative_to(out).as_posix() for file in out.rglob("*.png")) == [
        "a/scan.png", "b/scan.png", "overlays/a/scan.png", "overlays/b/scan.png", "overlays/top.png", "top.png",
    ]  # fmt: skip
    # A folder of images that is called as one of the results.
    write_image(images / "overlays" / "top.png", picture(20, 20))
    advice = "rename the folder overlays of the images, or leave out overlays=true"
    with pytest.raises(
        ConfigError, match=rf"overlays/top\.png of top\.jpg would replace overlays/top\.png.*; {advice}$"
    ):
        predict(checkpoint, images, tmp_path / "nested" / "other", "overlays=true")
    assert not (tmp_path / "nested").exists(), "no empty folder is left behind"
    assert "overlays/top.png" in predict(checkpoint, images, tmp_path / "third").finished


def test_a_mask_never_replaces_its_image(checkpoint: Path, tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "a.png", picture(20, 20))
    before = image.read_bytes()
    (image.parent / "prediction.json").write_text('{"medseg": "0.1.0"}')  # of a version that had a folder for masks
    with pytest.raises(ConfigError, match=r"a\.png of a\.png would replace a\.png"):
        predict(checkpoint, image.parent, image.parent, "force=true")
    assert image.read_bytes() == before


def test_output_in_the_input_folder_is_never_input(checkpoint: Path, images: Path) -> None:
    for output in (images / "predicted", images / "a" / "again"):
        for _ in range(2):
            predict(checkpoint, images, output, "overlays=true", "probabilities=true")
            rows = read_csv(output / "predictions.csv")
            assert [row["image"] for row in rows] == ["a/scan.png", "b/scan.png", "top.jpg"]
    found = predict(checkpoint, images / "**" / "*.png", images / "third")
    assert sorted(found.finished) == ["a/scan.png", "b/scan.png"]
    # Whoever gives the folder of the masks itself means it.
    assert len(predict(checkpoint, images / "predicted", images.parent / "fourth").finished) == 3


def test_names_that_would_be_the_same(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "a.jpg.png", "b.PNG", ".hidden.png"):
        write_image(tmp_path / "images" / name, picture(20, 20, len(name)))
    predict(checkpoint, tmp_path / "images", tmp_path / "out")
    assert list(masks(tmp_path / "out")) == ["a.jpg.png", "a.jpg.png.png", "a.png.png", "b.png"]
    several = f"[{tmp_path}/images/a.png,{tmp_path}/images/b.PNG]"
    predict(checkpoint, several, tmp_path / "several")
    assert list(masks(tmp_path / "several")) == ["a.png", "b.png"]


def test_damaged_files_are_reported_at_the_end(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    whole = (images / "a" / "scan.png").read_bytes()
    (images / "a" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"2 of 5 images could not be read, the others are predicted.*unreadable\.csv"):
        predict(checkpoint, images, tmp_path / "out")
    assert read_csv(tmp_path / "out" / "unreadable.csv") == [
        {"image": "a/cut.png", "reason": "damaged, truncated or not an image"},
        {"image": "empty.png", "reason": "the file is empty"},
    ]
    assert len(masks(tmp_path / "out")) == len(read_csv(tmp_path / "out" / "predictions.csv")) == 3
    (images / "b" / "scan.png").write_bytes(b"")
    with pytest.raises(UserError, match="3 of 5 images"):
        predict(checkpoint, images, tmp_path / "out")
    assert [row["image"] for row in read_csv(tmp_path / "out" / "predictions.csv")] == ["a/scan.png", "top.jpg"]
    assert list(masks(tmp_path / "out")) == ["a/scan.png", "top.png"], "no mask of what the file was before"
    (images / "empty.png").unlink()
    shutil.copy(images / "top.jpg", images / "b" / "scan.png")
    shutil.copy(images / "top.jpg", images / "a" / "cut.png")
    predict(checkpoint, images, tmp_path / "out")
    assert not (tmp_path / "out" / "unreadable.csv").exists()


def test_long_names_stop_no_other_image(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    longest, both = "字" * 83, "y" * 251
    for name in (f"{longest}.png", f"{both}.png", f"{both}.jpg"):  # the outputs of the last two would be *.png.png
        write_image(images / name, picture(20, 20))
    words = ("overlays=true", "probabilities=true")
    with pytest.raises(UserError, match=r"2 of 6 images could not be read, the others are predicted"):
        predict(checkpoint, images, tmp_path / "out", *words)
    assert read_csv(tmp_path / "out" / "unreadable.csv") == [
        {"image": f"{both}.{kind}", "reason": "the file name of an output would be too long"} for kind in ("jpg", "png")
    ]
    assert list(masks(tmp_path / "out")) == ["a/scan.png", "b/scan.png", "top.png", f"{longest}.png"]
    assert not list(tmp_path.rglob("*.partial"))
    # The mask has a name that is short enough, and the probabilities of its class have not.
    named = write_checkpoint(tmp_path / "named.ckpt", class_names=("background", "z" * 260))
    with pytest.raises(UserError, match=r"2 of 2 images could not be read"):
        predict(named, images / "*" / "*.png", tmp_path / "other", *words)
    assert not list((tmp_path / "other").rglob("*.png"))


def test_images_without_finite_output_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    overflows = write_checkpoint(tmp_path / "overflows.ckpt", {"_target_": "tests.networks.Overflows"})
    for name, value in (("a", 255), ("b", 0), ("c", 255)):
        write_image(tmp_path / "images" / f"{name}.png", np.full((40, 60, 3), value, np.uint8))
    output = predict(overflows, tmp_path / "images", tmp_path / "out", "trust=true", "probabilities=true")
    warnings = [message for message in caplog.messages if "finite" in message]
    assert warnings == [
        f"background where the output of the network is not finite: 2 of the images, such as {tmp_path}/images/a.png"
    ]
    assert not read_png(output.path / "a.png").any()
    assert {row["image"] for row in read_csv(output.table) if int(row["area_pixels"])} <= {"b.png"}
    assert not read_png(output.path / "probabilities" / "1-blob" / "a.png").any()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("input=none",), "none: no such file or folder"),
        (("input=images/*.tif",), r"\*.tif: no images found"),
        (("overlays=1",), "overlays is 1; it must be true or false"),
        (("mask_values=7",), "mask_values is 7; it must be null or indices, or 255"),
        (("num_workers=0",), "num_workers is 0"),
    ],
)
def test_wrong_words_are_named(
    overrides: tuple[str, ...], message: str, checkpoint: Path, images: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        predict(checkpoint, "images", Path("out"), *overrides)
    assert not Path("out").exists()


def test_a_pipe_is_no_image(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    os.mkfifo(images / "pipe.png")
    before = set(masks(predict(checkpoint, images, tmp_path / "out").path))
    assert before
    assert "pipe" not in before
    with pytest.raises(UserError, match=r"pipe\.png: a pipe or a device"):
        predict(checkpoint, images / "pipe.png", tmp_path / "other")


def test_a_folder_without_images_says_what_it_found(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices" / "volume.nii").write_bytes(b"1")
    with pytest.raises(UserError, match=r"no images found \(not known as images: \.nii\)"):
        predict(checkpoint, tmp_path / "slices", tmp_path / "out")


def no_memory_of_opencv(*_: object) -> None:
    error = cv2.error("Failed to allocate 100000000 bytes")
    error.code, error.err = cv2.Error.STS_NO_MEM, "Failed to allocate 100000000 bytes"
    raise error


@pytest.mark.parametrize(
    ("where", "fails", "message"),
    [
        ("torch.nn.Conv2d.forward", lambda *_: torch.empty(1 << 50), "unet.ckpt: out of memory: 3 x 32 x 32 values"),
        (
            "medseg.trained.predicting.folder.most_probable",
            lambda *_: np.empty(1 << 50),
            r"\.(png|jpg): out of memory \(Unable to",
        ),
        ("cv2.imdecode", no_memory_of_opencv, r"\.(png|jpg): out of memory \(Failed to allocate 100000000 bytes"),
    ],
    ids=["network", "mask", "image"],
)
def test_out_of_memory(
    where: str, fails: object, message: str, checkpoint: Path, images: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(where, fails)
    with pytest.raises(UserError, match=message):
        predict(checkpoint, images, tmp_path / "out")


def test_ctrl_c_keeps_what_is_finished_and_the_rest_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_checkpoint(tmp_path / "local.ckpt", LOCAL, image_size=512)
    image = write_image(tmp_path / "images" / "0000.png", picture(400, 400))
    for number in range(1, 300):
        os.link(image, image.with_name(f"{number:04d}.png"))
    words = (f"checkpoint={file}", f"input={image.parent}", f"output={tmp_path / 'out'}", "trust=true")
    process = start_forked("medseg", "predict", *words, cwd=PROJECT)
    journal = tmp_path / "out" / ".finished.jsonl"
    deadline = time.monotonic() + 150
    while not (journal.exists() and journal.read_text().count("\n") >= 5):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error: interrupted" in said
    done = read_csv(tmp_path / "out" / "predictions.csv")
    assert 5 <= len(done) < 300
    assert all((tmp_path / "out" / row["mask"]).exists() for row in done)
    assert not list((tmp_path / "out").rglob("*.partial"))
    predict(file, image.parent, tmp_path / "out", "trust=true")
    assert f"predicted: {300 - len(done)} images, {len(done)} were there already" in capsys.readouterr().out
    assert len(read_csv(tmp_path / "out" / "predictions.csv")) == 300
