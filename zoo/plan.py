"""How a model is trained: the few numbers that differ between the models of the zoo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Seeded training with AdamW; the epoch that does best on the validation part is kept."""

    weights: str  # the file that is written
    epochs: int
    rate: float
    seed: int = 1
    batch: int = 64
    decay: float = 1e-4
