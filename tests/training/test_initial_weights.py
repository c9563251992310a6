"""`initial_weights`: what is loaded of a run, a checkpoint or a file of the authors, and what begins anew."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medseg.errors import UserError
from medseg.models import MKUNet, UNet, UNetPlusPlus, import_reference
from medseg.runs.folder import RunFolder
from medseg.trained.checkpoint import Checkpoint
from medseg.trained.matching import Match, match
from tests.helpers import TINY, train
from tests.trained.test_importing import golden_state

ONE = ("trainer.max_epochs=1", "data.image_size=32", "data.dataset.count=12", "optimizer.lr=0")
"""A training that leaves the weights as they begin, but for the statistics of batch norms."""

OWN = [word for word in TINY if not word.startswith(("data.dataset", "data.image_size", "model"))]
INTERRUPT = "+callbacks.interrupt._target_=tests.training.test_job.Interrupt"  # in the third epoch


def weights(run: RunFolder) -> dict[str, Tensor]:
    return dict(Checkpoint.read(run.best_checkpoint).state)


def learnt(state: Mapping[str, Tensor]) -> list[str]:
    return [name for name in state if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))]


def differing(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> set[str]:
    return {name for name in learnt(after) if name not in before or not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("initial")


@pytest.fixture(scope="module")
def run(folder: Path) -> RunFolder:
    return train(folder, *ONE, "optimizer.lr=0.01", "experiment=start")


@pytest.fixture(scope="module")
def four_classes(folder: Path) -> str:
    """A folder of images with three classes beside the background."""
    root, generator = folder / "organs", np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(12):
        mask = np.zeros((32, 32), np.uint8)
        mask[:8], mask[8:16], mask[16:24] = 1, 2, 3
        cv2.imwrite(str(root / "images" / f"{number}.png"), generator.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        cv2.imwrite(str(root / "masks" / f"{number}.png"), mask)
    return str(root)


# Runs and checkpoints of medseg.
def test_another_number_of_classes_makes_new_heads(
    folder: Path, four_classes: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("model=unet", "model.base_channels=4", "model.deep_supervision=true")
    start = train(folder, *ONE, *words, "optimizer.lr=0.01", "experiment=heads")
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="medseg"):
        tuned = train(
            folder, *OWN, *ONE[:2], *words, "optimizer.lr=0", "data=folder", f"data.root={four_classes}",
            "data.labels={background:0,a:1,b:2,c:3}", f"initial_weights={start.path}", tiny=False,
        )  # fmt: skip
    after = weights(tuned)
    heads = {name for name in after if name.startswith(("head", "auxiliary_heads"))}
    assert len(heads) == 8
    assert differing(weights(start), after) == heads
    assert "90 of 98 tensors" in caplog.text
    assert "auxiliary_heads.0.weight, auxiliary_heads.0.bias, " in caplog.text
    assert " and 2 more begin anew (2 -> 4 classes)" in caplog.text
    # The images are normalised as for the weights.
    means = [Checkpoint.read(each.best_checkpoint).metadata.mean for each in (start, tuned)]
    assert means[0] == means[1]


@pytest.mark.parametrize("channels", [1, 5])
def test_another_number_of_channels(
    channels: int, folder: Path, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    root = folder / f"channels{channels}"
    if channels == 1:
        data = ("data.dataset.count=12",)
    else:
        import tifffile

        for part in ("images", "masks"):
            (root / part).mkdir(parents=True)
        for number in range(12):
            pixels = np.random.default_rng(number).integers(0, 255, (32, 32, channels), dtype=np.uint8)
            tifffile.imwrite(root / "images" / f"{number}.tif", pixels, photometric="minisblack", planarconfig="contig")
            cv2.imwrite(str(root / "masks" / f"{number}.png"), (pixels[..., 0] > 127).astype(np.uint8))
        data = ("data=folder", f"data.root={root}")
    with caplog.at_level(logging.INFO, logger="medseg"):
        tuned = train(
            folder, *OWN, *ONE[:2], "model=unet", "model.base_channels=4", "optimizer.lr=0", *data,
            f"data.in_channels={channels}", f"initial_weights={run.path}", tiny=False,
        )  # fmt: skip
    before, after = weights(run), weights(tuned)
    assert differing(before, after) == {"stem.0.weight"}
    first, how = before["stem.0.weight"], {1: "summed", 5: "repeated"}[channels]
    expected = first.sum(1, keepdim=True) if channels == 1 else first[:, [0, 1, 2, 0, 1]] * 3 / 5
    torch.testing.assert_close(after["stem.0.weight"], expected)
    assert f"stem.0.weight {how} over the channels (3 -> {channels})" in caplog.text


def test_what_else_differs_is_refused(folder: Path, run: RunFolder) -> None:
    words = ("experiment=refused", f"initial_weights={run.path}")
    for differs, message in {
        "model.base_channels=8": r"stem\.0\.weight is \(4, 3, 3, 3\) there, \(8, 3, 3, 3\) here",
        "model.upsampling=transposed": r"encoder\.3\.1\.0\.weight is .* there, .* here",
        "model.skip=se": r"decoder\.0\.skip.* is not in it",
    }.items():
        with pytest.raises(UserError, match=f"best.ckpt: the checkpoint of another network: {message}") as raised:
            train(folder, *ONE, *words, differs)
        assert str(raised.value).endswith("; strict=false loads what fits")
        assert "\n" not in str(raised.value)
    assert not (folder / "runs" / "refused").exists()


def test_not_strict_loads_what_fits(folder: Path, run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    words = (*ONE, "model.upsampling=transposed", "strict=false", f"initial_weights={run.path}")
    with caplog.at_level(logging.INFO, logger="medseg"):
        tuned = train(folder, *words)
    before, after = weights(run), weights(tuned)
    fitting = {name for name in learnt(after) if name in before and before[name].shape == after[name].shape}
    assert differing(before, after) == {*learnt(after)} - fitting
    total = sum(not name.endswith("num_batches_tracked") for name in after)
    loaded = sum(before[name].shape == value.shape for name, value in after.items() if name in before and value.dim())
    assert f"initial weights: {loaded} of {total} tensors" in caplog.text
    assert 0 < loaded < total


def test_heads_of_deep_supervision_that_one_side_has_alone(
    folder: Path, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("model=unet", "model.base_channels=4")
    with caplog.at_level(logging.INFO, logger="medseg"):
        heads = train(
            folder, *ONE, *words, "model.deep_supervision=true", f"initial_weights={run.path}", "experiment=more"
        )
        assert "begin anew (of deep supervision, not in it)" in caplog.text
        caplog.clear()
        plain = train(folder, *ONE, *words, f"initial_weights={heads.path}", "experiment=fewer")
        assert "of the file not used: auxiliary_heads.0.weight" in caplog.text
    assert all(name.startswith("auxiliary_heads") for name in differing(weights(run), weights(heads)))
    assert not differing(weights(heads), weights(plain))


def test_a_file_of_half_precision_with_its_counters(folder: Path, run: RunFolder) -> None:
    file = folder / "half.pth"
    torch.save({name: value.half() for name, value in weights(run).items()}, file)
    tuned = train(folder, *ONE, f"initial_weights={file}", "experiment=half")
    assert all(torch.equal(weights(run)[name].half(), weights(tuned)[name].half()) for name in learnt(weights(run)))


def test_a_damaged_file_is_named(folder: Path, run: RunFolder) -> None:
    file = folder / "flipped.pth"
    torch.save(weights(run), file)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"flipped\.pth: damaged, or not a PyTorch checkpoint \(the checksum of "):
        train(folder, *ONE, f"initial_weights={file}", "experiment=flipped")


def test_little_that_is_loaded_is_a_warning(folder: Path, run: RunFolder, caplog: pytest.LogCaptureFixture) -> None:
    file = folder / "little.pth"
    torch.save(dict(list(weights(run).items())[:6]), file)
    with caplog.at_level(logging.WARNING, logger="medseg"):
        train(folder, *ONE, f"initial_weights={file}", "strict=false", "experiment=little")
    assert "initial weights: 5 of " in caplog.text


def test_none_that_fits(folder: Path, run: RunFolder) -> None:
    words = [word for word in TINY if not word.startswith("model")]
    with pytest.raises(UserError, match=r"best\.ckpt: none of its 110 weights fits OneConv"):
        train(
            folder, *words, "+model._target_=tests.networks.OneConv", "strict=false", f"initial_weights={run.path}",
            tiny=False,
        )  # fmt: skip


def test_other_names_of_as_many_classes_are_a_warning(
    folder: Path, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    content = torch.load(run.best_checkpoint, weights_only=True)
    content["medseg"]["class_names"] = ["background", "nucleus"]
    content["medseg"]["pixels"] = {**content["medseg"]["pixels"], "high": 4095}
    torch.save(content, folder / "other.ckpt")
    tuned = train(folder, *ONE, "experiment=names", f"initial_weights={folder / 'other.ckpt'}")
    assert not differing(weights(run), weights(tuned))
    assert "its classes are background, nucleus, here they are background, polyp; its head is loaded" in caplog.text
    assert "its images had stored values from 0 to 4095, here they have 0 to 255" in caplog.text


def test_a_run_resumes_where_the_file_is_gone(folder: Path, run: RunFolder) -> None:
    copy = folder / "copy.ckpt"
    words = ("experiment=gone", "data.image_size=32", INTERRUPT, "trainer.max_epochs=4", f"initial_weights={copy}")
    # Other data than those of the weights, so that their normalisation is another.
    words = (*words, "+data.dataset.seed=5", "data.dataset.count=12")
    shutil.copyfile(run.best_checkpoint, copy)
    with pytest.raises(KeyboardInterrupt):
        train(folder, *words)
    copy.unlink()
    resumed = train(folder, *words)
    metadata = [Checkpoint.read(each.best_checkpoint).metadata for each in (run, resumed)]
    assert metadata[0].normalisation == metadata[1].normalisation
    assert train(folder, *words).path == resumed.path
    with pytest.raises(UserError, match=r"copy\.ckpt: no such run folder or checkpoint"):
        train(folder, *words, "force=true")
    assert resumed.finished, "nothing was lost"


# Files of others.
def prefixed(prefix: str) -> Callable[[Mapping[str, Tensor]], Any]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


FILES: dict[str, Callable[[Mapping[str, Tensor]], Any]] = {
    "plain": dict,
    "DataParallel": prefixed("module."),
    "Lightning": lambda state: {"state_dict": {**prefixed("model.")(state), "loss.weight": torch.ones(2)}, "epoch": 3},
    "with other entries": lambda state: {**state, "mask_values": [0, 1], "best": 0.5},
    "with another head": lambda state: {
        "model": {**state, "auxiliary_head.conv.weight": torch.ones(3, 3)}, "optimizer": {"state": {}}
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", FILES)
def test_a_state_dict_under_our_names(layout: str, folder: Path, run: RunFolder) -> None:
    file = folder / f"{layout}.pth"
    torch.save(FILES[layout](weights(run)), file)
    tuned = train(folder, *ONE, f"experiment={layout.replace(' ', '_')}", f"initial_weights={file}")
    assert not differing(weights(run), weights(tuned))


class Wrapped(nn.Module):
    """A network of the user's in which all names begin alike."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.Conv2d(4, num_classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


