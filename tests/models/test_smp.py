"""Networks of segmentation-models-pytorch: every decoder, encoders of several kinds, any size, one-line refusals."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from medseg.errors import ConfigError, UserError
from medseg.models.smp import SMPNetwork

DECODERS = {
    "unet": (32, 32),
    "unetplusplus": (32, 32),
    "manet": (32, 32),
    "linknet": (32, 32),
    "fpn": (32, 32),
    "pspnet": (8, 8),
    "deeplabv3": (8, 8),
    "deeplabv3plus": (16, 16),
    "pan": (128, 16),  # pools three times below the encoder
    "upernet": (32, 32),
    "segformer": (32, 32),
    "dpt": (32, 32),
}
"""Name -> smallest size and what sizes are padded to, with the encoder of `small`."""

SWIN = "tu-swin_tiny_patch4_window7_224"
SMALL_SWIN = {"depths": (2, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 2, 2), "decoder_channels": (16, 8, 8, 8, 8)}


def small(arch: str, **arguments: object) -> SMPNetwork:
    """Build a network with a small encoder, timm's smallest vision transformer where it must be one."""
    if arch == "dpt":
        narrow = {"decoder_intermediate_channels": (8, 8, 8, 8), "decoder_fusion_channels": 8}
        return SMPNetwork(arch=arch, encoder_name="tu-test_vit", **narrow, **arguments)  # type: ignore[arg-type]
    return SMPNetwork(arch=arch, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("arch", "sizes"), DECODERS.items())
def test_every_decoder_takes_any_size_and_learns(arch: str, sizes: tuple[int, int]) -> None:
    network = small(arch, in_channels=1, num_classes=3)
    assert (network.min_size, network.multiple) == sizes
    assert network.training
    assert all(module.training for module in network.modules())
    size = (network.min_size + 1, network.min_size + network.multiple + 3)
    logits = network(torch.randn(2, 1, *size))
    assert logits.shape == (2, 3, *size)
    logits.square().mean().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    with pytest.raises(UserError, match=f"SMPNetwork needs images of at least {sizes[0]} x {sizes[0]} pixels"):
        network(torch.randn(2, 1, sizes[0] - 1, 200))


def test_no_decoder_is_forgotten() -> None:
    import segmentation_models_pytorch as smp

    assert set(DECODERS) == set(smp.MODEL_ARCHITECTURES_MAPPING)


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("mobilenet_v2", {}),
        ("efficientnet-b0", {}),
        ("mit_b0", {}),
        ("mobileone_s0", {}),
        ("tu-test_resnet", {}),
        ("tu-convnext_atto", {}),
        (SWIN, SMALL_SWIN),
        ("tu-swinv2_tiny_window8_256", SMALL_SWIN),
    ],
)
def test_encoders_of_every_kind_take_any_size(encoder: str, options: dict) -> None:
    network = SMPNetwork(encoder_name=encoder, **options).eval()
    assert (network.min_size, network.multiple) == (32, 32)
    image = torch.randn(2, 3, 71, 170)
    with torch.no_grad():
        logits = network(image)
        assert logits.shape == (2, 2, 71, 170)
        assert torch.equal(network(image), logits)
        # Windows and masks follow each image's size.
        assert network(image[:, :, :33, :40]).shape == (2, 2, 33, 40)
        alone = network(image[1:])
        torch.testing.assert_close(alone, logits[1:], rtol=1e-3, atol=1e-4 * float(logits.abs().max()))


def test_it_is_the_librarys_own_network() -> None:
    import segmentation_models_pytorch as smp

    for options in ({"encoder_name": "resnet18"}, {"encoder_name": SWIN, **SMALL_SWIN}):
        torch.manual_seed(0)
        expected = smp.create_model("unet", encoder_weights=None, in_channels=3, classes=2, **options).eval()
        torch.manual_seed(0)
        network = SMPNetwork(arch="Unet", **options).eval()
        own = network.network.state_dict()
        assert own.keys() == expected.state_dict().keys()
        assert all(torch.equal(value, own[key]) for key, value in expected.state_dict().items())
        # At the one size that Swin is made for, opening it to others changes nothing.
        image = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            assert torch.equal(network(image), expected(image))


def test_timms_encoders_need_no_mark() -> None:
    with torch.device("meta"):
        bare, marked = SMPNetwork(encoder_name="test_resnet"), SMPNetwork(encoder_name="tu-test_resnet")
        assert list(bare.state_dict()) == list(marked.state_dict())
        # Of two with one name, the library's goes first.
        own, timms = SMPNetwork(encoder_name="resnet18"), SMPNetwork(encoder_name="tu-resnet18")
    assert list(own.state_dict()) != list(timms.state_dict())


def test_windows_of_one_size_make_larger_multiples() -> None:
    network = SMPNetwork(encoder_name="tu-test_maxvit", decoder_channels=(16, 8, 8, 8, 8)).eval()
    assert (network.min_size, network.multiple) == (160, 160)
    with torch.no_grad():
        assert network(torch.randn(1, 3, 161, 170)).shape == (1, 2, 161, 170)


