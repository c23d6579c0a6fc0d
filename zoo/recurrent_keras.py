"""The recurrent network in Keras: embedding, LSTM, the output at the last word, dense.

The embedding gives no mask: with one, the LSTM's loop carries it through every step. The output at the last word is
picked by comparing step numbers with the text's length, in operations that a `.keras` file can hold without code.
"""

from __future__ import annotations

import keras

from zoo.vocabulary import PADDING, SIZE


def build(width: int = 32, hidden: int = 32) -> keras.Model:
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""
    tokens = keras.Input(shape=(None,), dtype="int64", name="tokens")
    embedded = keras.layers.Embedding(SIZE, width, name="embedding")(tokens)
    dropped = keras.layers.Dropout(0.4, name="dropout")(embedded)
    states = keras.layers.LSTM(hidden, return_sequences=True, use_cudnn=False, name="lstm")(dropped)
    words = keras.ops.sum(keras.ops.cast(keras.ops.not_equal(tokens, PADDING), "int64"), axis=1, keepdims=True)
    step = keras.ops.cumsum(keras.ops.ones_like(tokens), axis=1)
    last = keras.ops.cast(keras.ops.equal(step, keras.ops.maximum(words, 1)), "float32")
    state = keras.ops.sum(states * keras.ops.expand_dims(last, -1), axis=1)
    logits = keras.layers.Dense(2, name="logits")(state)
    return keras.Model(tokens, logits, name="recurrent_keras")
