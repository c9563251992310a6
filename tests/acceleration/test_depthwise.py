"""Accelerated networks: the same functions, gradients, parameters and training."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.acceleration import accelerate
from medseg.acceleration.depthwise import DepthwiseConv2d
from medseg.models import AMSUnet, ComposedUShape, ConvUNeXt, DCSAUNet, MKUNet, SMPNetwork

NETWORKS = {
    "convunext": lambda: ConvUNeXt(base_channels=4),
    "amsunet": lambda: AMSUnet(base_channels=4),
    "mkunet": lambda: MKUNet(channels=(4, 6, 8, 10, 12)),
    "composed": lambda: ComposedUShape(base_channels=4, encoder="cmunext", decoder="msca", depths=[1, 1]),
    "dcsaunet": lambda: DCSAUNet(stem_channels=4, encoder_widths=[2, 4, 4, 4], decoder_widths=[4, 4, 2, 2]),
    "smp": lambda: SMPNetwork(encoder_name="tu-convnext_atto"),  # nothing of it is medseg's
}


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def two_of(name: str, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Return a network that is accelerated, and the same one that is not."""
    torch.manual_seed(0)
    plain = NETWORKS[name]().to(dtype).to(memory_format=torch.channels_last)
    return accelerate(copy.deepcopy(plain)), plain


def replaced(network: nn.Module) -> int:
    return sum(isinstance(module, DepthwiseConv2d) for module in network.modules())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_same_function_with_the_same_gradients(name: str) -> None:
    fast, plain = two_of(name, torch.float64)
    assert replaced(fast) > 0
    assert replaced(plain) == 0
    image = channels_last(torch.randn(2, 3, 71, 83, dtype=torch.float64))  # odd, so that halving drops a row
    target = torch.randn(2, 2, 71, 83, dtype=torch.float64)
    results = []
    for each in (fast, plain):
        own = image.clone().requires_grad_()
        logits = each(own)
        (logits * target).sum().backward()
        gradients = {key: parameter.grad for key, parameter in each.named_parameters()}
        results.append({"logits": logits, "image": own.grad, **gradients, **dict(each.named_buffers())})
    for key, value in results[1].items():
        assert value is not None
        torch.testing.assert_close(results[0][key], value, rtol=1e-8, atol=1e-8, msg=key)


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
    fast, plain = curves
    assert plain[-20:].mean() < 0.8 * plain[:20].mean()  # it learns at all
    # Rounding errors grow with the steps; the curves stay together nevertheless.
    assert torch.allclose(fast[:20], plain[:20], atol=1e-3)
    smooth = (fast - plain).unfold(0, 20, 20).mean(1).abs()
    assert smooth.max() < 0.02


def test_it_is_the_same_network() -> None:
    fast, plain = two_of("convunext", torch.float32)
    assert list(fast.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(fast.state_dict())
    image = channels_last(torch.randn(1, 3, 64, 64))
    copies = [copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))]
    stream = io.BytesIO()
    torch.save(fast, stream)
    copies.append(torch.load(io.BytesIO(stream.getvalue()), weights_only=False))
    for each in copies:
        assert replaced(each) == replaced(fast)
        for parameter in each.parameters():
            nn.init.zeros_(parameter)  # of its own, not the original's
    torch.testing.assert_close(fast.eval()(image), plain.eval()(image))


@pytest.mark.parametrize("name", ["convunext", "amsunet"])
def test_bf16_gives_nearly_the_same(name: str) -> None:
    logits = []
    for each in two_of(name, torch.float32):
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = each(channels_last(torch.randn(2, 3, 64, 64)))
        out.float().square().mean().backward()
        logits.append(out.float())
        for parameter in each.parameters():
            assert parameter.grad is not None
            assert parameter.grad.dtype == torch.float32
            assert parameter.grad.isfinite().all()
    assert F.cosine_similarity(logits[0].flatten(), logits[1].flatten(), dim=0) > 0.99


