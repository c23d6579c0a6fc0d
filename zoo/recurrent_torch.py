"""A recurrent network in PyTorch: embedding, LSTM, the output at the last word, dense.

The sequence is not packed, which exporters refuse. It need not be: an LSTM that reads from left to right has not seen
the padding yet when it stands on the last word.
"""

from __future__ import annotations

import torch
from torch import nn

from zoo.embedding_torch import embedding
from zoo.vocabulary import PADDING


class RecurrentNet(nn.Module):
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""

    def __init__(self, width: int = 32, hidden: int = 32) -> None:
        super().__init__()
        self.padding = PADDING  # an attribute, so that torch.jit.script can see it
        self.embedding = embedding(width)
        self.dropout = nn.Dropout(0.4)
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.output = nn.Linear(hidden, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.dropout(self.embedding(tokens)))
        last = (tokens != self.padding).sum(dim=1).clamp(min=1) - 1
        index = last.view(-1, 1, 1).expand(-1, 1, states.size(2))
        logits: torch.Tensor = self.output(states.gather(1, index).squeeze(1))
        return logits


def build() -> RecurrentNet:
    """The network without its weights: what models.toml names as the source."""
    return RecurrentNet()
