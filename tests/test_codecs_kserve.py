"""Requests and answers of KServe v2 in general: plain JSON, and gRPC with raw or typed contents."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from contract.codecs import MalformedAnswer, codec_for
from contract.codecs.kserve_grpc import TYPED_FIELDS
from contract.errors import UsageError
from contract.tensors import DTYPES, Array, Tensors, TensorSpec, dtype_of, to_bytes
from tests.test_codecs import SHAPES, assert_same, spec_of

HTTP, GRPC = codec_for("kserve", "http"), codec_for("kserve", "grpc")
IN_JSON = [dtype for dtype in DTYPES if dtype != "float16"]
LOGITS = [TensorSpec(name="y", dtype="float32", dims=["batch", 2])]
# The ends of what each dtype holds: what is cast through a narrower type on the way shows here.
EXTREMES: dict[str, list[Any]] = {
    "bool": [True, False],
    "uint8": [0, 255],
    "int8": [-128, 127],
    "int16": [-(2**15), 2**15 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float16": [-1.5, 65504.0],
    "float32": [0.1, -3.4028234e38],
    "float64": [0.1, -1.7976931348623157e308],
    "string": ["größer".encode(), b""],
}


def values(dtype: str, shape: tuple[int, ...]) -> Array:
    """The ends of a dtype, in turns."""
    count = int(np.prod(shape))
    array = np.empty(count, DTYPES[dtype].numpy)
    array[:] = (EXTREMES[dtype] * count)[:count]
    return array.reshape(shape)


def text(array: Array) -> Any:
    """An array as JSON has it."""
    return np.vectorize(bytes.decode, otypes=[object])(array).tolist() if array.dtype == object else array.tolist()


def json_answer(tensors: Tensors, nested: bool = False) -> bytes:
    outputs = [
        {
            "name": name,
            "datatype": DTYPES[dtype_of(array)].triton,
            "shape": list(array.shape),
            "data": text(array if nested else array.ravel()),
            "parameters": {"content_type": "np"},
        }
        for name, array in tensors.items()
    ]
    return json.dumps({"model_name": "m", "id": "1", "parameters": {}, "outputs": outputs}).encode()


def grpc_answer(tensors: Tensors, typed: bool = False) -> bytes:
    response = service_pb2.ModelInferResponse(model_name="m")
    for name, array in tensors.items():
        dtype = dtype_of(array)
        output = response.outputs.add(name=name, datatype=DTYPES[dtype].triton, shape=array.shape)
        if typed:
            getattr(output.contents, TYPED_FIELDS[dtype]).extend(array.ravel().tolist())
        else:
            response.raw_output_contents.append(to_bytes(array))
    return bytes(response.SerializeToString())


# Where requests go, and what they hold.


@pytest.mark.parametrize(
    ("version", "path"), [("", "/v2/models/m/infer"), ("v1.2", "/v2/models/m/versions/v1.2/infer")]
)
def test_a_path_names_a_version_only_where_there_is_one(version: str, path: str) -> None:
    assert HTTP.target("m", version) == path


@pytest.mark.parametrize("version", ["", "v1.2"])
def test_grpc_names_the_version_in_the_message(version: str) -> None:
    assert GRPC.target("m", version) == "/inference.GRPCInferenceService/ModelInfer"
    request = service_pb2.ModelInferRequest.FromString(GRPC.encode("m", version, {}, []).body)
    assert (request.model_name, request.model_version) == ("m", version)


def test_a_json_request_is_flat_row_major_and_asks_for_the_outputs() -> None:
    tensors = {"x": np.array([[1, 2], [3, 4]], np.int64).T, "s": np.array([["ü".encode()]], object)}
    payload = HTTP.encode("m", "", tensors, LOGITS)
    assert json.loads(payload.body) == {
        "inputs": [
            {"name": "x", "shape": [2, 2], "datatype": "INT64", "data": [1, 3, 2, 4]},
            {"name": "s", "shape": [1, 1], "datatype": "BYTES", "data": ["ü"]},
        ],
        "outputs": [{"name": "y"}],
    }
    assert payload.headers == {"Content-Type": "application/json"}


def test_a_scalar_per_row_keeps_the_shape_of_its_signature() -> None:
    array = np.array([1.0, 2.0], np.float32)
    assert json.loads(HTTP.encode("m", "", {"x": array}, []).body)["inputs"][0]["shape"] == [2]
    assert list(
        service_pb2.ModelInferRequest.FromString(GRPC.encode("m", "", {"x": array}, []).body).inputs[0].shape
    ) == [2]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", IN_JSON)
def test_a_json_request_loses_nothing(dtype: str, shape: tuple[int, ...]) -> None:
    tensors = {"x": values(dtype, shape)}
    asked = json.loads(HTTP.encode("m", "", tensors, []).body)
    echoed = json.dumps({"outputs": asked["inputs"]}).encode()
    assert_same(HTTP.decode(echoed, {}, []), tensors)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_grpc_request_loses_nothing(dtype: str, shape: tuple[int, ...]) -> None:
    tensors = {"x": values(dtype, shape)}
    request = service_pb2.ModelInferRequest.FromString(GRPC.encode("m", "", tensors, []).body)
    echoed = service_pb2.ModelInferResponse(raw_output_contents=request.raw_input_contents)
    for each in request.inputs:
        echoed.outputs.add(name=each.name, datatype=each.datatype, shape=each.shape)
    assert_same(GRPC.decode(echoed.SerializeToString(), {}, []), tensors)


@pytest.mark.parametrize(
    ("array", "outputs", "sentence"),
    [
        (np.ones(2, np.float16), [], "'x' is FP16, which the JSON of .* cannot carry; .*grpc"),
        (np.ones(2), [TensorSpec(name="h", dtype="float16", dims=["b"])], "'h' is FP16"),
        (np.array([b"\xff"], object), [], "'x' holds bytes that are not UTF-8.*grpc"),
        (np.array([1.0, np.nan]), [], "a request to m holds NaN or infinity.*grpc"),
        (np.array([np.inf]), [], "a request to m holds NaN or infinity"),
    ],
)
def test_what_json_cannot_carry_is_refused_with_the_way_out(
    array: Array, outputs: list[TensorSpec], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        HTTP.encode("m", "", {"x": array}, outputs)
    assert GRPC.encode("m", "", {"x": array}, outputs).body


# Answers.


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", IN_JSON)
def test_a_json_answer_is_read_flat_and_nested(dtype: str, shape: tuple[int, ...], nested: bool) -> None:
    tensors = {"y": values(dtype, shape), "z": values("float32", (2,))}
    specs = [spec_of(*item) for item in tensors.items()]
    assert_same(HTTP.decode(json_answer(tensors, nested), {}, specs), tensors)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "typed"), [*((dtype, False) for dtype in DTYPES), *((d, True) for d in TYPED_FIELDS)]
)
def test_a_grpc_answer_is_read_raw_and_typed(dtype: str, shape: tuple[int, ...], typed: bool) -> None:
    tensors = {"y": values(dtype, shape)}
    assert_same(GRPC.decode(grpc_answer(tensors, typed), {}, [spec_of("y", tensors["y"])]), tensors)


def test_every_dtype_that_has_a_typed_field_is_read_from_it() -> None:
    assert set(TYPED_FIELDS) == set(IN_JSON)  # FP16 is always raw


def test_whole_numbers_are_floats_where_floats_are_declared() -> None:
    body = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}]}'
    assert_same(HTTP.decode(body, {}, LOGITS), {"y": np.array([[1.0, 2.5]], np.float32)})


def test_a_scalar_per_row_is_read_from_servers_that_give_it_an_axis() -> None:
    spec = [TensorSpec(name="y", dtype="float32", dims=["batch"])]
    tensors = {"y": values("float32", (3, 1))}
    for found in (HTTP.decode(json_answer(tensors), {}, spec), GRPC.decode(grpc_answer(tensors, True), {}, spec)):
        assert found["y"].shape == (3,)


def output(**changes: Any) -> bytes:
    """An answer with one output that is right but for the changes."""
    entry = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]} | changes
    return json.dumps({"outputs": [entry]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"outputs": 3}',
        b'{"outputs": [7]}',
        b'{"error": "no such model"}',
        b'{"outputs": [{"name": "y"}]}',
        b"[" * 100_000,
        output(name=None),
        output(name=["y"]),
        output(datatype="FP33"),
        output(datatype=None),
        output(datatype="FP16"),
        output(shape=[2, 2]),
        output(shape=[-1, -2]),
        output(shape=["1", 2]),
        output(shape=2),
        output(shape=[10**30, 0], data=[]),
        output(data=[1.0]),
        output(data=[[1.0], [2.0]]),
        output(data=[[1.0, 2.0], [3.0]]),
        output(data=["1", "2"]),
        output(data=[True, False]),
        output(data=[None, 1.0]),
        output(data=None),
        output(data={"0": 1.0}),
        output(datatype="BOOL", data=[1, 0]),
        output(datatype="INT8", data=[1, 128]),
        output(datatype="UINT8", data=[-1, 1]),
        output(datatype="INT64", data=[1.0, 2.0]),
        output(datatype="INT64", data=[2**63, 1]),
        output(datatype="INT64", data=[10**30, 1]),
        output(datatype="BYTES", data=["a", 1]),
        output(datatype="BYTES", data=["a"]),
        output(datatype="BYTES", data=[["a"], ["b"]]),
        json.dumps({"outputs": json.loads(output())["outputs"] * 2}).encode(),
    ],
    ids=lambda body: body[:90].decode(),
)
def test_a_json_answer_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="not an answer of the KServe v2 protocol"):
        HTTP.decode(body, {}, LOGITS)


def typed_answer(datatype: str, shape: list[int], **contents: list[Any]) -> bytes:
    response = service_pb2.ModelInferResponse()
    response.outputs.add(name="y", datatype=datatype, shape=shape, contents=contents)
    return bytes(response.SerializeToString())


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        typed_answer("FP32", [1, 2]),
        typed_answer("FP32", [1, 2], fp64_contents=[1.0, 2.0]),
        typed_answer("FP32", [-1], fp32_contents=[1.0]),
        typed_answer("INT8", [1], int_contents=[128]),
        typed_answer("UINT8", [1], uint_contents=[256]),
        typed_answer("FP16", [1], fp32_contents=[1.0]),
        typed_answer("FP33", [1], fp32_contents=[1.0]),
        typed_answer("BYTES", [2], bytes_contents=[b"a"]),
        grpc_answer({"y": values("float32", (2,))})[:-6],
        grpc_answer({"y": values("float32", (2,))}) * 2,
        service_pb2.ModelInferResponse(raw_output_contents=[b"left over"]).SerializeToString(),
    ],
)
def test_a_grpc_answer_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="not a ModelInferResponse"):
        GRPC.decode(body, {}, LOGITS)


FUZZED: Tensors = {"y": values("float32", (2, 2)), "s": values("string", (3,)), "n": values("int64", (2,))}


@pytest.mark.parametrize("damage", ["cut off", "flipped bits", "junk in the middle"])
@pytest.mark.parametrize("form", ["json", "raw", "typed"])
def test_no_damage_to_an_answer_is_met_by_anything_but_malformed_answer(form: str, damage: str) -> None:
    random = np.random.default_rng(20240)
    good = json_answer(FUZZED) if form == "json" else grpc_answer(FUZZED, typed=form == "typed")
    chosen, specs = HTTP if form == "json" else GRPC, [spec_of(*item) for item in FUZZED.items()]
    refused = 0
    for _ in range(500):
        body = bytearray(good)
        place = int(random.integers(0, len(body)))
        if damage == "cut off":
            del body[place:]
        elif damage == "flipped bits":
            for spot in random.integers(0, len(body), 3):
                body[spot] ^= 1 << int(random.integers(0, 8))
        else:
            body[place:place] = random.bytes(int(random.integers(1, 20)))
        try:
            chosen.decode(bytes(body), {}, specs)
        except MalformedAnswer:
            refused += 1
    assert refused > 50
