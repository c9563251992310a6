"""The fused forms of blocks: the same functions, gradients and training, less memory."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.models.amsunet import AMSUnet
from medseg.models.attention_unet import AttentionUNet
from medseg.models.blocks import BLOCKS
from medseg.models.composed import ComposedUShape
from medseg.models.convunext import ConvUNeXt
from medseg.models.fused import DepthwiseConv2d, PointwiseConv2d, banded, bands, use_fused
from medseg.models.unet import UNet

NETWORKS = {
    "convunext": lambda: ConvUNeXt(base_channels=4),
    "convunext_closing": lambda: ConvUNeXt(base_channels=4, closing="before_add", kernel_size=5),
    "convunext_pool": lambda: ConvUNeXt(base_channels=4, downsampling="pool", skip="rsc"),
    "convunext_layer_norm": lambda: ConvUNeXt(base_channels=4, norm="layer"),
    "amsunet": lambda: AMSUnet(base_channels=4),
    "amsunet_paper": lambda: AMSUnet(base_channels=4, shortcuts=2, closing_gelu=False, undilated=False),
    "amsunet_after": lambda: AMSUnet(base_channels=4, norm_placement="after"),
    "composed": lambda: ComposedUShape(base_channels=4, encoder="amse", decoder="convunext", skip="convunext_gate"),
    "unet": lambda: UNet(base_channels=4),  # fused in inference only
    "attention_unet": lambda: AttentionUNet(base_channels=4),
    "composed_strided": lambda: ComposedUShape(base_channels=4, encoder="cmunext", decoder="msca", downsampling="conv"),
}


@pytest.fixture(params=["whole", "bands"])
def cuts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features in one band each, and in bands of a few rows."""
    if request.param == "bands":
        monkeypatch.setattr(bands, "VALUES", 2**9)
        monkeypatch.setattr(bands, "HALOS", 1)


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def two_of(name: str, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Return a network and the same one without fused forms."""
    torch.manual_seed(0)
    network = NETWORKS[name]().to(dtype).to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    plain = copy.deepcopy(network)
    use_fused(plain, False)
    return network, plain


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.usefixtures("cuts")
def test_a_network_is_the_same_function_with_the_same_gradients(name: str) -> None:
    network, plain = two_of(name, torch.float64)
    image = channels_last(torch.randn(3, 3, 71, 83, dtype=torch.float64))  # odd, so that halving drops a row
    target = torch.randn(3, 2, 71, 83, dtype=torch.float64)
    for each in (network, plain):
        (each(image) * target).sum().backward()
    assert torch.allclose(network(image), plain(image), rtol=1e-9, atol=1e-9)
    gradients = dict(plain.named_parameters())
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert torch.allclose(parameter.grad, gradients[key].grad, rtol=1e-8, atol=1e-8), key
    buffers = dict(plain.named_buffers())
    for key, buffer in network.named_buffers():
        assert torch.allclose(buffer.double(), buffers[key].double(), rtol=1e-12, atol=1e-12), key
    network.eval()
    plain.eval()
    with torch.inference_mode():
        assert torch.allclose(network(image), plain(image), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["convunext", "amsunet"])
def test_the_image_has_the_same_gradient(name: str) -> None:
    network, plain = two_of(name, torch.float64)
    drawn = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    found = []
    for each in (network, plain):
        image = channels_last(drawn.clone()).requires_grad_()
        each(image).square().sum().backward()
        found.append(image.grad)
    assert torch.allclose(found[0], found[1], rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convunext", "amsunet"])
def test_two_hundred_steps_train_alike(name: str) -> None:
    curves = []
    generator = torch.Generator().manual_seed(1)
    images = channels_last(torch.rand(4, 3, 64, 64, generator=generator))
    masks = (images.mean(1) > 0.5).long()
    for network in two_of(name, torch.float32):
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        losses = []
        for step in range(200):
            some = slice(2 * (step % 2), 2 * (step % 2) + 2)
            loss = F.cross_entropy(network(images[some]), masks[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(torch.tensor(losses))
    fused, plain = curves
    assert plain[-20:].mean() < 0.8 * plain[:20].mean()  # it learns at all
    # Rounding errors grow with the steps; the curves stay together nevertheless.
    assert torch.allclose(fused[:20], plain[:20], atol=1e-3)
    smooth = (fused - plain).unfold(0, 20, 20).mean(1).abs()
    assert smooth.max() < 0.02


@pytest.mark.parametrize("name", ["convunext", "amsunet"])
def test_a_fused_network_keeps_less_for_the_backward_pass(name: str) -> None:
    kept = []
    for network in two_of(name, torch.float32):
        sizes: dict[int, int] = {}
        held = []

        def pack(x: Tensor, sizes: dict[int, int] = sizes, held: list[Tensor] = held) -> Tensor:
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            held.append(x)
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            network(channels_last(torch.randn(2, 3, 64, 64)))
        kept.append(sum(sizes.values()))
    assert kept[0] < 0.4 * kept[1]


@pytest.mark.parametrize("name", ["convunext", "amsunet"])
def test_bf16_gives_nearly_the_same(name: str) -> None:
    network, plain = two_of(name, torch.float32)
    image = channels_last(torch.randn(2, 3, 64, 64))
    logits = []
    for each in (network, plain):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = each(image)
        out.float().square().mean().backward()
        logits.append(out.float())
    assert F.cosine_similarity(logits[0].flatten(), logits[1].flatten(), dim=0) > 0.99
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()


def test_an_image_in_another_layout_is_computed_by_the_plain_form() -> None:
    network, plain = two_of("convunext", torch.float32)
    network, plain = network.to(memory_format=torch.contiguous_format), plain.to(memory_format=torch.contiguous_format)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(image), plain(image))


@pytest.mark.parametrize("kernel", [(7, 7), (5, 5), (3, 3), (1, 5), (1, 21), (11, 1), (1, 1)])
@pytest.mark.parametrize("dilation", [1, 2, 5])
@pytest.mark.parametrize("reflect", [False, True])
def test_a_depthwise_convolution_has_the_gradients_of_pytorchs(
    kernel: tuple[int, int], dilation: int, reflect: bool
) -> None:
    conv = DepthwiseConv2d(3, kernel, dilation=dilation, reflect=reflect).double()
    size = tuple(max(19, dilation * side + 1) for side in kernel)
    x = channels_last(torch.randn(2, 3, *size, dtype=torch.float64)).requires_grad_()
    found = []
    for fused in (True, False):
        use_fused(conv, fused)
        y = conv(x)
        found.append((y, *torch.autograd.grad(y.pow(3).sum(), [x, conv.weight, conv.bias])))
    for one, other in zip(*found, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


def test_a_wide_kernel_has_its_gradient_in_float32() -> None:
    """In the precision in which oneDNN computes it, at a size where it uses several threads."""
    conv = DepthwiseConv2d(16, 7, reflect=True)
    x = channels_last(torch.randn(2, 16, 64, 64)).requires_grad_()
    found = []
    for fused in (True, False):
        use_fused(conv, fused)
        found.append(torch.autograd.grad(conv(x).square().mean(), [x, conv.weight]))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_the_state_of_a_replaced_convolution_is_that_of_pytorchs() -> None:
    pairs = [
        (PointwiseConv2d(4, 6), nn.Conv2d(4, 6, 1)),
        (DepthwiseConv2d(4, (3, 5), dilation=2), nn.Conv2d(4, 4, (3, 5), padding=(2, 4), dilation=2, groups=4)),
    ]
    for ours, theirs in pairs:
        theirs.load_state_dict(ours.state_dict())
        x = channels_last(torch.randn(2, 4, 12, 12))
        assert torch.allclose(ours(x), theirs(x), atol=1e-6)


def test_a_block_of_one_pixel_is_refused_as_its_norm_refuses_it() -> None:
    block = BLOCKS["amse"](4, 4)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        block(torch.randn(1, 4, 1, 1))


def test_a_function_in_bands_of_another_is_computed_there() -> None:
    """Nested, it keeps nothing of its own."""
    conv = PointwiseConv2d(4, 4)
    x = channels_last(torch.randn(1, 4, 8, 8))
    inner = lambda x: banded(torch.tanh, (x,), channels=4, last=conv)[0]  # noqa: E731
    out, _ = banded(inner, (x,), modules=[conv], channels=4)
    assert torch.allclose(out, conv(torch.tanh(x)))


def test_a_norm_with_fixed_statistics_becomes_part_of_the_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    network = UNet(base_channels=4).to(memory_format=torch.channels_last).eval()
    image = channels_last(torch.randn(1, 3, 32, 32))

    def refuse(self: nn.Module, x: Tensor) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(nn.BatchNorm2d, "forward", refuse)
    with torch.no_grad():
        network(image)
    for statistics_of_the_batch, gradients in ((True, False), (False, True)):
        network.train(statistics_of_the_batch)
        with pytest.raises(AssertionError), torch.set_grad_enabled(gradients):
            network(image)
