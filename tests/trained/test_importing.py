"""Released checkpoints: found in whatever a training script saved, scored as the authors' network would score."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from medseg.commands import import_checkpoint
from medseg.data.module import build_datamodule
from medseg.errors import ConfigError, UserError
from medseg.metrics.counts import count_pixels
from medseg.models import (
    CMUNeXt,
    DCSAUNet,
    EGEUNet,
    MKUNet,
    ResUNet,
    TinyUNet,
    UNet,
    UNetPlusPlus,
    UNeXt,
    import_reference,
)
from medseg.models.reference import find_network
from medseg.system.files import read_csv
from medseg.trained.importing import import_released, with_background, with_channels_reversed
from medseg.trained.state_dicts import read_state
from medseg.training.evaluation import evaluate_checkpoint
from tests.helpers import command, compose_config, train

DATA = ("data=synthetic", "data.dataset.count=12", "data.image_size=64", "data.num_workers=0")


def golden_state(golden: Path, name: str) -> dict[str, torch.Tensor]:
    file = np.load(golden / f"{name}.npz")
    return {key.removeprefix("state/"): torch.from_numpy(file[key]) for key in file.files if key.startswith("state/")}


def run_import(place: Path, source: Path, *overrides: str) -> Path:
    output = place / f"{source.stem}.ckpt"
    output.unlink(missing_ok=True)
    return import_released(
        compose_config(
            "import_checkpoint", f"source={source}", f"output={output}", f"data_dir={place / 'data'}", *overrides
        )
    )


def run_evaluate(place: Path, checkpoint: Path, *overrides: str) -> list[dict[str, str]]:
    """Return the scores at the prepared size, of the class maps as the network predicts them."""
    scores = place / "scores"
    words = [
        f"checkpoint={checkpoint}", f"output={scores}", f"data_dir={place / 'data'}", "trainer.accelerator=cpu",
        *overrides,
    ]  # fmt: skip
    evaluate_checkpoint(compose_config("evaluate", *words), words)
    return read_csv(scores / "prepared_size.csv")


def ours_of(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {"model": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}, "epoch": 299}


LAYOUTS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "bare": lambda state: state,
    "ordered": OrderedDict,
    # What the released training scripts of ConvUNeXt and AMSUnet save.
    "with its command line": lambda state: {**ours_of(state), "args": argparse.Namespace(lr=0.0015, device="cuda")},
    "DataParallel": lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
    "compiled": lambda state: {"net": {f"_orig_mod.{key}": value for key, value in state.items()}},
    "compiled on several": lambda state: {"net": {f"_orig_mod.module.{key}": state[key] for key in state}},
    "parameters": lambda state: {
        "model_state_dict": {k: nn.Parameter(v, v.is_floating_point()) for k, v in state.items()}
    },
    "counted by thop": lambda state: {**state, "total_ops": torch.zeros(1), "down1.total_params": torch.zeros(1)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_state_is_found_wherever_it_is(golden: Path, tmp_path: Path, layout: str) -> None:
    state = golden_state(golden, "convunext_base4")
    file = tmp_path / "released.pth"
    torch.save(LAYOUTS[layout](state), file)
    found = read_state(file)
    assert list(found) == list(state)
    assert all(torch.equal(torch.as_tensor(found[key]), value) for key, value in state.items())


def test_the_old_format_and_arrays(golden: Path, tmp_path: Path) -> None:
    state = golden_state(golden, "unet_base4_bilinear")
    torch.save({"model": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    np.savez(tmp_path / "arrays.npz", **{key: value.numpy() for key, value in state.items()})
    files = [tmp_path / "old.pth", tmp_path / "arrays.npz", golden / "unet_base4_bilinear.npz"]
    for found in map(read_state, files):
        assert list(found) == list(state)
        assert all(torch.equal(torch.as_tensor(found[key]), value) for key, value in state.items())


def expected_counts(network: nn.Module, place: Path, mean: list[float] | None, std: list[float] | None) -> np.ndarray:
    """Count the test images with the authors' network itself; one output is a sigmoid's, with threshold 0.5."""
    cfg = compose_config("prepare", *DATA, f"data_dir={place / 'data'}")
    datamodule = build_datamodule(cfg.data)
    usual = datamodule.normalisation
    centre, scale = (torch.tensor(given or own) for given, own in zip((mean, std), usual, strict=True))
    indices = datamodule.indices["test"]
    images = torch.from_numpy(np.stack([datamodule.prepared.images[index] for index in indices]))
    masks = torch.from_numpy(np.stack([datamodule.prepared.masks[index] for index in indices])).long()
    with torch.no_grad():
        # Channels last, as evaluate lays its images out.
        logits = network.eval().to(memory_format=torch.channels_last)(
            ((images.float() / 255 - centre) / scale).permute(0, 3, 1, 2)
        )
    predicted = logits.argmax(1) if logits.shape[1] > 1 else (torch.sigmoid(logits[:, 0]) > 0.5).long()
    assert 0 < predicted.float().mean() < 1, "a prediction that says something"
    return count_pixels(predicted, masks, 2)[:, 1].numpy()


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("amsunet_base4", "amsunet"),
        ("unet_base4_transposed", "unet"),
        ("resunet_base4", "resunet"),
        ("egeunet", "egeunet"),
        ("dcsaunet_base16", "dcsaunet"),
    ],
)
@pytest.mark.parametrize("normalisation", ["not known", "given"])
def test_the_scores_are_those_of_the_released_network(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, model: str, normalisation: str
) -> None:
    given = normalisation == "given"
    words = ["mean=[0.6,0.4,0.3]", "std=[0.2,0.3,0.25]"] if given else []
    checkpoint = run_import(tmp_path, golden / f"{file}.npz", f"model={model}", *words)
    said = capsys.readouterr().out
    assert ("as given" if given else "training split of whatever is scored") in said
    assert ("one output z with a sigmoid" in said) == (model in ("resunet", "egeunet", "dcsaunet"))
    rows = run_evaluate(tmp_path, checkpoint, *DATA)
    network = import_reference(model, golden_state(golden, file))
    mean, std = ([0.6, 0.4, 0.3], [0.2, 0.3, 0.25]) if given else (None, None)
    counts = np.array([[int(row[name]) for name in ("tp", "fp", "fn", "tn")] for row in rows])
    assert np.array_equal(counts, expected_counts(network, tmp_path, mean, std))


@pytest.mark.parametrize(("file", "model"), [("resunet_base4", "resunet"), ("unext_s", "unext_s")])
def test_channels_in_another_order(golden: Path, tmp_path: Path, file: str, model: str) -> None:
    # ResUNet has two layers that see the image.
    words = ("bgr=true", "mean=[0.6,0.4,0.3]", "std=[0.2,0.3,0.25]")
    content = torch.load(run_import(tmp_path, golden / f"{file}.npz", f"model={model}", *words), weights_only=True)
    assert content["medseg"]["mean"] == [0.3, 0.4, 0.6]
    assert content["medseg"]["std"] == [0.25, 0.3, 0.2]
    state = golden_state(golden, file)
    network = import_reference(model, state)
    if model == "resunet":
        _, network = with_background(find_network(model, state), network)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = network.eval()(image)
        network.load_state_dict({key.removeprefix("network."): value for key, value in content["state_dict"].items()})
        after = network(image.flip(1))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * before.abs().max().item())


@pytest.mark.parametrize("width", [4, 16])  # with four channels, a block of four has no shortcut
def test_hidden_layers_whose_widths_depend_on_the_channels_stay_as_they_are(width: int) -> None:
    make = partial(MKUNet, in_channels=3, num_classes=2, channels=(width, 4, 6, 8, 10))
    network = make().eval()
    for value in network.parameters():
        if value.dim() == 4:
            nn.init.kaiming_normal_(value)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = network(image)
        after = with_channels_reversed(make, network)(image.flip(1))
        assert (network(image) - before).abs().max() > 0.01 * before.abs().max()
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * before.abs().max().item())


def test_data_chosen_at_the_import_are_scored_by_default(golden: Path, tmp_path: Path) -> None:
    checkpoint = run_import(tmp_path, golden / "convunext_base4.npz", "model=convunext", *DATA)
    content = torch.load(checkpoint, weights_only=True)["medseg"]
    datamodule = build_datamodule(compose_config("prepare", *DATA, f"data_dir={tmp_path / 'data'}").data)
    assert (tuple(content["mean"]), tuple(content["std"])) == datamodule.normalisation
    assert content["class_names"] == ["background", "polyp"]
    assert content["config"]["model"] == {
        "_target_": "medseg.models.ConvUNeXt", "in_channels": 3, "num_classes": 2, "base_channels": 4,
        "kernel_size": 7, "depths": [1, 1, 3, 1],
    }  # fmt: skip
    by_default = run_evaluate(tmp_path, checkpoint)
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["evaluation_size"] == [64, 64]
    assert by_default == run_evaluate(tmp_path, checkpoint, *DATA)
    assert by_default[0]["class"] == "polyp"


def test_without_data_they_must_be_chosen_later(golden: Path, tmp_path: Path) -> None:
    checkpoint = run_import(tmp_path, golden / "unet_base4_bilinear.npz", "model=unet", "data.image_size=[48,80]")
    with pytest.raises(
        ConfigError, match=r"was imported and is of no data: choose what to score it on with data=\.\.\."
    ):
        run_evaluate(tmp_path, checkpoint)
    rows = run_evaluate(tmp_path, checkpoint, "data=synthetic", "data.dataset.count=10")
    assert {row["class"] for row in rows} == {"polyp"}
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["evaluation_size"] == [48, 80], "that of the import, not the default of the data"


def test_an_imported_checkpoint_cannot_have_code_called_either(golden: Path, tmp_path: Path) -> None:
    checkpoint = run_import(tmp_path, golden / "unet_base4_bilinear.npz", "model=unet")
    content = torch.load(checkpoint, weights_only=True)
    touch = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [str(tmp_path / "bad")]}}
    content["medseg"]["config"]["data"]["image_size"] = touch
    torch.save(content, checkpoint)
    with pytest.raises(UserError, match="its settings are damaged"):
        run_evaluate(tmp_path, checkpoint, "data=synthetic", "data.dataset.count=10")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    "make",
    [
        partial(ResUNet, in_channels=3, num_classes=1, base_channels=4),
        partial(UNeXt, in_channels=3, num_classes=1, channels=[4, 4, 8, 8, 8]),
        partial(CMUNeXt, in_channels=3, num_classes=1, channels=[4, 4, 4, 4, 4]),
        partial(UNetPlusPlus, in_channels=3, num_classes=1, base_channels=4),
        partial(UNetPlusPlus, in_channels=3, num_classes=1, base_channels=4, deep_supervision=True),
        partial(EGEUNet, in_channels=3, num_classes=1, deep_supervision=True),  # its masks stay as they are
        partial(DCSAUNet, num_classes=1, stem_channels=4, encoder_widths=[2, 4, 4, 4], decoder_widths=[4, 4, 2, 2]),
        partial(MKUNet, in_channels=3, num_classes=1, channels=[4, 6, 8, 10, 12], deep_supervision=True),
        partial(TinyUNet, in_channels=3, num_classes=1, channels=[16, 16, 16, 16]),
    ],
)
def test_one_output_becomes_two_with_the_same_prediction(make: partial[nn.Module]) -> None:
    torch.manual_seed(0)
    single = make()
    maker, double = with_background(make, single)
    assert maker.keywords == {**make.keywords, "num_classes": 2}
    image = 3 * torch.randn(2, 3, 64, 64)
    for training in (False, True):
        torch.manual_seed(1)
        one = single.train(training)(image)
        torch.manual_seed(1)
        two = double.train(training)(image)
        for z, logits in zip(
            *((outputs if isinstance(outputs, list) else [outputs]) for outputs in (one, two)), strict=True
        ):
            assert torch.equal(logits[:, :1], torch.zeros_like(z))
            torch.testing.assert_close(logits[:, 1:], z)
            torch.testing.assert_close(logits.softmax(1)[:, 1:], torch.sigmoid(z))
            assert torch.equal(logits.argmax(1), (torch.sigmoid(logits[:, 1]) > 0.5).long())


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("convunext_base4", ("model=convunext", "model.base_channels=4")),
        ("resunet_base4", ("model=resunet", "model.base_channels=4")),
        # Its heads of deep supervision are in the file, never trained there.
        ("mkunet_t", ("model=mkunet_t", "model.deep_supervision=true")),
        ("tinyunet_base16", ("model=tinyunet", "model.channels=[16,32,64,128]")),
    ],
)
def test_an_imported_network_is_trained_further(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, words: tuple[str, ...]
) -> None:
    checkpoint = run_import(tmp_path, golden / f"{file}.npz", words[0])
    assert f"medseg.train {' '.join(words)} initial_weights=" in capsys.readouterr().out
    # A learning rate of 0 leaves the weights as they began.
    run = train(
        tmp_path, *DATA, *words, f"initial_weights={checkpoint}", "optimizer.lr=0", "trainer=cpu",
        "trainer.max_epochs=1", "logger=csv", tiny=False,
    )  # fmt: skip
    trained = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    imported = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert trained.keys() == imported.keys()
    learnt = [key for key in trained if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert all(torch.equal(trained[key], imported[key]) for key in learnt)


def test_the_next_commands_are_printed(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_import(tmp_path, golden / "unet_base4_transposed.npz", "model=unet")
    said = capsys.readouterr().out
    assert f"medseg evaluate {tmp_path / 'unet_base4_transposed.ckpt'} data=..." in said
    assert "medseg.train model=unet model.base_channels=4 model.upsampling=transposed initial_weights=" in said
    run_import(tmp_path, golden / "unext_s.npz", "model=unext_s", *DATA)
    said = capsys.readouterr().out
    assert "medseg.train model=unext_s initial_weights=" in said


class Unplain:
    """Anything of a script's own in a checkpoint."""


