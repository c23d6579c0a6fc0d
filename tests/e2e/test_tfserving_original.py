"""What TensorFlow Serving's own end-to-end suite asserts of SavedModels, asked of the embedded server or the real one.

By default each test starts ``python -m serving.tfserving`` with tensorflow_model_server's own flags. With
``TFS_BINARY=/path/to/tensorflow_model_server`` they start that. With ``TFS_ADDRESS=HOST:GRPC_PORT,HOST:REST_PORT`` they
ask a server that runs, which must serve what ``python -m tests.half_plus_two DIRECTORY`` writes as half_plus_two,
half_plus_two_tf2 and half_plus_three, with monitoring on at /monitoring/prometheus/metrics. Tests that need a server
with flags of their own then start the tensorflow_model_server of TFS_BINARY or PATH, or are skipped.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.builders import free_port
from tests.conftest import ROOT
from tests.half_plus_two import CLASSIFY, REGRESS, write_all
from tests.open_loop import wait_for

pytestmark = [pytest.mark.e2e]

ADDRESS = os.environ.get("TFS_ADDRESS")
BINARY = os.environ.get("TFS_BINARY") or (shutil.which("tensorflow_model_server") if ADDRESS else None)
RPC_S = 20
VERSION = 123
FOLDERS = {
    "half_plus_two": "saved_model_half_plus_two_cpu",
    "half_plus_two_tf2": "saved_model_half_plus_two_tf2_cpu",
    "half_plus_three": "saved_model_half_plus_three",
}
needs_own_server = pytest.mark.skipif(
    bool(ADDRESS and not BINARY),
    reason="needs a server with flags of its own, and neither TFS_BINARY nor PATH has a tensorflow_model_server",
)


@dataclass
class Asked:
    """A server and its two doors."""

    grpc: str
    rest: str
    process: subprocess.Popen[bytes] | None = None
    log: Path | None = None

    def __post_init__(self) -> None:
        channel = grpc.insecure_channel(self.grpc)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)

    def http(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.rest, timeout=RPC_S)
        connection.request(method, path, json.dumps(body) if body is not None else None)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def predict(self, model: str, signature: str = "", value: float = 2.0, **more: Any) -> Any:
        request = predict_pb2.PredictRequest(**more)
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        request.inputs["x"].dtype = 1
        request.inputs["x"].float_val.append(value)
        request.inputs["x"].tensor_shape.dim.add(size=1)
        return self.prediction.Predict(request, timeout=RPC_S)

    def says(self) -> str:
        return self.log.read_text(errors="replace") if self.log else ""


Start = Callable[..., Asked]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    subprocess.run(
        [sys.executable, "-m", "tests.half_plus_two", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a server with flags; all of them are ended after the module."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(*flags: str, wait: bool = True) -> Asked:
        port, rest_port = free_port(), free_port()
        log = tmp_path_factory.mktemp("server") / "log"
        program = [BINARY] if BINARY else [sys.executable, "-m", "serving.tfserving"]
        command = [*program, f"--port={port}", f"--rest_api_port={rest_port}", "--rest_api_timeout_in_ms=5000", *flags]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        begun.append(process)
        asked = Asked(f"127.0.0.1:{port}", f"127.0.0.1:{rest_port}", process, log)
        if wait:
            assert wait_for(lambda: process.poll() is not None or _ready(asked), 90), asked.says()
            assert process.poll() is None, asked.says()
        return asked

    yield start
    for process in begun:
        process.kill()
        process.wait()


def _ready(asked: Asked) -> bool:
    """As the original's base class does: a model that is not there is missed by name once the server answers."""
    try:
        asked.predict("intentionally_missing_model")
    except grpc.RpcError as error:
        return "Servable" in str(error.details())
    return False


def config(folder: Path, *names: str) -> str:
    entries = "".join(
        f'config {{ name: "{name}", base_path: "{folder / FOLDERS[name]}", model_platform: "tensorflow" }}\n'
        for name in names
    )
    return f"model_config_list {{\n{entries}}}\n"