@pytest.mark.parametrize("prefix", ["", "model.", "module.model.", "net.model.", "_orig_mod."])
def test_a_state_dict_of_a_network_of_your_own(prefix: str, folder: Path) -> None:
    torch.manual_seed(0)
    state = Wrapped(3, 7).model.state_dict()
    file = folder / f"own{prefix}.pt"
    torch.save({"network_weights": prefixed(prefix)(state)}, file)
    words = [word for word in TINY if not word.startswith(("model", "data.dataset", "trainer.max", "data.image"))]
    words += [*ONE, "+model._target_=tests.training.test_initial_weights.Wrapped"]
    tuned = train(folder, *words, f"initial_weights={file}", f"experiment=own{prefix}", tiny=False)
    after = weights(tuned)
    assert torch.equal(after["model.0.weight"], state["0.weight"])
    assert after["model.1.weight"].shape[0] == 2, "the head of seven classes begins anew"


@pytest.mark.parametrize("form", [".npz", ".pth", ".safetensors"])
def test_a_file_of_the_authors(form: str, golden: Path, folder: Path) -> None:
    state = golden_state(golden, "unet_base4_bilinear")
    file = folder / f"released{form}"
    if form == ".npz":
        shutil.copyfile(golden / "unet_base4_bilinear.npz", file)
    elif form == ".pth":
        torch.save({"model": prefixed("module.")(state), "epoch": 9}, file)
    else:
        from safetensors.torch import save_file

        save_file(state, file)
    tuned = train(folder, *ONE, f"initial_weights={file}", f"experiment=released{form}")
    assert not differing(import_reference("unet", state).state_dict(), weights(tuned))
    with pytest.raises(UserError, match=r"the checkpoint of another network: .*; give model\.base_channels=4"):
        train(folder, *ONE, f"initial_weights={file}", "model.base_channels=8")


