"""JSON bodies of Classify and Regress -> an Input message, by TensorFlow Serving's rules and in its words.

An example is an object of features: a number with a fraction is a float, one without an int64, a boolean an int64,
a string or {"b64": "..."} bytes; a list holds one kind. A "context" is an example that all others share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorflow_serving.apis import input_pb2

from serving.tfserving.errors import StatusError, invalid
from serving.tfserving.json_document import shown
from serving.tfserving.json_text import decimal
from serving.tfserving.json_values import from_base64, is_base64

_JSON_NAMES = {type(None): "Null", bool: "Bool", dict: "Object", list: "Array", str: "String", int: "Number"}
_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_LARGEST = float(np.finfo(np.float32).max)


def read_input(document: Mapping[str, Any]) -> Any:
    """The Input of a parsed body."""
    message = input_pb2.Input()
    target = message.example_list
    if "context" in document:
        target = message.example_list_with_context
        _fill_example(document["context"], target.context)
    if "examples" not in document:
        raise _format(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _format(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _format(document, "'examples' value is an empty array")
    for example in examples:
        _fill_example(example, target.examples.add())
    return message


def _fill_example(value: Any, example: Any) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {_json_name(value)}")
    for name, content in value.items():
        feature = example.features.feature[_text(name)]
        for item in content if isinstance(content, list) else [content]:
            _add(item, name, feature)


def _add(value: Any, name: str, feature: Any) -> None:
    if isinstance(value, bool):
        _list_of(feature, name, "int64_list").append(int(value))
    elif isinstance(value, str):
        _list_of(feature, name, "bytes_list").append(value.encode("utf-8", "surrogateescape"))
    elif is_base64(value):
        _list_of(feature, name, "bytes_list").append(from_base64(value))
    elif isinstance(value, float):
        values = _list_of(feature, name, "float_list")
        if abs(value) > _LARGEST and np.isfinite(value):
            raise invalid(f"Cannot convert JSON value: {decimal(value)} to float without loss of precision.")
        values.append(value)
    elif isinstance(value, int):
        values = _list_of(feature, name, "int64_list")
        if not -(1 << 63) <= value < 1 << 63:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        values.append(value)
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {_json_name(value)}")


def _list_of(feature: Any, name: str, kind: str) -> Any:
    """The values of a feature, which are of one kind."""
    present = feature.WhichOneof("kind")
    if present not in (None, kind):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[present]}")
    return getattr(feature, kind).value


def _text(name: str) -> str:
    """A map key must be UTF-8; one that is not is shown with replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _json_name(value: Any) -> str:
    return _JSON_NAMES.get(type(value), "Number")


def _format(document: Mapping[str, Any], message: str) -> StatusError:
    return invalid(f"JSON Value: {shown(document)} {message}")
