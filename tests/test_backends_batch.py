"""What the python-based backends share, with a fake of Triton's module: many requests, one call, one answer each."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT

Array = np.ndarray[Any, Any]


def load_batch() -> Any:
    """batch.py is copied beside each backend's model.py and imported there by its plain name."""
    spec = importlib.util.spec_from_file_location("batch_under_test", ROOT / "serving" / "backends" / "batch.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


batch = load_batch()


class Tensor:
    def __init__(self, name: str, array: Array) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> Array:
        return self.array


class TritonError(Exception):
    CANCELLED, INVALID_ARG = "cancelled", "invalid argument"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message, self.code = message, code


class Response:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self.outputs = {tensor.name: tensor.array for tensor in output_tensors or []}
        self.error = error


class Request:
    def __init__(self, cancelled: bool = False, **inputs: Array) -> None:
        self.inputs, self.cancelled = inputs, cancelled

    def is_cancelled(self) -> bool:
        return self.cancelled


def input_of(request: Request, name: str) -> Tensor:
    return Tensor(name, request.inputs[name])


PB_UTILS = SimpleNamespace(
    Tensor=Tensor, InferenceResponse=Response, TritonError=TritonError, get_input_tensor_by_name=input_of
)


def settings(outputs: dict[str, str] | None = None, inputs: list[str] | None = None, **changes: Any) -> Any:
    """Settings as Triton's arguments would make them."""
    config = {
        "max_batch_size": 8,
        "default_model_filename": "model.onnx",
        "input": [{"name": name, "data_type": "TYPE_FP32"} for name in inputs or ["x"]],
        "output": [{"name": name, "data_type": kind} for name, kind in (outputs or {"y": "TYPE_FP32"}).items()],
        "parameters": {"intra_op_thread_count": {"string_value": "3"}, "empty": {"string_value": ""}},
    }
    arguments = {"model_instance_kind": "CPU", "model_instance_device_id": "0"}
    arguments |= {key: changes.pop(key) for key in list(changes) if key in arguments}
    return batch.Settings({"model_config": json.dumps(config | changes), **arguments})


def doubled(calls: list[tuple[int, ...]]) -> Callable[[dict[str, Array]], list[Array]]:
    """A model that doubles and keeps the shapes that it was called with."""

    def call(inputs: dict[str, Array]) -> list[Array]:
        calls.append(inputs["x"].shape)
        return [inputs["x"] * np.float32(2)]

    return call


def rows(count: int, length: int, first: float = 0.0) -> Array:
    return (np.arange(count * length, dtype=np.float32) + np.float32(first)).reshape(count, length)


def test_requests_of_one_shape_become_one_call_and_are_split_in_order() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(x=rows(count, 3, 100 * count)) for count in (1, 2, 1, 4)]
    responses = batch.execute(requests, settings(), doubled(calls), PB_UTILS)
    assert calls == [(8, 3)]
    for request, response in zip(requests, responses, strict=True):
        assert response.error is None
        assert np.array_equal(response.outputs["y"], request.inputs["x"] * 2)


def test_each_shape_is_one_call_and_answers_keep_the_order_of_the_requests() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(x=rows(1, length, index)) for index, length in enumerate((3, 5, 3, 5, 3, 2))]
    responses = batch.execute(requests, settings(), doubled(calls), PB_UTILS)
    assert sorted(calls) == [(1, 2), (2, 5), (3, 3)]
    for request, response in zip(requests, responses, strict=True):
        assert np.array_equal(response.outputs["y"], request.inputs["x"] * 2)


def test_a_single_request_is_passed_on_without_a_copy() -> None:
    array, seen = rows(2, 3), []

    def call(inputs: dict[str, Array]) -> list[Array]:
        seen.append(inputs["x"])
        return [inputs["x"]]

    batch.execute([Request(x=array)], settings(), call, PB_UTILS)
    assert seen[0] is array


def test_a_model_that_does_not_batch_is_called_once_per_request() -> None:
    calls: list[tuple[int, ...]] = []
    batch.execute([Request(x=rows(2, 3)) for _ in range(3)], settings(max_batch_size=0), doubled(calls), PB_UTILS)
    assert calls == [(2, 3)] * 3