def test_a_file_of_the_authors_with_one_logit(golden: Path, folder: Path, four_classes: str) -> None:
    state = golden_state(golden, "resunet_base4")
    file = folder / "resunet.pth"
    torch.save(state, file)
    words = ("model=resunet", "model.base_channels=4", f"initial_weights={file}")
    two = weights(train(folder, *ONE, *words))
    single = import_reference("resunet", state).state_dict()
    assert differing(single, two) == {"head.weight", "head.bias"}
    assert torch.equal(two["head.weight"], torch.cat([torch.zeros_like(single["head.weight"]), single["head.weight"]]))
    four = train(
        folder, *OWN, *ONE[:2], *words, "optimizer.lr=0", "data=folder", f"data.root={four_classes}",
        "data.labels={background:0,a:1,b:2,c:3}", tiny=False,
    )  # fmt: skip
    assert differing(single, weights(four)) == {"head.weight", "head.bias"}
    assert weights(four)["head.weight"].shape[0] == 4


def test_files_that_cannot_be_loaded(folder: Path, run: RunFolder) -> None:
    state = weights(run)
    nan = {**state, "stem.0.weight": torch.full_like(state["stem.0.weight"], torch.nan)}
    for content, message in (
        ({"epoch": 3}, r"no state dict in it \(it holds epoch\)"),
        ({"a.weight": torch.ones(2), "b.weight": torch.ones(3)}, "does not fit the released 'unet'"),
        ({**state, "more.weight": torch.ones(3)}, r"another network: more\.weight \(3,\) is unknown here"),
        (nan, r"stem\.0\.weight has weights that are not finite"),
        ({name: value for name, value in state.items() if name != "head.bias"}, r"head\.bias \(2,\) is not in it"),
    ):
        torch.save(content, folder / "bad.pth")
        with pytest.raises(UserError, match=rf"bad\.pth: .*{message}") as raised:
            train(folder, *ONE, f"initial_weights={folder / 'bad.pth'}", "experiment=bad")
        assert "\n" not in str(raised.value)
    assert not (folder / "runs" / "bad").exists()


