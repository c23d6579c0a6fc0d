"""Requests and answers of the four protocols: the bytes are those of the protocols' own clients, and whatever is wrong
with an answer is a MalformedAnswer."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from contract.codecs import CODECS, Codec, MalformedAnswer, Payload, codec_for
from contract.codecs.tfserving_messages import PredictRequest, PredictResponse
from contract.codecs.triton_http import LENGTH_HEADER
from contract.errors import UsageError
from contract.tensors import (
    BY_TENSORFLOW,
    BY_TRITON,
    DTYPES,
    Array,
    Tensors,
    TensorSpec,
    dtype_of,
    from_bytes,
    to_bytes,
    with_row_axis,
)

SHAPES: list[tuple[int, ...]] = [(1,), (3, 2), (2, 0), (0, 3), (2, 1, 3)]


def values(dtype: str, shape: tuple[int, ...]) -> Array:
    random = np.random.default_rng(4)
    if dtype == "string":
        words = np.empty(shape, object)
        for index in np.ndindex(shape):
            words[index] = random.bytes(int(random.integers(0, 9)))
        return words
    return np.asarray(random.normal(size=shape) * 50).clip(0).astype(dtype)


def spec_of(name: str, array: Array) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype_of(array), dims=[f"d{axis}" for axis in range(array.ndim)] or ["d"])


def assert_same(left: Tensors, right: Tensors) -> None:
    assert sorted(left) == sorted(right)
    for name, array in left.items():
        assert dtype_of(array) == dtype_of(right[name])
        assert array.shape == right[name].shape
        assert np.array_equal(array, right[name])


# What the servers answer, written with each protocol's own means.


def triton_http_answer(tensors: Tensors) -> Payload:
    buffers = [to_bytes(array) for array in tensors.values()]
    header = json.dumps(
        {
            "model_name": "m",
            "model_version": "1",
            "outputs": [
                {
                    "name": name,
                    "datatype": DTYPES[dtype_of(array)].triton,
                    "shape": list(array.shape),
                    "parameters": {"binary_data_size": len(buffer)},
                }
                for (name, array), buffer in zip(tensors.items(), buffers, strict=True)
            ],
        }
    ).encode()
    return Payload(header + b"".join(buffers), {LENGTH_HEADER: str(len(header))})


def triton_grpc_answer(tensors: Tensors) -> Payload:
    response = service_pb2.ModelInferResponse(model_name="m", model_version="1")
    for name, array in tensors.items():
        response.outputs.add(name=name, datatype=DTYPES[dtype_of(array)].triton, shape=array.shape)
        response.raw_output_contents.append(to_bytes(array))
    return Payload(response.SerializeToString())


def tfserving_grpc_answer(tensors: Tensors) -> Payload:
    response = PredictResponse()
    for name, array in tensors.items():
        tensor = response.outputs.add(key=name).value
        tensor.dtype = DTYPES[dtype_of(array)].tensorflow
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
        if array.dtype == object:
            tensor.string_val.extend(array.ravel().tolist())
        else:
            tensor.tensor_content = to_bytes(array)
    return Payload(response.SerializeToString())


def tfserving_rest_answer(tensors: Tensors) -> Payload:
    plain = {name: plain_list(array) for name, array in tensors.items()}
    return Payload(json.dumps({"outputs": plain if len(plain) > 1 else next(iter(plain.values()))}).encode())


def plain_list(array: Array) -> Any:
    if array.dtype != object:
        return array.tolist()
    encoded = np.empty(array.shape, object)
    for index, item in np.ndenumerate(array):
        encoded[index] = {"b64": base64.b64encode(item).decode()}
    return encoded.tolist()


ANSWERS: dict[str, Callable[[Tensors], Payload]] = {
    "triton/http": triton_http_answer,
    "triton/grpc": triton_grpc_answer,
    "tfserving/grpc": tfserving_grpc_answer,
    "tfserving/rest": tfserving_rest_answer,
}
BINARY = [name for name in ANSWERS if name != "tfserving/rest"]


def codec(name: str) -> Codec:
    engine, protocol = name.split("/")
    return codec_for(engine, protocol)


def test_every_protocol_has_a_codec_and_an_answer_here() -> None:
    kserve = ["kserve/grpc", "kserve/http"]  # in test_codecs_kserve.py
    assert sorted([*ANSWERS, *kserve]) == sorted(CODECS)


def test_an_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown protocol 'triton/htpp': one of .*; did you mean 'triton/http'"):
        codec_for("triton", "htpp")


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("triton/http", "/v2/models/m__onnx/versions/3/infer"),
        ("triton/grpc", "/inference.GRPCInferenceService/ModelInfer"),
        ("tfserving/grpc", "/tensorflow.serving.PredictionService/Predict"),
        ("tfserving/rest", "/v1/models/m__onnx/versions/3:predict"),
    ],
)
def test_the_target_is_the_protocol_s(name: str, target: str) -> None:
    assert codec(name).target("m__onnx", 3) == target


# Tensors.


@pytest.mark.parametrize("shape", [(), *SHAPES])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_come_back_as_the_tensor(dtype: str, shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    assert_same({"x": from_bytes(to_bytes(array), dtype, shape)}, {"x": array})


def test_bytes_are_little_endian_and_row_major_whatever_the_memory() -> None:
    array = np.array([[1, 2], [3, 4]], ">i4").T
    assert to_bytes(array) == np.array([1, 3, 2, 4], "<i4").tobytes()


def test_strings_are_length_prefixed() -> None:
    assert to_bytes(np.array([b"ab", b""], object)) == b"\x02\x00\x00\x00ab\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        (b"\0" * 7, "float32", (2,)),
        (b"\0" * 12, "float32", (2,)),
        (b"\0" * 8, "float32", (-1,)),
        (b"\0" * 8, "float32", (-1, 2)),
        (b"", "float32", (2**62, 8)),
        (b"", "string", (1,)),
        (b"\x02\0\0\0a", "string", (1,)),
        (b"\x01\0\0\0a", "string", (0,)),
        (b"", "string", (-1,)),
        (b"", "string", (2**40,)),
        (b"", "string", (2**32, 2**32)),
    ],
)
def test_bytes_that_do_not_fit_the_shape_are_a_value_error(data: bytes, dtype: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is numpy's
        from_bytes(data, dtype, shape)


def test_the_table_of_dtypes_is_one_to_one() -> None:
    assert len(BY_TRITON) == len(BY_TENSORFLOW) == len(DTYPES)


# Round trips.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BINARY)
def test_an_answer_is_decoded_for_every_dtype_and_shape(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    tensors = {"y": values(dtype, shape), "z": values("float32", (2,))}
    answer = ANSWERS[name](tensors)
    assert_same(codec(name).decode(answer.body, answer.headers, [spec_of(*item) for item in tensors.items()]), tensors)


@pytest.mark.parametrize("key", ["predictions", "outputs"])
@pytest.mark.parametrize("shape", [(1,), (3, 2), (2, 0), (2, 1, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_rest_answer_takes_the_declared_dtype(dtype: str, shape: tuple[int, ...], key: str) -> None:
    array = values(dtype, shape)
    body = json.dumps({key: plain_list(array)}).encode()
    assert_same(codec("tfserving/rest").decode(body, {}, [spec_of("y", array)]), {"y": array})


def test_a_rest_answer_of_two_outputs_is_read_by_row_and_by_column() -> None:
    tensors = {"y": values("float32", (2, 3)), "s": values("string", (2,))}
    specs = [spec_of(*item) for item in tensors.items()]
    plain = {name: plain_list(array) for name, array in tensors.items()}
    rows = [{name: column[row] for name, column in plain.items()} for row in range(2)]
    for document in ({"predictions": rows}, {"outputs": plain}):
        assert_same(codec("tfserving/rest").decode(json.dumps(document).encode(), {}, specs), tensors)


def test_a_rest_string_is_base64_or_plain_text() -> None:
    body = '{"predictions": ["plain ü", {"b64": "/wA="}, ""]}'.encode()
    found = codec("tfserving/rest").decode(body, {}, [TensorSpec(name="y", dtype="string", dims=["b"])])
    assert found["y"].tolist() == ["plain ü".encode(), b"\xff\x00", b""]


def test_rest_requests_are_rows_for_one_input_and_columns_for_several() -> None:
    rest, x, s = codec("tfserving/rest"), np.array([[1, 2]], np.int64), np.array([b"\xff"], object)
    one, two = rest.encode("m", 1, {"x": x}, []), rest.encode("m", 1, {"x": x, "s": s}, [])
    assert json.loads(one.body) == {"signature_name": "serving_default", "instances": [[1, 2]]}
    assert json.loads(two.body) == {
        "signature_name": "serving_default",
        "inputs": {"x": [[1, 2]], "s": [{"b64": "/w=="}]},
    }
    assert one.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rest_requests_lose_no_digit(dtype: str) -> None:
    array = np.random.default_rng(1).normal(size=200).astype(dtype)
    body = codec("tfserving/rest").encode("m", 1, {"x": array}, []).body
    assert np.array_equal(np.array(json.loads(body)["instances"]).astype(dtype), array)


def test_triton_http_answers_are_read_whatever_the_case_of_the_header() -> None:
    answer = triton_http_answer({"y": values("float32", (2,))})
    headers = {LENGTH_HEADER.lower(): answer.headers[LENGTH_HEADER]}
    assert list(codec("triton/http").decode(answer.body, headers, [])) == ["y"]


# Against the protocols' own clients.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_triton_http_request_says_what_triton_s_own_client_says(dtype: str, shape: tuple[int, ...]) -> None:
    from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

    array = values(dtype, shape)
    ours = codec("triton/http").encode("m", 1, {"x": array}, [TensorSpec(name="y", dtype="float32", dims=["b"])])
    as_served = with_row_axis(array)  # a scalar per row is [n, 1] for Triton
    tensor = InferInput("x", list(as_served.shape), DTYPES[dtype].triton)
    tensor.set_data_from_numpy(as_served)
    body, size = InferenceServerClient.generate_request_body(
        [tensor], outputs=[InferRequestedOutput("y", binary_data=True)]
    )
    ours_size = int(ours.headers[LENGTH_HEADER])
    theirs = json.loads(body[:size])
    theirs.pop("parameters", None)
    assert json.loads(ours.body[:ours_size]) == theirs
    assert ours.body[ours_size:] == body[size:]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_triton_http_answer_reads_as_in_triton_s_own_client(dtype: str) -> None:
    from tritonclient.http import InferenceServerClient

    tensors = {"y": values(dtype, (3, 2)), "z": values("int64", (1,))}
    answer = triton_http_answer(tensors)
    theirs = InferenceServerClient.parse_response_body(answer.body, header_length=int(answer.headers[LENGTH_HEADER]))
    ours = codec("triton/http").decode(answer.body, answer.headers, [])
    for name in tensors:
        assert np.array_equal(ours[name], theirs.as_numpy(name))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_triton_grpc_request_carries_what_triton_s_own_client_carries(dtype: str) -> None:
    from tritonclient.grpc import InferInput

    array = values(dtype, (3, 2))
    tensor = InferInput("x", [3, 2], DTYPES[dtype].triton)
    tensor.set_data_from_numpy(array)
    payload = codec("triton/grpc").encode("m", 4, {"x": array}, [TensorSpec(name="y", dtype="float32", dims=["b"])])
    request = service_pb2.ModelInferRequest.FromString(payload.body)
    assert (request.model_name, request.model_version) == ("m", "4")
    assert list(request.inputs) == [tensor._get_tensor()]
    assert list(request.raw_input_contents) == [tensor._get_content()]
    assert [output.name for output in request.outputs] == ["y"]
    assert payload.headers == {}


def test_a_tfserving_grpc_request_names_model_version_and_signature() -> None:
    payload = codec("tfserving/grpc").encode(
        "m", 7, {"x": values("int64", (2, 3))}, [TensorSpec(name="y", dtype="float32", dims=["b"])]
    )
    request = PredictRequest.FromString(payload.body)
    assert (request.model_spec.name, request.model_spec.version.value) == ("m", 7)
    assert request.model_spec.signature_name == "serving_default"
    assert list(request.output_filter) == ["y"]


WITNESS = """
    import sys
    import numpy as np, tensorflow as tf
    from tensorflow_serving.apis import predict_pb2
    from contract.codecs import codec_for
    from contract.tensors import DTYPES, TensorSpec

    codec = codec_for("tfserving", "grpc")
    for dtype, row in DTYPES.items():
        for shape in ((3, 2), (1,), (2, 0)):
            count = int(np.prod(shape))
            array = np.arange(count).astype(row.numpy).reshape(shape)
            if dtype == "string":
                array = np.array([b"\\xff" * n for n in range(count)], object).reshape(shape)
            body = codec.encode("m", 3, {"x": array}, [TensorSpec(name="y", dtype="float32", dims=["b"])]).body

            request = predict_pb2.PredictRequest()
            request.model_spec.name = "m"
            request.model_spec.version.value = 3
            request.model_spec.signature_name = "serving_default"
            request.output_filter.append("y")
            tensor = tf.make_tensor_proto(array, dtype=row.tensorflow)
            if dtype != "string":  # a single value is written to the typed field by TensorFlow, to tensor_content by us
                shaped = tensor.tensor_shape
                tensor = type(tensor)(dtype=tensor.dtype, tensor_shape=shaped, tensor_content=array.tobytes())
            request.inputs["x"].CopyFrom(tensor)
            assert body == request.SerializeToString(deterministic=True), (dtype, shape)
            read = tf.make_ndarray(predict_pb2.PredictRequest.FromString(body).inputs["x"])
            assert np.array_equal(read, array), (dtype, shape)

            for content in (False, True):
                if content and dtype == "string":
                    continue
                response = predict_pb2.PredictResponse()
                response.model_spec.name = "m"
                response.outputs["y"].CopyFrom(tensor if content else tf.make_tensor_proto(array))
                found = codec.decode(response.SerializeToString(), {}, [])["y"]
                assert found.dtype == array.dtype and found.shape == array.shape, (dtype, shape, content)
                assert np.array_equal(found, array), (dtype, shape, content)
    print("same bytes")