@pytest.mark.parametrize("kernel", [(7, 7), (5, 5), (3, 3), (1, 5), (1, 21), (11, 1), (4, 6)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 2), (5, 5), (1, 3)])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
def test_a_convolution_has_the_gradients_of_pytorchs(
    kernel: tuple[int, int], dilation: tuple[int, int], mode: str
) -> None:
    padding = tuple(d * (side // 2) for side, d in zip(kernel, dilation, strict=True))
    plain = nn.Conv2d(3, 3, kernel, padding=padding, dilation=dilation, groups=3, padding_mode=mode).double()
    fast = copy.deepcopy(plain)
    fast.__class__ = DepthwiseConv2d
    size = tuple(max(19, d * side + 1) for side, d in zip(kernel, dilation, strict=True))
    x = channels_last(torch.randn(2, 3, *size, dtype=torch.float64)).requires_grad_()
    results = []
    for conv in (fast, plain):
        y = conv(x)
        results.append((y, *torch.autograd.grad(y.pow(3).sum(), [x, conv.weight, conv.bias])))
    for one, other in zip(*results, strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("kernel", "dilation"), [((3, 7), (1, 1)), ((1, 5), (1, 1)), ((3, 3), (2, 2))])
def test_gradients_have_gradients(kernel: tuple[int, int], dilation: tuple[int, int]) -> None:
    """A penalty on gradients; what comes after the convolution may be linear, so that its gradient is a constant."""
    torch.manual_seed(0)
    plain = nn.Conv2d(2, 2, kernel, dilation=dilation, groups=2).double()
    fast = copy.deepcopy(plain)
    fast.__class__ = DepthwiseConv2d
    x = channels_last(torch.randn(1, 2, 8, 9, dtype=torch.float64)).requires_grad_()
    for power in (1, 3):
        results = []
        for conv in (fast, plain):
            first = torch.autograd.grad(conv(x).pow(power).sum(), [x, conv.weight], create_graph=True)
            penalty = torch.stack([each.pow(2).sum() for each in first]).sum()
            results.append(torch.autograd.grad(penalty, [x, conv.weight]))
        torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_wide_kernel_has_its_gradient_in_lower_precisions(dtype: torch.dtype) -> None:
    """In the precisions in which oneDNN computes it, at a size where it uses several threads."""
    plain = nn.Conv2d(16, 16, 7, padding=3, groups=16, bias=False).to(dtype)
    fast = accelerate(copy.deepcopy(plain))
    x = channels_last(torch.randn(2, 16, 64, 64)).to(dtype).requires_grad_()
    one, other = (torch.autograd.grad(conv(x).float().square().mean(), [x, conv.weight]) for conv in (fast, plain))
    for a, b in zip(one, other, strict=True):
        assert (a - b).norm() < {torch.float32: 1e-4, torch.bfloat16: 2e-2}[dtype] * b.norm()


@pytest.mark.parametrize("layouts", ["image and kernel", "kernel", "neither", "compiled"])
def test_a_dilated_kernel_has_its_gradient_in_bf16(layouts: str) -> None:
    """oneDNN's own is wrong where the image or the kernel is in channels_last, also in a compiled network."""
    conv = accelerate(nn.Conv2d(16, 16, 3, padding=5, dilation=5, groups=16))
    x, target = torch.randn(2, 16, 33, 32), torch.randn(2, 16, 33, 32)
    (expected,) = torch.autograd.grad((conv.double()(x.double()) * target).sum(), [conv.weight])
    conv.float()
    if layouts != "neither":
        conv.to(memory_format=torch.channels_last)
    x = channels_last(x) if layouts in ("image and kernel", "compiled") else x
    compute = torch.compile(conv, backend="aot_eager") if layouts == "compiled" else conv
    with torch.autocast("cpu", torch.bfloat16):
        y = compute(x)
    assert y.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad((y.float() * target).sum(), [conv.weight])
    assert (gradient - expected).norm() < 1e-2 * expected.norm()


@pytest.mark.parametrize("is_trained", [True, False])
def test_a_very_wide_kernel_for_few_channels_ends_in_bf16(is_trained: bool) -> None:
    """oneDNN's own does not."""
    conv = accelerate(nn.Conv2d(4, 4, (1, 21), padding=(0, 10), groups=4)).to(memory_format=torch.channels_last)
    x = channels_last(torch.randn(1, 4, 64, 64))
    with torch.set_grad_enabled(is_trained), torch.autocast("cpu", torch.bfloat16):
        y = conv(x)
    assert y.dtype == torch.bfloat16
    assert F.cosine_similarity(y.float().flatten(), conv(x).flatten(), dim=0) > 0.999
    if is_trained:
        y.float().square().sum().backward()


class OwnConv(nn.Conv2d):
    """Somebody's own convolution, which may do anything."""


@pytest.mark.parametrize(
    ("conv", "is_replaced"),
    [
        (nn.Conv2d(4, 4, 7, padding=3, groups=4), True),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), True),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), False),  # PyTorch's is faster
        (nn.Conv2d(4, 4, (11, 1), padding=(5, 0), groups=4), False),  # its columns are few
        (nn.Conv2d(4, 4, 7, padding=3, groups=2), False),
        (nn.Conv2d(4, 8, 7, padding=3, groups=4), False),
        (nn.Conv2d(4, 4, 7, padding=3, stride=2, groups=4), False),
        (nn.Conv2d(4, 4, 5, padding=6, groups=4), False),  # more padding than the kernel is wide
        (nn.Conv2d(4, 4, 7, padding="same", groups=4), False),
        (nn.Conv2d(1, 1, 7, padding=3), False),
        (OwnConv(4, 4, 7, padding=3, groups=4), False),
    ],
)
def test_what_is_replaced(conv: nn.Conv2d, is_replaced: bool) -> None:
    assert isinstance(accelerate(conv), DepthwiseConv2d) == is_replaced


def is_custom(conv: nn.Module, x: Tensor) -> bool:
    return type(conv(x).grad_fn).__name__ == "DepthwiseBackward"


def test_where_pytorchs_own_is_used() -> None:
    conv = accelerate(nn.Conv2d(4, 4, 7, padding=3, groups=4)).to(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 9, 9)
    assert is_custom(conv, channels_last(x))
    assert not is_custom(conv, x), "the other layout"
    assert not is_custom(conv.requires_grad_(False), channels_last(x)), "nothing is trained"
    assert is_custom(conv, channels_last(x).requires_grad_())
    with torch.no_grad():
        assert not is_custom(conv, channels_last(x).requires_grad_())


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
def test_a_program_has_pytorchs_own_operation() -> None:
    conv = accelerate(nn.Conv2d(4, 4, 7, padding=3, groups=4)).to(memory_format=torch.channels_last)
    x = channels_last(torch.randn(2, 4, 9, 9))
    program = torch.export.export(conv, (x,))
    assert torch.ops.aten.conv2d.default in [node.target for node in program.graph.nodes]
    compiled = torch.compile(conv, backend="eager", fullgraph=True)
    traced = torch.jit.trace(conv, (x,))
    for each in (program.module(), compiled, traced):
        torch.testing.assert_close(each(x), conv(x))
