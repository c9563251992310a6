"""Every network of conf/model can be exported with open sizes, and computes the same."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medseg.errors import UserError
from medseg.trained.checkpoint import Metadata
from medseg.trained.exporting.check import TOLERANCE, check
from medseg.trained.exporting.export import example, export_network, reason_of
from medseg.trained.exporting.formats import open_onnx, write_onnx
from medseg.trained.exporting.module import Exported, file_metadata
from medseg.trained.exporting.program import make_program, smallest_size
from medseg.trained.network import TrainedNetwork
from tests.models.builds import NETWORKS, build, settings
from tests.networks import HalfSize, Overflows
from tests.trained.predicting.checkpoints import metadata_of

SMALLER = {
    "unet": ("model.depth=2",),
    "ushape": ("model.depths=[1,1]",),
    "convunext": ("model.depths=[1,1,1,1]",),
    "amsunet": ("model.strip_kernels=[5]",),
    "cmunext": ("model.depths=[1,1,1,1,1]",),
    "mkunet": ("model.kernels=[1,5]",),
    "segnext_b": ("model.depths=[1,1,1,1]",),
}
"""Fewer blocks of a kind, for tracing takes most of the time."""

ONE_OF_EACH = {settings(name)["_target_"]: name for name in reversed(NETWORKS)}
"""Networks of one class differ in their numbers alone."""

DIFFERENT = ("unet", "resunet", "unet2015", "sliding_window", "smp")
"""Each does something else with its sizes: pads features, cuts them, mirrors the image, dilates, pads to multiples."""


def trained_of(network: nn.Module, folder: Path) -> TrainedNetwork:
    file = folder / "network.ckpt"
    file.write_bytes(b"")
    return TrainedNetwork(file, network.eval(), Metadata.model_validate(metadata_of({}, image_size=96)))


@pytest.mark.parametrize(
    "name", [name if name == "unet" else pytest.param(name, marks=pytest.mark.slow) for name in ONE_OF_EACH.values()]
)
def test_every_network_exports_with_open_sizes(name: str, tmp_path: Path) -> None:
    trained = trained_of(build(name, *SMALLER.get(name, ())), tmp_path)
    module = Exported(trained)
    program = make_program(module, example(trained), trained.name)
    traced, min_size = program.module(), trained.network.min_size
    smallest = max(min_size, smallest_size(program))
    assert smallest <= max(33, min_size)
    agreement = check(trained, module, lambda image: traced(torch.from_numpy(image)).detach().numpy(), smallest)
    assert agreement.holds, agreement
    assert agreement.sizes[-1] == (1, 97, 131)
    if name in DIFFERENT:
        write_onnx(
            program, file_metadata(trained, with_preprocessing=False, min_size=min_size), tmp_path / "network.onnx"
        )
        agreement = check(trained, module, open_onnx(tmp_path / "network.onnx"), min_size)
        assert agreement.holds, agreement
        assert agreement.other_class == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ONE_OF_EACH.values() if name not in DIFFERENT])
def test_the_other_networks_export_to_onnx(name: str, tmp_path: Path) -> None:
    trained = trained_of(build(name, *SMALLER.get(name, ())), tmp_path)
    metadata, agreement = export_network(trained, tmp_path / "network.onnx", "onnx")
    assert agreement.holds, agreement
    assert agreement.other_class == 0
    assert metadata["min_size"] == trained.network.min_size


@pytest.mark.parametrize(("name", "option"), [("unet2015", "model.tile=20"), ("sliding_window", "model.mode=patches")])
def test_what_goes_piece_by_piece_is_exported_whole(name: str, option: str, tmp_path: Path) -> None:
    network = build(name, option).eval()
    program = make_program(network, torch.zeros(2, 3, 33, 67), name).module()
    for size in ((1, 3, 21, 30), (2, 3, 9, 6)):
        image = torch.randn(size)
        with torch.no_grad():
            torch.testing.assert_close(program(image), network(image), rtol=1e-4, atol=1e-4)


class DecidesBySize(nn.Module):
    """A mistake: other weights for images of an odd height."""

    min_size = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image) * (2 if image.shape[2] % 2 else 1)


def test_a_network_that_decides_by_size_is_not_exported(tmp_path: Path) -> None:
    output = tmp_path / "network.pt2"
    output.write_text("an earlier one")
    with pytest.raises(UserError, match=r"DecidesBySize: the exported file is .* off .* so it was not kept"):
        export_network(trained_of(DecidesBySize(), tmp_path), output, "torch")
    assert output.read_text() == "an earlier one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.ckpt", "network.pt2"]


class RefusesLargeImages(DecidesBySize):
    """A mistake of the same kind, which torch.export notices."""

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image) * (2 if image.shape[2] > 90 else 1)


def test_a_network_that_takes_some_sizes_only_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"fails for an image of 2 x 3 x 96 x 96: Guard failed: image.size\(\)\[2\] <= 90"
    ):
        export_network(trained_of(RefusesLargeImages(), tmp_path), tmp_path / "network.pt2", "torch")


class ReadsItsImage(nn.Module):
    """A mistake: what is computed depends on the values of the image."""

    def forward(self, image: Tensor) -> Tensor:
        return image[:, :2] if image.sum() > 0 else image[:, 1:]


def test_a_network_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ReadsItsImage cannot be exported with open sizes: ") as error:
        export_network(trained_of(ReadsItsImage(), tmp_path), tmp_path / "network.pt2", "torch")
    assert "\n" not in str(error.value)


def test_what_onnx_has_no_operator_for_is_said(tmp_path: Path) -> None:
    network = build("smp", "model.arch=pspnet")
    with pytest.raises(UserError, match=r"to ONNX: it pools to a fixed number of cells.*; give format=torch"):
        export_network(trained_of(network, tmp_path), tmp_path / "network.onnx", "onnx")


class Cancelling(nn.Module):
    """A network in which large terms cancel, so that float32 keeps three digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return (self.conv(image) + 3e4) - 3e4


