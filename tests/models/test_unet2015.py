"""U-Net 2015: the paper's sizes at every level, its counts and initial weights, mirrored borders, tiles."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from medseg.errors import ConfigError, UserError
from medseg.models import UNet2015
from medseg.models.mirror import mirror_pad
from medseg.models.overlap_tile import ValidSizes, predict_mirrored, starts
from medseg.models.skips import SKIPS
from medseg.models.unet2015 import POINTWISE_SKIPS, SIZES
from tests.models.builds import count

DEVIATION = 1e-5


def small(seed: int = 0, **arguments: object) -> UNet2015:
    torch.manual_seed(seed)
    return UNet2015(base_channels=2, **arguments).eval()  # type: ignore[arg-type]


@torch.no_grad()
def differ(first: Tensor, second: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((first - second).abs().max() / second.abs().max())


def test_parameters_and_layers_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        network = UNet2015(in_channels=1)
        assert count(network) == 31_030_658
        assert count(UNet2015()) == 31_031_810
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 23
    assert [m.kernel_size for m in convolutions].count((3, 3)) == 18
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in convolutions) == 4
    assert all(m.bias is not None for m in convolutions)
    assert not [m for m in network.modules() if "Norm" in type(m).__name__]


def test_sizes_of_every_level_are_those_of_figure_1() -> None:
    sizes: dict[str, list[int]] = {"conv": [], "up": [], "cut": []}
    with torch.device("meta"):
        network = UNet2015(in_channels=1)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda m, i, o: sizes["conv"].append(o.shape[-1]))
            elif isinstance(module, nn.ConvTranspose2d):
                module.register_forward_hook(lambda m, i, o: sizes["up"].append(o.shape[-1]))
        for stage in network.decoder:
            stage.skip.register_forward_hook(lambda m, i, o: sizes["cut"].append(o.shape[-1]))
        logits = network.valid(torch.empty(1, 1, 572, 572))
    down = [570, 568, 282, 280, 138, 136, 66, 64, 30, 28]
    assert sizes["conv"] == [*down, 54, 52, 102, 100, 198, 196, 390, 388, 388]
    assert sizes["up"] == sizes["cut"] == [56, 104, 200, 392]
    assert logits.shape == (1, 2, 388, 388)


@pytest.mark.parametrize(("size", "output"), [(188, 4), (204, 20), (572, 388)])
def test_valid_takes_the_sizes_of_the_paper(size: int, output: int) -> None:
    with torch.no_grad():
        assert small(in_channels=1).valid(torch.randn(1, 1, size, 188)).shape == (1, 2, output, 4)


@pytest.mark.parametrize(("size", "near"), [(1, "188"), (187, "188"), (200, "188 or 204"), (573, "572 or 588")])
def test_valid_refuses_other_sizes_and_names_the_nearest(size: int, near: str) -> None:
    with pytest.raises(UserError, match=rf"16 k \+ 12 pixels .* cannot take {size}: the nearest is {near}$"):
        small().valid(torch.zeros(1, 3, 188, size))


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 65), (113, 40)])
def test_the_logits_are_those_of_the_mirrored_image(size: tuple[int, int]) -> None:
    network, image = small(), torch.randn(1, 3, *size)
    right = [16 * (1 + (side - 5) // 16) + 4 - side + 92 for side in size]
    with torch.no_grad():
        expected = network.valid(mirror_pad(image, 92, right[0], 92, right[1]))
        logits = network(image)
    assert logits.shape == (1, 2, *size)
    assert torch.equal(logits, expected[..., : size[0], : size[1]])


def test_an_image_without_pixels_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1 x 1 pixels, got 0 x 5"):
        small()(torch.zeros(1, 3, 0, 5))


@pytest.mark.parametrize("tile", [20, 36, 100])
@pytest.mark.parametrize("size", [(1, 37), (36, 36), (65, 97), (101, 21), (149, 150)])
def test_tiles_are_the_whole_image(tile: int, size: tuple[int, int]) -> None:
    network, image = small(), torch.randn(2, 3, *size)
    with torch.no_grad():
        whole = network(image)
        network.tile = tile
        assert differ(network(image), whole) < DEVIATION


def test_tiles_take_windows_of_the_papers_size() -> None:
    network, image, seen = small(tile=36), torch.randn(1, 3, 90, 30), []
    network.stem.register_forward_hook(lambda m, i, o: seen.append(tuple(i[0].shape[-2:])))
    with torch.no_grad():
        network(image)
    # 90 pixels are computed as 100, in tiles at 0, 32 and 64; 30 as 36.
    assert seen == [(36 + 184, 36 + 184)] * 3
    seen.clear()
    network.train()(image)
    assert seen == [(100 + 184, 36 + 184)], "training sees whole images"


def test_windows_off_the_grid_give_other_logits() -> None:
    # What the steps of 16 are for: a window moved by 8 pixels is pooled otherwise.
    network, image = small(), torch.randn(1, 3, 220, 220)
    with torch.no_grad():
        whole = network.valid(image)
        on, off = network.valid(image[..., 16:204, :188]), network.valid(image[..., 8:196, :188])
    assert differ(on, whole[..., 16:20, :4]) < DEVIATION
    assert differ(off, whole[..., 8:12, :4]) > 1e-2


def test_any_valid_network_can_be_tiled() -> None:
    sizes = ValidSizes(margin=3, step=2, smallest=1)
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 2, 7)
    image = torch.randn(1, 1, 13, 8)
    with torch.no_grad():
        whole = predict_mirrored(convolution, image, sizes)
        assert whole.shape == (1, 2, 13, 8)
        assert differ(predict_mirrored(convolution, image, sizes, tile=5), whole) < DEVIATION


def test_tiles_begin_on_the_grid_and_cover_everything() -> None:
    for size in range(4, 500, 16):
        for tile in (20, 36, 100, 388):
            begins = starts(size, tile, 16)
            assert all(begin % 16 == 0 for begin in begins)
            assert begins[-1] + min(tile, size) == size
            assert all(b - a <= tile for a, b in pairwise(begins))
            assert len(set(begins)) == len(begins)


@pytest.mark.parametrize(
    ("tile", "hint"), [(0, "is 20"), (4, "is 20"), (256, "244 or 260"), (389, "388 or 404"), (True, ""), ("a", "")]
)
def test_wrong_tiles_are_refused(tile: object, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"tile={tile} must be 16 k \+ 4 pixels, at least 20, or null.*{hint}"):
        small(tile=tile)


def test_wrong_dropout_is_refused() -> None:
    for rate in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="dropout must be a probability"):
            small(dropout=rate)


def test_initial_weights_are_those_of_the_paper() -> None:
    torch.manual_seed(0)
    network = UNet2015(base_channels=64, in_channels=1)
    assert network.encoder[0][1][0].weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.01)
    assert network.encoder[3][1][2].weight.std().item() == pytest.approx((2 / (9 * 1024)) ** 0.5, rel=0.01)
    assert network.decoder[0].up.weight.std().item() == pytest.approx((2 / 1024) ** 0.5, rel=0.01)
    assert network.head.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.15)
    assert all(not p.any() for name, p in network.named_parameters() if name.endswith("bias"))


def test_dropout_is_at_the_end_of_the_contracting_path() -> None:
    where = [name for name, module in small(dropout=0.3).named_modules() if isinstance(module, nn.Dropout)]
    assert where == ["encoder.2.2", "encoder.3.2"]
    network, image = small(dropout=0.3).train(), torch.randn(1, 3, 8, 8)
    assert not torch.equal(network(image), network(image))


def test_logits_of_deep_supervision_lie_on_the_image() -> None:
    # Features that hold their own position: every stage's logits must say where in the image they are.
    network = small(in_channels=1, deep_supervision=True)
    ramp = torch.arange(572.0).repeat(572, 1)[None, None]

    def feature(size: int, factor: int) -> Tensor:
        inside = ramp[..., (572 - size * factor) // 2 :][..., : size * factor]
        return inside.unflatten(-1, (size, factor)).mean(-1)[..., :size, :]

    features = [feature(52, 8), feature(100, 4), feature(196, 2), feature(388, 1)]
    network.decode = lambda image: features  # type: ignore[method-assign]
    network.auxiliary_heads, network.head = nn.ModuleList([nn.Identity()] * 3), nn.Identity()
    *auxiliary, main = network.outputs(ramp)
    assert torch.equal(main, ramp[..., :388, 92:480])
    for logits in auxiliary:
        assert logits.shape == main.shape
        torch.testing.assert_close(logits[0, 0, 194], main[0, 0, 194])


def test_deep_supervision_trains_every_head() -> None:
    network = small(deep_supervision=True).train()
    outputs = network(torch.randn(2, 3, 37, 50))
    assert [tuple(logits.shape) for logits in outputs] == [(2, 2, 37, 50)] * 4
    sum(logits.square().mean() for logits in outputs).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert isinstance(network.eval()(torch.randn(1, 3, 5, 5)), Tensor)


@pytest.mark.parametrize("skip", SKIPS)
def test_skip_modules_are_interchangeable(skip: str) -> None:
    network, image = small(skip=skip), torch.randn(1, 3, 70, 41)
    with torch.no_grad():
        whole = network(image)
        assert whole.shape == (1, 2, 70, 41)
        if skip in POINTWISE_SKIPS:
            tiled = small(skip=skip, tile=20)
            tiled.load_state_dict(network.state_dict())
            assert differ(tiled(image), whole) < DEVIATION
            return
    with pytest.raises(ConfigError, match=f"tile=20 does not go with skip={skip}"):
        small(skip=skip, tile=20)


def test_tiled_export() -> None:
    network, image = small(tile=20), torch.randn(1, 3, 40, 25)
    exported = torch.export.export(network, (image,))
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(image), network(image))


def test_sizes_that_are_computed() -> None:
    assert [SIZES.output_for(size) for size in (1, 4, 5, 20, 256, 388, 389, 512)] == [4, 4, 20, 20, 260, 388, 404, 516]
