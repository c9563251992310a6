"""A loss: generalised cross-entropy, which wrong labels disturb less."""

from __future__ import annotations

from torch import Tensor, nn


class GeneralisedCrossEntropy(nn.Module):
    """Mean over pixels of (1 - p^q) / q, p the probability of the true class.

    Zhang and Sabuncu 2018, arXiv:1805.07836.

    Args:
        q: from 0 (cross-entropy) to 1 (mean absolute error).
    """

    def __init__(self, q: float = 0.7) -> None:
        super().__init__()
        self.q = q

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: N x classes x H x W.
            mask: class maps, N x H x W; pixels of 255 are ignored.
        """
        valid = mask != 255
        true = mask.masked_fill(~valid, 0).long()[:, None]
        probability = logits.float().softmax(1).gather(1, true)[:, 0]
        loss = (1 - probability.clamp(min=1e-6) ** self.q) / self.q
        return loss[valid].mean()
