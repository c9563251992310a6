"""What every network must do, whatever is inside: sizes, training, layouts, precision, compile, export."""

from __future__ import annotations

import copy
import gc
import shutil

import pytest
import torch

from medseg.errors import UserError
from tests.models.builds import NETWORKS, build, different, logits_of, settings

each_network = pytest.mark.parametrize("name", different())

ONE_OF_EACH = list({settings(name)["_target_"]: name for name in reversed(NETWORKS)}.values())
DEEPLY_SUPERVISED = [name for name in different() if "deep_supervision" in settings(name)]


@each_network
@pytest.mark.parametrize("size", [(64, 64), (65, 97), (79, 66), (71, 111)])
def test_any_size_comes_out_as_it_went_in(name: str, size: tuple[int, int]) -> None:
    network = build(name, "data.in_channels=1", "data.num_classes=3")
    logits = logits_of(network, torch.randn(2, 1, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.isfinite().all()


@each_network
def test_minimum_size_works_and_less_is_refused(name: str) -> None:
    network = build(name)
    minimum = network.min_size
    assert logits_of(network, torch.randn(1, 3, minimum, minimum)).shape == (1, 2, minimum, minimum)
    for size in ((minimum - 1, minimum), (minimum, minimum - 1)) if minimum > 1 else ():
        with pytest.raises(UserError) as error:
            network(torch.randn(1, 3, *size))
        assert type(network).__name__ in str(error.value)
        assert f"at least {minimum} x {minimum}" in str(error.value)
        assert f"{size[0]} x {size[1]}" in str(error.value)


@each_network
def test_every_parameter_learns(name: str) -> None:
    network = build(name)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    outputs = network.train()(torch.randn(2, 3, 65, 80))
    for logits in outputs if isinstance(outputs, list) else [outputs]:
        assert logits.shape == (2, 2, 65, 80)
    torch.stack(
        [logits.square().mean() for logits in (outputs if isinstance(outputs, list) else [outputs])]
    ).sum().backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias right before a batch norm has no effect in training, in the released code neither.
    assert [key for key in without if not key.endswith("bias")] == []
    optimizer.step()
    assert all(p.isfinite().all() for p in network.parameters())


@each_network
def test_evaluation_repeats_and_images_do_not_meet(name: str) -> None:
    # No random numbers, and no statistics over a batch: the second image of a batch is scored as it would be alone.
    network = build(name)
    image = torch.randn(2, 3, 70, 75)
    state = torch.get_rng_state()
    first = logits_of(network, image)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(logits_of(network, image), first)
    # Rounding is that of the largest values: the logits of a fresh EGE-UNet are up to 20.
    largest = max(1, float(first.abs().max()))
    torch.testing.assert_close(logits_of(network, image[1:]), first[1:], rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_training_step_leaves_nothing_behind(name: str) -> None:
    gc.freeze()  # what is there already is neither looked at nor counted, which would take a second each time
    network = build(name, "data.in_channels=3", "data.num_classes=2").to(memory_format=torch.channels_last)
    image = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    there = []
    for _ in range(3):
        network(image).square().mean().backward()
        gc.collect()
        there.append(sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()))
    gc.unfreeze()
    assert 0 < there[1] == there[2]


@pytest.mark.parametrize("name", DEEPLY_SUPERVISED)
def test_deep_supervision_trains_more_outputs_and_evaluates_one(name: str) -> None:
    network = build(name, "model.deep_supervision=true", "data.num_classes=3")
    image = torch.randn(2, 3, 65, 80)
    outputs = network.train()(image)
    assert isinstance(outputs, list)
    assert len(outputs) > 1
    assert all(logits.shape == (2, 3, 65, 80) for logits in outputs)
    torch.stack([logits.square().mean() for logits in outputs]).mean().backward()
    assert all(p.grad is not None for p in network.parameters())
    # The last output is the one that counts: it is what evaluation returns.
    for module in network.modules():
        if not list(module.children()):
            module.eval()
    with torch.no_grad():
        last = network(image)[-1]
    assert torch.equal(last, logits_of(network, image))
    assert not isinstance(build(name)(image), list)


@each_network
def test_state_dict_round_trip(name: str) -> None:
    first, second = build(name, seed=0), build(name, seed=1)
    image = torch.randn(1, 3, 64, 64)
    assert not torch.equal(logits_of(first, image), logits_of(second, image))
    second.load_state_dict(first.state_dict())
    assert torch.equal(logits_of(first, image), logits_of(second, image))


@each_network
def test_channels_last_is_kept_and_changes_nothing(name: str) -> None:
    network = build(name)
    image = torch.randn(2, 3, 70, 75)
    expected = logits_of(network, image)
    last = logits_of(network.to(memory_format=torch.channels_last), image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@each_network
def test_bf16_autocast_trains(name: str) -> None:
    network = build(name)
    image = torch.randn(2, 3, 64, 64)
    # Dropout and random bases draw the same numbers.
    torch.manual_seed(1)
    expected = copy.deepcopy(network).train()(image)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.train()(image)
    # Loosely: CMUNeXt, whose 25 batch norms follow activations, is 0.3 off with fresh weights, the others below 0.12.
    assert (logits.float() - expected).abs().mean() < 0.5 * expected.abs().mean()
    logits.float().square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in network.parameters())


LONG_TO_TRACE = {
    "amsunet", "cmunext", "cmunext_l", "cmunext_s", "dcsaunet", "egeunet", "mkunet", "segnext_l", "tinyunet",
}  # fmt: skip
"""Networks of many layers, and the other sizes of one that is traced."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LONG_TO_TRACE else ()) for name in different()]
)
def test_traces_into_one_graph(name: str) -> None:
    # No break in the graph, forward and backward. The backward pass takes most of the time, and is the same code for
    # all sizes of a network.
    torch.compiler.reset()  # the networks share code, and the number of its compiled forms is limited
    backend = "aot_eager" if name in ONE_OF_EACH else "eager"
    network = build(name).train()
    image = torch.randn(2, 3, 64, 64)
    torch.manual_seed(1)
    expected = copy.deepcopy(network)(image).detach()
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    torch.manual_seed(1)
    logits = compiled(image)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    logits.square().mean().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")
@pytest.mark.parametrize("name", ["convunext", "amsunet"])
def test_compiles(name: str) -> None:
    # Compiling a whole network takes minutes on a CPU; a stage holds every kind of part: norm, up-sampling, skip
    # module, reflected and strip convolutions.
    stage = build(name).decoder[3].eval()
    below, feature = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 17, 16)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(stage)(below, feature), stage(below, feature), rtol=1e-4, atol=1e-5)
