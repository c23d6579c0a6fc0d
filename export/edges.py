"""The requests at the edge: shortest, longest, the ends of the vocabulary, and the same request padded longer.

They prove an export and are never part of the load: edges.npz beside golden.npz holds them with the trained model's own
answers. An edge that the trained model itself refuses is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from contract.golden import Example
from contract.tensors import Tensors, TensorSpec

PADDED = "padded-"
PADDED_REQUESTS = 6
LONGER_BY = (1, 7, 30)


def extremes(specs: list[TensorSpec], examples: list[Example]) -> Iterator[Example]:
    """Requests of one row made from the first one: dynamic axes as short as can be, twice as long as the longest seen,
    and filled with the lowest and the highest value that each input declares."""
    first = _one_row(specs, examples[0])
    axes = sorted({dim for spec in specs for dim in _inner(spec)})
    if axes:
        longest = {axis: max(_size(specs, example.inputs, axis) for example in examples) for axis in axes}
        yield Example(
            "shortest-0000", {spec.name: _resized(spec, first[spec.name], dict.fromkeys(axes, 1)) for spec in specs}
        )
        doubled = {axis: 2 * size for axis, size in longest.items()}
        yield Example("longest-0000", {spec.name: _resized(spec, first[spec.name], doubled) for spec in specs})
    for key, end in (("lowest-0000", 0), ("highest-0000", 1)):
        if any(spec.range for spec in specs):
            yield Example(key, {spec.name: _filled(spec, first[spec.name], end) for spec in specs})


def padded(
    specs: list[TensorSpec], examples: list[Example], padding: Mapping[str, float]
) -> Iterator[tuple[Example, Example]]:
    """Pairs (request, the same one padded longer along every axis that ``padding`` names)."""
    if not padding:
        return
    singles = [example for example in examples if example.rows == 1][:PADDED_REQUESTS]
    for number, example in enumerate(singles):
        longer = LONGER_BY[number % len(LONGER_BY)]
        inputs = {
            spec.name: np.pad(
                example.inputs[spec.name],
                [(0, longer if dim in padding else 0) for dim in spec.dims],
                constant_values=next((padding[dim] for dim in spec.dims if isinstance(dim, str) and dim in padding), 0),
            )
            for spec in specs
        }
        yield example, Example(f"{PADDED}{example.key[1:]}", inputs)


def _inner(spec: TensorSpec) -> list[str]:
    return [dim for dim in spec.dims[1:] if isinstance(dim, str)]


def _one_row(specs: list[TensorSpec], example: Example) -> Tensors:
    return {
        spec.name: example.inputs[spec.name][:1]
        if spec.dims and isinstance(spec.dims[0], str)
        else example.inputs[spec.name]
        for spec in specs
    }


def _size(specs: list[TensorSpec], inputs: Tensors, axis: str) -> int:
    return next(inputs[spec.name].shape[spec.dims.index(axis)] for spec in specs if axis in spec.dims)


def _resized(spec: TensorSpec, array: np.ndarray, sizes: dict[str, int]) -> np.ndarray:  # type: ignore[type-arg]
    """The array cut or repeated to the wanted size along its dynamic axes, less the first."""
    for axis, dim in enumerate(spec.dims):
        if axis and isinstance(dim, str):
            array = np.take(array, np.arange(sizes[dim]) % array.shape[axis], axis=axis)
    return array


def _filled(spec: TensorSpec, array: np.ndarray, end: int) -> np.ndarray:  # type: ignore[type-arg]
    if spec.range is None:
        return array
    low, high = spec.range
    whole = "int" in spec.dtype
    value = low if end == 0 else high - 1 if whole else np.nextafter(high, low)
    return np.full_like(array, value)