"""


@pytest.mark.e2e
def test_tfserving_messages_are_byte_for_byte_those_of_tensorflow_serving_apis(request: pytest.FixtureRequest) -> None:
    """In a process of its own: it imports TensorFlow."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITNESS)],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.endswith("same bytes\n")


# What is wrong with an answer.

FLOAT = [TensorSpec(name="y", dtype="float32", dims=["b", 2])]


def http(document: Any, data: bytes = b"\0" * 8, length: str | None = None) -> Payload:
    header = json.dumps(document).encode()
    return Payload(header + data, {LENGTH_HEADER: length or str(len(header))})


def output(**changed: Any) -> Any:
    return {
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}} | changed]
    }


def test_the_answer_that_the_next_table_spoils_is_good() -> None:
    answer = http(output())
    assert codec("triton/http").decode(answer.body, answer.headers, FLOAT)["y"].tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "answer",
    [
        Payload(b""),
        Payload(b"\xff\xfe"),
        Payload(b"[" * 100_000),
        Payload(b"null"),
        http({"error": "no such model"}, b""),
        http({"outputs": 3}),
        http({"outputs": [3]}),
        http({"outputs": [{"name": "y"}]}),
        http({"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1]}]}, b""),
        http(output(), length="many"),
        http(output(), length="-5"),
        http(output(), length="1000000"),
        http(output(), b"\0" * 7),
        http(output(), b"\0" * 12),
        http(output(name=[1])),
        http(output(name=1)),
        http(output(datatype="FP99")),
        http(output(datatype=["FP32"])),
        http(output(shape=[1, 3])),
        http(output(shape=[-1, 2])),
        http(output(shape=[2**70])),
        http(output(shape=[1.0, 2.0])),
        http(output(shape=2)),
        http(output(shape=None)),
        http(output(datatype="BYTES", shape=[2**40], parameters={"binary_data_size": 0}), b""),
        http(output(parameters=None)),
        http(output(parameters={"binary_data_size": -8})),
        http(output(parameters={"binary_data_size": float("inf")})),
        http({"outputs": output()["outputs"] * 2}),
    ],
)
def test_a_malformed_triton_http_answer_is_named_so(answer: Payload) -> None:
    with pytest.raises(MalformedAnswer, match="not an answer of Triton's HTTP protocol"):
        codec("triton/http").decode(answer.body, answer.headers, FLOAT)


@pytest.mark.parametrize(
    ("dtype", "body"),
    [
        ("float32", b""),
        ("float32", b"\xff"),
        ("float32", b"[" * 100_000),
        ("float32", b"null"),
        ("float32", b"3"),
        ("float32", b"[]"),
        ("float32", b'"predictions"'),
        ("float32", b'{"error": "no such model"}'),
        ("float32", b'{"predictions": {"y": 1}}'),
        ("float32", b'{"predictions": [1, [2]]}'),
        ("float32", b'{"predictions": [null]}'),
        ("float32", b'{"predictions": null}'),
        ("float32", b'{"predictions": ["1"]}'),
        ("int64", b'{"predictions": [1.5]}'),
        ("int64", b'{"predictions": ["1"]}'),
        ("int64", b'{"predictions": [NaN]}'),
        ("int64", b'{"predictions": [Infinity]}'),
        ("int64", b'{"predictions": [1e30]}'),
        ("int64", b'{"predictions": [1180591620717411303424]}'),
        ("uint8", b'{"predictions": [300]}'),
        ("uint8", b'{"predictions": [-1]}'),
        ("bool", b'{"predictions": ["x"]}'),
        ("string", b'{"predictions": null}'),
        ("string", b'{"predictions": [null]}'),
        ("string", b'{"predictions": [3]}'),
        ("string", b'{"predictions": [{"b64": 3}]}'),
        ("string", b'{"predictions": [{"b64": "YQ"}]}'),
        ("string", b'{"predictions": [{"b64": "!!!!"}]}'),
        ("string", b'{"predictions": [{}]}'),
        ("string", b'{"predictions": [["a"], ["b", "c"]]}'),
        ("string", b'{"predictions": ["\\ud800"]}'),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_malformed_rest_answer_is_named_so(dtype: str, body: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="not an answer of TF Serving's predict call"):
        codec("tfserving/rest").decode(body, {}, [TensorSpec(name="y", dtype=dtype, dims=["b"])])


def test_a_rest_answer_without_a_declared_output_is_malformed() -> None:
    specs = [TensorSpec(name=name, dtype="float32", dims=["b"]) for name in ("y", "z")]
    for body in (b'{"predictions": [{"y": 1}]}', b'{"outputs": {"y": [1]}}', b'{"predictions": [1, 2]}'):
        with pytest.raises(MalformedAnswer):
            codec("tfserving/rest").decode(body, {}, specs)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP32", (2,), []),
        ("FP32", (2,), [b"\0" * 8] * 2),
        ("FP32", (2,), [b"\0" * 7]),
        ("FP32", (-1,), [b"\0" * 8]),
        ("FP32", (2**62, 8), [b""]),
        ("FP99", (2,), [b"\0" * 8]),
        ("", (), [b""]),
        ("BYTES", (2**50,), [b""]),
        ("BYTES", (1,), [b"\x09\0\0\0a"]),
    ],
)
def test_a_malformed_triton_grpc_answer_is_named_so(datatype: str, shape: tuple[int, ...], raw: list[bytes]) -> None:
    response = service_pb2.ModelInferResponse(raw_output_contents=raw)
    response.outputs.add(name="y", datatype=datatype, shape=shape)
    with pytest.raises(MalformedAnswer, match="not a ModelInferResponse with raw contents"):
        codec("triton/grpc").decode(response.SerializeToString(), {}, FLOAT)


def tensor_answer(dtype: int, shape: tuple[int, ...], **fields: Any) -> bytes:
    response = PredictResponse()
    tensor = response.outputs.add(key="y").value
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return bytes(response.SerializeToString())


@pytest.mark.parametrize(
    ("dtype", "shape", "fields"),
    [
        (0, (1,), {"float_val": [1.0]}),
        (14, (1,), {"half_val": [1]}),
        (999, (1,), {"float_val": [1.0]}),
        (1, (2,), {"float_val": [1.0, 2.0, 3.0]}),
        (1, (-1,), {"float_val": [1.0, 2.0]}),
        (1, (-1,), {"tensor_content": b"\0" * 8}),
        (1, (2,), {"tensor_content": b"\0" * 7}),
        (1, (2**45,), {"float_val": [1.0]}),
        (4, (1,), {"int_val": [300]}),
        (6, (2,), {"int_val": [1, -129]}),
        (19, (1,), {"half_val": [70000]}),
    ],
)
def test_a_malformed_tfserving_grpc_answer_is_named_so(
    dtype: int, shape: tuple[int, ...], fields: dict[str, Any]
) -> None:
    with pytest.raises(MalformedAnswer, match="not a PredictResponse"):
        codec("tfserving/grpc").decode(tensor_answer(dtype, shape, **fields), {}, FLOAT)


@pytest.mark.parametrize(
    ("dtype", "field", "items", "numpy"),
    [
        (1, "float_val", [1.5, -2.0], "float32"),
        (2, "double_val", [1.5, -2.0], "float64"),
        (3, "int_val", [1, -2], "int32"),
        (4, "int_val", [1, 255], "uint8"),
        (5, "int_val", [1, -2], "int16"),
        (6, "int_val", [1, -128], "int8"),
        (9, "int64_val", [1, -(2**62)], "int64"),
        (10, "bool_val", [True, False], "bool"),
        (7, "string_val", [b"", b"\xff\x00"], "object"),
    ],
)
def test_tensorflow_s_typed_fields_are_read(dtype: int, field: str, items: list[Any], numpy: str) -> None:
    found = codec("tfserving/grpc").decode(tensor_answer(dtype, (2,), **{field: items}), {}, [])["y"]
    assert found.dtype == np.dtype(numpy)
    assert found.tolist() == items


def test_half_precision_travels_as_bit_patterns() -> None:
    bits = np.array([1.5, -2.0], np.float16).view(np.uint16).tolist()
    assert codec("tfserving/grpc").decode(tensor_answer(19, (2,), half_val=bits), {}, [])["y"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize("shape", [(), (1,), (2, 3)])
def test_a_single_value_stands_for_every_element(shape: tuple[int, ...]) -> None:
    found = codec("tfserving/grpc").decode(tensor_answer(1, shape, float_val=[4.0]), {}, [])["y"]
    assert found.shape == shape
    assert (found == 4.0).all()


FUZZED: Tensors = {"y": values("float32", (2, 2)), "s": values("string", (3,)), "n": values("int64", (2,))}


@pytest.mark.parametrize("damage", ["cut off", "flipped bits", "junk in the middle"])
@pytest.mark.parametrize("name", ANSWERS)
def test_no_damage_to_an_answer_is_met_by_anything_but_malformed_answer(name: str, damage: str) -> None:
    random = np.random.default_rng(20240)
    good, chosen, specs = ANSWERS[name](FUZZED), codec(name), [spec_of(*item) for item in FUZZED.items()]
    refused = 0
    for _ in range(500):
        body = bytearray(good.body)
        place = int(random.integers(0, len(body)))
        if damage == "cut off":
            del body[place:]
        elif damage == "flipped bits":
            for spot in random.integers(0, len(body), 3):
                body[spot] ^= 1 << int(random.integers(0, 8))
        else:
            body[place:place] = random.bytes(int(random.integers(1, 20)))
        try:
            chosen.decode(bytes(body), good.headers, specs)
        except MalformedAnswer:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("name", CODECS)
def test_junk_is_met_by_malformed_answer_or_no_outputs(name: str) -> None:
    random = np.random.default_rng(7)
    for size in random.integers(0, 200, 300):
        try:
            found = codec(name).decode(random.bytes(int(size)), {}, FLOAT)
        except MalformedAnswer:
            continue
        assert not found


def test_no_codec_needs_a_machine_learning_framework(request: pytest.FixtureRequest) -> None:
    """A load worker and a report import codecs, and neither has TensorFlow or torch."""
    code = (
        "import sys; from contract.codecs import CODECS, codec_for; [codec_for(*name.split('/')) for name in CODECS];"
        "print(sorted({'tensorflow', 'torch', 'keras', 'onnxruntime'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(request.config.rootpath),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "[]\n"