@pytest.fixture(scope="module")
def server(start: Start, family: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """The family on one server, with monitoring and a unix socket."""
    if ADDRESS:
        door, rest = ADDRESS.split(",")
        return Asked(door, rest)
    folder = tmp_path_factory.mktemp("config")
    (folder / "models").write_text(config(family, *FOLDERS))
    (folder / "monitoring").write_text('prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n')
    return start(f"--model_config_file={folder / 'models'}", f"--monitoring_config_file={folder / 'monitoring'}")


def examples(message: Any, *values: float) -> None:
    for value in values:
        added = message.input.example_list.examples.add()
        added.features.feature["x"].float_list.value.append(value)


def named(spec: Any, signature: str) -> tuple[str, str, int]:
    assert spec.signature_name == signature
    return spec.name, spec.signature_name, spec.version.value


def test_the_status_of_a_model_is_its_one_version(server: Asked) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "half_plus_two"
    (status,) = server.models.GetModelStatus(request, timeout=RPC_S).model_version_status
    assert (status.version, status.status.error_code, status.state) == (VERSION, 0, 30)


def test_metadata_is_the_signatures_only(server: Asked) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "half_plus_two"
    request.metadata_field.append("signature_def")
    answer = server.prediction.GetModelMetadata(request, timeout=RPC_S)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("half_plus_two", VERSION)
    assert list(answer.metadata) == ["signature_def"]


@pytest.mark.parametrize("model", ["half_plus_two", "half_plus_two_tf2"])
def test_classify_gives_one_class_with_the_score(server: Asked, model: str) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "classify_x_to_y"
    examples(request, 2.0)
    answer = server.prediction.Classify(request, timeout=RPC_S)
    (classes,) = answer.result.classifications
    assert [(entry.label, entry.score) for entry in classes.classes] == [("", 3.0)]
    assert named(answer.model_spec, "classify_x_to_y") == (model, "classify_x_to_y", VERSION)


@pytest.mark.parametrize("model", ["half_plus_two", "half_plus_two_tf2"])
def test_regress_gives_one_value(server: Asked, model: str) -> None:
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "regress_x_to_y"
    examples(request, 2.0)
    answer = server.prediction.Regress(request, timeout=RPC_S)
    assert [entry.value for entry in answer.result.regressions] == [3.0]
    assert named(answer.model_spec, "regress_x_to_y") == (model, "regress_x_to_y", VERSION)


@pytest.mark.parametrize("model", ["half_plus_two", "half_plus_two_tf2"])
def test_multi_inference_gives_both_with_their_signatures(server: Asked, model: str) -> None:
    request = inference_pb2.MultiInferenceRequest()
    for method, signature in ((REGRESS, "regress_x_to_y"), (CLASSIFY, "classify_x_to_y")):
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    examples(request, 2.0)
    first, second = server.prediction.MultiInference(request, timeout=RPC_S).results
    assert [entry.value for entry in first.regression_result.regressions] == [3.0]
    assert [entry.score for entry in second.classification_result.classifications[0].classes] == [3.0]
    assert named(first.model_spec, "regress_x_to_y")[0] == named(second.model_spec, "classify_x_to_y")[0] == model


@pytest.mark.parametrize("model", ["half_plus_two", "half_plus_two_tf2"])
def test_multi_inference_regresses_twice(server: Asked, model: str) -> None:
    request = inference_pb2.MultiInferenceRequest()
    for name in ("regress_x_to_y", "regress_x_to_y2"):
        task = request.tasks.add(method_name=REGRESS)
        task.model_spec.name, task.model_spec.signature_name = model, name
    examples(request, 2.0, 4.0)
    results = server.prediction.MultiInference(request, timeout=RPC_S).results
    values = [[entry.value for entry in result.regression_result.regressions] for result in results]
    assert values == [[3.0, 4.0], [4.0, 5.0]]


@pytest.mark.parametrize(
    ("tasks", "code", "words"),
    [
        ([("half_plus_two", "regress_x_to_y", REGRESS)] * 2, "INVALID_ARGUMENT", "Duplicate evaluation of signature: "),
        ([("half_plus_two", "nobody", REGRESS)], "INVALID_ARGUMENT", "Requested signature not found in model graph: "),
        ([("half_plus_two", "", "tensorflow/serving/predict")], "UNIMPLEMENTED", "Unsupported signature method_name: "),
        (
            [("half_plus_two", "regress_x_to_y", REGRESS), ("half_plus_three", "classify_x_to_y", CLASSIFY)],
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
    ],
)
def test_multi_inference_refuses_in_the_originals_words(
    server: Asked, tasks: list[tuple[str, str, str]], code: str, words: str
) -> None:
    request = inference_pb2.MultiInferenceRequest()
    for name, signature_name, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = name, signature_name
    examples(request, 2.0)
    with pytest.raises(grpc.RpcError) as refused:
        server.prediction.MultiInference(request, timeout=RPC_S)
    assert refused.value.code().name == code
    assert words in refused.value.details()


@pytest.mark.parametrize("wanted", [[], ["y"]])
@pytest.mark.parametrize("model", ["half_plus_two", "half_plus_two_tf2"])
def test_predict_answers_in_a_typed_field_and_names_what_answered(server: Asked, model: str, wanted: list[str]) -> None:
    answer = server.predict(model, output_filter=wanted)
    assert list(answer.outputs) == ["y"]
    output = answer.outputs["y"]
    assert (output.dtype, list(output.float_val), output.tensor_content) == (1, [3.0], b"")
    assert named(answer.model_spec, "serving_default") == (model, "serving_default", VERSION)


def test_two_models_of_one_configuration_answer_for_themselves(server: Asked) -> None:
    assert server.predict("half_plus_two").outputs["y"].float_val[0] == 3.0
    assert server.predict("half_plus_three").outputs["y"].float_val[0] == 4.0


@pytest.mark.parametrize(
    ("signature", "words"),
    [("classify_x_to_y", "Input is empty."), ("nobody", "No signature was found with the name: nobody")],
)
def test_what_serves_nobody_is_refused_by_name(server: Asked, signature: str, words: str) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "half_plus_two", signature
    with pytest.raises(grpc.RpcError) as refused:
        server.prediction.Classify(request, timeout=RPC_S)
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, words)


REST = "/v1/models/half_plus_two"


def test_rest_classifies(server: Asked) -> None:
    body = {"signature_name": "classify_x_to_y", "examples": [{"x": 2.0}]}
    assert server.http("POST", f"{REST}:classify", body) == (200, {"results": [[["", 3.0]]]})


def test_rest_regresses_with_a_context_too(server: Asked) -> None:
    body: dict[str, Any] = {"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}]}
    assert server.http("POST", f"{REST}:regress", body) == (200, {"results": [3.0]})
    body = {"signature_name": "regress_x_to_y", "context": {"x": 2.0}, "examples": [{}, {"x": [4.0]}]}
    assert server.http("POST", f"{REST}:regress", body) == (200, {"results": [3.0, 4.0]})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": [1, 2.0]}]}, "Unexpected element type in feature: x expecting type: int64"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": {"b64": "*"}}]}, "Unable to base64 decode"),
    ],
)
def test_rest_refuses_examples_in_the_originals_words(server: Asked, body: object, words: str) -> None:
    status, answer = server.http("POST", f"{REST}:classify", body)
    assert status == 400
    assert words in answer["error"]


