"""The small network in PyTorch: embedding, masked average pooling, dense; a subclass of nn.Module."""

from __future__ import annotations

import torch
from torch import nn

from zoo.embedding_torch import embedding
from zoo.pooling_torch import masked_mean
from zoo.vocabulary import PADDING


class SentimentNet(nn.Module):
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""

    def __init__(self, width: int = 48, hidden: int = 32) -> None:
        super().__init__()
        self.padding = PADDING  # an attribute, so that torch.jit.script can see it
        self.embedding = embedding(width)
        self.dropout = nn.Dropout(0.4)
        self.hidden = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        pooled = masked_mean(self.embedding(tokens), tokens != self.padding)
        logits: torch.Tensor = self.output(torch.relu(self.hidden(self.dropout(pooled))))
        return logits


def build() -> SentimentNet:
    """The network without its weights: what models.toml names as the source."""
    return SentimentNet()
