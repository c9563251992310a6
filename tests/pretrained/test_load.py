"""Which tensor goes where: by name, by order and shape; never a part of an encoder, never another network's."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medseg.errors import UserError
from medseg.models import SegNeXt, SMPNetwork
from medseg.models.reference import RELEASED
from medseg.pretrained import Loaded, load_encoder, read_weights
from medseg.pretrained.load import with_channels
from medseg.pretrained.matching import Encoder, Match, match_by_name
from tests.pretrained.builds import LITE, NARROW, PACKAGE, RESNET, released, save, small


def load(network: nn.Module, file: Path, encoder_name: str | None = RESNET, in_channels: int = 3) -> Loaded:
    return load_encoder(
        network, read_weights(str(file), encoder_name), in_channels=in_channels, encoder_name=encoder_name
    )


def encoder_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of timm's encoder in a network of model=smp, under timm's names."""
    return network.network.encoder.model.state_dict()


PREFIXES = ("", "backbone.", "encoder.model.", "module.", "module.backbone.", "network.network.encoder.model.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_names_fit_below_any_prefix(prefix: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = released()
    network = small()
    decoder = {key: value.clone() for key, value in network.state_dict().items() if ".encoder." not in key}
    file = save({f"{prefix}{key}": value for key, value in state.items()}, tmp_path / f"w{suffix}")
    with caplog.at_level(logging.INFO, "medseg"):
        loaded = load(network, file)
    assert all(torch.equal(value, state[key]) for key, value in encoder_state(network).items())
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in decoder.items())
    assert loaded.matched == "by name"
    assert loaded.tensors == len(encoder_state(network))
    assert [name.rpartition("fc.")[2] for name in sorted(loaded.unused)] == ["bias", "weight"]
    (line,) = caplog.messages
    assert f"all {loaded.tensors} tensors loaded from w{suffix}" in line
    assert "matched by name; 2 of the file not used" in line


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the modules other names, in the same order."""
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    return {f"part{modules.index(n.rpartition('.')[0])}.{n.rpartition('.')[2]}": v for n, v in state.items()}


@pytest.mark.parametrize("counts", [True, False])
def test_other_names_in_the_same_order_fit_by_shape(counts: bool, tmp_path: Path) -> None:
    state = released()
    file = {k: v for k, v in renamed(state).items() if counts or v.is_floating_point()}
    network = small()
    loaded = load(network, save(file, tmp_path / "w.pth"))
    assert loaded.matched == "by order and shape"
    assert len(loaded.unused) == 2
    own = encoder_state(network)
    assert all(torch.equal(value, state[key]) for key, value in own.items() if value.is_floating_point())


def test_order_is_strict(tmp_path: Path) -> None:
    state = renamed(released())
    names = list(state)
    before = small().state_dict()

    def refused(changed: dict[str, Tensor], message: str, suffix: str = ".pth") -> None:
        network = small()
        network.load_state_dict(before)
        with pytest.raises(UserError, match=message) as error:
            load(network, save(changed, tmp_path / f"w{suffix}"))
        assert "\n" not in str(error.value)
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())

    refused({name: state[name] for name in names[1:]}, "neither the names fit nor the order: tensor 1,")
    refused({name: state[name] for name in names[:20]}, "it ends after")
    # Bias before weight: the same shapes.
    bias = next(name for name in names if name.endswith(".bias"))
    place = names.index(bias)
    swapped = [*names[: place - 1], bias, names[place - 1], *names[place + 1 :]]
    refused({name: state[name] for name in swapped}, r"tensor \d+, .*weight is \d+ here, .*bias is \d+ there")
    # A bias that is in a module of its own.
    refused({name.replace(bias, f"own.{bias}"): value for name, value in state.items()}, rf"tensor \d+, .*own.{bias}")
    refused(state, "a safetensors file does not keep the order", ".safetensors")


def test_a_missing_or_different_tensor_is_named(tmp_path: Path) -> None:
    state = released()
    lacking = {key: value for key, value in state.items() if key != "layer2.0.conv1.weight"}
    with pytest.raises(UserError, match=r"w.pth does not fit .*layer2.0.conv1.weight is .* here and not there"):
        load(small(), save(lacking, tmp_path / "w.pth"))
    other = {**state, "layer2.0.conv1.weight": torch.zeros(5, 5, 3, 3)}
    with pytest.raises(UserError, match=r"layer2.0.conv1.weight is .* here, layer2.0.conv1.weight is 5x5x3x3 there"):
        load(small(), save(other, tmp_path / "w.pth"))
    with pytest.raises(UserError, match="neither the names fit nor the order"):
        load(small(), save(released("test_vit"), tmp_path / "w.pth"))
    twice = {f"{who}.{key}": value + len(who) for who in ("one", "again") for key, value in state.items()}
    with pytest.raises(UserError, match=r"the encoder is in it 2 times, below 'one\.' and 'again\.'"):
        load(small(), save(twice, tmp_path / "w.pth"))


def test_a_deeper_network_of_the_same_names_is_refused() -> None:
    """ResNet-34 has every name and shape of ResNet-18."""
    import timm

    with torch.device("meta"):
        encoder = Encoder(timm.create_model("resnet18", num_classes=0).state_dict(), 3)
        assert isinstance(match_by_name(encoder, timm.create_model("resnet18").state_dict()), Match)
        with pytest.raises(UserError, match=r"it is of a deeper network: the encoder has no layer1\.2"):
            match_by_name(encoder, timm.create_model("resnet34").state_dict())


def test_an_encoder_of_fewer_stages_takes_the_whole_networks_file(tmp_path: Path) -> None:
    state = released()
    network = small(encoder_depth=3, decoder_channels=(16, 8, 8))
    loaded = load(network, save(state, tmp_path / "w.pth"))
    assert any(name.startswith("layer4.") for name in loaded.unused)
    assert all(torch.equal(value, state[key]) for key, value in encoder_state(network).items())


@pytest.mark.parametrize("order", ["by name", "by order and shape"])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_first_convolution_takes_other_channels(channels: int, order: str, tmp_path: Path) -> None:
    import timm

    state = released()
    network = small(in_channels=channels)
    file = save(state if order == "by name" else renamed(state), tmp_path / "w.pth")
    loaded = load(network, file, in_channels=channels)
    assert loaded.matched == order
    assert loaded.first_convolution == f"first convolution fitted from 3 to {channels} channels"
    first = next(key for key, value in state.items() if value.ndim == 4)
    expected = timm.models.adapt_input_conv(channels, state[first])
    torch.testing.assert_close(encoder_state(network)[first], expected)
    assert (loaded.mean is None) == (channels != 1)


@pytest.mark.parametrize("channels", [1, 4])
def test_every_branch_that_sees_the_image_is_fitted(channels: int, tmp_path: Path) -> None:
    rgb = small("mobileone_s0").network.encoder.eval()
    network = small("mobileone_s0", in_channels=channels)
    state = rgb.state_dict()
    load(network, save(state, tmp_path / "w.pth"), in_channels=channels)
    other = network.network.encoder.eval()
    changed = [name for name, value in other.state_dict().items() if value.shape != state[name].shape]
    assert len(changed) > 1
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items() if name not in changed)
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        grey, fitted = (
            encoder(image.expand(1, number, 64, 64))[-1] for encoder, number in ((rgb, 3), (other, channels))
        )
    if channels == 1:  # for others, the channels have different weights
        torch.testing.assert_close(fitted, grey, rtol=1e-3, atol=1e-4)


def test_weights_of_grey_images_are_spread() -> None:
    weight = torch.randn(4, 1, 3, 3)
    spread = with_channels(weight, 3)
    torch.testing.assert_close(spread, weight.expand(4, 3, 3, 3) / 3)


def test_real_weights_are_those_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's names are other ones; its tensors are in timm's order."""
    pytest.importorskip(PACKAGE, reason="the extra 'weights' is not installed")
    import timm

    network = small(LITE)
    weights = read_weights(f"package:{PACKAGE}", LITE)
    loaded = load_encoder(network, weights, encoder_name=LITE)
    whole = timm.create_model(LITE)
    whole.load_state_dict(dict(zip(whole.state_dict(), weights.state.values(), strict=True)))
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in encoder_state(network).items() if value.ndim)
    assert (loaded.matched, loaded.tensors) == ("by order and shape", 240)
    assert loaded.unused[0] == "_conv_head.weight"
    # The deepest feature map is that of timm's own network.
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours = network.eval().network.encoder(image)[-1]
        theirs = whole.eval().forward_intermediates(image, intermediates_only=True)[-1]
    torch.testing.assert_close(ours, theirs)


