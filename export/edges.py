"""The requests at the edge: shortest, longest, the ends of the vocabulary, joined, and the same request padded longer.

They prove an export and are never part of the load: edges.npz beside golden.npz holds them with the trained model's own
answers. An edge that the trained model itself refuses is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from contract.golden import Example
from contract.tensors import Array, Tensors, TensorSpec

PADDED = "padded-"
PADDED_REQUESTS = 6
LONGER_BY = (1, 7, 30)
JOINED_ROWS = 3


def extremes(specs: list[TensorSpec], examples: list[Example]) -> Iterator[Example]:
    """Requests made from the first one: every dynamic axis but the batch as short as can be, twice as long as the
    longest seen, and filled with the lowest and the highest value that each input declares."""
    batch = batch_axis(specs)
    axes = sorted({dim for spec in specs for dim in spec.dims if isinstance(dim, str)} - {batch})
    longest = {axis: max(_size(specs, example.inputs, axis) for example in examples) for axis in axes}
    first = {spec.name: _resized(spec, _fullest(spec, examples), {batch: 1} if batch else {}) for spec in specs}
    if axes:
        for key, sizes in (
            ("shortest", dict.fromkeys(axes, 1)),
            ("longest", {axis: 2 * longest[axis] for axis in axes}),
        ):
            yield Example(f"{key}-0000", {spec.name: _resized(spec, first[spec.name], sizes) for spec in specs})
    if any(spec.range for spec in specs):
        for key, end in (("lowest", 0), ("highest", 1)):
            yield Example(f"{key}-0000", {spec.name: _filled(spec, first[spec.name], end) for spec in specs})


def joined(specs: list[TensorSpec], examples: list[Example]) -> Iterator[Example]:
    """A batch, where no example is one: single requests of one shape put together, or one of them repeated.

    A server forms batches; an export that froze the batch at one row must not pass for want of a batch to ask.
    """
    if batch_axis(specs) is None or not examples or any(example.rows > 1 for example in examples):
        return
    shape = _shapes(examples[0])
    alike = [example for example in examples if _shapes(example) == shape][:JOINED_ROWS]
    rows = (alike * JOINED_ROWS)[:JOINED_ROWS]
    yield Example("joined-0000", {spec.name: np.concatenate([row.inputs[spec.name] for row in rows]) for spec in specs})


def padded(
    specs: list[TensorSpec],
    examples: list[Example],
    padding: Mapping[str, float],
    pad_with: Mapping[str, float] | None = None,
) -> Iterator[tuple[Example, Example]]:
    """Pairs (request, the same one padded longer along every axis that ``padding`` names).

    An input that ``pad_with`` names is padded with its value, every other one with that of the axis.
    """
    if not padding:
        return
    singles = [example for example in examples if example.rows == 1][:PADDED_REQUESTS]
    for number, example in enumerate(singles):
        longer = LONGER_BY[number % len(LONGER_BY)]
        inputs = {}
        for spec in specs:
            own = dict.fromkeys(padding, pad_with[spec.name]) if pad_with and spec.name in pad_with else padding
            inputs[spec.name] = _padded(spec, example.inputs[spec.name], own, longer)
        numbered = example.key[1:] if example.key.startswith("r") else f"{number:04d}"
        yield example, Example(f"{PADDED}{numbered}", inputs)


def batch_axis(specs: list[TensorSpec]) -> str | None:
    """The named first axis that all inputs share, along which requests can be joined; None where there is none."""
    first = {spec.dims[0] if spec.dims else 0 for spec in specs}
    axis = first.pop()
    return axis if isinstance(axis, str) and not first else None


def _shapes(example: Example) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in example.inputs.items()}


def _size(specs: list[TensorSpec], inputs: Tensors, axis: str) -> int:
    return next(inputs[spec.name].shape[spec.dims.index(axis)] for spec in specs if axis in spec.dims)


def _fullest(spec: TensorSpec, examples: list[Example]) -> Array:
    """The first value of an input that is not empty: an empty one cannot be repeated."""
    return next(
        (example.inputs[spec.name] for example in examples if example.inputs[spec.name].size),
        examples[0].inputs[spec.name],
    )


def _resized(spec: TensorSpec, array: Array, sizes: Mapping[str, int]) -> Array:
    """The array cut or repeated to the wanted size along the axes that ``sizes`` names."""
    for axis, dim in enumerate(spec.dims):
        if isinstance(dim, str) and dim in sizes and array.shape[axis]:
            array = np.take(array, np.arange(sizes[dim]) % array.shape[axis], axis=axis)
    return array


def _filled(spec: TensorSpec, array: Array, end: int) -> Array:
    if spec.range is None:
        return array
    low, high = spec.range
    if end == 0:
        value: float = low
    else:
        kind = np.dtype(spec.dtype)
        value = high - 1 if kind.kind in "iu" else float(np.nextafter(kind.type(high), kind.type(low)))
    return np.full_like(array, value)


def _padded(spec: TensorSpec, array: Array, padding: Mapping[str, float], longer: int) -> Array:
    """One axis after the other, each with its own value."""
    for axis, dim in enumerate(spec.dims):
        if isinstance(dim, str) and dim in padding:
            widths = [(0, longer if position == axis else 0) for position in range(array.ndim)]
            array = np.pad(array, widths, constant_values=padding[dim])
    return array