def test_rest_predicts_in_rows_and_in_columns(server: Asked) -> None:
    rows = server.http("POST", f"{REST}:predict", {"instances": [2.0, 3.0, 4.0]})
    assert rows == (200, {"predictions": [3.0, 3.5, 4.0]})
    columns = server.http("POST", f"{REST}:predict", {"inputs": [2.0, 3.0, 4.0]})
    assert columns == (200, {"outputs": [3.0, 3.5, 4.0]})


def test_rest_status_is_exactly_this(server: Asked) -> None:
    status = {"error_code": "OK", "error_message": ""}
    entry = {"version": "123", "state": "AVAILABLE", "status": status}
    assert server.http("GET", REST) == (200, {"model_version_status": [entry]})


def described(dtype: str, name: str, *sizes: int) -> dict[str, Any]:
    """A TensorInfo as JSON."""
    dims = [{"size": str(size), "name": ""} for size in sizes]
    return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name}


def signature(inputs: dict[str, Any], outputs: dict[str, Any], method: str) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs, "method_name": f"tensorflow/serving/{method}"}


def test_rest_metadata_is_exactly_the_signatures_whatever_their_order(server: Asked) -> None:
    x, x2 = described("DT_FLOAT", "x:0", -1, 1), described("DT_FLOAT", "x2:0", -1, 1)
    y, y2, y3 = (described("DT_FLOAT", f"{name}:0", -1, 1) for name in ("y", "y2", "y3"))
    example = {"inputs": described("DT_STRING", "tf_example:0", -1)}
    code, found = server.http("GET", f"{REST}/metadata")
    signatures = found["metadata"]["signature_def"]["signature_def"]
    for entry in signatures.values():
        assert entry.pop("defaults", {}) == {}  # an empty map says nothing
    assert (code, found) == (
        200,
        {
            "model_spec": {"name": "half_plus_two", "signature_name": "", "version": "123"},
            "metadata": {
                "signature_def": {
                    "signature_def": {
                        "serving_default": signature({"x": x}, {"y": y}, "predict"),
                        "regress_x_to_y": signature(example, {"outputs": y}, "regress"),
                        "regress_x_to_y2": signature(example, {"outputs": y2}, "regress"),
                        "regress_x2_to_y3": signature({"inputs": x2}, {"outputs": y3}, "regress"),
                        "classify_x_to_y": signature(example, {"scores": y}, "classify"),
                    }
                }
            },
        },
    )


