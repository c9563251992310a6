from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from medseg.data.normalisation import normalise
from medseg.errors import ConfigError, UserError
from medseg.runs.folder import RunFolder
from medseg.trained.exporting.check import draw_images
from medseg.trained.exporting.export import export_checkpoint
from medseg.trained.exporting.formats import check_format, open_onnx
from medseg.trained.network import TrainedNetwork
from tests.helpers import TINY, command, compose_config, train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("export")


@pytest.fixture(scope="module")
def run(place: Path) -> RunFolder:
    return train(place, "trainer.max_epochs=1", "model.depth=1")


@pytest.fixture(scope="module")
def onnx_file(run: RunFolder, place: Path) -> Path:
    """Exported by the command itself."""
    done = command("export", f"checkpoint={run.path}", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for shown in ("UNet, classes background, polyp", "ONNX opset", "checked at: 1 x 4 x 5", "another class in 0 of"):
        assert shown in done.stdout
    return run.path / "exports" / "best.onnx"


def metadata_of(file: Path) -> dict[str, str]:
    import onnx

    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


def test_the_onnx_file_says_what_its_user_must_know(onnx_file: Path, run: RunFolder) -> None:
    import onnx

    model = onnx.load(onnx_file)
    onnx.checker.check_model(model)
    metadata = metadata_of(onnx_file)
    written = torch.load(run.best_checkpoint, weights_only=True)["medseg"]
    assert json.loads(metadata["class_names"]) == ["background", "polyp"]
    assert json.loads(metadata["mean"]) == written["mean"]
    assert json.loads(metadata["std"]) == written["std"]
    assert json.loads(metadata["image_size"]) == [64, 64]
    assert json.loads(metadata["value_range"]) == [0, 1]
    assert json.loads(metadata["network_arguments"])["base_channels"] == 4
    assert metadata["channel_order"] == "RGB"
    assert metadata["task"] == "semantic segmentation"
    assert metadata["network"] == "UNet"
    assert metadata["opset"] == str(model.opset_import[0].version)
    assert [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
        "N",
        3,
        "H",
        "W",
    ]
    assert [dim.dim_param or dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == [
        "N",
        2,
        "H",
        "W",
    ]
    assert model.graph.output[0].name == "logits"
    assert str(Path(__file__).parent.parent).encode() not in onnx_file.read_bytes(), "no folder of this machine"


def test_an_export_replaces_no_checkpoint(run: RunFolder, place: Path) -> None:
    before = run.best_checkpoint.read_bytes()
    for words in ([f"output={run.best_checkpoint}"], ["format=torch", f"output={place / 'x.onnx'}"]):
        with pytest.raises(ConfigError, match=r"^output=.*: the name of a file of format=\w+ ends in "):
            export_checkpoint(compose_config("export", f"checkpoint={run.path}", *words))
    assert run.best_checkpoint.read_bytes() == before
    assert not (place / "x.onnx").exists()


def test_preprocessing_can_be_built_in(onnx_file: Path, run: RunFolder, place: Path) -> None:
    cfg = compose_config(
        "export", f"checkpoint={run.path}", "with_preprocessing=true", f"output={place / 'whole.onnx'}"
    )
    file = export_checkpoint(cfg)
    images = draw_images((2, 37, 50), 3)
    normalised = normalise(torch.from_numpy(images), *TrainedNetwork.load(run.best_checkpoint).normalisation)
    logits = torch.from_numpy(open_onnx(onnx_file)(normalised.numpy()))
    np.testing.assert_allclose(open_onnx(file)(images), logits.softmax(1).numpy(), atol=1e-5)
    metadata = metadata_of(file)
    assert json.loads(metadata["value_range"]) == [0, 255]
    assert metadata["output"].startswith("probabilities: float32, N x 2 x H x W")


OTHER_PROCESS = """
import json, sys
sys.modules["medseg"] = None  # an import of it now fails
import numpy as np, torch
extra = {"metadata.json": ""}
module = torch.export.load(sys.argv[1], extra_files=extra).module()
images = np.load(sys.argv[2])
np.save(sys.argv[3], module(torch.from_numpy(images)).detach().numpy())
print(extra["metadata.json"])
"""


@pytest.mark.slow
def test_the_torch_file_loads_without_medseg(run: RunFolder, place: Path) -> None:
    file = export_checkpoint(compose_config("export", f"checkpoint={run.path}", "format=torch"))
    assert file == run.path / "exports" / "best.pt2"
    trained = TrainedNetwork.load(run.best_checkpoint)
    images = normalise(torch.from_numpy(draw_images((3, 37, 50), 3)), *trained.normalisation).numpy()
    np.save(place / "images.npy", images)
    arguments = [str(file), str(place / "images.npy"), str(place / "logits.npy")]
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, *arguments], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    metadata = json.loads(done.stdout)
    assert metadata["class_names"] == ["background", "polyp"]
    assert metadata["mean"] == trained.metadata.mean
    assert metadata["torch_version"] == torch.__version__
    with torch.no_grad():
        expected = trained.network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(np.load(place / "logits.npy"), expected, atol=1e-5)


def test_a_network_of_your_own_is_exported_when_you_trust_it(place: Path) -> None:
    base = [item for item in TINY if not item.startswith(("model", "trainer.max_epochs"))]
    own = train(place, *base, "trainer.max_epochs=1", "+model._target_=tests.networks.OneConv", tiny=False)
    with pytest.raises(UserError, match="trust=true"):
        export_checkpoint(compose_config("export", f"checkpoint={own.path}", "format=torch"))
    file = export_checkpoint(compose_config("export", f"checkpoint={own.path}", "trust=true"))
    assert json.loads(metadata_of(file)["min_size"]) is None, "the network does not say"


def test_an_imported_network_may_not_know_its_normalisation(run: RunFolder, place: Path) -> None:
    content = torch.load(run.best_checkpoint, weights_only=True)
    content["medseg"] |= {"mean": None, "std": None}
    torch.save(content, place / "imported.ckpt")
    asked = ("export", f"checkpoint={place / 'imported.ckpt'}", "format=torch")
    with pytest.raises(UserError, match=r"imported\.ckpt: imported without the authors' normalisation"):
        export_checkpoint(compose_config(*asked, "with_preprocessing=true"))
    assert export_checkpoint(compose_config(*asked)) == place / "exports" / "imported.pt2"


def test_what_is_missing_or_misspelt_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="format is 'onx'; it must be onnx or torch"):
        compose_config("export", "checkpoint=x", "format=onx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"format=onnx needs onnx, onnxruntime, onnxscript: pip install 'medseg\[export\]'"
    ):
        check_format("onnx")
    check_format("torch")
