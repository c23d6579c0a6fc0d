"""Make one model of the zoo in a folder of its own: what a child process runs, one framework per process."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from contract.errors import UsageError, nearest
from contract.files import write_json
from contract.golden import write_examples
from contract.machine import versions
from contract.table import choose
from contract.validation import write_validation
from zoo.card import CARD, Card
from zoo.recipes import RECIPES, TRAINERS, Recipe

PACKAGES = ("torch", "torchvision", "tensorflow", "keras", "tensorboard", "safetensors", "numpy")


def recipe(name: str) -> Recipe:
    """The row of a model; an unknown name lists the known ones."""
    if name not in RECIPES:
        raise UsageError(f"the zoo has no '{name}': one of {', '.join(RECIPES)}{nearest(name, list(RECIPES))}")
    return RECIPES[name]


def train(name: str, out: Path, cache: Path) -> Card:
    """Make ``name`` in ``out``; card.json is written last."""
    chosen = recipe(name)
    trainer = choose(TRAINERS, chosen.trainer, "trainer")
    trainer.settle(chosen.plan.seed)  # first: TensorFlow takes no threads away once it has computed something
    lesson = chosen.subject.lesson(cache)
    out.mkdir(parents=True, exist_ok=True)
    (out / CARD).unlink(missing_ok=True)
    shutil.rmtree(out / "tensorboard", ignore_errors=True)
    started, worked = time.monotonic(), time.process_time()
    trainer.train(name, chosen.plan, lesson, out)
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - worked
    accuracy = float((trainer.predict(name, chosen.plan, out, lesson.test.inputs) == lesson.test.labels).mean())
    baseline = lesson.majority_baseline
    if accuracy <= baseline:
        raise UsageError(f"{name} learned nothing: accuracy {accuracy:.3f}, majority baseline {baseline:.3f}")
    for file, document in lesson.documents.items():
        write_json(out / file, document)
    write_examples(out / "examples.npz", lesson.examples)
    if lesson.proof_rows:
        proof = lesson.test.head(lesson.proof_rows)
        write_validation(out / "validation.npz", proof.inputs, proof.labels)
    card = Card(
        schema_version=1,
        model=name,
        about=lesson.about,
        note=chosen.note,
        accuracy=round(accuracy, 4),
        majority_baseline=round(baseline, 4),
        test_rows=len(lesson.test.labels),
        train_rows=len(lesson.train.labels),
        data_sha256=lesson.data_sha256,
        seed=chosen.plan.seed,
        seconds=round(seconds, 1),
        cpu_seconds=round(cpu_seconds, 1),
        versions=versions([package for package in PACKAGES if package in sys.modules]),
    )
    write_json(out / CARD, card)
    return card
