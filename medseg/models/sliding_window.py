"""The sliding-window patch classifier that U-Net replaced.

It was the best of the ISBI 2012 challenge before U-Net, whose paper finds it slow, since the network runs for every
window by itself and neighbouring windows overlap. One 256 x 256 image costs 8,812 GMAC by windows, 134.5 MMAC each, and
19.65 GMAC by one dense pass: 449 times less.

The dense pass is the same function (Giusti et al., "Fast Image Scanning with Deep Max-Pooling Convolutional Neural
Networks", 2013, arXiv:1302.1700; here by dilated convolutions), so that this network can be trained and compared like
the others; both forms agree for every pixel.

No code was released. The layers are those of N4, the paper's largest network, as a later implementation lists them: a
95 x 95 window; 4x4, 5x5, 4x4 and 4x4 convolutions of 48 maps, each followed by 2x2 max pooling; 200 neurons; the
classes. Assumed, for want of a source: ReLU as the activation, and mirrored borders. Left out: the calibration of the
probabilities. A loss over our logits sees every pixel of an image, where the paper trains on single windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medseg.errors import ConfigError
from medseg.models.facts import NetworkFacts
from medseg.models.layers import check_choice, check_size, is_open
from medseg.models.mirror import mirror_pad

MODES = ("dense", "patches")
"""How the windows are classified: all in one pass, or one by one."""

LAST_MAP = 3
"""Side of what is left of a window before the fully connected layer."""


class SlidingWindowNet(nn.Module):
    """A patch classifier at every pixel; maps N x in_channels x H x W to logits N x num_classes x H x W, any H and W.

    A window passes convolutions without borders, each followed by 2x2 max pooling and ReLU, then a fully connected
    layer with ReLU over the 3 x 3 values that are left of each map, then the classifier. `window` is its side, 95 by
    default; the pixel that it classifies is its (window // 2, window // 2). What of it lies beyond the image's border
    is mirrored.

    Args:
        in_channels: channels of the image.
        num_classes: number of classes, background included.
        base_channels: maps of every convolution.
        hidden_channels: neurons of the fully connected layer.
        kernel_sizes: of the convolutions; they decide on the window's size.
        mode: `dense`, all windows in one fully convolutional pass, or `patches`, every window cut out and classified.
        windows_per_pass: number of windows that `patches` classifies together: in evaluation its memory is theirs
            (the first maps of one window are 1.6 MB by default). Training keeps the features of all the windows.
    """

    facts = NetworkFacts(
        about="The sliding-window patch classifier that U-Net replaced: every pixel is classified from the window "
        "around it.",
        paper='Ciresan, Giusti, Gambardella, Schmidhuber, "Deep Neural Networks Segment Neuronal Membranes in Electron '
        'Microscopy Images", NIPS 2012',
        year=2012,
    )

    min_size = 1

    def __init__(
        self,
        *,
        in_channels: int = 3,
        num_classes: int = 2,
        base_channels: int = 48,
        hidden_channels: int = 200,
        kernel_sizes: Sequence[int] = (4, 5, 4, 4),
        mode: str = "dense",
        windows_per_pass: int = 128,
    ) -> None:
        super().__init__()
        check_choice("mode", mode, MODES)
        if len(kernel_sizes) == 0 or min(kernel_sizes) < 1:
            raise ConfigError(
                f"SlidingWindowNet's kernel_sizes are one or more numbers of at least 1, got {list(kernel_sizes)}"
            )
        if windows_per_pass < 1:
            raise ConfigError(f"SlidingWindowNet's windows_per_pass must be at least 1, got {windows_per_pass}")
        self.convolutions = nn.ModuleList(
            nn.Conv2d(base_channels if level else in_channels, base_channels, kernel)
            for level, kernel in enumerate(kernel_sizes)
        )
        self.hidden = nn.Conv2d(base_channels, hidden_channels, LAST_MAP)  # fully connected, of a window
        self.head = nn.Conv2d(hidden_channels, num_classes, 1)
        self.mode = mode
        self.windows_per_pass = windows_per_pass
        self.window = LAST_MAP
        for kernel in reversed(kernel_sizes):
            self.window = 2 * self.window + kernel - 1
        self._initialise()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits, N x num_classes x H x W."""
        check_size(self, image, self.min_size)
        before = self.window // 2
        after = self.window - 1 - before
        padded = mirror_pad(image, before, after, before, after)
        # A program for any size cannot have a step for each window; the dense pass gives the same logits.
        dense = self.mode == "dense" or any(map(is_open, image.shape[-2:]))
        return self._dense(padded) if dense else self._patches(padded)

    def classify(self, windows: Tensor) -> Tensor:
        """Return the logits of windows, N x in_channels x window x window -> N x num_classes."""
        x = windows
        for convolution in self.convolutions:
            # ReLU before the pooling would be the same, on four times as many values.
            x = F.relu(F.max_pool2d(convolution(x), 2))
        return self.head(F.relu(self.hidden(x))).flatten(1)

    def _dense(self, padded: Tensor) -> Tensor:
        """Return the logits of all windows of a padded image in one pass.

        Where a window is pooled in steps of two pixels, the image is pooled in steps of one. What are neighbours in
        the window's map are then twice as far apart in the image's, after every pooling: the kernels are dilated.
        """
        x = padded
        dilation = 1
        for convolution in cast("list[nn.Conv2d]", self.convolutions):
            x = F.conv2d(x, convolution.weight, convolution.bias, dilation=dilation)
            x = F.relu(F.max_pool2d(x, 2, stride=1, dilation=dilation))
            dilation *= 2
        x = F.conv2d(x, self.hidden.weight, self.hidden.bias, dilation=dilation)
        return self.head(F.relu(x))

    def _patches(self, padded: Tensor) -> Tensor:
        """Return the logits of all windows of a padded image, each cut out and classified."""
        windows = padded.unfold(2, self.window, 1).unfold(3, self.window, 1)  # N C H W window window, a view
        n, _, height, width = windows.shape[:4]
        pixels = n * height * width
        logits = []
        for start in range(0, pixels, self.windows_per_pass):
            part = torch.arange(start, min(start + self.windows_per_pass, pixels), device=padded.device)
            logits.append(self.classify(windows[part // (height * width), :, part // width % height, part % width]))
        return torch.cat(logits).view(n, height, width, -1).permute(0, 3, 1, 2)

    def _initialise(self) -> None:
        """Draw the weights as He et al. 2015 do for ReLU, normal with variance 2 / inputs, and no biases.

        The paper's distribution is not known. With PyTorch's default, and no norms to make up for it, the signal fades:
        the logits of 64 x 64 pixels of noise have a standard deviation of 0.003, with this one of 0.6 to 0.7.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
