"""Train a plain TensorFlow model of the zoo: a tape, gradients and a loop of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from contract.table import load
from contract.tensors import Array, Tensors
from zoo.lesson import Labels, Lesson, Rows
from zoo.log_tensorflow import Log
from zoo.plan import Plan
from zoo.show import narrate, project, show
from zoo.trainer_keras import settle as settle  # the same for both

AT_ONCE = 256  # rows of a batch that is not trained on


def train(name: str, plan: Plan, lesson: Lesson, out: Path) -> None:
    """Train, keep the epoch that does best on the validation part, write its variables and the log."""
    module = load(f"zoo.{name}:build")()
    loss = load(f"zoo.{name}:loss")
    optimizer = keras.optimizers.AdamW(plan.rate, weight_decay=plan.decay)
    optimizer.build(module.trainable_variables)

    @tf.function(reduce_retracing=True)
    def step(inputs: Any, classes: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            cost, logits = loss(module, inputs, classes)
        optimizer.apply(tape.gradient(cost, module.trainable_variables), module.trainable_variables)
        return cost, tf.reduce_sum(tf.cast(tf.equal(tf.argmax(logits, axis=1), classes), tf.int64))

    log = Log(out / "tensorboard")
    order = np.random.default_rng(plan.seed)
    best = -1.0
    for epoch in range(1, plan.epochs + 1):
        done = [step(*batch) for batch in _batches(lesson, order, plan.batch)]
        learned = {
            "loss": float(np.mean([cost for cost, _ in done])),
            "accuracy": int(sum(right for _, right in done)) / len(lesson.train.labels),
        }
        checked = _check(module, lesson.validation)
        log.figures(epoch, train=learned, validation=checked)
        log.weights(epoch, variables(module))
        narrate(name, epoch, plan.epochs, learned["loss"], checked["accuracy"])
        if checked["accuracy"] > best:
            best = checked["accuracy"]
            save_file(variables(module), out / plan.weights)
    _finish(name, restore(name, out / plan.weights), lesson, log)


def predict(name: str, plan: Plan, out: Path, inputs: Tensors) -> Labels:
    """The classes that the variables on disk give."""
    (only,) = inputs.values()
    classes: Labels = _logits(restore(name, out / plan.weights), only).argmax(axis=1)
    return classes


def variables(module: Any) -> dict[str, Array]:
    """The values of a module's variables under the names of its attributes."""
    return {name: value.numpy() for name, value in vars(module).items() if isinstance(value, tf.Variable)}


def restore(name: str, weights: Path) -> Any:
    """The trained module."""
    module = load(f"zoo.{name}:build")()
    for attribute, value in load_file(weights).items():
        getattr(module, attribute).assign(value)
    return module


def _batches(lesson: Lesson, order: np.random.Generator, size: int) -> Iterator[tuple[Any, Any]]:
    shuffled = order.permutation(len(lesson.train.labels))
    for start in range(0, len(shuffled), size):
        rows = shuffled[start : start + size]
        batch = lesson.train.only[rows]
        if lesson.padding is not None:
            batch = batch[:, : int((batch != lesson.padding).sum(axis=1).max())]
        yield tf.constant(batch), tf.constant(lesson.train.labels[rows])


def _logits(module: Any, inputs: Array) -> Array:
    batches = (inputs[start : start + AT_ONCE] for start in range(0, len(inputs), AT_ONCE))
    return np.concatenate([module(tf.constant(batch)).numpy() for batch in batches])


def _check(module: Any, rows: Rows) -> dict[str, float]:
    logits = _logits(module, rows.only)
    cost = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=rows.labels, logits=logits)
    return {
        "loss": float(tf.reduce_mean(cost)),
        "accuracy": float((logits.argmax(axis=1) == rows.labels).mean()),
    }


def _finish(name: str, module: Any, lesson: Lesson, log: Log) -> None:
    log.graph(tf.function(module.__call__), lesson.test.only[:8])
    show(log, name, lesson, _logits(module, lesson.test.only).argmax(axis=1))
    project(log.folder / "train", module.embedding.numpy(), list(lesson.words))
    log.close()