@pytest.mark.parametrize(
    ("content", "words", "error", "message"),
    [
        ({"model": Unplain()}, ["model=unet"], UserError, r"refused, .*\(tests\.trained\.test_importing\.Unplain\)"),
        (nn.Conv2d(1, 1, 1), ["model=unet"], UserError, "refused, since it holds more than tensors and plain values"),
        ({"epoch": 3, "best": 0.7}, ["model=unet"], UserError, "no state dict in it \\(it holds epoch, best\\)"),
        ([1, 2], ["model=unet"], UserError, "holds a list where a state dict is needed"),
        ({}, ["model=unet"], UserError, "no state dict in it \\(it holds nothing\\)"),
        ({"a.weight": torch.zeros(1)}, ["model=unet"], UserError, "does not fit the released 'unet': in_conv.0.weight"),
        ("golden", ["model=amsunet"], UserError, "does not fit the released 'amsunet'"),
        ("golden", ["model=smp"], UserError, "no released weights are known for 'smp': choose one of unet, "),
        ("golden", [], ConfigError, "give model=..., whose network it is: one of unet, "),
        (
            "golden",
            ["model=unet", "model.depth=3"],
            ConfigError,
            "model.depth=3: the arguments .* are read from the file",
        ),
        ("golden", ["model=unet", "mean=[1,2,3]"], ConfigError, "std=None must be 3 numbers"),
        ("golden", ["model=unet", "mean=[1]", "std=[1,1,1]"], ConfigError, r"mean=\[1\] must be 3 numbers"),
        (
            "golden",
            ["model=unet", "mean=[1,1,1]", "std=[1,0,1]"],
            ConfigError,
            "must be null or a list of numbers above 0",
        ),
        ("golden", ["model=unet", "bgr=maybe"], ConfigError, "bgr is 'maybe'; it must be true or false"),
        ("golden", ["model=unet", "data.image_size=4"], ConfigError, "data.image_size is 4; it must be"),
        ("classes", ["model=unet", *DATA], ConfigError, "predicts 5 classes, synthetic images has 2"),
    ],
)
def test_what_cannot_be_imported(
    golden: Path, tmp_path: Path, content: Any, words: list[str], error: type[UserError], message: str
) -> None:
    if content in ("golden", "classes"):
        wide = content == "classes"
        content = golden_state(golden, "unet_base4_bilinear")
        if wide:
            head = {"out_conv.0.weight": torch.zeros(5, 4, 1, 1), "out_conv.0.bias": torch.zeros(5)}
            content = {**content, **head}
    torch.save(content, tmp_path / "released.pth")
    with pytest.raises(error, match=message) as raised:
        run_import(tmp_path, tmp_path / "released.pth", *words)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "released.ckpt").exists()