def test_a_difference_that_is_the_rounding_of_the_network_itself_is_accepted_and_named(tmp_path: Path) -> None:
    trained = trained_of(Cancelling(), tmp_path)
    module = Exported(trained)
    exact = copy.deepcopy(module).double()

    def run(image: np.ndarray, off: float = 0.0) -> np.ndarray:
        with torch.inference_mode():
            return exact(torch.from_numpy(image).double()).float().numpy() + np.float32(off)

    agreement = check(trained, module, run, None)
    assert agreement.difference > TOLERANCE * max(1, agreement.largest)
    assert agreement.rounding == pytest.approx(agreement.difference, rel=0.01)
    assert agreement.holds
    other = check(trained, module, lambda image: run(image, 0.05), None)
    assert not other.holds
    assert "rounding to float32 alone changes the network's outputs by 9.8e-04" in reason_of(other)
    steady = check(*((one := trained_of(nn.Conv2d(3, 2, 1), tmp_path)), Exported(one)), lambda image: run(image), None)
    assert not steady.holds
    assert reason_of(steady) == "its forward may decide by the values of H and W"


def test_a_difference_is_found(tmp_path: Path) -> None:
    trained, other = (trained_of(build("unet", "model.depth=1", seed=seed), tmp_path) for seed in (0, 1))
    module = Exported(trained)
    program = make_program(module, example(trained), "UNet")
    write_onnx(program, file_metadata(trained, with_preprocessing=False, min_size=2), tmp_path / "network.onnx")
    run = open_onnx(tmp_path / "network.onnx")
    assert check(trained, module, run, 2).holds
    assert not check(other, Exported(other), run, 2).holds
    half = trained_of(HalfSize(3, 2), tmp_path)
    with pytest.raises(UserError, match=r"returns \(1, 2, 4, 5\) for .* 1 x 3 x 4 x 5, the network \(1, 2, 2, 3"):
        check(half, Exported(half), run, 2)


def test_outputs_that_are_not_finite_excuse_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = trained_of(Overflows(3, 2), tmp_path)
    module = Exported(trained)

    def run(image: np.ndarray, off: float = 0.0) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy() + np.float32(off)

    agreement = check(trained, module, run, None)
    assert agreement.holds
    assert agreement.difference == 0
    assert np.isfinite(agreement.largest)
    assert "of the network's outputs in the check are not finite" in caplog.text
    assert not check(trained, module, lambda image: run(image, 0.05), None).holds
    assert not check(trained, module, lambda image: np.nan_to_num(run(image), posinf=50.0), None).holds
    with torch.no_grad():
        trained.network.head.bias.fill_(torch.nan)
    with pytest.raises(UserError, match="gives no finite output for any of the images"):
        check(trained, module, run, None)
