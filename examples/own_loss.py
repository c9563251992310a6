"""A loss of one's own: generalised cross-entropy, which is less drawn to wrong labels."""

from __future__ import annotations

from torch import Tensor, nn


class GeneralisedCrossEntropy(nn.Module):
    """(1 - p^q) / q of the true class's probability p, mean over pixels (Zhang and Sabuncu, arXiv:1805.07836).

    Args:
        q: between 0, where it is the cross-entropy, and 1, where it is the mean absolute error.
    """

    def __init__(self, q: float = 0.7) -> None:
        super().__init__()
        self.q = q

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of logits N x classes x H x W against class maps N x H x W; 255 is ignored."""
        valid = mask != 255
        true = mask.masked_fill(~valid, 0)
        probability = logits.float().softmax(1).gather(1, true[:, None].long())[:, 0]
        return ((1 - probability.clamp(min=1e-6) ** self.q) / self.q)[valid].mean()
