"""The requests that stand for real traffic: cases of the test part in many shapes.

Most are single cases. The others are batches of odd sizes, which an export with a frozen dimension cannot answer. A
text is padded to the next bucket length, as a client of a batching server does (Triton batches requests of one shape
only); a batch of texts to its longest.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from contract.golden import Example
from contract.tensors import Tensors

BUCKETS = (8, 16, 32, 64)
SINGLES = 64
BATCHES = (2, 3, 5, 8, 13, 32)
SEED = 7


def bucket(length: int) -> int:
    """The smallest bucket that holds ``length`` tokens (longer texts are cut)."""
    return next((size for size in BUCKETS if length <= size), BUCKETS[-1])


def requests(cases: int) -> list[list[int]]:
    """Which of ``cases`` rows each request takes, seeded: singles first, then the batches; no row twice."""
    chosen = random.Random(SEED).sample(range(cases), SINGLES + sum(BATCHES))
    taken = [[row] for row in chosen[:SINGLES]]
    start = SINGLES
    for size in BATCHES:
        taken.append(chosen[start : start + size])
        start += size
    return taken


def keyed(inputs: Sequence[Tensors]) -> list[Example]:
    """Requests under the keys that a file of examples wants."""
    return [Example(f"r{index:04d}", tensors) for index, tensors in enumerate(inputs)]
