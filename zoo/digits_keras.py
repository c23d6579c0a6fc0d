"""The small convolutional network for handwritten digits, in Keras: channels last, as TensorFlow wants them."""

from __future__ import annotations

import keras


def build(channels: int = 16) -> keras.Model:
    """Pixels [batch, 28, 28, 1] float32 from 0 to 1 -> logits [batch, 10] float32."""
    pixels = keras.Input(shape=(28, 28, 1), dtype="float32", name="pixels")
    first = keras.layers.Conv2D(channels, 3, padding="same", activation="relu", name="first")(pixels)
    half = keras.layers.MaxPooling2D(2, name="half")(first)
    second = keras.layers.Conv2D(2 * channels, 3, padding="same", activation="relu", name="second")(half)
    quarter = keras.layers.MaxPooling2D(2, name="quarter")(second)
    dropped = keras.layers.Dropout(0.4, name="dropout")(keras.layers.Flatten(name="flat")(quarter))
    logits = keras.layers.Dense(10, name="logits")(dropped)
    return keras.Model(pixels, logits, name="digits_keras")
