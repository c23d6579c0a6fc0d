"""The small sentiment network once more, as a keras.Sequential: layers in a row."""

from __future__ import annotations

import keras

from zoo.vocabulary import SIZE


def build(width: int = 48, hidden: int = 32) -> keras.Sequential:
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""
    return keras.Sequential(
        [
            keras.Input(shape=(None,), dtype="int64", name="tokens"),
            keras.layers.Embedding(SIZE, width, mask_zero=True, name="embedding"),
            keras.layers.GlobalAveragePooling1D(name="pooling"),
            keras.layers.Dropout(0.4, name="dropout"),
            keras.layers.Dense(hidden, activation="relu", name="hidden"),
            keras.layers.Dense(2, name="logits"),
        ],
        name="sentiment_keras_sequential",
    )
