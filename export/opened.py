"""An artifact as a serving runtime opened it: the signature that is really in it, and its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contract.golden import Example
from contract.tensors import Tensors
from export.refused import first_words


@dataclass(frozen=True)
class Port:
    """One tensor of an artifact's own signature; None where the format does not tell (sizes: a dynamic axis)."""

    name: str
    dtype: str | None = None
    dims: list[int | None] | None = None


@dataclass(frozen=True)
class Opened:
    """What `open_artifact` of a runtime returns."""

    inputs: list[Port]
    outputs: list[Port]
    call: Callable[[Tensors], Tensors]
    facts: dict[str, int | str] = field(default_factory=dict)


class OtherOutputs(ValueError):
    """An artifact gives another number of outputs than its signature should; some formats tell only when asked."""


@dataclass(frozen=True)
class Outcome:
    """One request: the answer, or the error instead of it."""

    example: Example
    answer: Tensors | None
    error: str | None = None
    other_outputs: bool = False


def ask(opened: Opened, examples: Sequence[Example]) -> list[Outcome]:
    """Ask for every example; what a runtime raises is an outcome and not the end."""
    outcomes = []
    for example in examples:
        try:
            outcomes.append(Outcome(example, opened.call(example.inputs)))
        except OtherOutputs as error:
            outcomes.append(Outcome(example, None, str(error), other_outputs=True))
        except Exception as error:  # runtimes have no common base of errors
            outcomes.append(Outcome(example, None, first_words(error)))
    return outcomes
