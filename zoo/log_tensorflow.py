"""TensorBoard's files, written by TensorFlow: a run of training and one of validation, whose curves share charts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from contract.tensors import Array

PROFILED = 3  # batches


class Log:
    """The log of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._runs = {name: tf.summary.create_file_writer(str(folder / name)) for name in ("train", "validation")}

    def figures(self, epoch: int, **runs: Mapping[str, float]) -> None:
        """Scalars of an epoch: ``figures(1, train={...}, validation={...})``, under the names that Keras gives them."""
        for run, figures in runs.items():
            with self._runs[run].as_default(step=epoch):
                for name, value in figures.items():
                    tf.summary.scalar(f"epoch_{name}", value)

    def weights(self, epoch: int, weights: Mapping[str, Array]) -> None:
        """Histograms of the variables."""
        with self._runs["train"].as_default(step=epoch):
            for name, value in weights.items():
                tf.summary.histogram(name, value)

    def graph(self, function: Any, inputs: Array) -> None:
        """The graph of a tf.function, and a profile of a few calls."""
        with self._runs["train"].as_default(step=0):
            tf.summary.graph(function.get_concrete_function(tf.constant(inputs)).graph)
        with tf.profiler.experimental.Profile(str(self.folder / "train")):
            for _ in range(PROFILED):
                function(tf.constant(inputs))

    def text(self, tag: str, markdown: str) -> None:
        with self._runs["train"].as_default(step=0):
            tf.summary.text(tag, markdown)

    def image(self, tag: str, image: Array) -> None:
        with self._runs["train"].as_default(step=0):
            tf.summary.image(tag, image[None])

    def close(self) -> None:
        for writer in self._runs.values():
            writer.close()