def test_files_that_are_none(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "text.pth").write_text("hello")
    for name, message in {
        "missing.pth": "no such checkpoint",
        "missing.npz": "no such checkpoint",
        "text.npz": "damaged, or holds more than arrays",
        "objects.npz": "damaged, or holds more than arrays",
        "text.pth": "damaged, or not a PyTorch checkpoint",
    }.items():
        with pytest.raises(UserError, match=rf"{name}: {message}"):
            run_import(tmp_path, tmp_path / name, "model=unet")
    (tmp_path / "kept.ckpt").write_text("precious")
    with pytest.raises(UserError, match=r"kept\.ckpt exists already"):
        import_released(
            compose_config(
                "import_checkpoint",
                f"source={golden / 'unext_s.npz'}",
                "model=unext_s",
                f"output={tmp_path / 'kept.ckpt'}",
            )
        )
    assert (tmp_path / "kept.ckpt").read_text() == "precious"


def test_the_command(golden: Path, tmp_path: Path) -> None:
    done = command("import_checkpoint", f"source={golden / 'convunext_base4.npz'}", "model=convunext", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "convunext_base4-convunext.ckpt").stat().st_size > 1e5
    assert import_checkpoint.EXAMPLES
    again = command("import_checkpoint", f"source={golden / 'convunext_base4.npz'}", "model=convunexd", cwd=tmp_path)
    assert again.returncode == 2
    assert "unknown model 'convunexd'; did you mean 'convunext'" in again.stderr
    assert "Traceback" not in again.stderr


