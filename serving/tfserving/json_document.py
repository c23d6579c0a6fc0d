"""The JSON document of a request: parsed, or refused in the words of TensorFlow Serving's own parser.

What the document means as tensors is the business of `json_tensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serving.tfserving.errors import invalid
from serving.tfserving.json_text import decimal


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request body; bytes that are not UTF-8 survive as surrogates."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.decode("utf-8", "surrogateescape")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogateescape"))
        raise invalid(f"JSON Parse error: {_parse_message(error, text)} at offset: {offset}") from None
    except RecursionError:
        raise invalid("JSON Parse error: Terminate parsing: the document is nested too deeply.") from None
    except ValueError:  # an integer of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def _parse_message(error: json.JSONDecodeError, text: str) -> str:
    """The wording of TensorFlow Serving's JSON parser for what Python's parser found."""
    if not text.strip(" \t\r\n"):
        return "The document is empty."
    if error.msg.startswith("Expecting ','"):
        return _missing_comma(text[: error.pos])
    for start, message in (
        ("Extra data", "The document root must not be followed by other values."),
        ("Expecting property name", "Missing a name for object member."),
        ("Expecting ':'", "Missing a colon after a name of object member."),
        ("Unterminated string", "Missing a closing quotation mark in string."),
        ("Invalid \\u", "Incorrect hex digit after \\u escape in string."),
        ("Invalid \\", "Invalid escape character in string."),
        ("Invalid control", "Invalid encoding in string."),
    ):
        if error.msg.startswith(start):
            return message
    return "Invalid value."


def _missing_comma(before: str) -> str:
    """Whether the innermost open bracket of ``before`` is a list or an object."""
    opened, in_string, escaped = [], False, False
    for char in before:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            opened.append(char)
        elif char in "]}":
            opened.pop()
    if opened and opened[-1] == "[":
        return "Missing a comma or ] after an array element."
    return "Missing a comma or } after an object member."


def signature_name(document: Mapping[str, Any]) -> str:
    """The request's "signature_name", or "" when it does not say."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def shown(value: Any) -> str:
    """A JSON value as error texts show it."""
    return decimal(value) if isinstance(value, float) else json.dumps(value, indent=4, ensure_ascii=False)