def test_a_failing_call_fails_the_requests_of_its_shape_and_no_other() -> None:
    def call(inputs: dict[str, Array]) -> list[Array]:
        if inputs["x"].shape[1] == 5:
            raise ValueError("length 5 is not for me")
        return [inputs["x"]]

    requests = [Request(x=rows(1, length)) for length in (3, 5, 3, 5)]
    responses = batch.execute(requests, settings(), call, PB_UTILS)
    assert [response.error is None for response in responses] == [True, False, True, False]
    for index in (1, 3):
        assert responses[index].error.message == "ValueError: length 5 is not for me"
        assert responses[index].error.code == TritonError.INVALID_ARG
        assert responses[index].outputs == {}


def test_cancelled_requests_are_not_computed() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(cancelled=index in (0, 2), x=rows(1, 3, index)) for index in range(4)]
    responses = batch.execute(requests, settings(), doubled(calls), PB_UTILS)
    assert calls == [(2, 3)]
    assert [response.error.code if response.error else None for response in responses] == [
        TritonError.CANCELLED,
        None,
        TritonError.CANCELLED,
        None,
    ]
    assert np.array_equal(responses[3].outputs["y"], requests[3].inputs["x"] * 2)


def test_a_batch_of_cancelled_requests_calls_nothing() -> None:
    calls: list[tuple[int, ...]] = []
    responses = batch.execute([Request(cancelled=True, x=rows(1, 3))] * 2, settings(), doubled(calls), PB_UTILS)
    assert calls == []
    assert all(response.error.code == TritonError.CANCELLED for response in responses)


def test_an_output_of_another_dtype_is_named_with_both_dtypes() -> None:
    responses = batch.execute(
        [Request(x=rows(1, 3))], settings({"y": "TYPE_FP64"}), lambda inputs: [inputs["x"]], PB_UTILS
    )
    assert responses[0].error.message == "TypeError: output 'y' is float32, config.pbtxt says float64"


def test_strings_are_object_arrays() -> None:
    words = np.array([[b"yes"], [b"no"]], dtype=object)
    responses = batch.execute([Request(x=words)], settings({"y": "TYPE_STRING"}), lambda i: [i["x"]], PB_UTILS)
    assert responses[0].outputs["y"] is words


@pytest.mark.parametrize("made", [0, 2])
def test_a_model_with_another_number_of_outputs_fails_with_a_sentence(made: int) -> None:
    responses = batch.execute([Request(x=rows(1, 3))], settings(), lambda inputs: [inputs["x"]] * made, PB_UTILS)
    assert responses[0].error is not None
    assert responses[0].error.message.startswith("ValueError: ")


def test_several_inputs_and_outputs_stay_together() -> None:
    def call(inputs: dict[str, Array]) -> list[Array]:
        return [inputs["a"] + inputs["b"], inputs["a"] - inputs["b"]]

    both = settings({"sum": "TYPE_FP32", "difference": "TYPE_FP32"}, ["a", "b"])
    requests = [Request(a=rows(count, 2, 7), b=rows(count, 2, count)) for count in (1, 3)]
    responses = batch.execute(requests, both, call, PB_UTILS)
    for request, response in zip(requests, responses, strict=True):
        assert np.array_equal(response.outputs["sum"], request.inputs["a"] + request.inputs["b"])
        assert np.array_equal(response.outputs["difference"], request.inputs["a"] - request.inputs["b"])


def test_an_answer_with_fewer_rows_than_were_asked_for_is_an_error_and_not_an_empty_slice() -> None:
    responses = batch.execute(
        [Request(x=rows(1, 3)), Request(x=rows(1, 3))], settings(), lambda inputs: [inputs["x"][:1]], PB_UTILS
    )
    assert all(response.error is not None for response in responses)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["intra_op_thread_count"], 3), (["unknown"], 0), (["empty", "intra_op_thread_count"], 3), ([], 0)],
)
def test_threads_come_from_the_first_parameter_that_is_set(names: list[str], expected: int) -> None:
    assert settings().threads(*names) == expected


@pytest.mark.parametrize(("kind", "expected"), [("CPU", None), ("GPU", 1)])
def test_the_instances_device_is_taken_only_on_a_gpu(kind: str, expected: int | None) -> None:
    assert settings(model_instance_kind=kind, model_instance_device_id="1").gpu == expected


def test_it_imports_nothing_but_numpy_since_it_is_copied_into_the_servers_folder() -> None:
    text = Path(batch.__file__).read_text()
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= {"json", "collections", "numpy"}