SWIN = {"depths": (2, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 2, 2)}
DPT = {"arch": "dpt", "decoder_intermediate_channels": (8, 8, 8, 8), "decoder_fusion_channels": 8}


@pytest.mark.parametrize(
    ("encoder", "options", "size"),
    [
        ("convnext_atto", NARROW, {}),
        ("swin_tiny_patch4_window7_224", NARROW, SWIN),
        ("test_vit", DPT, {}),
        # Its rotary embedding has no weights.
        pytest.param("vit_tiny_patch16_dinov3_qkvb", DPT, {}, marks=pytest.mark.slow),
    ],
)
def test_encoders_of_today_take_the_weights_of_timm(encoder: str, options: dict, size: dict, tmp_path: Path) -> None:
    network = SMPNetwork(encoder_name=encoder, **options, **size)
    state = released(encoder, **size)
    loaded = load(network, save(state, tmp_path / "w.safetensors"), encoder)
    assert loaded.matched == "by name"
    own = {key.replace("_", "."): value for key, value in encoder_state(network).items()}
    theirs = {key.replace("_", "."): value for key, value in state.items()}
    assert own
    assert all(torch.equal(value, theirs[key.removeprefix("model.")]) for key, value in own.items())


@pytest.mark.parametrize("encoder", ["convnext_tiny", "swin_tiny_patch4_window7_224"])
def test_large_encoders_match_by_their_shapes(encoder: str) -> None:
    import timm

    with torch.device("meta"):
        network, state = small(encoder), timm.create_model(encoder).state_dict()
    match = match_by_name(Encoder(dict(network.network.encoder.state_dict()), 3), state)
    assert isinstance(match, Match)
    assert all(name.startswith(("head.", "norm.")) for name in match.unused)


