"""The split into what a model learns from, what chooses its best epoch, and what it never sees."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
T = TypeVar("T")


def split(items: Sequence[T], seed: int) -> dict[str, list[T]]:
    """Split once, seeded: 80 % train, 10 % validation, 10 % test."""
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    parts, start, share = {}, 0, 0.0
    for name, part in SHARES.items():
        share += part
        end = round(share * len(shuffled))
        parts[name] = shuffled[start:end]
        start = end
    return parts
