"""The small sentiment network once more, as a subclass of keras.Model with a call of its own.

A `.keras` file of it would need this class where it is read, so its weights are a file and this module's factory is
the source. It keeps to Keras's own operations: the same code runs on the backends TensorFlow and PyTorch.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from zoo.vocabulary import PADDING, SIZE


class SentimentModel(keras.Model):
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""

    def __init__(self, width: int = 48, hidden: int = 32) -> None:
        super().__init__(name="sentiment_keras_subclass")
        self.embedding = keras.layers.Embedding(SIZE, width, name="embedding")
        self.dropout = keras.layers.Dropout(0.4, name="dropout")
        self.hidden = keras.layers.Dense(hidden, activation="relu", name="hidden")
        self.logits = keras.layers.Dense(2, name="logits")

    def call(self, tokens: Any, training: bool = False) -> Any:
        mask = keras.ops.expand_dims(keras.ops.cast(keras.ops.not_equal(tokens, PADDING), "float32"), -1)
        total = keras.ops.sum(self.embedding(tokens) * mask, axis=1)
        pooled = total / keras.ops.maximum(keras.ops.sum(mask, axis=1), 1.0)
        return self.logits(self.hidden(self.dropout(pooled, training=training)))


def build() -> SentimentModel:
    """The model with random weights, built, so that its weights can be loaded: what models.toml names as the source."""
    model = SentimentModel()
    model(np.array([[1]], dtype=np.int64))
    return model
