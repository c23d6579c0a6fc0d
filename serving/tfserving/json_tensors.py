"""JSON request bodies -> numpy, by TensorFlow Serving's rules, with its error texts word for word.

The rules: exactly one of "instances" (row form: a list, or objects when inputs are named) and "inputs"
(columnar form); integers reject 1.0, floats accept 1 unless it loses precision; NaN and Infinity are
numbers; a string is a JSON string or {"b64": "..."}; every list of one level has one length.

Two paths, one promise. `_dense` converts a well-formed value level by level at C speed and gives None for
anything it cannot prove right; then the walk in the order of the original finds the first error and words
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from serving.tfserving.errors import StatusError, invalid, joined
from serving.tfserving.json_document import shown
from serving.tfserving.json_values import element, elements, is_base64
from serving.tfserving.tensors import Array, Dtype, string_array

MAX_RANK = 32


def read_tensors(document: Mapping[str, Any], specs: Mapping[str, Dtype]) -> tuple[dict[str, Array], bool]:
    """The input tensors by name, and whether the request was in row form ("instances")."""
    if "instances" in document:
        instances = document["instances"]
        if "inputs" in document:
            raise invalid(
                f"JSON Value: {shown(document)} Not formatted correctly expecting only"
                " one of 'inputs' or 'instances' keys to exist "
            )
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
        return _read_rows(instances, specs), True
    if "inputs" in document:
        return _read_columns(document["inputs"], specs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_rows(instances: list[Any], specs: Mapping[str, Dtype]) -> dict[str, Array]:
    if not isinstance(instances[0], dict) and len(specs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple"
            " input tensors required as per tensorinfo_map"
        )
    arrays = _rows_at_once(instances, specs)
    return arrays if arrays is not None else _rows_one_by_one(instances, specs)


def _rows_at_once(instances: list[Any], specs: Mapping[str, Dtype]) -> dict[str, Array] | None:
    if not _is_object(instances[0]):
        name, dtype = min(specs.items())
        array = _dense(instances, dtype)
        return None if array is None else {name: array}
    if not all(type(item) is dict and item.keys() == specs.keys() for item in instances):
        return None
    arrays = {}
    for name, dtype in specs.items():
        array = _dense([item[name] for item in instances], dtype)
        if array is None:
            return None
        arrays[name] = array
    return arrays


def _rows_one_by_one(instances: list[Any], specs: Mapping[str, Dtype]) -> dict[str, Array]:
    """Row by row, in TensorFlow Serving's order, so that the first error is its first error."""
    named = _is_object(instances[0])
    rows: dict[str, list[Array]] = {}
    for index, item in enumerate(instances):
        if named and not _is_object(item):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if not named and _is_object(item):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        for name, value in (item if named else {min(specs): item}).items():
            try:
                _add_row(rows, name, value, specs)
            except StatusError as error:
                key = f" key: {name}" if named else ""
                raise invalid(f"Failed to process element: {index}{key} of 'instances' list. Error: {error}") from None
        if named and item.keys() != specs.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list."
                f" JSON object: {shown(item)} keys must be equal to: {joined(specs)}"
            )
    return {name: np.stack(arrays) for name, arrays in rows.items()}


def _add_row(rows: dict[str, list[Array]], name: str, value: Any, specs: Mapping[str, Dtype]) -> None:
    if name not in specs:
        raise invalid(f"JSON object: does not have named input: {name}")
    array = _walked(value, specs[name])
    first = rows.setdefault(name, [array])[0]
    if array is first:
        return
    if array.size != first.size:
        raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        raise invalid(f"Expecting shape {_shape_text(first)} but got: {_shape_text(array)}")
    rows[name].append(array)


def _read_columns(inputs: Any, specs: Mapping[str, Dtype]) -> dict[str, Array]:
    if _is_object(inputs):
        for name in sorted(specs):
            if name not in inputs:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: _column(inputs[name], specs[name]) for name in sorted(specs)}
    if len(specs) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple"
            " input tensors required as per tensorinfo_map"
        )
    name, dtype = min(specs.items())
    return {name: _column(inputs, dtype)}


def _column(value: Any, dtype: Dtype) -> Array:
    array = _dense(value, dtype)
    return array if array is not None else _walked(value, dtype)


def _dense(value: Any, dtype: Dtype) -> Array | None:
    """The whole value as one array, or None if anything in it is not plainly right."""
    shape: list[int] = []
    level = [value]
    while level and type(level[0]) is list:
        size = len(level[0])
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            return None
        shape.append(size)
        level = list(chain.from_iterable(level))
    flat = elements(level, dtype) if len(shape) <= MAX_RANK else None
    return None if flat is None else flat.reshape(shape)


def _walked(value: Any, dtype: Dtype) -> Array:
    """The slow path: depth first, one value at a time, raising the first error there is."""
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    leaves: list[Any] = []
    try:
        _walk(value, 0, shape, dtype, leaves)
    except RecursionError:
        raise invalid("JSON value is nested too deeply") from None
    if len(shape) > MAX_RANK:
        raise invalid(f"JSON value has rank {len(shape)}, the embedded server takes at most {MAX_RANK}")
    if dtype.name == "string":
        return string_array(leaves).reshape(shape)
    wide = {"float": np.float64, "double": np.float64, "uint64": np.uint64}.get(dtype.name, np.int64)
    return np.array(leaves, wide).astype(dtype.numpy).reshape(shape)


def _walk(value: Any, level: int, shape: list[int], dtype: Dtype, leaves: list[Any]) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid(
                f"JSON Value: {shown(value)} found at incorrect level: {level + 1}"
                f" in the JSON DOM. Expected at level: {rank}"
            )
        leaves.append(element(value, dtype))
        return
    if level >= rank:
        raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _walk(item, level + 1, shape, dtype, leaves)


def _is_object(value: Any) -> bool:
    """A JSON object that is not a base64 string in disguise."""
    return isinstance(value, dict) and not is_base64(value)


def _shape_text(array: Array) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"
