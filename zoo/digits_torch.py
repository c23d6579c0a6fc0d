"""A small convolutional network for handwritten digits, in PyTorch."""

from __future__ import annotations

import torch
from torch import nn


class DigitsNet(nn.Module):
    """Pixels [batch, 1, 28, 28] float32 from 0 to 1 -> logits [batch, 10] float32."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.4)
        self.output = nn.Linear(2 * channels * 7 * 7, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        half = self.pool(torch.relu(self.first(pixels)))
        quarter = self.pool(torch.relu(self.second(half)))
        logits: torch.Tensor = self.output(self.dropout(quarter.flatten(start_dim=1)))
        return logits


def build() -> DigitsNet:
    """The network without its weights: what models.toml names as the source."""
    return DigitsNet()
