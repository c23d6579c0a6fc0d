"""String tensors without a step of Python for each element where that can be, in place of Triton's own codecs.

Copied beside every backend's model.py, as batch.py is.
"""

import struct

import numpy as np


def speed_up_strings(pb_utils):
    """Replace Triton's string codecs, which visit every element with struct and numpy's iterator (until 25.10).

    Triton looks these functions up for every tensor. Measured on 10,000 strings of 0 to 39 bytes: reading takes 2.1 ms
    instead of 7.1, writing 1.4 instead of 3.8.
    """
    if hasattr(pb_utils, "deserialize_bytes_tensor"):
        pb_utils.deserialize_bytes_tensor = read_strings
    if hasattr(pb_utils, "serialize_byte_tensor"):
        pb_utils.serialize_byte_tensor = write_strings


_LENGTH = struct.Struct("<I")


def read_strings(encoded):
    """Length-prefixed bytes as a 1-D object array."""
    data = bytes(memoryview(encoded))
    strings = _of_one_length(data)
    if strings is None:
        strings, position, length_at = [], 0, _LENGTH.unpack_from
        append = strings.append
        while position < len(data):  # where one string ends, the next begins: there is no way around this walk
            start = position + 4
            position = start + length_at(data, position)[0]
            append(data[start:position])
        if position != len(data):
            raise ValueError("a string tensor ends in the middle of a string")
    array = np.empty(len(strings), dtype=object)
    array[:] = strings
    return array


def _of_one_length(data):
    """The strings when all are as long as the first, without a walk; else None. The heads of 4 bytes tell."""
    step = 4 + _LENGTH.unpack_from(data)[0] if len(data) > 4 else 4
    if step == 4 or len(data) % step or len(data) < 8 * step:
        return None
    table = np.frombuffer(data, np.uint8).reshape(-1, step)
    if (table[:, :4] != table[0, :4]).any():
        return None
    return np.ascontiguousarray(table[:, 4:]).view(f"V{step - 4}").ravel().tolist()


def write_strings(array):
    """An array of bytes (or of what has a string form) as length-prefixed bytes, in the order of its elements."""
    strings = array.ravel().tolist()
    kinds = set(map(type, strings))
    if kinds == {str}:  # all that onnxruntime answers
        strings = list(map(str.encode, strings))
    elif not kinds <= {bytes}:
        strings = [item if type(item) is bytes else str(item).encode() for item in strings]
    parts = [b""] * (2 * len(strings))
    parts[::2] = map(_LENGTH.pack, map(len, strings))
    parts[1::2] = strings
    return np.frombuffer(b"".join(parts), np.uint8)
