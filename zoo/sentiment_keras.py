"""The small network in Keras: the functional API. The embedding's mask excludes padding."""

from __future__ import annotations

import keras

from zoo.vocabulary import SIZE


def build(width: int = 48, hidden: int = 32) -> keras.Model:
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""
    tokens = keras.Input(shape=(None,), dtype="int64", name="tokens")
    embedded = keras.layers.Embedding(SIZE, width, mask_zero=True, name="embedding")(tokens)
    pooled = keras.layers.GlobalAveragePooling1D(name="pooling")(embedded)
    dropped = keras.layers.Dropout(0.4, name="dropout")(pooled)
    activated = keras.layers.Dense(hidden, activation="relu", name="hidden")(dropped)
    logits = keras.layers.Dense(2, name="logits")(activated)
    return keras.Model(tokens, logits, name="sentiment_keras")
