"""Protobuf's wire format, as far as answers are written by hand here.

A PredictResponse made of message objects costs as much as a small model does. It is a handful of length-delimited
fields around the memory of an array, so it is put together as bytes.
"""

from __future__ import annotations

VARINT, DELIMITED = 0, 2  # wire types


def varint(number: int) -> bytes:
    """A non-negative number as protobuf writes it: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def key(field: int, wire_type: int) -> bytes:
    """What stands before a field's value."""
    return varint(field << 3 | wire_type)


def delimited(field: int, payload: bytes) -> bytes:
    """A field that is a message, a string, bytes or packed numbers."""
    return key(field, DELIMITED) + varint(len(payload)) + payload


def read_varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number that starts at ``at``, and where the next thing starts; ValueError where the bytes end inside it."""
    number = shift = 0
    while True:
        if at >= len(raw):
            raise ValueError("the bytes end inside a number")
        byte = raw[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
