"""The embedding of words that the PyTorch text models share."""

from __future__ import annotations

from torch import nn

from zoo.vocabulary import PADDING, SIZE

SPREAD = 0.1  # of the first values: PyTorch's own 1.0 drowns what few epochs can learn


def embedding(width: int) -> nn.Embedding:
    """One vector per word of the vocabulary; that of padding stays zero."""
    words = nn.Embedding(SIZE, width, padding_idx=PADDING)
    nn.init.normal_(words.weight, std=SPREAD)
    nn.init.zeros_(words.weight[PADDING])
    return words
