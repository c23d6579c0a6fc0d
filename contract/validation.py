"""validation.npz: real inputs with the right answers, to see whether an export decides as the trained model does.

Entries are ``in/<name>`` with one row per case, ``labels`` [rows] int64 and, once the trained model has spoken,
``decisions`` [rows] int64: its own classes, the argmax of the last axis of its first output.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from contract.errors import UsageError
from contract.files import write_bytes
from contract.golden import as_entries
from contract.tensors import Array, Tensors, TensorSpec, unpack_strings

ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class Validation:
    """Rows of every input, the right class of each row, and what the trained model says (None until it was asked)."""

    inputs: Tensors
    labels: Array
    decisions: Array | None = None

    @property
    def rows(self) -> int:
        return int(self.labels.shape[0])

    def batches(self) -> Iterator[Tensors]:
        """The inputs in order, some rows at a time."""
        for start in range(0, self.rows, ROWS_AT_ONCE):
            yield {name: array[start : start + ROWS_AT_ONCE] for name, array in self.inputs.items()}

    def decided(self, decisions: Array) -> Validation:
        """The same rows with the trained model's decisions."""
        return replace(self, decisions=decisions)

    def accuracy(self, decisions: Array) -> float:
        """Share of rows that were decided rightly."""
        return float((decisions == self.labels).mean())

    def judge(self, outputs: list[Array]) -> Array:
        """The decisions of all rows from the first output of each batch. Raises UsageError where they fit no label."""
        decided = np.concatenate([classes(output) for output in outputs])
        if decided.shape != self.labels.shape:
            raise UsageError(
                f"the model decides {list(decided.shape)} classes, validation has labels of shape "
                f"{list(self.labels.shape)}"
            )
        return decided


def classes(output: Array) -> Array:
    """The decision of each row: argmax of the last axis, or the class itself where a model answers whole numbers.

    Raises UsageError for scores that are no classes: argmax over one column would be the same for every row.
    """
    if output.dtype.kind in "iub" and output.ndim:
        return output.astype(np.int64)
    if output.dtype.kind != "f" or output.ndim < 2 or output.shape[-1] < 2:
        raise UsageError(
            f"the first output has shape {list(output.shape)} and no two classes to decide between; leave 'validation' "
            "out of models.toml, or let the first output be scores of classes or the class itself"
        )
    decided: Array = output.argmax(axis=-1).astype(np.int64)
    return decided


def write_validation(path: Path, inputs: Tensors, labels: Array, decisions: Array | None = None) -> None:
    """Write validation.npz, atomically."""
    entries = {"labels": labels.astype(np.int64)}
    for name, array in inputs.items():
        entries |= as_entries(f"in/{name}", array)
    if decisions is not None:
        entries["decisions"] = decisions.astype(np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **entries)
    write_bytes(path, buffer.getvalue())


def read_validation(path: Path, specs: list[TensorSpec]) -> Validation:
    """Read validation.npz. Raises UsageError where it is not what ``specs`` declare."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            entries = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist; run 'make zoo' first, or correct 'validation' in models.toml"
        ) from None
    except Exception as error:  # what the parsers of a foreign file raise has no common base
        raise UsageError(f"{path} cannot be read as an .npz file of validation data: {error}") from None
    inputs = _inputs(entries)
    expected = {spec.name for spec in specs}
    if set(inputs) != expected or "labels" not in entries:
        raise UsageError(
            f"{path} holds {', '.join(sorted(entries))}; expected are labels and "
            f"{', '.join(f'in/{name}' for name in sorted(expected))}"
        )
    labels = entries["labels"]
    if labels.ndim == 0 or labels.shape[0] == 0 or not np.array_equal(labels, labels.astype(np.int64)):
        raise UsageError(
            f"{path}: labels are {labels.dtype} of shape {list(labels.shape)}; expected is a class per row"
        )
    for spec in specs:
        reason = spec.mismatch(inputs[spec.name])
        if reason is None and not spec.dims:
            reason = f"'{spec.name}' is a scalar, which has no rows"
        if reason is None and inputs[spec.name].shape[0] != labels.shape[0]:
            reason = f"'{spec.name}' has {inputs[spec.name].shape[0]} rows and there are {labels.shape[0]} labels"
        if reason:
            raise UsageError(f"{path}: {reason}")
    return Validation(inputs, labels, entries.get("decisions"))


def _inputs(entries: dict[str, Array]) -> Tensors:
    """The inputs by name, strings put together again from their bytes and their shape."""
    inputs: Tensors = {}
    for entry, array in entries.items():
        name = entry.removeprefix("in/")
        if not entry.startswith("in/") or name.endswith(".shape"):
            continue
        if name.endswith(".bytes"):
            name = name.removesuffix(".bytes")
            shape = tuple(int(size) for size in entries[f"in/{name}.shape"])
            array = unpack_strings(array.tobytes(), shape)
        inputs[name] = array
    return inputs
