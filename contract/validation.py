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
from contract.tensors import Array, Tensors, TensorSpec

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


def classes(output: Array) -> Array:
    """The decision of each row: argmax of the last axis."""
    decided: Array = np.asarray(output).argmax(axis=-1).astype(np.int64)
    return decided


def write_validation(path: Path, inputs: Tensors, labels: Array, decisions: Array | None = None) -> None:
    """Write validation.npz, atomically."""
    entries = {f"in/{name}": array for name, array in inputs.items()} | {"labels": labels.astype(np.int64)}
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
    inputs = {name.removeprefix("in/"): array for name, array in entries.items() if name.startswith("in/")}
    expected = {spec.name for spec in specs}
    if set(inputs) != expected or "labels" not in entries:
        raise UsageError(
            f"{path} holds {', '.join(sorted(entries))}; expected are labels and "
            f"{', '.join(f'in/{name}' for name in sorted(expected))}"
        )
    labels = entries["labels"]
    for spec in specs:
        reason = spec.mismatch(inputs[spec.name])
        if reason is None and inputs[spec.name].shape[0] != labels.shape[0]:
            reason = f"'{spec.name}' has {inputs[spec.name].shape[0]} rows and there are {labels.shape[0]} labels"
        if reason:
            raise UsageError(f"{path}: {reason}")
    return Validation(inputs, labels, entries.get("decisions"))
