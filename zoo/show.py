"""What a person looks at in TensorBoard besides curves: the model, cases with its answers, where it errs."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from contract.files import write_text
from contract.progress import say
from contract.tensors import Array
from zoo.lesson import Labels, Lesson

SAMPLES = 20
CELL = 24  # pixels of one cell of the confusion matrix
PROJECTED = 2000  # rows of an embedding that go to the projector


class Log(Protocol):
    """What writes TensorBoard's files, in either framework."""

    def text(self, tag: str, markdown: str) -> None:
        """A text."""

    def image(self, tag: str, image: Array) -> None:
        """A picture [height, width, 1] uint8."""


def narrate(name: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
    """One line per epoch: the loss of training, the accuracy on the validation part."""
    say(f"{name} epoch {epoch}/{epochs}: loss {loss:.3f}, validation accuracy {accuracy:.3f}")


def show(log: Log, name: str, lesson: Lesson, answers: Labels) -> None:
    """Log what the model is and how it answers the test part."""
    right = float((answers == lesson.test.labels).mean())
    log.text("model", f"**{name}**: {lesson.about} Right on {right:.1%} of {len(answers)} test rows.")
    log.image("confusion", confusion(lesson.test.labels, answers, len(lesson.classes)))
    if lesson.texts:
        log.text("samples", samples(lesson, answers))
    if lesson.images is not None:
        log.image("digits", strip(lesson.images[:SAMPLES]))
        said = " ".join(lesson.classes[answer] for answer in answers[:SAMPLES])
        log.text("samples", f"The digits of the picture 'digits', as the model reads them: {said}")


def samples(lesson: Lesson, answers: Labels) -> str:
    """A table of test sentences, what people said and what the model says."""
    lines = ["| sentence | people | model |", "|---|---|---|"]
    for text, label, answer in list(zip(lesson.texts, lesson.test.labels, answers, strict=True))[:SAMPLES]:
        lines.append(f"| {text.replace('|', '/')} | {lesson.classes[label]} | {lesson.classes[answer]} |")
    return "\n".join(lines)


def confusion(labels: Labels, answers: Labels, classes: int) -> Array:
    """How often a class (row) got an answer (column), as a picture: white is every case of the class."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, answers), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    grey = (shares * 255).round().astype(np.uint8)
    picture: Array = np.kron(grey, np.ones((CELL, CELL), dtype=np.uint8))[..., np.newaxis]
    return picture


def strip(images: Array) -> Array:
    """Pictures [rows, height, width] in a row."""
    joined: Array = np.concatenate(list(images), axis=1)
    return joined[..., np.newaxis]


def project(folder: Path, vectors: Array, names: list[str]) -> None:
    """Write vectors [rows, width] and a name for each, as TensorBoard's projector reads them."""
    kept, labels = vectors[:PROJECTED], names[:PROJECTED]
    write_text(folder / "embedding.tsv", "\n".join("\t".join(f"{x:.4g}" for x in row) for row in kept) + "\n")
    write_text(folder / "names.tsv", "\n".join(" ".join(label.split()) for label in labels) + "\n")
    write_text(
        folder / "projector_config.pbtxt",
        'embeddings {\n  tensor_name: "embedding"\n  tensor_path: "embedding.tsv"\n  metadata_path: "names.tsv"\n}\n',
    )
