"""numpy -> JSON response text, digit for digit and space for space as TensorFlow Serving prints it.

A float is printed with six digits where they bring the same float back, else with nine (a double:
seventeen); whole numbers keep ".0"; NaN and Infinity are tokens. Strings are plain, except in outputs whose
name ends in "_bytes": those are {"b64": "..."}. Row form prints one line, columnar form one value a line,
as the original's pretty-printer does, so that a load test moves the same number of bytes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any

import numpy as np

from serving.tfserving.errors import invalid
from serving.tfserving.tensors import Array, Dtype

Outputs = Mapping[str, tuple[Array, Dtype]]

_INDENT = "    "
_INTEGERS = frozenset(("int32", "int16", "int8", "uint8", "int64", "uint32", "uint64"))


def rows(outputs: Outputs) -> str:
    """The response to "instances": {"predictions": [one item per row]}."""
    size = _common_batch(outputs)
    names = sorted(outputs)
    if len(names) == 1:
        items = ", ".join(_row_items(names[0], *outputs[names[0]], depth=2))
    else:
        cells = [
            [f"{_INDENT * 3}{encode_basestring(name)}: {text}" for text in _row_items(name, *outputs[name], depth=3)]
            for name in names
        ]
        bodies = (",\n".join(row) for row in zip(*cells, strict=True))
        items = ",".join(f"\n{_INDENT * 2}{{\n{body}\n{_INDENT * 2}}}" for body in bodies)
    closing = f"\n{_INDENT}]" if size else "]"
    return f'{{\n{_INDENT}"predictions": [{items}{closing}\n}}'


def columns(outputs: Outputs) -> str:
    """The response to "inputs": {"outputs": tensor}, or an object of tensors when there are several."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if len(outputs) == 1:
        ((name, (array, dtype)),) = outputs.items()
        return f'{{\n{_INDENT}"outputs": {_pretty(name, array, dtype, 1)}\n}}'
    body = ",\n".join(
        f"{_INDENT * 2}{encode_basestring(name)}: {_pretty(name, *outputs[name], 2)}" for name in sorted(outputs)
    )
    return f'{{\n{_INDENT}"outputs": {{\n{body}\n{_INDENT}}}\n}}'


def classifications(items: Sequence[Sequence[tuple[str, float]]]) -> str:
    """The response to Classify: [label, score] of every class, for each example."""
    listed = ", ".join(
        "[" + ", ".join(f"[{encode_basestring(label)}, {decimal(score)}]" for label, score in item) + "]"
        for item in items
    )
    return f'{{\n{_INDENT}"results": [{listed}\n{_INDENT}]\n}}'


def regressions(values: Sequence[float]) -> str:
    """The response to Regress: a value per example, on one line."""
    listed = ", ".join(_decimals(np.array(values, np.float32)))
    return f'{{\n{_INDENT}"results": [{listed}]\n}}'


def error(message: str) -> str:
    """The body of every failed request."""
    return f'{{\n{_INDENT}"error": {encode_basestring(message)}\n}}'


def decimal(value: float) -> str:
    """One number of a JSON request, as error texts show it: as a float where it fits, else as a double."""
    largest = float(np.finfo(np.float32).max)
    narrow = abs(value) <= largest
    return _decimals(np.array([value], np.float32 if narrow else np.float64))[0]


def _common_batch(outputs: Outputs) -> int:
    """The number of rows, which every output must share."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    size: int | None = None
    for name in sorted(outputs):
        shape = outputs[name][0].shape
        if not shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and shape[0] != size:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {shape[0]} expecting: {size}")
        size = shape[0]
    return size or 0


def _row_items(name: str, array: Array, dtype: Dtype, depth: int) -> list[str]:
    """The text of each row; ``depth`` is the number of brackets that are open around a row."""
    parts = _tokens(name, array, dtype, depth + array.ndim - 1)
    for axis in range(array.ndim - 1, 0, -1):
        parts = ["[" + ", ".join(group) + "]" for group in _groups(parts, array.shape, axis)]
    return parts


def _pretty(name: str, array: Array, dtype: Dtype, depth: int) -> str:
    """The text of a whole tensor, one value a line; ``depth`` is the number of brackets around it."""
    parts = _tokens(name, array, dtype, depth + array.ndim)
    for axis in range(array.ndim - 1, -1, -1):
        start, end = "\n" + _INDENT * (depth + axis + 1), "\n" + _INDENT * (depth + axis)
        between = "," + start
        groups = _groups(parts, array.shape, axis)
        parts = [f"[{start}{between.join(group)}{end}]" if group else "[]" for group in groups]
    return parts[0]


def _groups(parts: list[str], shape: Sequence[int], axis: int) -> list[list[str]]:
    """Cut the texts of ``axis`` into its lists; there are lists even where they are empty."""
    size = shape[axis]
    return [parts[at * size : (at + 1) * size] for at in range(math.prod(shape[:axis]))]


def _tokens(name: str, array: Array, dtype: Dtype, depth: int) -> list[str]:
    """The JSON text of every element, in order; ``depth`` is the number of brackets around an element."""
    if dtype.name in ("float", "double"):
        return _decimals(array)
    values: list[Any] = array.ravel().tolist()
    if dtype.name in _INTEGERS:
        return list(map(str, values))
    if dtype.name == "bool":
        return ["true" if value else "false" for value in values]
    if dtype.name == "string":
        if name.endswith("_bytes"):
            return [_base64_object(value, depth) for value in values]
        return [encode_basestring(value.decode("utf-8", "surrogateescape")) for value in values]
    raise invalid(f"Failed to write JSON value for tensor type: {dtype.name}")


def _base64_object(value: bytes, depth: int) -> str:
    text = base64.b64encode(value).decode("ascii")
    return f'{{\n{_INDENT * (depth + 1)}"b64": "{text}"\n{_INDENT * depth}}}'


def _decimals(array: Array) -> list[str]:
    """Formats all elements in two C-level passes, then mends the few that need it."""
    values: list[float] = array.ravel().tolist()
    if not values:
        return []
    tokens = ("%g " * len(values) % tuple(values)).split()
    back = np.array(list(map(float, tokens)), array.dtype)
    if not np.array_equal(back, array.ravel()):
        digits = "%.9g " if array.dtype == np.float32 else "%.17g "
        exact = (digits * len(values) % tuple(values)).split()
        same = (back == array.ravel()).tolist()
        tokens = [short if kept else long for short, long, kept in zip(tokens, exact, same, strict=True)]
    tokens = [token if "." in token or "e" in token else token + ".0" for token in tokens]
    if not np.isfinite(array).all():
        named = {"nan.0": "NaN", "-nan.0": "NaN", "inf.0": "Infinity", "-inf.0": "-Infinity"}
        tokens = [named.get(token, token) for token in tokens]
    return tokens
