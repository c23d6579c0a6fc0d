"""A model that nobody can export: it answers differently every time, so no export can agree with it."""

from __future__ import annotations

import torch
from torch import nn


class Fickle(nn.Module):
    """Adds noise even when it is told not to train."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.linear(values)
        return result + torch.rand_like(result)


def build() -> nn.Module:
    return Fickle()
