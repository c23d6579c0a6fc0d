"""TensorProto in both directions, by TensorFlow's rules; TensorFlow itself is the witness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.tfserving.tensors import DTYPES, Array, Dtype, decode, encode, encode_content
from serving.tfserving.wire import read_varint, varint

NUMERIC = [dtype for dtype in DTYPES.values() if not dtype.is_string]


def values_of(dtype: Dtype, shape: tuple[int, ...]) -> Array:
    return (np.random.default_rng(3).normal(size=shape) * 50).clip(0).astype(dtype.numpy)


def typed(dtype: str, shape: tuple[int, ...], **fields: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(dtype), **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize("shape", [(), (1,), (3, 70), (2, 0)])
@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda dtype: dtype.name)
def test_what_is_encoded_is_what_tensorflow_decodes(dtype: Dtype, shape: tuple[int, ...]) -> None:
    array = values_of(dtype, shape)
    proto = tensor_pb2.TensorProto()
    proto.MergeFromString(encode(array, dtype))
    assert proto.dtype == dtype.number
    assert not proto.tensor_content
    assert len(getattr(proto, dtype.field)) == array.size * (2 if dtype.numpy.kind == "c" else 1)
    if array.size:
        assert np.array_equal(tf.make_ndarray(proto), array)
    decoded = decode(proto)
    assert decoded.dtype == array.dtype
    assert decoded.shape == shape
    assert np.array_equal(decoded, array)


@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda dtype: dtype.name)
def test_tensor_content_is_decoded_for_every_type(dtype: Dtype) -> None:
    array = values_of(dtype, (4, 5))
    proto = typed(types_pb2.DataType.Name(dtype.number), (4, 5), tensor_content=array.tobytes())
    assert np.array_equal(decode(proto), array)


def test_strings_go_through_both_ways_of_writing_them() -> None:
    words = np.array([[b"a", b""], [b"\xff\x00", b"long" * 100]], object)
    proto = tensor_pb2.TensorProto()
    proto.MergeFromString(encode(words, DTYPES[types_pb2.DT_STRING]))
    assert list(proto.string_val) == words.ravel().tolist()
    assert decode(proto).tolist() == words.tolist()
    content = b"\x01\x00\x02\x90\x03" + b"".join(words.ravel().tolist())
    assert decode(typed("DT_STRING", (2, 2), tensor_content=content)).tolist() == words.tolist()


@pytest.mark.parametrize(
    ("proto", "expected"),
    [
        (typed("DT_FLOAT", (2, 2), float_val=[1.5]), [[1.5, 1.5], [1.5, 1.5]]),
        (typed("DT_INT64", (4,), int64_val=[1, 2]), [1, 2, 2, 2]),
        (typed("DT_INT32", (2,), int_val=[1, 2, 3]), [1, 2]),
        (typed("DT_DOUBLE", (2,)), [0.0, 0.0]),
        (typed("DT_BOOL", (2,), bool_val=[True]), [True, True]),
        (typed("DT_STRING", (2,)), [b"", b""]),
        (typed("DT_STRING", (2,), string_val=[b"x"]), [b"x", b"x"]),
        (typed("DT_HALF", (2,), half_val=[0x3C00]), [1.0, 1.0]),
        (typed("DT_COMPLEX64", (2,), scomplex_val=[1, 2]), [1 + 2j, 1 + 2j]),
    ],
)
def test_the_last_value_is_repeated_and_no_value_means_zero(proto: Any, expected: list[Any]) -> None:
    assert decode(proto).tolist() == expected


@pytest.mark.parametrize(
    "proto",
    [
        typed("DT_FLOAT", (2,), tensor_content=b"123"),
        typed("DT_FLOAT", (-1,), float_val=[1]),
        typed("DT_VARIANT", (1,)),
        typed("DT_STRING", (2,), tensor_content=b"\x01"),
        typed("DT_STRING", (1,), tensor_content=b"\x05ab"),
        typed("DT_FLOAT", (1 << 40,), float_val=[1]),
    ],
)
def test_malformed_and_monstrous_tensors_are_value_errors(proto: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(proto)


@pytest.mark.parametrize("shape", [(), (3, 7), (0, 2)])
@pytest.mark.parametrize("dtype", list(DTYPES.values()), ids=lambda dtype: dtype.name)
def test_content_is_what_tensorflow_and_we_decode(dtype: Dtype, shape: tuple[int, ...]) -> None:
    array = np.full(shape, b"word", object) if dtype.is_string else values_of(dtype, shape)
    proto = tensor_pb2.TensorProto.FromString(encode_content(array, dtype))
    assert (proto.dtype, proto.HasField("tensor_shape")) == (dtype.number, True)
    assert bool(proto.tensor_content) == bool(array.size)
    decoded = decode(proto)
    assert (decoded.shape, decoded.tolist()) == (shape, array.tolist())
    if array.size and not dtype.is_string:
        assert np.array_equal(tf.make_ndarray(proto), array)


def test_bytes_that_end_inside_a_number_are_a_value_error() -> None:
    assert read_varint(varint(300), 0) == (300, 2)
    with pytest.raises(ValueError, match="the bytes end inside a number"):
        read_varint(b"\x80\x80", 0)
