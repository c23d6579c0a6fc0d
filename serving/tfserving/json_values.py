"""JSON values -> the elements of a tensor, by TensorFlow Serving's rules, with its error texts word for word.

Integers reject 1.0, floats accept 1 unless it loses precision; NaN and Infinity are numbers; a string is a JSON
string or {"b64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.tfserving.errors import Code, StatusError, invalid
from serving.tfserving.json_document import shown
from serving.tfserving.tensors import Array, Dtype, string_array

_INTEGER_RANGE = {
    **dict.fromkeys(("int32", "int16", "int8", "uint8"), (-(1 << 31), (1 << 31) - 1)),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}
# the largest integer below which a float holds every integer, and the largest finite value
_FLOAT_RANGE = {
    "float": ((1 << 24) - 1, float(np.finfo(np.float32).max)),
    "double": ((1 << 53) - 1, float("inf")),
}


def elements(leaves: list[Any], dtype: Dtype) -> Array | None:
    """All values as a one-dimensional array at C speed, or None if anything in them is not plainly right."""
    kinds = set(map(type, leaves))
    if dtype.name in _FLOAT_RANGE:
        return _float_leaves(leaves, kinds, dtype) if kinds <= {int, float} else None
    if dtype.name in _INTEGER_RANGE and kinds <= {int}:
        low, high = _INTEGER_RANGE[dtype.name]
        if leaves and (min(leaves) < low or max(leaves) > high):
            return None
        wide = np.array(leaves, np.uint64 if dtype.name == "uint64" else np.int64)
        return wide.astype(dtype.numpy)  # 300 as uint8 wraps to 44, as it does in TensorFlow Serving
    if dtype.name == "bool" and kinds <= {bool}:
        return np.array(leaves, np.bool_)
    if dtype.name == "string" and kinds <= {str}:
        return string_array([leaf.encode("utf-8", "surrogateescape") for leaf in leaves])
    return None


def _float_leaves(leaves: list[Any], kinds: set[type], dtype: Dtype) -> Array | None:
    exact_integer, largest = _FLOAT_RANGE[dtype.name]
    try:
        wide = np.array(leaves, np.float64)
    except OverflowError:  # an integer beyond double
        return None
    size = np.abs(wide)
    if int in kinds and bool((size > exact_integer).any()):
        return None
    if dtype.name == "float":
        if bool(((size > largest) & (size != np.inf)).any()):
            return None
        return wide.astype(np.float32)
    return wide


def element(value: Any, dtype: Dtype) -> Any:
    """One value as its dtype takes it, or the error that says why not."""
    kind = dtype.name
    if isinstance(value, dict):
        if kind == "string":
            return from_base64(value)
        raise _type_error(value, dtype)
    if kind in _FLOAT_RANGE:
        return _float_leaf(value, dtype)
    if kind in _INTEGER_RANGE:
        low, high = _INTEGER_RANGE[kind]
        if type(value) is not int or not low <= value <= high:
            raise _type_error(value, dtype)
        return value
    if kind == "string":
        if not isinstance(value, str):
            raise _type_error(value, dtype)
        return value.encode("utf-8", "surrogateescape")
    if kind == "bool":
        if not isinstance(value, bool):
            raise _type_error(value, dtype)
        return value
    raise StatusError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {kind}")


def _float_leaf(value: Any, dtype: Dtype) -> float:
    exact_integer, largest = _FLOAT_RANGE[dtype.name]
    if type(value) not in (int, float):
        raise _type_error(value, dtype)
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        lossy = abs(value) > exact_integer
    else:
        try:
            value = float(value)  # an integer beyond 64 bits is read as a decimal
        except OverflowError:
            raise invalid("JSON Parse error: Number too big to be stored in double.") from None
        lossy = abs(value) > largest and value not in (np.inf, -np.inf)
    if lossy:
        raise invalid(f"Cannot convert JSON value: {shown(value)} to {dtype.name} without loss of precision.")
    return float(value)


def from_base64(value: Mapping[str, Any]) -> bytes:
    """The bytes of {"b64": "..."}; whitespace and missing padding are forgiven."""
    if not is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def is_base64(value: Any) -> bool:
    """Whether a value is {"b64": "..."}."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _type_error(value: Any, dtype: Dtype) -> StatusError:
    return invalid(f"JSON Value: {shown(value)} Type: {_type_name(value)} is not of expected type: {dtype.name}")


def _type_name(value: Any) -> str:
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    for kind, name in ((dict, "Object"), (list, "Array"), (str, "String")):
        if isinstance(value, kind):
            return name
    return "Number"
