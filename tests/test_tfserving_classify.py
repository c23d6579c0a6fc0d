"""Classify, Regress and MultiInference without a server and without a graph: what is checked, in which words."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.tfserving import classification, errors, json_text
from serving.tfserving.calls import Calls
from serving.tfserving.catalog import Catalog
from serving.tfserving.classification import CLASSIFY, REGRESS
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.metrics import Metrics
from serving.tfserving.model import Endpoint, Model, Runnable, Signature
from serving.tfserving.service import Service
from serving.tfserving.storage import ModelEntry
from serving.tfserving.tensors import DTYPES, Array, Dtype, decode, string_array

FLOAT, STRING = DTYPES[types_pb2.DT_FLOAT], DTYPES[types_pb2.DT_STRING]
DOUBLE = DTYPES[types_pb2.DT_DOUBLE]


def signature(name: str, inputs: Mapping[str, Dtype], outputs: Mapping[str, Dtype]) -> Signature:
    def endpoints(side: Mapping[str, Dtype]) -> dict[str, Endpoint]:
        return {alias: Endpoint(alias, f"{name}_{alias}:0", dtype) for alias, dtype in sorted(side.items())}

    return Signature(name, endpoints(inputs), endpoints(outputs), {})


class Known:
    """A model that answers each output with what it was given; it remembers the examples that it was asked."""

    def __init__(self, *signatures: Signature, **answers: Array | bytes) -> None:
        self.signature_defs: Mapping[str, Any] = {one.name: meta_graph_pb2.SignatureDef() for one in signatures}
        self.signatures: Mapping[str, Signature] = {one.name: one for one in signatures}
        self.answers = answers
        self.asked: list[list[bytes]] = []

    def run(
        self, signature: Signature, feeds: Mapping[str, Array], aliases: Sequence[str], timeout_ms: int
    ) -> list[Any]:
        self.asked.append(feeds["inputs"].tolist() if "inputs" in feeds else [])
        return [self.answers[alias] for alias in aliases]


def service_of(model: Runnable, folder: Path, metrics: Metrics | None = None) -> Service:
    (folder / "1").mkdir()
    catalog = Catalog(lambda path: model)
    catalog.apply([ModelEntry("m", folder)])
    return Service(catalog, metrics)


def two_rows(message: Any) -> Any:
    for value in (2.0, 4.0):
        message.input.example_list.examples.add().features.feature["x"].float_list.value.append(value)
    return message


BOTH = signature("serving_default", {"inputs": STRING}, {"classes": STRING, "scores": FLOAT})
VALUE = signature("value", {"inputs": STRING}, {"outputs": FLOAT})
WORDS = string_array([b"no", b"yes", b"no", b"\xff"]).reshape(2, 2)
SCORES = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)


def test_an_answer_has_classes_with_scores_and_says_who_answered(tmp_path: Path) -> None:
    calls = Calls(service_of(Known(BOTH, classes=WORDS, scores=SCORES), tmp_path))
    request = two_rows(classification_pb2.ClassificationRequest())
    request.model_spec.name = "m"
    answer = classification_pb2.ClassificationResponse.FromString(calls.classify(request))
    rows = [[(entry.label, entry.score) for entry in row.classes] for row in answer.result.classifications]
    assert rows == [[("no", 0.25), ("yes", 0.75)], [("no", 0.5), ("�", 0.5)]]
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("m", 1)
    assert answer.model_spec.signature_name == "serving_default"


def test_a_context_comes_before_each_example() -> None:
    message = input_pb2.Input()
    together = message.example_list_with_context
    together.context.features.feature["shared"].int64_list.value.append(7)
    for value in (1, 2):
        together.examples.add().features.feature["own"].int64_list.value.append(value)
    context = together.context.SerializeToString()
    wanted = [context + example.SerializeToString() for example in together.examples]
    assert classification.serialized_examples(message).tolist() == wanted


@pytest.mark.parametrize("kind", ["", "example_list", "example_list_with_context"])
def test_no_example_is_an_empty_input(kind: str) -> None:
    message = input_pb2.Input()
    if kind:
        getattr(message, kind).SetInParent()
    with pytest.raises(StatusError, match=r"INVALID_ARGUMENT: Input is empty\.") as caught:
        classification.serialized_examples(message)
    assert caught.value.code == Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({"inputs": STRING, "more": STRING}, {"scores": FLOAT}, "Expected one input Tensor."),
        ({"inputs": STRING}, dict.fromkeys("abc", FLOAT), "Expected one or two output Tensors, found 3"),
        ({"x": STRING}, {"scores": FLOAT}, "No classification inputs found in SignatureDef: s"),
        (
            {"inputs": STRING},
            {"y": FLOAT},
            "Expected classification signature outputs to contain at least one of "
            '"classes" or "scores". Signature was: s',
        ),
    ],
)
def test_a_signature_that_does_not_classify_is_refused(
    inputs: dict[str, Dtype], outputs: dict[str, Dtype], words: str
) -> None:
    with pytest.raises(StatusError) as caught:
        classification.classify_outputs(signature("s", inputs, outputs))
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, words)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({}, {"outputs": FLOAT}, "Expected one input Tensor."),
        ({"inputs": STRING}, {"outputs": FLOAT, "more": FLOAT}, "Expected one output Tensor."),
        ({"x": STRING}, {"outputs": FLOAT}, "No regression inputs found in SignatureDef: s"),
        ({"inputs": STRING}, {"y": FLOAT}, "No regression outputs found in SignatureDef: s"),
    ],
)
def test_a_signature_that_does_not_regress_is_refused(
    inputs: dict[str, Dtype], outputs: dict[str, Dtype], words: str
) -> None:
    with pytest.raises(StatusError) as caught:
        classification.regress_outputs(signature("s", inputs, outputs))
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, words)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"scores": SCORES[0]}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        ({"scores": SCORES.astype(np.float64)}, "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        ({"classes": SCORES}, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
        ({"scores": SCORES[:1]}, "Expected scores output batch size of 2. Got: 1"),
        (
            {"classes": WORDS, "scores": SCORES[:, :1]},
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
    ],
)
def test_outputs_that_are_no_classification_are_refused(outputs: dict[str, Array], words: str) -> None:
    with pytest.raises(StatusError) as caught:
        classification.fill_classifications(2, outputs, classification_pb2.ClassificationResult())
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, words)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (SCORES, "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]"),
        (SCORES[0, :1], "Input batch size did not match output batch size: 2 vs. 1"),
        (SCORES[0].astype(np.float64), "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    ],
)
def test_outputs_that_are_no_regression_are_refused(output: Array, words: str) -> None:
    with pytest.raises(StatusError) as caught:
        classification.fill_regressions(2, {"outputs": output}, regression_pb2.RegressionResult())
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, words)


def tasks(*given: tuple[str, str, str]) -> Any:
    request = two_rows(inference_pb2.MultiInferenceRequest())
    for model, name, method in given:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, name
    return request


def test_several_signatures_get_the_same_examples_and_count_them_once(tmp_path: Path) -> None:
    model, metrics = Known(BOTH, VALUE, classes=WORDS, scores=SCORES, outputs=SCORES[:, :1]), Metrics()
    calls = Calls(service_of(model, tmp_path, metrics))
    raw = calls.multi_inference(tasks(("m", "value", REGRESS), ("m", "", CLASSIFY)))
    first, second = inference_pb2.MultiInferenceResponse.FromString(raw).results
    assert [entry.value for entry in first.regression_result.regressions] == [0.25, 0.5]
    assert [row.classes[1].score for row in second.classification_result.classifications] == [0.75, 0.5]
    assert (first.model_spec.signature_name, second.model_spec.signature_name) == ("value", "serving_default")
    assert model.asked[0] == model.asked[1]
    assert ':tensorflow:serving:request_example_count_total{model="m"} 2' in metrics.page()


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        ([], Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ([("m", "value", REGRESS), ("", "value", REGRESS)], Code.INVALID_ARGUMENT, "Found ModelSpec with an empty"),
        ([("m", "value", REGRESS), ("n", "", CLASSIFY)], Code.INVALID_ARGUMENT, "must access the same model name."),
        ([("m", "", CLASSIFY), ("m", "serving_default", CLASSIFY)], Code.INVALID_ARGUMENT, "Duplicate evaluation"),
        ([("m", "other", REGRESS)], Code.INVALID_ARGUMENT, "Requested signature not found in model graph: other"),
        ([("m", "value", "predict")], Code.UNIMPLEMENTED, "Unsupported signature method_name: predict"),
        ([("m", "value", REGRESS), ("m", "", REGRESS)], Code.INVALID_ARGUMENT, "Expected one output Tensor."),
    ],
)
def test_a_task_that_is_wrong_is_refused_before_anything_runs(
    tmp_path: Path, given: list[tuple[str, str, str]], code: Code, words: str
) -> None:
    model = Known(BOTH, VALUE)
    with pytest.raises(StatusError) as caught:
        Calls(service_of(model, tmp_path)).multi_inference(tasks(*given))
    assert caught.value.code == code
    assert words in caught.value.message
    assert model.asked == []


def test_a_predict_response_written_by_hand_is_the_message(tmp_path: Path) -> None:
    outputs = {"y": FLOAT, "z_ü": DOUBLE, "empty": FLOAT, "words": STRING}
    answers: dict[str, Array] = {
        "y": SCORES,
        "z_ü": np.float64(2.5).reshape(()),
        "empty": np.empty((0, 3), np.float32),
        "words": WORDS,
    }
    model = Known(signature("serving_default", {}, outputs), **answers)
    service = service_of(model, tmp_path)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    for as_content in (False, True):
        answer = predict_pb2.PredictResponse.FromString(Calls(service, as_content).predict(request))
        assert answer.FindInitializationErrors() == []
        assert sorted(answer.outputs) == sorted(outputs)
        assert (answer.model_spec.name, answer.model_spec.signature_name) == ("m", "serving_default")
        assert answer.model_spec.version.value == 1
        assert [dim.size for dim in answer.outputs["empty"].tensor_shape.dim] == [0, 3]
        assert answer.outputs["z_ü"].HasField("tensor_shape")
    assert answer.outputs["y"].tensor_content == SCORES.tobytes()


class ScalarString:
    """A Session, which gives a string without dimensions as bytes and not as an array."""

    def _make_callable_from_options(self, options: Any) -> Any:
        return lambda: [b"h\xc3\xa9"]


@pytest.mark.parametrize("as_content", [False, True])
def test_a_scalar_string_is_an_output_like_others(tmp_path: Path, as_content: bool) -> None:
    definition = meta_graph_pb2.SignatureDef()
    definition.outputs["w"].name, definition.outputs["w"].dtype = "w:0", STRING.number
    model = Model(ScalarString(), {"serving_default": definition}, op_pool=0)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    calls = Calls(service_of(model, tmp_path), as_content)
    output = predict_pb2.PredictResponse.FromString(calls.predict(request)).outputs["w"]
    assert decode(output).tolist() == b"h\xc3\xa9"
    assert list(output.tensor_shape.dim) == []


def test_scores_are_listed_example_by_example_and_values_on_one_line() -> None:
    assert json_text.classifications([[("a", 0.5), ("b", 1.0)], [("", float("nan"))]]) == (
        '{\n    "results": [[["a", 0.5], ["b", 1.0]], [["", NaN]]\n    ]\n}'
    )
    assert json_text.regressions([3.0, 0.1]) == '{\n    "results": [3.0, 0.1]\n}'


def test_a_fault_of_the_server_is_told_to_its_log_and_not_to_the_client(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        status = errors.as_status(KeyError("secret"))
    assert (status.code, "secret" in status.message, "KeyError" in status.message) == (Code.INTERNAL, False, False)
    assert "KeyError" in caplog.text
    known = errors.invalid("words")
    assert errors.as_status(known) is known


def test_batches_and_warm_ups_are_series_of_the_originals_names() -> None:
    metrics = Metrics()
    metrics.enqueued(3)
    metrics.waited("batch", 150.0)
    metrics.batch(3, 1)
    metrics.warmed_up('/models/"m"/1', "OK", 20.0)
    lines = metrics.page().splitlines()
    for line in (
        ':tensorflow:serving:batching_session:input_batch_size_bucket{le="4"} 1',
        ":tensorflow:serving:batching_session:processed_batch_size_sum{} 4.0",
        ':tensorflow:serving:batching_session:padding_size_count{execution_batch_size="4"} 1',
        ':tensorflow:serving:batching_session:queuing_latency_bucket{thread_pool_name="batch",le="172.8"} 1',
        ":tensorflow:serving:batching_session:wrapped_run_count{} 1",
        r':tensorflow:serving:model_warmup_latency_bucket{model_path="/models/\"m\"/1",status="OK",le="32.4"} 1',
    ):
        assert line in lines
    types = [line for line in lines if line.startswith("# TYPE")]
    assert types == sorted(types)
