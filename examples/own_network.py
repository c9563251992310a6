"""A network: dilated convolutions at full resolution, no pooling."""

from __future__ import annotations

from torch import Tensor, nn


class DilatedNet(nn.Module):
    """Convolutions whose dilation doubles from one to the next.

    N x in_channels x H x W -> N x num_classes x H x W.

    Args:
        in_channels, num_classes: of the data; the YAML hands them on.
        width: channels.
        dilations: of each convolution.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: int = 24,
        dilations: tuple[int, ...] = (1, 2, 4, 8, 16),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for dilation in dilations:
            layers += [
                nn.Conv2d(
                    in_channels,
                    width,
                    3,
                    padding=dilation,
                    dilation=dilation,
                    bias=False,
                ),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            in_channels = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image))