def test_the_prometheus_page_has_types_and_counts(server: Asked) -> None:
    server.predict("half_plus_two")
    code, page = server.http("GET", "/monitoring/prometheus/metrics")
    assert code == 200
    assert "# TYPE" in page
    assert ":tensorflow:serving:request_count" in page


@needs_own_server
def test_a_bad_configuration_is_said_on_stderr(start: Start, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("improper model config file\n")
    asked = start(f"--model_config_file={tmp_path / 'models'}", wait=False)
    assert asked.process
    asked.process.wait(60)
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in asked.says()


@needs_own_server
@pytest.mark.parametrize(("poll", "follows"), [(1, True), (0, False)])
def test_a_rewritten_configuration_is_followed_only_when_it_is_polled(
    start: Start, family: Path, tmp_path: Path, poll: int, follows: bool
) -> None:
    file = tmp_path / "models"
    file.write_text(config(family, "half_plus_two"))
    asked = start(f"--model_config_file={file}", f"--model_config_file_poll_wait_seconds={poll}")
    assert asked.predict("half_plus_two").outputs["y"].float_val[0] == 3.0
    file.write_text(config(family, "half_plus_three"))

    def other() -> bool:
        try:
            return bool(asked.predict("half_plus_three").outputs["y"].float_val[0] == 4.0)
        except grpc.RpcError:
            return False

    assert wait_for(other, 10 if follows else 2.5) == follows
    if not follows:
        assert asked.predict("half_plus_two").outputs["y"].float_val[0] == 3.0


@needs_own_server
def test_one_model_with_channel_arguments_and_a_unix_socket(start: Start, family: Path, tmp_path: Path) -> None:
    door = tmp_path / "socket"
    asked = start(
        "--model_name=default",
        f"--model_base_path={family / FOLDERS['half_plus_two']}",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb",
        f"--grpc_socket_path={door}",
    )
    assert asked.predict("default").outputs["y"].float_val[0] == 3.0
    time.sleep(2.2)  # older than the connection may become
    assert asked.predict("default").outputs["y"].float_val[0] == 3.0
    assert Asked(f"unix:{door}", asked.rest).predict("default").outputs["y"].float_val[0] == 3.0


@needs_own_server
def test_tensors_come_as_content_where_that_is_asked_for(start: Start, family: Path) -> None:
    base = family / FOLDERS["half_plus_two_tf2"]
    asked = start(f"--model_base_path={base}", "--enable_serialization_as_tensor_content=true")
    output = asked.predict("default").outputs["y"]
    assert list(output.float_val) == []
    assert tf.make_ndarray(output).tolist() == [3.0]


def saved(code: str, folder: Path) -> Path:
    """The base path of a model that a few lines of Python save to {path}."""
    path = folder / "models" / f"{VERSION:08}"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-c", f"import tensorflow as tf, keras\npath = {str(path)!r}\n{code}"]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return path.parent


@needs_own_server
def test_a_function_saved_by_tf_2_answers(start: Start, tmp_path: Path) -> None:
    base = saved(
        """
root = tf.train.Checkpoint(v1=tf.Variable(3.0), v2=tf.Variable(2.0))
root.f = tf.function(lambda x: {"y": root.v1 * root.v2 * x})
tf.saved_model.save(root, path, root.f.get_concrete_function(tf.TensorSpec(None, tf.float32, name="x")))
""",
        tmp_path,
    )
    answer = start(f"--model_base_path={base}").predict("default")
    assert answer.outputs["y"].float_val[0] == 12.0
    assert answer.model_spec.version.value == VERSION


@needs_own_server
def test_each_of_several_signatures_answers_for_itself(start: Start, tmp_path: Path) -> None:
    base = saved(
        """
root, spec = tf.train.Checkpoint(), [tf.TensorSpec(None, tf.float32, name="x")]
root.f = tf.function(lambda x: {"y": 1.0}, input_signature=spec)
root.g = tf.function(lambda x: {"y": 2.0}, input_signature=spec)
tf.saved_model.save(root, path, signatures={"serving_default": root.f, "custom_signature_key": root.g})
""",
        tmp_path,
    )
    asked = start(f"--model_base_path={base}")
    for name, value in (("custom_signature_key", 2.0), ("", 1.0)):
        answer = asked.predict("default", name)
        assert answer.outputs["y"].float_val[0] == value
        assert named(answer.model_spec, name or "serving_default")[2] == VERSION


@needs_own_server
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_sequential_keras_model_answers(start: Start, tmp_path: Path, mirrored: bool) -> None:
    dense = "model.add(keras.layers.Dense(1, kernel_initializer='ones', bias_initializer='zeros'))"
    lines = [
        "model = keras.Sequential()",
        "model.add(keras.layers.Input(shape=(1,), dtype='float32', name='x'))",
        dense if mirrored else "",
        "model.add(keras.layers.Lambda(lambda x: x, name='y'))",
    ]
    if mirrored:  # two replicas, on two virtual CPUs
        lines = [
            "cpus = [tf.config.LogicalDeviceConfiguration()] * 2",
            "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], cpus)",
            "with tf.distribute.MirroredStrategy(devices=('/cpu:0', '/cpu:1')).scope():",
            *(f"    {line}" for line in lines),
        ]
    base = saved("\n".join([*lines, "model.export(path, verbose=False)"]), tmp_path)
    asked = start(f"--model_base_path={base}")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "default"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[2.0]], tf.float32))
    (output,) = asked.prediction.Predict(request, timeout=RPC_S).outputs.values()  # Keras 3 calls it output_0
    assert list(output.float_val) == [2.0]


@pytest.mark.parametrize("what", ["TensorFlow Lite", "TensorFlow Lite with signatures", "the profiler", "tf_text"])
def test_left_out_of_the_originals_list(what: str) -> None:
    pytest.skip(f"{what} is not about SavedModels on stock TensorFlow; the embedded server does not have it")


def test_the_family_is_written_by_a_script_of_our_own(tmp_path: Path) -> None:
    write_all(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FOLDERS.values())
