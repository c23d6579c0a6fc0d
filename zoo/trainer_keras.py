"""Train a Keras model of the zoo with compile and fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from contract.table import load
from contract.tensors import Tensors
from zoo.lesson import Labels, Lesson
from zoo.log_tensorflow import Log
from zoo.plan import Plan
from zoo.show import narrate, project, show

PROFILED = (10, 12)  # first and last batch


class _Narrate(keras.callbacks.Callback):
    """One line per epoch."""

    def __init__(self, name: str, epochs: int) -> None:
        super().__init__()
        self._name, self._epochs = name, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        figures = logs or {}
        narrate(self._name, epoch + 1, self._epochs, figures["loss"], figures["val_accuracy"])


def settle(seed: int) -> None:
    """One thread and one order of sums: two models train at once, and the weights are the same every time."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(seed)


def train(name: str, plan: Plan, lesson: Lesson, out: Path) -> None:
    """Train, keep the epoch that does best on the validation part, write the model and the log."""
    model = load(f"zoo.{name}:build")()
    model.compile(
        optimizer=keras.optimizers.AdamW(plan.rate, weight_decay=plan.decay),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # compiling takes longer than it saves here
    )
    folder = out / "tensorboard"
    model.fit(
        lesson.train.only,
        lesson.train.labels,
        validation_data=(lesson.validation.only, lesson.validation.labels),
        epochs=plan.epochs,
        batch_size=plan.batch,
        verbose=0,
        callbacks=[
            _Narrate(name, plan.epochs),
            keras.callbacks.ModelCheckpoint(
                str(out / plan.weights),
                monitor="val_accuracy",
                save_best_only=True,
                save_weights_only=plan.weights.endswith(".weights.h5"),
            ),
            keras.callbacks.TensorBoard(str(folder), histogram_freq=1, write_graph=True, profile_batch=PROFILED),
        ],
    )
    _finish(name, restore(name, out / plan.weights), lesson, Log(folder))


def predict(name: str, plan: Plan, out: Path, inputs: Tensors) -> Labels:
    """The classes that the weights on disk give."""
    return _classes(restore(name, out / plan.weights), inputs)


def restore(name: str, weights: Path) -> Any:
    """The trained model, read back from its file."""
    if not weights.name.endswith(".weights.h5"):
        return keras.saving.load_model(weights, compile=False, safe_mode=True)
    model = load(f"zoo.{name}:build")()
    model.load_weights(weights)
    return model


def _classes(model: Any, inputs: Tensors) -> Labels:
    (only,) = inputs.values()
    classes: Labels = model.predict(only, verbose=0).argmax(axis=1)
    return classes


def _finish(name: str, model: Any, lesson: Lesson, log: Log) -> None:
    show(log, name, lesson, _classes(model, lesson.test.inputs))
    embedding = next((layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)), None)
    if embedding is not None:
        project(log.folder / "train", keras.ops.convert_to_numpy(embedding.embeddings), list(lesson.words))
    log.close()
