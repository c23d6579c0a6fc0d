"""How it is said that variants are too close to tell apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from contract.verdict import Variant
from report import words
from report.judging import margin


def tie(tied: Sequence[Variant], figures: str, within: str) -> str:
    """Who they are, their figures, and what these differ by less than; ``within`` is empty where that is not known."""
    if not within:
        return f"{margin.UNKNOWN}, so no winner between {names(tied)}; their {figures}"
    return f"A tie between {names(tied)}; their {figures} differ by less than {within}"


def names(variants: Sequence[Variant]) -> str:
    """Labels in a row."""
    return " and ".join(words.label(variant) for variant in variants)
