"""Whether two exports look alike to a client: which tensors they take and give, in order."""

from __future__ import annotations

from collections.abc import Iterable

from contract.tensors import TensorSpec


def alike(one: Iterable[TensorSpec], other: Iterable[TensorSpec]) -> bool:
    """Whether names, dtypes and shapes are the same.

    What a dynamic axis is called and of which range example values are made up are words of models.toml: no client and
    no server ever sees them.
    """
    return _seen(one) == _seen(other)


def in_words(specs: Iterable[TensorSpec]) -> str:
    """``tokens int64 [batch, length], …`` for a sentence."""
    return ", ".join(f"{spec.name} {spec.dtype} [{', '.join(map(str, spec.dims))}]" for spec in specs) or "none"


def _seen(specs: Iterable[TensorSpec]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.dtype, spec.shape) for spec in specs]
