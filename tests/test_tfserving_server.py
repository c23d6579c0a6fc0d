"""The embedded TF Serving as clients meet it: a real process, real SavedModels, gRPC, REST and signals."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.tfserving.tensors import Array

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 90
RPC_SECONDS = 20


# ---------------------------------------------------------------- models


class Line(tf.Module):
    """y = x / 2 + b, with the signature a client of half_plus_two expects."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = tf.Variable(offset)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def line(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 0.5 * x + self.offset}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="steps")])
    def count(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        """Takes about a microsecond or more a step: slow on demand."""
        done = tf.while_loop(lambda i, _: i < steps, lambda i, x: (i + 1, tf.sin(x)), (0, self.offset * 1.0))
        return {"done": done[0]}


class Mixed(tf.Module):
    """Two inputs, two outputs, two types."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int64, name="b"),
        ]
    )
    def mix(self, a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": tf.reduce_sum(a, axis=1) + tf.cast(b, tf.float32), "twice": 2 * b}


class Text(tf.Module):
    """Strings in, strings and bytes out."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
    def shout(self, s: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"loud": tf.strings.upper(s), "raw_bytes": s}


def save_models(base: Path) -> None:
    two, three = Line(2.0), Line(3.0)
    signatures = {"serving_default": two.line, "count": two.count}
    tf.saved_model.save(two, str(base / "half_plus_two" / "00000123"), signatures=signatures)
    tf.saved_model.save(three, str(base / "half_plus_three" / "1"), signatures=three.line)
    tf.saved_model.save(two, str(base / "half_plus_three" / "2"), signatures=two.line)
    mixed, text = Mixed(), Text()
    tf.saved_model.save(mixed, str(base / "mixed" / "1"), signatures=mixed.mix)
    tf.saved_model.save(text, str(base / "text" / "1"), signatures=text.shout)
    (base / "half_plus_three" / "9").mkdir()
    (base / "half_plus_three" / "9" / "saved_model.pb").write_bytes(b"not a SavedModel")


def model_config(base: Path, *names: str) -> str:
    extra = {
        "half_plus_three": "model_version_policy { all {} } "
        'version_labels { key: "stable" value: 1 } version_labels { key: "gone" value: 9 }'
    }
    configs = (
        f'config {{ name: "{name}" base_path: "{base / name}" model_platform: "tensorflow" {extra.get(name, "")} }}'
        for name in names
    )
    return f"model_config_list {{ {' '.join(configs)} }}"


# ---------------------------------------------------------------- processes


@dataclass
class Running:
    """A server process, and the two ways to talk to it."""

    process: subprocess.Popen[str]
    stderr: Path
    port: int
    rest_port: int
    base: Path

    def __post_init__(self) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def http(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        status, _, text = self.http_raw(method, path, None if body is None else json.dumps(body).encode())
        return status, json.loads(text)

    def http_raw(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=RPC_SECONDS)
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        return response.status, response.getheader("Content-Type"), text

    def finish(self) -> int:
        self.channel.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def launch(directory: Path, base: Path, *arguments: str) -> Running:
    port, rest_port = free_ports(2)
    stderr = directory / f"stderr-{port}"
    command = [sys.executable, "-m", "serving.tfserving", f"--port={port}", f"--rest_api_port={rest_port}"]
    with stderr.open("w") as sink:
        process = subprocess.Popen([*command, *arguments], cwd=ROOT, stderr=sink, text=True)
    return Running(process, stderr, port, rest_port, base)


def await_ready(server: Running) -> Running:
    deadline = time.monotonic() + START_SECONDS
    while f"REST 127.0.0.1:{server.rest_port}" not in server.stderr.read_text():
        assert server.process.poll() is None, server.stderr.read_text()
        assert time.monotonic() < deadline, server.stderr.read_text()
        time.sleep(0.05)
    return server


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """One server of several models with metrics, and one of a single model on a unix socket."""
    directory = tmp_path_factory.mktemp("tfserving")
    base = directory / "models"
    save_models(base)
    (directory / "models.cfg").write_text(
        model_config(base, "half_plus_two", "half_plus_three", "mixed", "text", "missing")
    )
    (directory / "monitoring.cfg").write_text("prometheus_config { enable: true }")
    started = (
        launch(
            directory,
            base,
            f"--model_config_file={directory / 'models.cfg'}",
            f"--monitoring_config_file={directory / 'monitoring.cfg'}",
        ),
        launch(
            directory,
            base,
            "--model_name",
            "half",
            "--model_base_path",
            str(base / "half_plus_two"),
            "--grpc_socket_path",
            str(directory / "grpc.sock"),
            "--rest_api_timeout_in_ms=1500",
            "--grpc_max_threads=2",
        ),
    )
    try:
        yield await_ready(started[0]), await_ready(started[1])
    finally:
        for server in started:
            server.finish()


@pytest.fixture(scope="module")
def server(servers: tuple[Running, Running]) -> Running:
    return servers[0]


# ---------------------------------------------------------------- gRPC


def predict_request(name: str, signature: str = "", **inputs: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def x_of(*values: float) -> Array:
    return np.array(values, np.float32)


def refused(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=RPC_SECONDS)
    return caught.value.code(), caught.value.details()


def test_predict_answers_in_typed_fields_and_says_which_version_answered(server: Running) -> None:
    response = server.prediction.Predict(predict_request("half_plus_two", x=x_of(2)), timeout=RPC_SECONDS)
    assert list(response.outputs["y"].float_val) == [3.0]
    assert not response.outputs["y"].tensor_content
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("half_plus_two", 123, "serving_default")


def test_predict_reads_tensor_content_and_repeats_a_single_value(server: Running) -> None:
    many = server.prediction.Predict(predict_request("half_plus_two", x=x_of(*range(100))), timeout=RPC_SECONDS)
    assert np.allclose(tf.make_ndarray(many.outputs["y"]), np.arange(100) / 2 + 2)
    request = predict_request("half_plus_two", x=x_of(2))
    request.inputs["x"].ClearField("tensor_content")
    request.inputs["x"].float_val[:] = [4.0]
    request.inputs["x"].tensor_shape.dim[0].size = 3
    repeated = server.prediction.Predict(request, timeout=RPC_SECONDS)
    assert list(repeated.outputs["y"].float_val) == [4.0, 4.0, 4.0]


def test_output_filter_chooses_among_outputs_of_different_types(server: Running) -> None:
    request = predict_request("mixed", a=np.ones((2, 2), np.float32), b=np.array([10, 20], np.int64))
    both = server.prediction.Predict(request, timeout=RPC_SECONDS)
    assert list(both.outputs["total"].float_val) == [12.0, 22.0]
    assert list(both.outputs["twice"].int64_val) == [20, 40]
    request.output_filter.append("twice")
    assert set(server.prediction.Predict(request, timeout=RPC_SECONDS).outputs) == {"twice"}
    request.output_filter.append("twice")
    assert refused(server.prediction.Predict, request)[1] == "duplicate output tensor alias: twice"
    request.output_filter[:] = ["nope"]
    assert refused(server.prediction.Predict, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "output tensor alias not found in signature: nope Outputs expected to be in the set {total,twice}.",
    )


def test_a_version_or_a_label_picks_the_version_and_the_default_is_the_highest(server: Running) -> None:
    request = predict_request("half_plus_three", x=x_of(2))
    assert list(server.prediction.Predict(request).outputs["y"].float_val) == [3.0]
    request.model_spec.version.value = 1
    assert list(server.prediction.Predict(request).outputs["y"].float_val) == [4.0]
    request.model_spec.version_label = "stable"
    response = server.prediction.Predict(request, timeout=RPC_SECONDS)
    assert list(response.outputs["y"].float_val) == [4.0]
    assert response.model_spec.version.value == 1
    request.model_spec.version_label = "gone"
    assert refused(server.prediction.Predict, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: gone",
    )


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (
            predict_request("intentionally_missing_model"),
            grpc.StatusCode.NOT_FOUND,
            "Servable not found for request: Latest(intentionally_missing_model)",
        ),
        (predict_pb2.PredictRequest(), grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec"),
        (
            predict_request("", "serving_default"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "ModelSpec has no name specified.",
        ),
        (
            predict_request("half_plus_two", "nope", x=x_of(1)),
            grpc.StatusCode.FAILED_PRECONDITION,
            'Serving signature key "nope" not found.',
        ),
        (
            predict_request("half_plus_two"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            predict_request("mixed", a=x_of(1), c=x_of(1), d=x_of(1)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "input size does not match signature: 3!=2 len({a,c,d}) != len({a,b}). "
            "Sent extra: {c,d}. Missing but required: {b}.",
        ),
        (
            predict_request("half_plus_two", z=x_of(1)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default"
            " value provided. Inputs expected to be in the request {z}, or default input alias set: ",
        ),
        (
            predict_request("half_plus_two", x=np.array([1], np.int64)),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Expects arg[0] to be float but int64 is provided",
        ),
    ],
)
def test_predict_refuses_in_the_known_words(
    server: Running, request_: predict_pb2.PredictRequest, code: grpc.StatusCode, details: str
) -> None:
    assert refused(server.prediction.Predict, request_) == (code, details)


def test_a_tensor_that_does_not_fit_its_shape_is_a_parsing_error(server: Running) -> None:
    request = predict_request("half_plus_two", x=x_of(1))
    request.inputs["x"].tensor_content = b"12345"
    assert refused(server.prediction.Predict, request)[1] == "tensor parsing error: x"


def test_an_error_inside_the_graph_keeps_tensorflows_code(server: Running) -> None:
    request = predict_request("mixed", a=np.ones((2, 2), np.float32), b=np.array([1, 2, 3], np.int64))
    code, details = refused(server.prediction.Predict, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "[2]" in details and "[3]" in details


def test_metadata_is_the_signatures_and_nothing_else(server: Running) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "half_plus_two"
    response = server.prediction.GetModelMetadata(request, timeout=RPC_SECONDS)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert response.model_spec.version.value == 123
    assert signatures.signature_def["serving_default"].inputs["x"].name == "serving_default_x:0"
    request.metadata_field[:] = []
    assert refused(server.prediction.GetModelMetadata, request)[1] == (
        "GetModelMetadataRequest must specify at least one metadata_field"
    )
    request.metadata_field[:] = ["other"]
    assert refused(server.prediction.GetModelMetadata, request)[1] == "Metadata field other is not supported"


def test_status_shows_each_version_and_why_one_ended(server: Running) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half_plus_three"
    nine, two, one = server.models.GetModelStatus(request, timeout=RPC_SECONDS).model_version_status
    available, end = (get_model_status_pb2.ModelVersionStatus.State.Value(name) for name in ("AVAILABLE", "END"))
    assert [(status.version, status.state) for status in (one, two, nine)] == [
        (1, available),
        (2, available),
        (9, end),
    ]
    assert nine.status.error_code != 0
    assert "saved_model.pb" in nine.status.error_message
    request.model_spec.version.value = 7
    assert refused(server.models.GetModelStatus, request) == (
        grpc.StatusCode.NOT_FOUND,
        "Could not find version 7 of model half_plus_three",
    )
    request.model_spec.name = "missing"
    request.model_spec.ClearField("version")
    assert refused(server.models.GetModelStatus, request)[1] == "Could not find any versions of model missing"


def test_a_model_without_examples_refuses_classify_in_the_known_words(server: Running) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "half_plus_two"
    code, details = refused(server.prediction.Classify, request)
    assert (code, details) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "No classification inputs found in SignatureDef: serving_default",
    )


def test_reload_replaces_the_models_and_reports_what_it_could_not_load(server: Running) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    code, details = refused(server.models.HandleReloadConfigRequest, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert details.startswith("ServerModelConfig type not supported by HandleReloadConfigRequest.")
    config = request.config.model_config_list.config.add(
        name="again", base_path=str(server.base / "half_plus_three"), model_platform="tensorflow"
    )
    code, details = refused(server.models.HandleReloadConfigRequest, request)
    assert code is grpc.StatusCode.UNKNOWN
    assert "1 model(s) did not become available: {{{name: again version: 9} due to error: " in details
    config.model_version_policy.specific.versions.append(1)
    for name in ("half_plus_two", "half_plus_three", "mixed", "text"):
        kept = request.config.model_config_list.config.add(
            name=name, base_path=str(server.base / name), model_platform="tensorflow"
        )
        kept.model_version_policy.all.SetInParent()
        if name == "half_plus_three":
            kept.model_version_policy.specific.versions.extend([1, 2])
            kept.version_labels["stable"] = 1
    server.models.HandleReloadConfigRequest(request, timeout=RPC_SECONDS)
    response = server.prediction.Predict(predict_request("again", x=x_of(2)), timeout=RPC_SECONDS)
    assert list(response.outputs["y"].float_val) == [4.0]


# ---------------------------------------------------------------- REST


def test_rest_predicts_in_rows_and_in_columns(server: Running) -> None:
    path = "/v1/models/half_plus_two:predict"
    assert server.http("POST", path, {"instances": [2, 3, 4]}) == (200, {"predictions": [3.0, 3.5, 4.0]})
    assert server.http("POST", path, {"inputs": [2, 3, 4]}) == (200, {"outputs": [3.0, 3.5, 4.0]})
    assert server.http_raw("POST", path, b'{"instances": [2, NaN]}') == (
        200,
        "application/json",
        b'{\n    "predictions": [3.0, NaN\n    ]\n}',
    )


def test_rest_names_inputs_and_outputs_when_there_are_several(server: Running) -> None:
    rows = [{"a": [1, 2], "b": 3}, {"a": [0.5, 0], "b": -1}]
    assert server.http("POST", "/v1/models/mixed:predict", {"instances": rows}) == (
        200,
        {"predictions": [{"total": 6.0, "twice": 6}, {"total": -0.5, "twice": -2}]},
    )
    columns = {"a": [[1, 2]], "b": [3]}
    assert server.http("POST", "/v1/models/mixed/versions/1:predict", {"inputs": columns}) == (
        200,
        {"outputs": {"total": [6.0], "twice": [6]}},
    )


def test_rest_carries_strings_and_bytes(server: Running) -> None:
    raw = base64.b64encode(b"\xff").decode()
    body = {"instances": ["ab", {"b64": raw}]}
    status, answer = server.http("POST", "/v1/models/text:predict", {"instances": ["ab"]})
    assert (status, answer) == (200, {"predictions": [{"loud": "AB", "raw_bytes": {"b64": "YWI="}}]})
    text = server.http_raw("POST", "/v1/models/text:predict", json.dumps(body).encode())[2]
    assert f'"b64": "{raw}"'.encode() in text


def test_rest_labels_pick_a_version(server: Running) -> None:
    path = "/v1/models/half_plus_three/labels/stable:predict"
    assert server.http("POST", path, {"instances": [2]}) == (200, {"predictions": [4.0]})


def test_rest_status_is_printed_with_all_defaults(server: Running) -> None:
    expected = {
        "model_version_status": [
            {
                "version": "123",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert server.http("GET", "/v1/models/half_plus_two") == (200, expected)
    assert server.http("GET", "/v1/models/half_plus_two/versions/123") == (200, expected)


def test_rest_status_is_of_every_version_newest_first_and_for_a_label_too(server: Running) -> None:
    for path in ("/v1/models/half_plus_three", "/v1/models/half_plus_three/labels/stable"):
        status, answer = server.http("GET", path)
        assert (status, [each["version"] for each in answer["model_version_status"]]) == (200, ["9", "2", "1"])


def test_rest_metadata_describes_the_signatures(server: Running) -> None:
    status, answer = server.http("GET", "/v1/models/half_plus_two/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "123"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "serving_default_x:0",
    }
    assert signature["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        (
            "POST",
            "/v1/models/m:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Latest(m)",
        ),
        (
            "POST",
            "/v1/models/half_plus_two/versions/7:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(half_plus_two, 7)",
        ),
        (
            "POST",
            "/v1/models/half_plus_two/labels/l:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: l",
        ),
        (
            "POST",
            "/v1/models/half_plus_two:predict",
            {"signature_name": "nope", "instances": [1]},
            400,
            'Serving signature name: "nope" not found in signature def',
        ),
        ("POST", "/v1/models/half_plus_two:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("POST", "/v1/models/half_plus_two:predict", None, 400, "JSON Parse error: The document is empty"),
        (
            "POST",
            "/v1/models/half_plus_two/versions/99999999999999999999:predict",
            {},
            400,
            "Failed to convert version: 99999999999999999999 to numeric.",
        ),
        (
            "POST",
            "/v1/models/half_plus_two:classify",
            {},
            400,
            "JSON Value: {} When method is classify, key 'examples' is expected and was not found",
        ),
        ("GET", "/v1/models/m", None, 404, "Could not find any versions of model m"),
        ("GET", "/v1/models", None, 400, "Missing model name in request."),
        ("GET", "/v1/models/..%2Fm/metadata", None, 404, "Servable not found for request: Latest(../m)"),
        ("GET", "/v1/models/a/b", None, 400, "Malformed request: GET /v1/models/a/b"),
        ("DELETE", "/v1/models/a", None, 400, "Malformed request: DELETE /v1/models/a"),
        ("POST", "/v1/models/a:train", {}, 400, "Malformed request: POST /v1/models/a:train"),
        ("POST", "/v1/models/a:Predict", {}, 400, "Malformed request: POST /v1/models/a:Predict"),
        ("POST", "/v1/models/a:predict?b=1", {}, 400, "Malformed request: POST /v1/models/a:predict?b=1"),
        ("GET", "/v1/models/half_plus_two?b=1", None, 404, "Could not find any versions of model half_plus_two?b=1"),
    ],
)
def test_rest_refuses_in_the_known_words(
    server: Running, method: str, path: str, body: Any, status: int, message: str
) -> None:
    assert server.http(method, path, body) == (status, {"error": message})


def test_other_paths_are_a_plain_404(server: Running) -> None:
    status, content_type, _ = server.http_raw("GET", "/")
    assert (status, content_type) == (404, "text/html")


def test_metrics_count_requests_of_known_models_only(server: Running) -> None:
    server.http("POST", "/v1/models/half_plus_two:predict", {"instances": [1]})
    server.prediction.Predict(predict_request("half_plus_two", x=x_of(1)), timeout=RPC_SECONDS)
    server.http("POST", "/v1/models/stranger:predict", {"instances": [1]})
    status, content_type, page = server.http_raw("GET", "/monitoring/prometheus/metrics")
    text = page.decode()
    assert (status, content_type) == (200, "text/plain")
    assert "# TYPE :tensorflow:serving:request_count counter" in text
    for api, entrypoint in (("predict", "REST"), ("Predict", "GRPC")):
        labels = f'model_name="half_plus_two",API="{api}",entrypoint="{entrypoint}"'
        assert f":tensorflow:serving:request_latency_count{{{labels}}}" in text
    assert "stranger" not in text


def test_metrics_are_asked_for_without_a_query(server: Running) -> None:
    path = "/monitoring/prometheus/metrics"
    told = f"Unexpected path: {path}?name=a. Should be {path}".encode()
    assert server.http_raw("GET", f"{path}?name=a") == (400, "text/plain", told)


def test_concurrent_clients_each_get_their_own_answer(server: Running) -> None:
    def over_grpc(value: int) -> float:
        response = server.prediction.Predict(predict_request("half_plus_two", x=x_of(value)), timeout=RPC_SECONDS)
        return float(response.outputs["y"].float_val[0])

    def over_rest(value: int) -> float:
        return float(
            server.http("POST", "/v1/models/half_plus_two:predict", {"instances": [value]})[1]["predictions"][0]
        )

    with ThreadPoolExecutor(8) as pool:
        values = range(100)
        assert list(pool.map(over_grpc, values)) == [value / 2 + 2 for value in values]
        assert list(pool.map(over_rest, values)) == [value / 2 + 2 for value in values]


def test_what_could_not_be_loaded_is_said_on_stderr(server: Running) -> None:
    stderr = server.stderr.read_text()
    assert "Servable half_plus_three version 9 cannot be loaded" in stderr
    assert "Could not find base path" in stderr
    assert "Request to assign label to version 9 of model half_plus_three" in stderr
    ready = f"ready: gRPC 127.0.0.1:{server.port}, REST 127.0.0.1:{server.rest_port}\n"
    assert stderr.endswith(f"embedded TF Serving stand-in {ready}")


# ---------------------------------------------------------------- process


def test_the_unix_socket_serves_too(servers: tuple[Running, Running]) -> None:
    second = servers[1]
    path = second.stderr.parent / "grpc.sock"
    with grpc.insecure_channel(f"unix:{path}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(predict_request("half", x=x_of(2)), timeout=RPC_SECONDS)
    assert list(response.outputs["y"].float_val) == [3.0]


def test_metrics_are_off_unless_asked_for(servers: tuple[Running, Running]) -> None:
    assert servers[1].http_raw("GET", "/monitoring/prometheus/metrics")[0] == 404


def test_a_rest_run_beyond_the_timeout_is_504(servers: tuple[Running, Running]) -> None:
    body = {"signature_name": "count", "inputs": 2_000_000_000}
    status, answer = servers[1].http("POST", "/v1/models/half:predict", body)
    assert status == 504
    assert "Timed out" in answer["error"]


def exit_of(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "serving.tfserving", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_bad_model_config_is_exit_2_with_the_known_text(tmp_path: Path) -> None:
    (tmp_path / "bad.cfg").write_text("improperly formatted")
    code, stderr = exit_of(f"--model_config_file={tmp_path / 'bad.cfg'}")
    assert code == 2
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in stderr


def test_an_unknown_flag_is_exit_2_and_names_the_nearest() -> None:
    code, stderr = exit_of("--model_base_paht=/x")
    assert (code, "--model_base_path" in stderr) == (2, True)


def test_a_port_in_use_is_exit_3_and_names_port_and_flag(servers: tuple[Running, Running]) -> None:
    taken = servers[0].rest_port
    code, stderr = exit_of("--port=0", f"--rest_api_port={taken}", "--model_base_path=/x")
    assert code == 3
    assert f"127.0.0.1:{taken}" in stderr and "--rest_api_port" in stderr


def test_sigterm_finishes_what_has_arrived_and_exits_0(servers: tuple[Running, Running]) -> None:
    second = servers[1]
    connection = http.client.HTTPConnection("127.0.0.1", second.rest_port, timeout=RPC_SECONDS)
    connection.request("GET", "/v1/models/half")
    assert connection.getresponse().read()
    connection.request("POST", "/v1/models/half:predict", b'{"signature_name": "count", "inputs": 20000}')
    os.kill(second.process.pid, signal.SIGTERM)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())) == (200, {"outputs": 20000})
    assert second.process.wait(20) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", second.rest_port), timeout=5)
