"""Refusals: why something is not deployed, one sentence each, in tables. Pure.

A figure sizes what it was measured on and nothing else. Refusals that are about figures are lifted by `--unmeasured`,
which takes no figure from the report; those about what would run, and whether it was proven, never are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from contract.errors import UsageError

NEXT = "next: measure where it will run, or give --unmeasured, which takes no figure from this report and says so"


@dataclass(frozen=True)
class Refusal:
    """One reason: a function of what is known, which gives a sentence where it holds."""

    why: Callable[..., str | None]
    lifted: bool  # by --unmeasured


def reasons(table: Iterable[Refusal], unmeasured: bool, *known: Any) -> list[str]:
    """What `--unmeasured` lifts of the reasons that hold.

    Raises UsageError with every reason that it does not lift; with those that it would, where it was not given.
    """
    held = [(item.lifted, sentence) for item in table if (sentence := item.why(*known))]
    final = [sentence for lifted, sentence in held if not lifted]
    if final:
        raise UsageError(_listed("this is not deployed", final))
    lifted = [sentence for _, sentence in held]
    if lifted and not unmeasured:
        raise UsageError(f"{_listed('what was measured does not size this deployment', lifted)}\n{NEXT}")
    return lifted


def figures(values: dict[str, Any]) -> str:
    """Named figures as a sentence holds them."""
    return ", ".join(f"no {key}" if value is None else f"{key} {_figure(value)}" for key, value in values.items())


def _figure(value: Any) -> str:
    """A number without a tail of zeros; everything else as it is."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _listed(headline: str, sentences: list[str]) -> str:
    return f"{headline}: {sentences[0]}" if len(sentences) == 1 else "\n- ".join([f"{headline}:", *sentences])
