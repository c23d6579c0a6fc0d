"""A network in a module of its own, as a pickled file needs it."""

from __future__ import annotations

import torch


class Regression(torch.nn.Module):
    """Features [batch, 4] -> score [batch, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(4, 16)
        self.output = torch.nn.Linear(16, 2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        score: torch.Tensor = self.output(torch.tanh(self.hidden(features)))
        return score
