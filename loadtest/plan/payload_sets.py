"""Requests that are made for a stage: joined into batches, cut and repeated to other lengths, or a user's own. Pure.

Where every part of a request has a known answer, so has the whole (a batch of N is proven to be N single answers).
Where a length was changed, or a user brings requests, there is none: such answers are judged by name, dtype, shape and
finiteness alone, and the report says so.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contract.endpoints import Endpoint
from contract.errors import UsageError
from contract.golden import Example, check_inputs, read_examples
from contract.shapes import Payloads
from contract.tensors import Array, Tensors, TensorSpec

MOST = 64  # requests of a set
LARGEST_SET = 4 << 30  # bytes; they are made in memory


def make_set(payloads: Payloads, endpoint: Endpoint, golden: list[Example], number: int, seed: int) -> list[Example]:
    """The set's requests, keys ``a-0000`` and so on by the set's number. Raises UsageError where it cannot be made."""
    random = np.random.default_rng(seed)
    base = [example for example in golden if example.rows == 1] or golden
    if payloads.file is not None:
        base = _own(payloads.file, endpoint)
    made = [(example.inputs, example.outputs) for example in base]
    if payloads.length is not None:
        axis = _axis(payloads, endpoint)
        _refuse_large(max(_bytes(inputs, endpoint, axis) for inputs, _ in made) * payloads.length[1], "payloads.length")
        lengths = random.integers(payloads.length[0], payloads.length[1] + 1, MOST)
        picked = random.integers(0, len(made), MOST)
        made = [
            (_with_length(made[index][0], endpoint.inputs, axis, int(length)), {})
            for index, length in zip(picked, lengths, strict=True)
        ]
    if payloads.rows is not None:
        _refuse_large(max(_bytes(inputs) for inputs, _ in made) * max(payloads.rows), "payloads.rows")
        made = [_joined(made, int(rows), endpoint, random) for rows in random.choice(payloads.rows, MOST)]
    letter = string.ascii_lowercase[number % 26] * (1 + number // 26)
    return [Example(f"{letter}-{place:04d}", inputs, outputs) for place, (inputs, outputs) in enumerate(made)]


def _bytes(inputs: Tensors, endpoint: Endpoint | None = None, axis: str = "") -> float:
    """Size of a request's tensors; with an ``axis`` of the ``endpoint``'s inputs, per step along it."""
    steps = {spec.name: spec.dims.index(axis) for spec in endpoint.inputs if axis in spec.dims} if endpoint else {}
    return sum(array.nbytes / (array.shape[steps[name]] if name in steps else 1) for name, array in inputs.items())


def _refuse_large(size: float, key: str) -> None:
    """Raises UsageError where requests of so many bytes would fill the memory, before they are made."""
    if size * MOST > LARGEST_SET:
        raise UsageError(
            f"{key} asks for requests of {size / 2**20:,.0f} MiB; {MOST} of them are made before anything is sent, "
            f"at most {LARGEST_SET // MOST / 2**20:,.0f} MiB each; ask for less"
        )


def _own(file: Path, endpoint: Endpoint) -> list[Example]:
    """A user's requests, without answers even where the file holds some: they are not the trained model's."""
    examples = read_examples(file, "the file's own maker")
    if endpoint.inputs:
        check_inputs(examples, endpoint.inputs, file)
    return [Example(example.key, example.inputs) for example in examples]


def _axis(payloads: Payloads, endpoint: Endpoint) -> str:
    """The dynamic axis that the length is about."""
    batch = {spec.dims[0] for spec in endpoint.inputs if spec.dims}
    named = sorted({dim for spec in endpoint.inputs for dim in spec.dims if isinstance(dim, str)} - batch)
    if payloads.axis is not None and payloads.axis in named:
        return payloads.axis
    if payloads.axis is not None or len(named) != 1:
        wanted = f"axis '{payloads.axis}'" if payloads.axis else "payloads.length without an axis"
        raise UsageError(
            f"{wanted}: {endpoint.model} has the dynamic axes {', '.join(named) or 'none'}; name one of them"
        )
    return named[0]


def _with_length(inputs: Tensors, specs: Sequence[TensorSpec], axis: str, length: int) -> Tensors:
    """The same request cut, or repeated from its beginning, along an axis."""
    found = dict(inputs)
    for spec in specs:
        if axis in spec.dims:
            place = spec.dims.index(axis)
            found[spec.name] = np.take(
                inputs[spec.name], np.arange(length) % inputs[spec.name].shape[place], axis=place
            )
    return found


def _joined(
    made: list[tuple[Tensors, Tensors]], rows: int, endpoint: Endpoint, random: np.random.Generator
) -> tuple[Tensors, Tensors]:
    """So many single requests as one: those that have the shape of a drawn one, again and again if they are few."""
    if any(not array.shape for inputs, _ in made for array in inputs.values()):
        raise UsageError(f"{endpoint.model} has an input without a batch axis; payloads.rows cannot join its requests")
    first = made[int(random.integers(len(made)))]
    alike = [item for item in made if _shapes(item[0]) == _shapes(first[0])]
    parts = [alike[(int(random.integers(len(alike))))] for _ in range(rows)]
    whole = _concatenated([inputs for inputs, _ in parts], rows)
    known = all(outputs for _, outputs in parts)
    return whole, _concatenated([outputs for _, outputs in parts], rows) if known else {}


def _concatenated(parts: list[Tensors], rows: int) -> Tensors:
    joined: Tensors = {name: np.concatenate([part[name] for part in parts])[:rows] for name in parts[0]}
    return joined


def _shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: _shape(array) for name, array in tensors.items()}


def _shape(array: Array) -> tuple[int, ...]:
    return tuple(array.shape[1:])
