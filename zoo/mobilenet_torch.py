"""MobileNetV3-small out of torchvision, for handwritten digits.

Its pre-trained ImageNet weights are downloaded from a web server and in no package of the registry, so it starts from
seeded weights and is trained here. The architecture and the preprocessing with torchvision's transforms are the real
ones.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import mobilenet_v3_small

MOMENTUM = 0.1  # of batch normalisation: torchvision's 0.01 is made for many more steps than are taken here


class MobileNet(nn.Module):
    """Pixels [batch, 3, 64, 64] float32, normalised -> logits [batch, 10] float32.

    Only there to name the input: Triton matches inputs by the names of forward's arguments, and torchvision's is ``x``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = mobilenet_v3_small(weights=None, num_classes=10)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(pixels)
        return logits


def build() -> MobileNet:
    """The network without its weights: what models.toml names as the source."""
    return MobileNet()
