"""golden.npz: seeded example requests and the trained model's own answers.

Entries are named ``r0007/in/<name>`` and ``r0007/out/<name>``; requests differ in batch size and length. Strings are
stored as length-prefixed bytes beside their shape, so that nothing is ever pickled. This one batch traces the model,
proves the export, smoke-tests the server, warms it up, and is the load's payload. A file of examples that a user
brings has the ``in`` entries only.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from contract.errors import UsageError
from contract.files import write_bytes
from contract.tensors import Array, Tensors, TensorSpec, pack_strings, unpack_strings

KEY = re.compile(r"^(r|[a-z]+-)\d{4}$")
ENTRY = re.compile(
    r"^(?P<key>(?:r|[a-z]+-)\d{4})/(?P<side>in|out)/(?P<name>[A-Za-z_][A-Za-z0-9_.:]*?)(?P<part>\.bytes|\.shape)?$"
)


@dataclass(frozen=True)
class Example:
    """One request and, once the trained model has spoken, its answer. Every tensor's first axis is the batch."""

    key: str
    inputs: Tensors
    outputs: Tensors = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many inferences the request asks for: the size of the batch axis, 1 where the first input is a scalar."""
        shape = next(iter(self.inputs.values())).shape
        return int(shape[0]) if shape else 1


def write_examples(path: Path, examples: list[Example]) -> None:
    """Write examples as an ``.npz`` file, atomically and byte for byte the same for the same values."""
    entries: dict[str, Array] = {}
    for example in examples:
        if not KEY.match(example.key):
            raise UsageError(f"'{example.key}' is not a request's key: r0000 to r9999; give at most 10,000 examples")
        for side, tensors in (("in", example.inputs), ("out", example.outputs)):
            for name, array in tensors.items():
                entries |= as_entries(f"{example.key}/{side}/{name}", array)
    buffer = io.BytesIO()
    np.savez(buffer, **entries)
    write_bytes(path, buffer.getvalue())


def as_entries(entry: str, array: Array) -> dict[str, Array]:
    """One tensor as entries of an .npz file; strings are length-prefixed bytes beside their shape, never pickled."""
    if array.dtype != object:
        return {entry: array}
    return {
        f"{entry}.bytes": np.frombuffer(pack_strings(array), dtype=np.uint8),
        f"{entry}.shape": np.asarray(array.shape, dtype=np.int64),
    }


def read_examples(path: Path, made_by: str = "make export") -> list[Example]:
    """Read examples in the order of their keys. Raises UsageError for a missing or foreign file."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist; run '{made_by}' first")
    collected: dict[str, dict[str, Tensors]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for entry in archive.files:
                match = ENTRY.match(entry)
                if match is None:
                    raise UsageError(
                        f"{path}: entry '{entry}' is not of the form r0000/in/NAME or r0000/out/NAME "
                        "(at most 10,000 requests)"
                    )
                if match["part"] == ".shape":
                    continue
                array = archive[entry]
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"entry '{entry}' is not an array")
                if match["part"] == ".bytes":
                    shape = tuple(int(n) for n in archive[entry.removesuffix(".bytes") + ".shape"])
                    array = unpack_strings(array.tobytes(), shape)
                sides = collected.setdefault(match["key"], {"in": {}, "out": {}})
                sides[match["side"]][match["name"]] = array
    except UsageError:
        raise
    except Exception as error:  # what the parsers of a foreign file raise has no common base
        raise UsageError(f"{path} cannot be read as an .npz file of examples: {error}") from None
    if not collected:
        raise UsageError(f"{path} holds no examples")
    return [Example(key, sides["in"], sides["out"]) for key, sides in sorted(collected.items())]


def check_inputs(examples: list[Example], specs: list[TensorSpec], path: Path) -> None:
    """Raise UsageError unless every example gives exactly the inputs that ``specs`` declare."""
    for example in examples:
        expected, given = {spec.name for spec in specs}, set(example.inputs)
        if expected != given:
            raise UsageError(
                f"{path}: {example.key} gives inputs {sorted(given)}, models.toml declares {sorted(expected)}"
            )
        for spec in specs:
            reason = spec.mismatch(example.inputs[spec.name])
            if reason:
                raise UsageError(f"{path}: {example.key}: {reason}")
        _check_named_axes(example, specs, path)


def _check_named_axes(example: Example, specs: list[TensorSpec], path: Path) -> None:
    """A dim's name stands for one size in all inputs of a request."""
    sizes: dict[str, int] = {}
    for spec in specs:
        for dim, size in zip(spec.dims, example.inputs[spec.name].shape, strict=True):
            if isinstance(dim, str) and sizes.setdefault(dim, size) != size:
                raise UsageError(f"{path}: {example.key}: '{dim}' is {sizes[dim]} in one input and {size} in another")


def synthesize(specs: list[TensorSpec], count: int, seed: int) -> list[Example]:
    """Make ``count`` examples from dims and ranges alone, for a model that comes without real ones."""
    random = np.random.default_rng(seed)
    dynamic = sorted({dim for spec in specs for dim in spec.dims if isinstance(dim, str)})
    batch = next((spec.dims[0] for spec in specs if spec.dims), None)
    examples = []
    for index in range(count):
        sizes = {name: int(random.integers(2, 33)) for name in dynamic}
        if isinstance(batch, str):
            sizes[batch] = 1 if index % 4 else int(random.integers(2, 9))
        inputs: Tensors = {}
        for spec in specs:
            shape = tuple(dim if isinstance(dim, int) else sizes[dim] for dim in spec.dims)
            inputs[spec.name] = _values(spec, shape, random)
        examples.append(Example(f"r{index:04d}", inputs))
    return examples


def _values(spec: TensorSpec, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    low, high = spec.range or (0.0, 2.0 if "int" in spec.dtype else 1.0)
    if spec.dtype == "string":
        words = np.empty(int(np.prod(shape)), dtype=object)
        words[:] = [f"example {n}".encode() for n in random.integers(0, 1000, words.size)]
        return words.reshape(shape)
    if spec.dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if "int" in spec.dtype:
        return random.integers(int(low), int(high), shape).astype(spec.dtype)
    return random.uniform(low, high, shape).astype(spec.dtype)
