"""The small sentiment network once more, as an nn.Sequential: modules in a row, no forward of its own.

The argument of nn.Sequential's forward is called ``input``, and so is the tensor of this model.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from zoo.embedding_torch import embedding
from zoo.pooling_torch import masked_mean
from zoo.vocabulary import PADDING


class MeanEmbedding(nn.Module):
    """Tokens [batch, length] -> the mean of their embeddings [batch, width], padding left out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.padding = PADDING  # an attribute, so that torch.jit.script can see it
        self.embedding = embedding(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return masked_mean(self.embedding(tokens), tokens != self.padding)


def build(width: int = 48, hidden: int = 32) -> nn.Sequential:
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32; what models.toml names as the source."""
    return nn.Sequential(
        OrderedDict(
            pooling=MeanEmbedding(width),
            dropout=nn.Dropout(0.4),
            hidden=nn.Linear(width, hidden),
            activation=nn.ReLU(),
            output=nn.Linear(hidden, 2),
        )
    )
