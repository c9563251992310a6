"""Mirrored borders: as numpy pads, at any size and any amount."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medseg.models.mirror import mirror_pad


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (7, 4), (20, 31)])
@pytest.mark.parametrize("amounts", [(0, 0, 0, 0), (1, 2, 3, 4), (47, 47, 47, 47), (0, 13, 29, 0)])
def test_it_is_numpys_reflection(size: tuple[int, int], amounts: tuple[int, int, int, int]) -> None:
    image = torch.randn(2, 3, *size)
    top, bottom, left, right = amounts
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (top, bottom), (left, right)), mode="reflect")
    padded = mirror_pad(image, top, bottom, left, right)
    assert np.array_equal(padded.numpy(), expected)
    # Other leading dimensions and other types: a mask of classes.
    mask = (10 * image[0, 0]).long()
    assert np.array_equal(
        mirror_pad(mask, *amounts).numpy(), np.pad(mask.numpy(), ((top, bottom), (left, right)), mode="reflect")
    )


def test_gradients_flow_back_to_every_copy_of_a_pixel() -> None:
    image = torch.zeros(1, 1, 2, 3, requires_grad=True)
    padded = mirror_pad(image, 3, 2, 4, 1)
    padded.sum().backward()
    # How often each pixel is seen, rows times columns: 1010101 and 012101210 -> 3, 4 and 2, 4, 3 times.
    rows = np.bincount(np.pad([0, 1], (3, 2), mode="reflect"))
    columns = np.bincount(np.pad([0, 1, 2], (4, 1), mode="reflect"))
    assert np.array_equal(image.grad.numpy()[0, 0], np.outer(rows, columns))
    torch.autograd.gradcheck(
        lambda x: mirror_pad(x, 3, 2, 4, 1), torch.randn(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    )


def test_it_can_be_traced() -> None:
    class Pad(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return mirror_pad(image, 5, 6, 7, 8)

    image = torch.randn(1, 2, 4, 3)
    assert torch.equal(torch.export.export(Pad(), (image,)).module()(image), Pad()(image))
    compiled = torch.compile(Pad(), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(image), Pad()(image))
