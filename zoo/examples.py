"""The requests that stand for real traffic: sentences of the test split in many shapes.

Most are single sentences, padded to the next bucket length, as a client of a batching server does (Triton batches
requests of one shape only). The others are batches of odd sizes and lengths, which an export with a frozen dimension
cannot answer.
"""

from __future__ import annotations

import random
from pathlib import Path

from contract.golden import Example, write_examples
from zoo.data import Sentence
from zoo.vocabulary import Vocabulary

BUCKETS = (8, 16, 32, 64)
SINGLES = 64
BATCHES = (2, 3, 5, 8, 13, 32)
SEED = 7


def bucket(length: int) -> int:
    """The smallest bucket that holds ``length`` tokens (longer texts are cut)."""
    return next((size for size in BUCKETS if length <= size), BUCKETS[-1])


def write(path: Path, sentences: list[Sentence], vocabulary: Vocabulary) -> None:
    """Write examples.npz from sentences the model has not seen."""
    chosen = random.Random(SEED).sample(sentences, SINGLES + sum(BATCHES))
    texts = [sentence.text for sentence in chosen]
    arrays = [vocabulary.batch([text], bucket(len(vocabulary.encode(text)))) for text in texts[:SINGLES]]
    start = SINGLES
    for rows in BATCHES:
        arrays.append(vocabulary.batch(texts[start : start + rows]))
        start += rows
    write_examples(path, [Example(f"r{i:04d}", {"tokens": array}) for i, array in enumerate(arrays)])