# The match itself.
def states(make: type[nn.Module], **others: Any) -> Callable[[int, int], dict[str, Tensor]]:
    return lambda channels, classes: make(in_channels=channels, num_classes=classes, **others).state_dict()


def matched(
    make: Callable[[int, int], dict[str, Tensor]],
    ours: tuple[int, int],
    theirs: Mapping[str, Tensor],
    changed: tuple[str, ...] = (),
) -> Match:
    channels, classes = ours
    others = {"in_channels": make(channels + 1, classes), "num_classes": make(channels, classes + 1)}
    return match(make(channels, classes), theirs, others.__getitem__, changed)


def test_both_numbers_at_once_and_several_heads() -> None:
    make = states(UNetPlusPlus, base_channels=2, deep_supervision=True)
    result = matched(make, (3, 2), make(1, 5))
    assert not result.difference
    assert {name.partition(".")[0] for name in result.anew} == {"heads"}
    assert len(result.anew) == 8
    assert list(result.adapted.values()) == ["1 -> 3"]


def test_a_head_of_another_width_is_no_matter_of_classes() -> None:
    make = states(UNet, base_channels=2)
    theirs = make(3, 5)
    theirs["head.weight"] = torch.zeros(5, 3, 1, 1)
    assert "head.weight is (5, 3, 1, 1) there" in matched(make, (3, 2), theirs).difference


class Adapted(nn.Module):
    """A network that has another layer where the image is not RGB."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if in_channels != 3:
            self.adapt = nn.Conv2d(in_channels, 3, 1)
        self.head = nn.Conv2d(3, num_classes, 1)


def test_a_layer_that_comes_and_goes_with_the_channels() -> None:
    make = states(Adapted)
    assert {*matched(make, (1, 2), make(3, 2), ("in_channels",)).anew} == {"adapt.weight", "adapt.bias"}
    assert "adapt.weight (3, 1, 1, 1) is not in it" in matched(make, (1, 2), make(3, 2)).difference
    back = matched(make, (3, 2), make(1, 2), ("in_channels",))
    assert (back.anew, back.difference, back.unused) == ({}, "", ["adapt.weight", "adapt.bias"])


@pytest.mark.parametrize(("there", "here"), [(3, 1), (3, 5), (1, 3)])
def test_hidden_layers_whose_widths_depend_on_the_channels_begin_anew(there: int, here: int) -> None:
    make = states(MKUNet, channels=(4, 4, 6, 8, 10))
    ours, theirs = make(here, 2), make(there, 2)
    result = matched(make, (here, 2), theirs)
    assert result.adapted == {"encoder.0.0.shortcut.weight": f"{there} -> {here}"}
    assert {*result.anew} == {k for k in ours if ours[k].shape != theirs[k].shape} - result.adapted.keys()
    assert not result.difference


class SeenTwice(nn.Module):
    """A network with a second layer that sees the image, beside features."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 4, 3)
        self.second = nn.Conv2d(in_channels + 4, num_classes, 3)


def test_features_beside_the_image_are_no_channels() -> None:
    make = states(SeenTwice)
    result = matched(make, (1, 2), make(3, 2))
    assert (result.adapted, result.anew) == ({"first.weight": "3 -> 1"}, {"second.weight": "in_channels"})
