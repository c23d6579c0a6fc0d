"""Train one model of the zoo into a folder of its own: what a child process runs, one framework per process."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from contract.errors import UsageError
from contract.files import write_json
from contract.machine import versions
from contract.table import choose
from zoo import data, examples, vocabulary
from zoo.card import CARD, Card
from zoo.data import Sentence
from zoo.vocabulary import Tokens, Vocabulary

MODELS = {
    "sentiment_torch": "zoo.sentiment_torch",
    "sentiment_keras": "zoo.sentiment_keras",
}
LONGEST = 64


def train(name: str, out: Path, cache: Path) -> Card:
    """Train ``name`` into ``out``; card.json is written last."""
    module = choose(MODELS, name, "model of the zoo")
    archive = data.fetch(cache)
    parts = data.split(data.read_sentences(archive))
    words = vocabulary.learn(parts["train"])
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    module.train(*_arrays(parts["train"], words), _arrays(parts["validation"], words), words.size, out)
    seconds = time.monotonic() - started
    accuracy = module.accuracy(out, *_arrays(parts["test"], words))
    baseline = data.majority_baseline(parts["test"])
    if accuracy <= baseline:
        raise UsageError(f"{name} learned nothing: accuracy {accuracy:.3f}, majority baseline {baseline:.3f}")
    words.write(out / "vocabulary.json")
    examples.write(out / "examples.npz", parts["test"], words)
    card = Card(
        schema_version=1,
        model=name,
        accuracy=round(accuracy, 4),
        majority_baseline=round(baseline, 4),
        test_sentences=len(parts["test"]),
        train_sentences=len(parts["train"]),
        vocabulary=words.size,
        data_sha256=data.SHA256,
        seed=module.SEED,
        seconds=round(seconds, 1),
        versions=versions(module.VERSIONS),
    )
    write_json(out / CARD, card)
    return card


def _arrays(sentences: list[Sentence], words: Vocabulary) -> tuple[Tokens, Tokens]:
    tokens = words.batch([sentence.text for sentence in sentences], LONGEST)
    return tokens, np.array([int(sentence.positive) for sentence in sentences], dtype=np.int64)