def test_parameters_can_be_counted_without_memory() -> None:
    with torch.device("meta"):
        for encoder, expected in (("resnet18", 14_328_354), ("tu-convnext_tiny", 31_928_898), (SWIN, 31_628_124)):
            assert sum(p.numel() for p in SMPNetwork(encoder_name=encoder).parameters()) == expected


def test_swin_is_exported() -> None:
    network = SMPNetwork(encoder_name=SWIN, **SMALL_SWIN).eval()
    exported = torch.export.export(network, (torch.randn(1, 3, 65, 80),))
    image = torch.randn(1, 3, 65, 80)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(image), network(image))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"arch": "unett"},
            r"unknown arch 'unett'; did you mean 'unet' or .*\(there are: unet, .* dpt\)",
        ),
        ({"encoder_name": "resnet19"}, "unknown encoder_name 'resnet19'; did you mean 'resnet18' or"),
        ({"encoder_name": "convnext_tinny"}, "unknown encoder_name 'convnext_tinny'; did you mean 'convnext_tiny' or"),
        ({"encoder_name": "tu-swin_tiny"}, "unknown encoder_name 'tu-swin_tiny'; did you mean '.*swin"),
        ({"arch": "linknet", "encoder_name": "mit_b0"}, "linknet with encoder mit_b0 cannot be built: .*not supported"),
        ({"arch": "unetplusplus", "encoder_name": "mit_b0"}, "unetplusplus with encoder mit_b0 cannot be built"),
        (
            {"arch": "deeplabv3", "encoder_name": SWIN},
            f"encoder {SWIN} cannot be built: .*output_stride",
        ),
        (
            {"encoder_name": "tu-test_vit"},
            "encoder tu-test_vit cannot be built: Unsupported model downsampling",
        ),
        ({"arch": "dpt"}, "dpt with encoder resnet18 cannot be built: Only Timm encoders"),
        ({"encoder_depth": 4}, "cannot be built: Model depth is 4, but you provide `decoder_channels` for 5 blocks"),
        ({"encoder_name": "tu-test_coatnet"}, "tu-test_coatnet takes images of 160 x 160 pixels only: choose another"),
        (
            {"arch": "fpn", "upsampling": 2},
            "fpn with encoder resnet18 does not work: .*returns 128 x 128 pixels",
        ),
        # The library would overlook these.
        (
            {"decoder_atention_type": "scse"},
            "takes no .*; did you mean 'decoder_attention_type' or",
        ),
        ({"img_size": 64}, "unet with encoder resnet18 takes no 'img_size'"),
        ({"encoder_name": "tu-test_resnet", "sise": 64}, "cannot be built: .* unexpected keyword argument 'sise'"),
        # Logits are needed, and nothing else.
        ({"activation": "sigmoid"}, "takes no 'activation'"),
        ({"aux_params": {"classes": 2}}, "takes no 'aux_params'"),
    ],
)
def test_what_does_not_exist_or_fit_is_refused_in_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        SMPNetwork(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"encoder_name": "tu-hf-hub:timm/resnet18.a1_in1k"},
        {"encoder_name": "tu-local-dir:/tmp"},
        {"encoder_name": "tu-test_resnet", "checkpoint_path": "weights.bin"},
        {"encoder_name": "tu-test_resnet", "pretrained": True},
        {"encoder_name": "tu-test_resnet", "pretrained_cfg": {"url": "https://localhost/weights.bin"}},
        {"encoder_name": "tu-test_resnet", "weights": "imagenet"},
        {"encoder_name": "tu-test_resnet", "_pretrained": True},
    ],
)
def test_nothing_is_loaded_by_another_argument_than_encoder_weights(
    arguments: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*args: object, **kwargs: object) -> None:
        raise AssertionError("something is loaded")

    monkeypatch.setattr("socket.socket.connect", load)
    monkeypatch.setattr("torch.load", load)
    with pytest.raises(ConfigError, match=r"unknown encoder_name|takes no|multiple values"):
        SMPNetwork(**arguments)


def test_options_reach_decoder_and_encoder() -> None:
    plain = SMPNetwork(encoder_name="tu-test_resnet")
    network = SMPNetwork(encoder_name="tu-test_resnet", decoder_attention_type="scse", drop_path_rate=0.1)
    assert len(network.state_dict()) > len(plain.state_dict())
    assert any(type(module).__name__ == "DropPath" for module in network.modules())
    network = SMPNetwork(encoder_depth=3, decoder_channels=(16, 8, 8))
    assert (network.min_size, network.multiple) == (8, 8)


def test_the_library_is_imported_by_its_users_only() -> None:
    code = "import sys, medseg.models; sys.exit('segmentation_models_pytorch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=100).returncode == 0
