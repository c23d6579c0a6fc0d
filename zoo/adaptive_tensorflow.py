"""The network that decides itself how long it thinks, in plain TensorFlow: adaptive computation time (Graves, 2016).

The loop is a Python ``while`` over a tensor: eager, it runs as it stands; inside a tf.function, AutoGraph makes a
tf.while_loop of it.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.vocabulary import PADDING, SIZE

LIMIT = 10  # most steps
EPSILON = 0.01  # a row halts when less than this is missing to one
PONDER = 0.006  # price of a step, in units of the loss
RELUCTANCE = -2.0  # the halting unit's first bias: a network that starts by thinking long learns when it need not
DROPOUT = 0.4


class AdaptiveModule(tf.Module):
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__(name="adaptive_tensorflow")
        self.embedding = tf.Variable(tf.random.normal([SIZE, width], stddev=0.1), name="embedding")
        self.cell_kernel = tf.Variable(tf.random.normal([2 * width, width], stddev=0.1), name="cell_kernel")
        self.cell_bias = tf.Variable(tf.zeros([width]), name="cell_bias")
        self.halt_kernel = tf.Variable(tf.random.normal([width, 1], stddev=0.1), name="halt_kernel")
        self.halt_bias = tf.Variable(tf.fill([1], RELUCTANCE), name="halt_bias")
        self.output_kernel = tf.Variable(tf.random.normal([width, 2], stddev=0.1), name="output_kernel")
        self.output_bias = tf.Variable(tf.zeros([2]), name="output_bias")

    def __call__(self, tokens: Any) -> Any:
        return self.ponder(self.read(tokens))[0]

    def read(self, tokens: Any) -> Any:
        """The mean of the words' embeddings [batch, width]; padding has no say in it."""
        mask = tf.cast(tf.not_equal(tokens, PADDING), tf.float32)[:, :, tf.newaxis]
        total = tf.reduce_sum(tf.gather(self.embedding, tokens) * mask, axis=1)
        return total / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)

    def ponder(self, text: Any) -> tuple[Any, Any, Any]:
        """Logits [batch, 2], steps [batch] and the probability [batch] that was left at the last step."""
        state = tf.zeros_like(text)
        thought = tf.zeros_like(text)
        halted = tf.zeros_like(text[:, 0])
        steps = tf.zeros_like(halted)
        rest = tf.ones_like(halted)
        running = halted < 1 - EPSILON
        step = tf.constant(0)
        while tf.reduce_any(running) and step < LIMIT:
            step += 1
            state = tf.tanh(tf.concat([state, text], axis=1) @ self.cell_kernel + self.cell_bias)
            probability = tf.sigmoid(state @ self.halt_kernel + self.halt_bias)[:, 0]
            ends = tf.logical_or(halted + probability >= 1 - EPSILON, step == LIMIT)
            weight = tf.where(ends, 1 - halted, probability) * tf.cast(running, tf.float32)
            thought += weight[:, tf.newaxis] * state
            rest = tf.where(tf.logical_and(running, ends), 1 - halted, rest)
            steps += tf.cast(running, tf.float32)
            halted += weight
            running = tf.logical_and(running, tf.logical_not(ends))
        return thought @ self.output_kernel + self.output_bias, steps, rest


def loss(module: AdaptiveModule, tokens: Any, classes: Any) -> tuple[Any, Any]:
    """Cross entropy and the price of thinking, and the logits; dropout is a matter of training only."""
    logits, steps, rest = module.ponder(tf.nn.dropout(module.read(tokens), DROPOUT))
    cost = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
    return tf.reduce_mean(cost + PONDER * (steps + rest)), logits


def build() -> AdaptiveModule:
    """The module with random weights of the right shapes: what models.toml names as the source."""
    return AdaptiveModule()
