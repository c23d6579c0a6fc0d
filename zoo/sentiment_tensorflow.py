"""The small sentiment network once more, in plain TensorFlow: a tf.Module that holds its variables."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.vocabulary import PADDING, SIZE

DROPOUT = 0.4


class SentimentModule(tf.Module):
    """Tokens [batch, length] int64, 0 is padding -> logits [batch, 2] float32 (negative, positive)."""

    def __init__(self, width: int = 48, hidden: int = 32) -> None:
        super().__init__(name="sentiment_tensorflow")
        self.embedding = tf.Variable(tf.random.normal([SIZE, width], stddev=0.1), name="embedding")
        self.hidden_kernel = tf.Variable(tf.random.normal([width, hidden], stddev=width**-0.5), name="hidden_kernel")
        self.hidden_bias = tf.Variable(tf.zeros([hidden]), name="hidden_bias")
        self.output_kernel = tf.Variable(tf.random.normal([hidden, 2], stddev=hidden**-0.5), name="output_kernel")
        self.output_bias = tf.Variable(tf.zeros([2]), name="output_bias")

    def __call__(self, tokens: Any) -> Any:
        return self.classify(self.pool(tokens))

    def pool(self, tokens: Any) -> Any:
        """The mean of the words' embeddings [batch, width]; padding has no say in it."""
        mask = tf.cast(tf.not_equal(tokens, PADDING), tf.float32)[:, :, tf.newaxis]
        total = tf.reduce_sum(tf.gather(self.embedding, tokens) * mask, axis=1)
        return total / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)

    def classify(self, pooled: Any) -> Any:
        """Logits [batch, 2]."""
        activated = tf.nn.relu(pooled @ self.hidden_kernel + self.hidden_bias)
        return activated @ self.output_kernel + self.output_bias


def loss(module: SentimentModule, tokens: Any, classes: Any) -> tuple[Any, Any]:
    """Cross entropy, and the logits that it was made of; dropout is a matter of training only."""
    logits = module.classify(tf.nn.dropout(module.pool(tokens), DROPOUT))
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)), logits


def build() -> SentimentModule:
    """The module with random weights of the right shapes: what models.toml names as the source."""
    return SentimentModule()
