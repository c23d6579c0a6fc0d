"""String tensors of the python-based backends: the fast codecs say what the wire format says, for every content."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.test_backends_batch import load_shared

codec = load_shared("batch_strings")

WORDS = {
    "of many lengths": [b"a" * (number % 40) for number in range(3000)],
    "of one length": [b"%05d" % number for number in range(3000)],
    "of one length with zeros at the end": [bytes([number % 3, 0, 0]) for number in range(100)],
    "few of one length": [b"yes", b"not"],
    "one": [b"word"],
    "empty ones": [b""] * 20,
    "one empty": [b""],
    "none": [],
    "that look like lengths": [struct.pack("<I", number) for number in range(50)],
    "whose first differs": [b"longer", *[b"ab"] * 30],
    "long": [bytes(100_000), b"x"],
}


def on_the_wire(strings: list[bytes]) -> bytes:
    """The format, written down as the protocol has it: a length of four bytes, little-endian, and the bytes."""
    return b"".join(struct.pack("<I", len(item)) + item for item in strings)


@pytest.mark.parametrize("strings", WORDS.values(), ids=WORDS)
def test_strings_are_read_and_written_as_the_protocol_says(strings: list[bytes]) -> None:
    wire = np.frombuffer(on_the_wire(strings), np.uint8)
    read = codec.read_strings(wire)
    assert (read.dtype, read.shape) == (np.dtype(object), (len(strings),))
    assert read.tolist() == strings
    assert codec.write_strings(read).tobytes() == wire.tobytes()


def test_what_is_read_outlives_the_memory_that_it_came_from() -> None:
    memory = np.frombuffer(on_the_wire([b"abc", b"de"]), np.uint8).copy()
    read = codec.read_strings(memory)
    memory[:] = 0
    assert read.tolist() == [b"abc", b"de"]


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_a_tensor_that_ends_within_a_string_is_refused(cut: int) -> None:
    wire = on_the_wire([b"abc", b"defgh"])
    with pytest.raises((ValueError, struct.error)):
        codec.read_strings(np.frombuffer(wire[:-cut], np.uint8))


def test_arrays_are_written_in_the_order_of_their_elements_whatever_their_strides() -> None:
    array = np.array([[b"a", b"bb"], [b"ccc", b"d"]], dtype=object).T
    assert codec.write_strings(array).tobytes() == on_the_wire([b"a", b"ccc", b"bb", b"d"])


def test_texts_and_numbers_are_written_as_their_string_form() -> None:
    array = np.array(["ä", b"b", 7], dtype=object)
    assert codec.write_strings(array).tobytes() == on_the_wire(["ä".encode(), b"b", b"7"])
    assert codec.write_strings(np.array([b"xy", b"z"])).tobytes() == on_the_wire([b"xy", b"z"])


def test_only_a_triton_that_has_the_slow_functions_gets_the_fast_ones() -> None:
    older: Any = SimpleNamespace(deserialize_bytes_tensor=len, serialize_byte_tensor=len)
    newer: Any = SimpleNamespace()
    codec.speed_up_strings(older)
    codec.speed_up_strings(newer)
    assert older.deserialize_bytes_tensor is codec.read_strings
    assert older.serialize_byte_tensor is codec.write_strings
    assert vars(newer) == {}
