"""Which length buckets are worth a trial, by the lengths of the requests that a model gets. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from contract.golden import Example
from contract.tensors import TensorSpec

Buckets = tuple[int, ...]  # lengths to pad to, rising; empty: no padding beyond the longest of a batch
NONE: Buckets = ()
QUANTILES = 3


def choices(lengths: Sequence[int]) -> tuple[Buckets, ...]:
    """No buckets, powers of two, and quantiles of ``lengths``; the last bucket of each holds the longest.

    Where all requests are equally long, or nobody knows how long, there is nothing to choose.
    """
    ordered = sorted(max(1, length) for length in lengths)
    if len(set(ordered)) < 2:
        return (NONE,)
    shortest, longest = ((length - 1).bit_length() for length in (ordered[0], ordered[-1]))
    powers = tuple(2**power for power in range(shortest, longest + 1))
    ranks = (math.ceil(len(ordered) * part / QUANTILES) for part in range(1, QUANTILES + 1))
    quantiles = tuple(sorted({ordered[rank - 1] for rank in ranks}))
    return tuple(sorted({NONE, powers, quantiles}, key=fewer_shapes))


def fewer_shapes(buckets: Buckets) -> tuple[bool, int, Buckets]:
    """Sorts buckets from the most shapes that a model may get to the fewest; without any each length is one."""
    return bool(buckets), -len(buckets), buckets


def lengths_of(examples: Sequence[Example], inputs: Sequence[TensorSpec], padding: Mapping[str, float]) -> Buckets:
    """How long requests are along the axes that may be padded, one number per request, axis and input."""
    return tuple(_lengths(examples, inputs, padding))


def _lengths(examples: Sequence[Example], inputs: Sequence[TensorSpec], padding: Mapping[str, float]) -> Iterator[int]:
    for example in examples:
        for spec in inputs:
            for dim, size in zip(spec.dims, example.inputs[spec.name].shape, strict=True):
                if isinstance(dim, str) and dim in padding:
                    yield int(size)
