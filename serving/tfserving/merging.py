"""The arithmetic of a batch: requests as parts, parts laid together, outputs cut up again.

Texts and rules are those of TensorFlow Serving's BatchingSession: rows that fill a batch up to an allowed size
repeat a real row, and shorter inputs are padded with their own first element.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from serving.tfserving.config import BatchingParameters
from serving.tfserving.errors import Code, StatusError, invalid

Array = npt.NDArray[Any]
MAX_RANK = 6  # of what can be padded


class Task:
    """A request that waits: its inputs in the signature's order, what it wants, and how long it may take."""

    def __init__(self, arrays: Sequence[Array], aliases: tuple[str, ...], timeout_ms: int, deadline: float) -> None:
        self.arrays = arrays
        self.rows = rows_of(arrays)
        self.aliases = aliases
        self.timeout_ms = timeout_ms
        self.deadline = deadline
        self.began = time.monotonic()
        self._finished = threading.Event()
        self._finishing = threading.Lock()
        self._error: tuple[Code, str] | None = None
        self._outputs: list[list[Array]] = []
        self._missing = 0

    def split(self, ends: Sequence[int]) -> list[Part]:
        """Parts that end at these rows; called once."""
        self._outputs = [[] for _ in ends]
        self._missing = len(ends)
        starts = [0, *ends[:-1]]
        return [Part(self, index, start, end) for index, (start, end) in enumerate(zip(starts, ends, strict=True))]

    def result(self) -> list[Array]:
        """Wait for every part; the outputs in the order of ``aliases``, or the StatusError."""
        self._finished.wait()
        if self._error is not None:
            raise StatusError(*self._error)
        if len(self._outputs) == 1:
            return self._outputs[0]
        return [np.concatenate(pieces) for pieces in zip(*self._outputs, strict=True)]

    def finish(self, index: int, outputs: list[Array], error: tuple[Code, str] | None) -> None:
        """Note what came of a part."""
        with self._finishing:
            self._outputs[index] = outputs
            self._error = self._error or error
            self._missing -= 1
            if not self._missing:
                self._finished.set()


class Part:
    """Some rows of a task, mostly all."""

    def __init__(self, task: Task, index: int, start: int, end: int) -> None:
        self.task = task
        self._index = index
        self._start = start
        self._end = end
        self.rows = end - start

    @property
    def arrays(self) -> Sequence[Array]:
        if self.rows == self.task.rows:
            return self.task.arrays
        return [array[self._start : self._end] for array in self.task.arrays]

    def finish(self, outputs: list[Array]) -> None:
        self.task.finish(self._index, outputs, None)

    def fail(self, code: Code, message: str) -> None:
        self.task.finish(self._index, [], (code, message))


def rows_of(arrays: Sequence[Array]) -> int:
    """The first dimension, on which all inputs of a request agree."""
    if not arrays:
        raise invalid("Batching Run() must have at least one input tensor")
    if any(array.ndim == 0 for array in arrays):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    if len({array.shape[0] for array in arrays}) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return int(arrays[0].shape[0])


def merge(parts: Sequence[Part], tensors: Sequence[str], parameters: BatchingParameters) -> list[Array]:
    """The inputs of one run; ``tensors`` are their names, for complaints."""
    rows = sum(part.rows for part in parts)
    filling = filled(rows, parameters.allowed_sizes) - rows if rows else 0
    if len(parts) == 1 and not filling:
        return list(parts[0].arrays)
    columns = zip(*(part.arrays for part in parts), strict=True)
    return [_column(pieces, name, parameters, filling) for pieces, name in zip(columns, tensors, strict=True)]


def filled(rows: int, allowed: Sequence[int]) -> int:
    """The least allowed size that holds so many rows; without any, just as many."""
    return next((size for size in allowed if size >= rows), rows)


def cut(parts: Sequence[Part], aliases: Sequence[str], arrays: Sequence[Array], rows: int) -> None:
    """Give each part its rows of the outputs of a run over ``rows`` rows; it fails if it cannot be cut out."""
    outputs = dict(zip(aliases, arrays, strict=True))
    unfit = {alias: reason for alias, array in outputs.items() if (reason := _unfit(array, rows))}
    start = 0
    for part in parts:
        end = start + part.rows
        wanted = part.task.aliases
        reasons = [unfit[alias] for alias in wanted if alias in unfit]
        if reasons:
            part.fail(Code.FAILED_PRECONDITION, reasons[0])
        else:
            part.finish([outputs[alias][start:end] for alias in wanted])
        start = end


def _column(pieces: Sequence[Array], name: str, parameters: BatchingParameters, filling: int) -> Array:
    if parameters.padding:
        pieces = _padded(pieces)
    if len({piece.shape[1:] for piece in pieces}) > 1:
        # the blanks that are missing here are missing there
        raise StatusError(
            Code.FAILED_PRECONDITION,
            f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off."
            "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name"
            "have equal dimensions starting with the first dim.",
        )
    whole = np.concatenate(pieces)
    return np.concatenate([whole, np.repeat(whole[-1:], filling, axis=0)]) if filling else whole


def _padded(pieces: Sequence[Array]) -> list[Array]:
    """The pieces, all as long as the longest in every dimension but the first."""
    if len({piece.ndim for piece in pieces}) > 1:
        return list(pieces)  # padding does not help
    if pieces[0].ndim > MAX_RANK:
        raise invalid("Only tensors with rank from 1 to 6 can be padded.")
    longest = tuple(max(sizes) for sizes in zip(*(piece.shape[1:] for piece in pieces), strict=True))
    return [_stretched(piece, longest) for piece in pieces]


def _stretched(piece: Array, longest: tuple[int, ...]) -> Array:
    if piece.shape[1:] == longest:
        return piece
    if not piece.size:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    wide = np.full((piece.shape[0], *longest), piece.flat[0], piece.dtype)
    wide[tuple(slice(size) for size in piece.shape)] = piece
    return wide


def _unfit(array: Array, rows: int) -> str:
    if array.ndim == 0:
        return "Batched output tensor has 0 dimensions"
    if array.shape[0] != rows:
        return (
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes"
            " of the input tensors"
        )
    return ""