def test_the_names_of_the_authors_are_converted_by_timm(tmp_path: Path) -> None:
    """ConvNeXt's released files have the stages apart from what is between them."""
    state = released("test_convnext")
    theirs = {}
    for key, value in state.items():
        name = key.replace("stem.", "downsample_layers.0.").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        if ".downsample." in key:
            stage, _, rest = key.removeprefix("stages.").partition(".downsample.")
            name = f"downsample_layers.{stage}.{rest}"
        name = name.replace(".blocks.", ".").replace("head.norm.", "norm.").replace("head.fc.", "head.")
        theirs[name] = value
    network = small("test_convnext")
    loaded = load(network, save({"model": theirs}, tmp_path / "w.pth"), "test_convnext")
    assert loaded.matched == "by name, as timm converts them"
    own = {key.replace("_", "."): value for key, value in encoder_state(network).items()}
    expected = {key.replace("_", "."): value for key, value in state.items()}
    assert all(torch.equal(value.flatten(), expected[key].flatten()) for key, value in own.items())


def test_segnext_takes_the_released_encoder(tmp_path: Path) -> None:
    """The file of the encoder alone has its names without `backbone.`, and a classifier."""
    size = {"dims": (8, 16, 32, 40), "depths": (1, 1, 2, 1), "head_channels": 32}
    network, source = SegNeXt(**size), SegNeXt(**size)
    with torch.no_grad():
        for value in source.encoder.state_dict().values():
            value.copy_(torch.randn(value.shape)) if value.is_floating_point() else None
    theirs = {
        RELEASED["segnext_t"].rename(f"encoder.{key}", {"backbone.": ()}).removeprefix("backbone."): value
        for key, value in source.encoder.state_dict().items()
    }
    file = save({"state_dict": {**theirs, "head.weight": torch.zeros(9, 40)}}, tmp_path / "mscan.pth")
    loaded = load(network, file, None)
    assert loaded.matched == "by the names of the authors' code"
    assert loaded.unused == ["head.weight"]
    expected = source.encoder.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in network.encoder.state_dict().items())
