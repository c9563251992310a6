"""Losses: hand-computed values, what an image without foreground costs and teaches, ignored pixels, precision."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from medseg.data.labels import IGNORE_INDEX
from medseg.errors import ConfigError
from medseg.training.losses import (
    BCEDiceLoss,
    CEDiceLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    LovaszLoss,
    TverskyLoss,
    WeightedCrossEntropyLoss,
)

ALL: dict[str, Any] = {
    "ce": CrossEntropyLoss,
    "weighted_ce": WeightedCrossEntropyLoss,
    "ce_dice": CEDiceLoss,
    "dice": DiceLoss,
    "tversky": TverskyLoss,
    "bce_dice": BCEDiceLoss,
    "focal": FocalLoss,
    "lovasz": LovaszLoss,
}
each_loss = pytest.mark.parametrize("name", ALL)


def logits_of(p: Tensor) -> Tensor:
    """Two-class logits with the foreground probability `p`, N x H x W."""
    return torch.stack([torch.log1p(-p), torch.log(p)], dim=1)


def image(size: int, q: float) -> Tensor:
    return torch.full((1, size, size), q)


# One image of four pixels: the first two are foreground.
P = torch.tensor([[[0.9, 0.6], [0.2, 0.4]]])
MASK = torch.tensor([[[1, 1], [0, 0]]])
TP, FP, FN = 1.5, 0.6, 0.5
TN = 1.4
CE = -(math.log(0.9) + math.log(0.6) + math.log(0.8) + math.log(0.6)) / 4


def test_values_by_hand() -> None:
    z = logits_of(P)
    dice = 1 - 2 * TP / (2 * TP + FP + FN)
    dice_background = 1 - 2 * TN / (2 * TN + FP + FN)
    assert CrossEntropyLoss()(z, MASK).item() == pytest.approx(CE)
    assert DiceLoss(include_background=False)(z, MASK).item() == pytest.approx(dice)
    assert DiceLoss()(z, MASK).item() == pytest.approx((dice + dice_background) / 2)
    both = CEDiceLoss(ce_weight=2, dice_weight=3)(z, MASK).item()
    assert both == pytest.approx(2 * CE + 3 * (dice + dice_background) / 2)
    tversky = 1 - TP / (TP + 0.2 * FP + 0.8 * FN)
    assert TverskyLoss(alpha=0.2, beta=0.8)(z, MASK).item() == pytest.approx(tversky)
    # The sigmoid of the logits' difference is the softmax probability, so the binary cross-entropy is CE.
    assert BCEDiceLoss()(z, MASK).item() == pytest.approx(0.5 * CE + dice)
    focal = -sum((1 - p) ** 2 * math.log(p) for p in (0.9, 0.6, 0.8, 0.6)) / 4
    assert FocalLoss(gamma=2)(z, MASK).item() == pytest.approx(focal)
    # Errors of the foreground sorted .4 .4 .2 .1, with truth 1 0 0 1 (either order of the tie): the IoU falls to
    # 1/2, 1/3, 1/4, 0. Of the background: the same errors, the other truth: IoU 2/3, 1/3, 0, 0 or as before.
    foreground = 0.4 / 2 + 0.4 / 6 + 0.2 / 12 + 0.1 / 4
    background = 0.4 / 3 + 0.4 / 3 + 0.2 / 3
    lovasz = LovaszLoss()(z, MASK).item()
    assert lovasz == pytest.approx((foreground + background) / 2, abs=1e-5)


def test_class_weights() -> None:
    z = logits_of(P)
    weighted = -(3 * (math.log(0.9) + math.log(0.6)) + math.log(0.8) + math.log(0.6)) / 8
    assert CrossEntropyLoss(class_weights=[1, 3])(z, MASK).item() == pytest.approx(weighted)
    torch.testing.assert_close(
        CrossEntropyLoss(class_weights=[1, 3])(z, MASK),
        torch.nn.functional.cross_entropy(z, MASK, weight=torch.tensor([1.0, 3.0])),
    )
    assert CEDiceLoss(class_weights=[1, 3]).state_dict() == {}
    with pytest.raises(ConfigError, match="3 numbers, but there are 2 classes"):
        CrossEntropyLoss(class_weights=[1, 2, 3])(z, MASK)


def test_weighted_cross_entropy_by_hand() -> None:
    z, loss = logits_of(P), WeightedCrossEntropyLoss()
    weight = torch.tensor([[[2.0, 5.0], [0.0, 0.5]]])
    expected = -(2 * math.log(0.9) + 5 * math.log(0.6) + 0.5 * math.log(0.6)) / 4
    assert loss(z, MASK, weight).item() == pytest.approx(expected), "the mean over pixels, not over weights"
    assert loss(z, MASK).item() == pytest.approx(CE), "without weights the plain one"
    torch.testing.assert_close(loss(z, MASK, torch.ones_like(weight)), CrossEntropyLoss()(z, MASK))
    ignored = torch.tensor([[[1, IGNORE_INDEX], [0, 0]]])
    expected = -(2 * math.log(0.9) + 0.5 * math.log(0.6)) / 3
    assert loss(z, ignored, weight).item() == pytest.approx(expected)
    nothing = loss(z.requires_grad_(), torch.full_like(MASK, IGNORE_INDEX), weight)
    nothing.backward()
    assert nothing.item() == 0
    assert not z.grad.any()


def test_weighted_cross_entropy_is_float32_under_autocast() -> None:
    torch.manual_seed(0)
    z, mask, weight = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8)), torch.rand(2, 8, 8) * 11
    with torch.autocast("cpu", torch.bfloat16):
        loss = WeightedCrossEntropyLoss()(z.bfloat16(), mask, weight)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, WeightedCrossEntropyLoss()(z.bfloat16().float(), mask, weight))


def test_focal_without_gamma_is_cross_entropy_and_focuses_with_it() -> None:
    torch.manual_seed(0)
    z, mask = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    torch.testing.assert_close(FocalLoss(gamma=0)(z, mask), torch.nn.functional.cross_entropy(z, mask))
    # A pixel that is certain costs nothing and has a finite gradient, at any gamma.
    sure = torch.tensor([0.0, 40.0]).view(1, 2, 1, 1).requires_grad_()
    loss = FocalLoss(gamma=0.5)(sure, torch.ones(1, 1, 1, dtype=torch.long))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_several_classes() -> None:
    torch.manual_seed(0)
    z, mask = torch.randn(2, 4, 9, 7), torch.randint(0, 4, (2, 9, 7))
    p = z.softmax(1)
    losses, binary = [], []
    for n in range(2):
        for c in range(4):
            g = (mask[n] == c).float()
            losses.append(1 - 2 * (p[n, c] * g).sum() / (p[n, c].sum() + g.sum()))
    for c in range(1, 4):
        g = (mask == c).float()
        binary.append(-(g * p[:, c].log() + (1 - g) * (1 - p[:, c]).log()).mean())
    per_class = torch.stack(losses).view(2, 4)
    torch.testing.assert_close(DiceLoss()(z, mask), per_class.mean())
    expected = 0.5 * torch.stack(binary).mean() + per_class[:, 1:].mean()
    torch.testing.assert_close(BCEDiceLoss()(z, mask), expected)


def test_tversky_with_equal_halves_is_dice() -> None:
    torch.manual_seed(0)
    z, mask = torch.randn(3, 3, 8, 8), torch.randint(0, 3, (3, 8, 8))
    mask[1] = 0
    same = TverskyLoss(alpha=0.5, beta=0.5, include_background=True, smooth=0.02)
    torch.testing.assert_close(same(z, mask), DiceLoss(smooth=0.02)(z, mask))


def test_dice_is_per_image_not_per_batch() -> None:
    torch.manual_seed(0)
    z, mask = torch.randn(3, 2, 8, 8), torch.randint(0, 2, (3, 8, 8))
    mask[1] = 0
    for loss in (DiceLoss(), TverskyLoss(), LovaszLoss()):
        one_by_one = torch.stack([loss(z[n : n + 1], mask[n : n + 1]) for n in range(3)])
        torch.testing.assert_close(loss(z, mask), one_by_one.mean())


# Images without foreground, at 256 x 256, with the probabilities that a softmax really gives.
EMPTY = torch.zeros(1, 256, 256, dtype=torch.long)


def cost_and_pull(loss: torch.nn.Module, p: Tensor, mask: Tensor) -> tuple[float, Tensor]:
    """The loss, and its gradient with respect to the foreground logit of every pixel."""
    z = logits_of(p).requires_grad_()
    value = loss(z, mask)
    (gradient,) = torch.autograd.grad(value, z)
    return value.item(), gradient[:, 1]


@pytest.mark.parametrize(
    ("q", "expected"), [(1e-4, 0.0099), (1e-3, 0.0909), (0.01, 0.5), (0.1, 0.9091), (0.5, 0.9804), (0.99, 0.99)]
)
def test_cost_of_an_image_without_foreground(q: float, expected: float) -> None:
    # q / (q + smooth): near 0 when nothing is predicted, although the probabilities still sum to 6 to 66 pixels.
    loss = DiceLoss(include_background=False)
    value, pull = cost_and_pull(loss, image(256, q), EMPTY)
    assert value == pytest.approx(expected, abs=2e-4)
    assert (pull > 0).all()
    # It is the mean probability that counts, so the size of the image does not.
    assert loss(logits_of(image(64, q)), EMPTY[:, :64, :64]).item() == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("q", [1e-3, 0.01, 0.1, 0.5, 0.9])
def test_false_positives_are_pulled_down_as_around_a_small_object(q: float) -> None:
    """The pull on false positives is that of an image with a found object of half of `smooth` of its area."""
    found = torch.zeros(1, 256, 256, dtype=torch.long)
    found[0, 0, :] = found[0, 1, :72] = 1  # 328 pixels, 0.5 % of the image
    p = image(256, q).masked_fill(found == 1, 1 - 1e-6)
    loss = DiceLoss(include_background=False)
    with_object = cost_and_pull(loss, p, found)
    without = cost_and_pull(loss, image(256, q), EMPTY)
    assert without[0] == pytest.approx(with_object[0], rel=0.02)
    assert without[1].mean().item() == pytest.approx(with_object[1][found == 0].mean().item(), rel=0.02)


@pytest.mark.parametrize("constant", [1.0, 1e-5])
def test_a_constant_smooth_would_not_do(constant: float) -> None:
    """Why `smooth` is a part of the image: the usual constants leave a perfect answer at the full cost."""
    q, pixels = 1e-3, 256 * 256
    assert 1 - constant / (q * pixels + constant) > 0.98
    value, pull = cost_and_pull(DiceLoss(include_background=False), image(256, q), EMPTY)
    usual_pull = constant / (q * pixels + constant) ** 2 * q * (1 - q)
    assert value < 0.1
    assert pull.mean().item() > 5 * usual_pull
    # And the released code's form, which is smooth = 0: a constant cost without any gradient.
    value, pull = cost_and_pull(DiceLoss(include_background=False, smooth=0), image(256, q), EMPTY)
    assert value == pytest.approx(1)
    assert pull.abs().max() == 0


@pytest.mark.parametrize(
    ("loss", "learns"),
    [
        (DiceLoss(), True),
        (DiceLoss(include_background=False), True),
        (TverskyLoss(), True),
        (CEDiceLoss(), True),
        (LovaszLoss(), True),
        (DiceLoss(include_background=False, smooth=0), False),
    ],
)
def test_training_removes_false_positives(loss: torch.nn.Module, learns: bool) -> None:
    """From a confident false object of 10 % of the image, the gradient leads to an empty prediction."""
    z = torch.zeros(1, 2, 32, 32)
    z[:, 0] = 3
    z[:, :, 4:14, 4:14] = torch.tensor([0.0, 3.0]).view(2, 1, 1)
    z.requires_grad_()
    mask = torch.zeros(1, 32, 32, dtype=torch.long)
    before = loss(z, mask).item()
    optimizer = torch.optim.Adam([z], lr=0.3)
    for _ in range(40):
        optimizer.zero_grad()
        loss(z, mask).backward()
        optimizer.step()
    assert (z.argmax(1) == 0).all().item() == learns
    assert (loss(z, mask).item() < 0.1 * before) == learns


def test_an_object_of_one_pixel_is_not_smoothed_away() -> None:
    mask = EMPTY.clone()
    mask[0, 5, 5] = 1
    missed = DiceLoss(include_background=False)(logits_of(image(256, 1e-4)), mask).item()
    found = image(256, 1e-6)
    found[0, 5, 5] = 0.999
    assert missed > 0.999
    assert DiceLoss(include_background=False)(logits_of(found), mask).item() < 0.05


@each_loss
def test_perfect_is_free_and_wrong_is_not(name: str) -> None:
    torch.manual_seed(0)
    mask = torch.randint(0, 3, (2, 16, 16))
    perfect = 30.0 * torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2)
    loss = ALL[name]()
    assert loss(perfect, mask).item() == pytest.approx(0, abs=1e-5)
    assert loss(perfect.roll(1, dims=1), mask).item() > 0.8


@each_loss
def test_ignored_pixels_count_nowhere(name: str) -> None:
    torch.manual_seed(0)
    mask = torch.randint(0, 3, (2, 8, 8))
    z = torch.randn(2, 3, 8, 8)
    padded, padded_mask = torch.randn(2, 3, 11, 10), torch.full((2, 11, 10), 255)
    padded[:, :, :8, :8], padded_mask[:, :8, :8] = z, mask
    padded.requires_grad_()
    loss = ALL[name]()
    value = loss(padded, padded_mask)
    torch.testing.assert_close(value, loss(z, mask))
    value.backward()
    assert padded.grad is not None
    assert padded.grad[:, :, 8:].abs().max() == 0
    assert padded.grad[:, :, :8, :8].abs().max() > 0


@each_loss
def test_wholly_ignored_images(name: str) -> None:
    torch.manual_seed(0)
    z, mask = torch.randn(3, 2, 8, 8), torch.randint(0, 2, (3, 8, 8))
    mask[1] = 255
    loss = ALL[name]()
    torch.testing.assert_close(loss(z, mask), loss(z[[0, 2]], mask[[0, 2]]))
    nothing = z.clone().requires_grad_()
    value = loss(nothing, torch.full_like(mask, 255))
    value.backward()
    assert value.item() == 0
    assert nothing.grad is not None
    assert nothing.grad.abs().max() == 0


@each_loss
def test_float32_under_autocast_and_gradients_back_in_bf16(name: str) -> None:
    torch.manual_seed(0)
    z, mask = torch.randn(2, 2, 64, 64).bfloat16().requires_grad_(), torch.randint(0, 2, (2, 64, 64))
    loss = ALL[name]()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(z, mask)
    assert value.dtype == torch.float32
    assert value.shape == ()
    torch.testing.assert_close(value, loss(z.detach().float(), mask))
    value.backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


@each_loss
@pytest.mark.parametrize("scale", [1e-3, 100.0, 1e4])
def test_extreme_logits_give_finite_gradients(name: str, scale: float) -> None:
    torch.manual_seed(0)
    z, mask = (scale * torch.randn(2, 3, 16, 16)).requires_grad_(), torch.randint(0, 3, (2, 16, 16))
    mask[1] = 0
    value = ALL[name]()(z, mask)
    value.backward()
    assert value.isfinite()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_lovasz_of_an_image_without_foreground_is_the_mean_foreground_probability() -> None:
    torch.manual_seed(0)
    p = torch.rand(1, 16, 16)
    value = LovaszLoss()(logits_of(p), torch.zeros(1, 16, 16, dtype=torch.long))
    torch.testing.assert_close(value, p.mean())


def test_negative_costs_are_refused() -> None:
    with pytest.raises(ConfigError, match="alpha is -1; it must be a number from 0"):
        TverskyLoss(alpha=-1)


def test_the_slow_library_is_not_imported_at_start_up() -> None:
    code = "import sys, medseg.training.losses; sys.exit('segmentation_models_pytorch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