def wrapped_by_mmcv(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a SegNeXt under the names of mmcv's ConvModule, whose norm is called by its kind."""
    names = {"b.": "backbone.", "h.": "decode_head."}
    long = {f"{names[key[:2]]}{key[2:]}": value for key, value in state.items()}
    return {re.sub(r"(squeeze|align|ham_out)\.norm\.", r"\1.gn.", key): value for key, value in long.items()}


def beside_segnext(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return what training SegNeXt saves: beside the weights settings, a classifier's head, a head of the training."""
    others = {"backbone.head.weight": torch.zeros(3, 2), "auxiliary_head.conv_seg.bias": torch.zeros(2)}
    meta = {"mmcv_version": "1.5.1", "iter": 160000, "CLASSES": ("a", "b"), "mIoU": np.float64(0.5)}
    return {"meta": meta, "state_dict": {**wrapped_by_mmcv(state), **others}, "optimizer": {"state": {}}}


def test_segnext_as_its_training_saves_it(golden: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = golden_state(golden, "segnext_dims_8_16_32_40_depths_1_1_2_1_ham32_r16")
    assert any(".gn." in name for name in wrapped_by_mmcv(state))
    torch.save(beside_segnext(state), tmp_path / "segnext.pth")
    with caplog.at_level("INFO", logger="medseg"):
        content = torch.load(run_import(tmp_path, tmp_path / "segnext.pth", "model=segnext_t"), weights_only=True)
    assert "not of the network: backbone.head.weight, auxiliary_head.conv_seg.bias" in caplog.text
    expected = import_reference("segnext_t", state).state_dict()
    assert all(torch.equal(content["state_dict"][f"network.{name}"], value) for name, value in expected.items())


OTHER_LAYOUTS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "a list among the weights": lambda state: {**state, "mask_values": [0, 1]},
    "numbers and settings": lambda state: {**state, "epoch": 3, "metrics": {"dice": 0.5}, "name": "best", "none": None},
    "one in another": lambda state: {"model": {"state_dict": state, "config": {"width": 4}}},
    "nnU-Net": lambda state: {"network_weights": state, "init_args": {"fold": 0}, "_best_ema": np.float32(0.5)},
    "an average beside it": lambda state: {"model": state, "model_ema": {k: v + 1 for k, v in state.items()}},
    "an average alone": lambda state: {"ema_state_dict": state, "epoch": torch.tensor(3)},
    "teacher and student": lambda state: {"student": {k: v + 1 for k, v in state.items()}, "teacher": state},
    "a generator": lambda state: {"net_G": state, "net_D": {"a.weight": torch.zeros(3)}},
    "a name of its own": lambda state: {"my_best_net": state, "rng": torch.get_rng_state(), "loss": torch.zeros(3)},
    "Lightning": lambda state: {
        "state_dict": {**{f"model.{key}": value for key, value in state.items()}, "criterion.weight": torch.ones(2)},
        "pytorch-lightning_version": "1.9", "callbacks": {}, "hyper_parameters": {"lr": 0.1},
    },
    "DataParallel inside": lambda state: {f"net.module.{key}": value for key, value in state.items()},
    "NumPy's numbers and arrays": lambda state: {
        "state_dict": state,
        "meta": {"n": np.int64(3), "best": np.float64(0.1), "curve": np.ones((3, 2)), "ok": np.bool_(1)},
    },
    "arrays": lambda state: {"params": {key: value.numpy() for key, value in state.items()}},
    "other objects": lambda state: {
        "net": state, "path": Path("here"), "opt": argparse.Namespace(path=Path("there")),
        "log": defaultdict(list, {"loss": [1.0]}), "more": SimpleNamespace(a=1), "words": np.array(["a", "b"]),
    },
}  # fmt: skip
"""What else training scripts save."""


@pytest.mark.parametrize("layout", OTHER_LAYOUTS)
def test_what_is_beside_the_weights_is_left_out(layout: str, tmp_path: Path) -> None:
    state = UNet(in_channels=3, num_classes=2, base_channels=2).state_dict()
    torch.save(OTHER_LAYOUTS[layout](dict(state)), tmp_path / "released.pth")
    found = read_state(tmp_path / "released.pth")
    assert list(found) == list(state)
    assert all(torch.equal(torch.as_tensor(found[key]), value) for key, value in state.items())


def test_what_is_left_out_is_said_in_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = {"a.weight": torch.zeros(2, 2)}
    torch.save({"model": {**state, "mask_values": [0, 1]}, "model_ema": state}, tmp_path / "file.pth")
    with caplog.at_level("INFO", logger="medseg"):
        read_state(tmp_path / "file.pth")
    assert [record.getMessage() for record in caplog.records] == [
        "file.pth: left out (of several state dicts, model is taken, not model_ema; no weights: mask_values (list))"
    ]


@pytest.mark.parametrize("safe", [True, False])
def test_an_object_of_a_library_is_never_built(safe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if pickled where the library is installed; the name alone is in the file.
    name = "yacs.config" if safe else "unknown_library.config"
    built: list[int] = []
    library = type("CfgNode", (), {"__module__": name, "__setstate__": lambda *_: built.append(1)})
    module = ModuleType(name)
    module.CfgNode = library  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType(name.partition(".")[0]))
    monkeypatch.setitem(sys.modules, name, module)
    kept = library()
    kept.width = 4  # type: ignore[attr-defined]
    torch.save({"model": {"a.weight": torch.zeros(2)}, "cfg": kept}, tmp_path / "file.pth")
    if safe:
        assert list(read_state(tmp_path / "file.pth")) == ["a.weight"]
    else:
        with pytest.raises(UserError, match=r"refused, .*\(unknown_library\.config\.CfgNode\)"):
            read_state(tmp_path / "file.pth")
    assert not built


class Command:
    """Calls a program where it is read without care."""

    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


@pytest.mark.parametrize("where", ["beside", "inside", "in an array"])
def test_code_is_refused(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state: dict[str, Any] = {"a.weight": torch.zeros(2)}
    content = {
        "beside": {"model": state, "other": Command()},
        "inside": {"model": {**state, "b": Command()}},
        "in an array": {"model": state, "other": np.array([Command()], dtype=object)},
    }
    torch.save(content[where], "file.pth")
    with pytest.raises(UserError, match=r"refused, since it holds more than tensors .* \(posix\.system\)"):
        read_state(Path("file.pth"))
    assert not Path("executed").exists()


def test_several_networks_in_a_file(tmp_path: Path) -> None:
    torch.save({"first": {"a": torch.zeros(2)}, "second": {"a": torch.zeros(2)}}, tmp_path / "file.pth")
    with pytest.raises(UserError, match="several state dicts in it: first, second; save the one of the network alone"):
        read_state(tmp_path / "file.pth")


def test_safetensors(tmp_path: Path) -> None:
    save_file({"module.a.weight": torch.ones(2)}, tmp_path / "file.safetensors")
    assert list(read_state(tmp_path / "file.safetensors")) == ["a.weight"]
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "file.safetensors").read_bytes()[:-3])
    for name, message in {"cut": "damaged, or not a PyTorch checkpoint", "missing": "no such checkpoint"}.items():
        with pytest.raises(UserError, match=rf"{name}\.safetensors: {message}"):
            read_state(tmp_path / f"{name}.safetensors")


@pytest.mark.parametrize("upsampling", ["bilinear", "transposed"])
def test_a_unet_under_milesials_names(upsampling: str, tmp_path: Path) -> None:
    network = UNet(in_channels=3, num_classes=2, base_channels=4, upsampling=upsampling)
    names = {
        r"stem": "inc.double_conv", r"encoder\.(\d)\.1": r"down\1.maxpool_conv.1.double_conv",
        r"decoder\.(\d)\.up": r"up\1.up", r"decoder\.(\d)\.fuse": r"up\1.conv.double_conv", "head": "outc.conv",
    }  # fmt: skip
    state: dict[str, Any] = {}
    for name, value in network.state_dict().items():
        theirs = next(re.sub(f"^{ours}", other, name) for ours, other in names.items() if re.match(ours, name))
        state[re.sub(r"^(down|up)(\d)", lambda match: f"{match[1]}{int(match[2]) + 1}", theirs)] = value
    torch.save({**state, "mask_values": [0, 1]}, tmp_path / "unet.pth")
    content = torch.load(run_import(tmp_path, tmp_path / "unet.pth", "model=unet"), weights_only=True)
    expected = network.state_dict()
    assert all(torch.equal(content["state_dict"][f"network.{name}"], value) for name, value in expected.items())
