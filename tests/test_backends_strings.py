"""String tensors of the python-based backends: the fast codecs say what the wire format says, for every content."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from types import FrameType, SimpleNamespace
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


def steps_of_python(work: Callable[[], object]) -> int:
    """How many instructions of Python a call takes, whatever it does in C."""
    steps = 0

    def trace(frame: FrameType, what: str, _: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += what == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return steps


@pytest.mark.parametrize("word", ["text", b"bytes"], ids=["texts, as onnxruntime answers", "bytes, as TensorFlow does"])
def test_writing_many_strings_takes_no_more_python_than_writing_few(word: str | bytes) -> None:
    few, many = (np.array([word] * count, dtype=object) for count in (2, 500))
    assert 0 < steps_of_python(lambda: codec.write_strings(few)) == steps_of_python(lambda: codec.write_strings(many))


def test_texts_alone_are_written_as_among_others() -> None:
    array = np.array([["ä", ""], ["\0", "long" * 99]], dtype=object)
    assert codec.write_strings(array).tobytes() == on_the_wire(["ä".encode(), b"", b"\0", b"long" * 99])


def test_a_text_that_utf8_does_not_have_is_the_same_error_alone_and_among_others() -> None:
    for others in ([], [7]):
        with pytest.raises(UnicodeEncodeError, match="surrogates not allowed"):
            codec.write_strings(np.array(["\ud800", *others], dtype=object))


def test_only_a_triton_that_has_the_slow_functions_gets_the_fast_ones() -> None:
    older: Any = SimpleNamespace(deserialize_bytes_tensor=len, serialize_byte_tensor=len)
    newer: Any = SimpleNamespace()
    codec.speed_up_strings(older)
    codec.speed_up_strings(newer)
    assert older.deserialize_bytes_tensor is codec.read_strings
    assert older.serialize_byte_tensor is codec.write_strings
    assert vars(newer) == {}
