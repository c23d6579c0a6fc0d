"""What the python-based backends share, with a fake of Triton's module: many requests, one call, one answer each."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT

Array = np.ndarray[Any, Any]


def load_shared(name: str) -> Any:
    """A module that is copied beside each backend's model.py, and imported there by its plain name."""
    sys.path.insert(0, str(ROOT / "serving" / "backends"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


batch, memory, reading = map(load_shared, ("batch", "batch_memory", "batch_settings"))


class Tensor:
    def __init__(self, name: str, array: Array) -> None:
        self._name, self.array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Array:
        return self.array


class TritonError(Exception):
    CANCELLED, INVALID_ARG, INTERNAL, UNAVAILABLE = "cancelled", "invalid argument", "internal", "unavailable"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message, self.code = message, code


class Response:
    def __init__(self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self.outputs = {tensor.name(): tensor.array for tensor in output_tensors or []}
        self.error = error


class Request:
    tensor: type = Tensor  # of what class its inputs are

    def __init__(self, cancelled: bool = False, **given: Array) -> None:
        self.given, self.cancelled, self.asked = given, cancelled, 0

    def inputs(self) -> list[Any]:
        """As Triton gives them: in the order in which the client sent them."""
        return [self.tensor(name, array) for name, array in self.given.items()]

    def is_cancelled(self) -> bool:
        self.asked += 1
        return self.cancelled


PB_UTILS = SimpleNamespace(Tensor=Tensor, InferenceResponse=Response, TritonError=TritonError)


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
    return reading.Settings({"model_config": json.dumps(config | changes), **arguments})


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
        assert np.array_equal(response.outputs["y"], request.given["x"] * 2)


def test_each_shape_is_one_call_and_answers_keep_the_order_of_the_requests() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(x=rows(1, length, index)) for index, length in enumerate((3, 5, 3, 5, 3, 2))]
    responses = batch.execute(requests, settings(), doubled(calls), PB_UTILS)
    assert sorted(calls) == [(1, 2), (2, 5), (3, 3)]
    for request, response in zip(requests, responses, strict=True):
        assert np.array_equal(response.outputs["y"], request.given["x"] * 2)


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
        assert responses[index].error.message == "length 5 is not for me"
        assert responses[index].error.code == TritonError.INVALID_ARG
        assert responses[index].outputs == {}


def after_a_slow_call() -> Any:
    """Settings of a model whose last call was slow, so that clients had time to go away."""
    slow = settings()
    slow.call_s = 1.0
    return slow


def test_what_was_cancelled_behind_a_slow_call_is_not_computed() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(cancelled=index in (0, 2), x=rows(1, 3, index)) for index in range(4)]
    responses = batch.execute(requests, after_a_slow_call(), doubled(calls), PB_UTILS)
    assert calls == [(2, 3)]
    assert [response.error.code if response.error else None for response in responses] == [
        TritonError.CANCELLED,
        None,
        TritonError.CANCELLED,
        None,
    ]
    assert np.array_equal(responses[3].outputs["y"], requests[3].given["x"] * 2)


def test_a_batch_of_cancelled_requests_calls_nothing() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(cancelled=True, x=rows(1, 3))] * 2
    responses = batch.execute(requests, after_a_slow_call(), doubled(calls), PB_UTILS)
    assert calls == []
    assert all(response.error.code == TritonError.CANCELLED for response in responses)


def test_a_request_that_comes_alone_is_asked_like_the_others() -> None:
    calls: list[tuple[int, ...]] = []
    alone = Request(cancelled=True, x=rows(1, 3))
    quick = settings()
    quick.call_s = batch.WORTH_ASKING_S / 2
    (response,) = batch.execute([alone], quick, doubled(calls), PB_UTILS)
    assert (response.error, alone.asked, calls) == (None, 0, [(1, 3)])
    (response,) = batch.execute([alone], after_a_slow_call(), doubled(calls), PB_UTILS)
    assert response.error.code == TritonError.CANCELLED
    assert (alone.asked, calls) == (1, [(1, 3)])


def test_nobody_is_asked_whether_it_was_cancelled_where_that_costs_more_than_the_call() -> None:
    requests = [Request(x=rows(1, 3)) for _ in range(4)]
    quick = settings()
    for _ in range(2):
        batch.execute(requests, quick, doubled([]), PB_UTILS)
    assert 0 < quick.call_s < batch.WORTH_ASKING_S * len(requests)
    assert [request.asked for request in requests] == [0] * 4


def test_an_output_of_another_dtype_is_named_with_both_dtypes() -> None:
    responses = batch.execute(
        [Request(x=rows(1, 3))], settings({"y": "TYPE_FP64"}), lambda inputs: [inputs["x"]], PB_UTILS
    )
    assert responses[0].error.message == "output 'y' is float32, config.pbtxt says float64"
    assert responses[0].error.code == TritonError.INTERNAL


def test_strings_are_object_arrays() -> None:
    words = np.array([[b"yes"], [b"no"]], dtype=object)
    responses = batch.execute([Request(x=words)], settings({"y": "TYPE_STRING"}), lambda i: [i["x"]], PB_UTILS)
    assert responses[0].outputs["y"] is words


@pytest.mark.parametrize("made", [0, 2])
def test_a_model_with_another_number_of_outputs_fails_with_a_sentence(made: int) -> None:
    responses = batch.execute([Request(x=rows(1, 3))], settings(), lambda inputs: [inputs["x"]] * made, PB_UTILS)
    assert responses[0].error is not None
    assert responses[0].error.message == f"the model returned {made} outputs, config.pbtxt says 1"


def test_several_inputs_and_outputs_stay_together() -> None:
    def call(inputs: dict[str, Array]) -> list[Array]:
        return [inputs["a"] + inputs["b"], inputs["a"] - inputs["b"]]

    both = settings({"sum": "TYPE_FP32", "difference": "TYPE_FP32"}, ["a", "b"])
    # Sent in another order than config.pbtxt has: what counts is the name.
    requests = [Request(b=rows(count, 2, count), a=rows(count, 2, 7)) for count in (1, 3)]
    responses = batch.execute(requests, both, call, PB_UTILS)
    for request, response in zip(requests, responses, strict=True):
        assert np.array_equal(response.outputs["sum"], request.given["a"] + request.given["b"])
        assert np.array_equal(response.outputs["difference"], request.given["a"] - request.given["b"])


def test_an_answer_with_fewer_rows_than_were_asked_for_is_an_error_and_not_an_empty_slice() -> None:
    responses = batch.execute(
        [Request(x=rows(1, 3)), Request(x=rows(1, 3))], settings(), lambda inputs: [inputs["x"][:1]], PB_UTILS
    )
    assert [response.error.message for response in responses] == ["output 'y' has shape (1, 3) for a batch of 2"] * 2
    assert {response.error.code for response in responses} == {TritonError.INTERNAL}


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["intra_op_thread_count"], 3), (["unknown"], 0), (["empty", "intra_op_thread_count"], 3), ([], 0)],
)
def test_threads_come_from_the_first_parameter_that_is_set(names: list[str], expected: int) -> None:
    assert settings().number(*names) == expected


@pytest.mark.parametrize(("kind", "expected"), [("CPU", None), ("GPU", 1)])
def test_the_instances_device_is_taken_only_on_a_gpu(kind: str, expected: int | None) -> None:
    assert settings(model_instance_kind=kind, model_instance_device_id="1").gpu == expected


def test_they_import_numpy_and_each_other_alone_since_they_are_copied_into_the_servers_folder() -> None:
    files = sorted((ROOT / "serving" / "backends").glob("*.py"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= sys.stdlib_module_names | {"numpy"} | {file.stem for file in files}


def test_one_bad_request_of_a_batch_fails_alone() -> None:
    calls: list[tuple[int, ...]] = []

    def call(inputs: dict[str, Array]) -> list[Array]:
        calls.append(inputs["x"].shape)
        if (inputs["x"] < 0).any():
            raise ValueError("a negative number")
        return [inputs["x"]]

    requests = [Request(x=rows(1, 2, first)) for first in (1.0, -5.0, 3.0)]
    responses = batch.execute(requests, settings(), call, PB_UTILS)
    assert calls == [(3, 2), (1, 2), (1, 2), (1, 2)]
    assert [response.error and response.error.message for response in responses] == [None, "a negative number", None]
    assert np.array_equal(responses[2].outputs["y"], requests[2].given["x"])


def test_a_missing_input_fails_its_own_request_before_the_call() -> None:
    calls: list[tuple[int, ...]] = []
    responses = batch.execute([Request(), Request(x=rows(1, 2))], settings(), doubled(calls), PB_UTILS)
    assert responses[0].error.message == "input 'x' is missing"
    assert responses[0].error.code == TritonError.INVALID_ARG
    assert calls == [(1, 2)]
    assert responses[1].error is None


def test_a_missing_input_of_a_request_that_comes_alone_is_named() -> None:
    calls: list[tuple[int, ...]] = []
    (response,) = batch.execute([Request()], settings(), doubled(calls), PB_UTILS)
    assert response.error.message == "input 'x' is missing"
    assert response.error.code == TritonError.INVALID_ARG
    assert calls == []


class ResourceExhaustedError(Exception):
    """As TensorFlow calls it."""


TORCHSCRIPT = """The following operation failed in the TorchScript interpreter.
Traceback of TorchScript, serialized code (most recent call last):
  File "code/__torch__.py", line 12, in forward
RuntimeError: index out of range in self
"""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), "unavailable", "not enough memory for this request: MemoryError"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "unavailable", "not enough memory for this"),
        (
            ResourceExhaustedError("OOM when allocating tensor"),
            "unavailable",
            "not enough memory for this request: OOM",
        ),
        (RuntimeError("CUDA error: device-side assert triggered"), "internal", "CUDA error"),
        (RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got: 7"), "invalid argument", "Got: 7"),
        (RuntimeError(TORCHSCRIPT), "invalid argument", "index out of range in self"),
        (KeyError(), "invalid argument", "KeyError"),
    ],
)
def test_an_error_is_told_with_whose_fault_it_is_and_without_pythons_noise(
    error: Exception, code: str, message: str
) -> None:
    def call(inputs: dict[str, Array]) -> list[Array]:
        raise error

    response = batch.execute([Request(x=rows(1, 2))], settings(), call, PB_UTILS)[0]
    assert response.error.code == code
    assert response.error.message.startswith(message)


PADDED = {"padding": {"string_value": '{"x": {"1": -1}}'}}


def test_requests_of_different_lengths_are_padded_to_the_longest_for_one_call() -> None:
    seen: list[Array] = []

    def call(inputs: dict[str, Array]) -> list[Array]:
        seen.append(inputs["x"].copy())
        return [inputs["x"].max(axis=1, keepdims=True)]

    requests = [Request(x=rows(count, length, 1)) for count, length in ((1, 2), (2, 4), (1, 1))]
    responses = batch.execute(requests, settings(parameters=PADDED), call, PB_UTILS)
    assert len(seen) == 1
    assert seen[0].dtype == np.float32
    assert seen[0].tolist() == [[1, 2, -1, -1], [1, 2, 3, 4], [5, 6, 7, 8], [1, -1, -1, -1]]
    assert [response.outputs["y"].tolist() for response in responses] == [[[2]], [[4], [8]], [[1]]]


def test_several_inputs_are_padded_each_with_its_value_and_outputs_are_cut_back() -> None:
    shapes: list[tuple[int, ...]] = []

    def call(inputs: dict[str, Array]) -> list[Array]:
        shapes.append(inputs["tokens"].shape)
        assert (inputs["mask"][inputs["tokens"] == 9] == 0).all()
        return [np.repeat(inputs["tokens"][:, None, :], 3, axis=1) + inputs["mask"][:, None, :]]

    parameters = {
        "padding": {"string_value": '{"tokens": {"1": 9}, "mask": {"1": 0}}'},
        "unpad": {"string_value": '{"y": {"2": ["tokens", 1]}}'},
    }
    both = settings(inputs=["tokens", "mask"], parameters=parameters)
    requests = [Request(tokens=rows(1, length), mask=np.ones((1, length), np.float32)) for length in (2, 5, 3)]
    responses = batch.execute(requests, both, call, PB_UTILS)
    assert shapes == [(3, 5)]
    for request, response in zip(requests, responses, strict=True):
        wanted = np.repeat(request.given["tokens"][:, None, :], 3, axis=1) + 1
        assert np.array_equal(response.outputs["y"], wanted)


def test_an_output_that_did_not_grow_with_its_padded_input_is_not_cut_but_an_error() -> None:
    parameters = {**PADDED, "unpad": {"string_value": '{"y": {"1": ["x", 1]}}'}}
    requests = [Request(x=rows(1, 2)), Request(x=rows(1, 4))]
    both = settings(parameters=parameters)
    responses = batch.execute(requests, both, lambda inputs: [inputs["x"][:, :1]], PB_UTILS)
    expected = "output 'y' has shape (2, 1): axis 1 is not the 4 of input 'x'"
    assert [response.error.message for response in responses] == [expected] * 2


def test_shapes_that_differ_elsewhere_than_in_padded_axes_stay_apart() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(x=np.zeros((1, length, width), np.float32)) for length, width in ((2, 3), (4, 3), (2, 5))]
    batch.execute(requests, settings(parameters=PADDED), doubled(calls), PB_UTILS)
    assert sorted(calls) == [(1, 2, 5), (2, 4, 3)]


def bucketed(buckets: str = "[4, 8]", **changes: Any) -> Any:
    """Settings of a model whose requests are padded to lengths of ``buckets``."""
    return settings(parameters={**PADDED, "length_buckets": {"string_value": buckets}}, **changes)


@pytest.mark.parametrize(
    ("lengths", "seen"),
    [((1, 3, 2), 4), ((4, 2), 4), ((2, 5), 8), ((3, 3), 4), ((3,), 4), ((8,), 8), ((9,), 9), ((2, 11), 11)],
)
def test_lengths_are_padded_to_the_next_bucket_that_holds_the_longest_and_not_beyond_the_last(
    lengths: tuple[int, ...], seen: int
) -> None:
    shapes: list[tuple[int, ...]] = []

    def call(inputs: dict[str, Array]) -> list[Array]:
        shapes.append(inputs["x"].shape)
        for row, length in zip(inputs["x"], lengths, strict=True):
            assert (row[length:] == -1).all() and row[:length].tolist() == list(range(1, length + 1))
        return [inputs["x"].max(axis=1, keepdims=True)]

    requests = [Request(x=rows(1, length, 1)) for length in lengths]
    responses = batch.execute(requests, bucketed(), call, PB_UTILS)
    assert shapes == [(len(lengths), seen)]
    assert [response.outputs["y"].tolist() for response in responses] == [[[length]] for length in lengths]


def test_a_request_that_fills_its_bucket_is_not_copied() -> None:
    request = Request(x=rows(2, 8))
    response = batch.execute([request], bucketed(), lambda inputs: [inputs["x"]], PB_UTILS)[0]
    assert np.shares_memory(response.outputs["y"], request.given["x"])


def test_the_answer_to_one_padded_request_is_cut_back_to_its_own_length() -> None:
    parameters = {
        "padding": {"string_value": '{"tokens": {"1": 9}, "mask": {"1": 0}}'},
        "unpad": {"string_value": '{"y": {"1": ["tokens", 1]}}'},
        "length_buckets": {"string_value": "[4, 8]"},
    }
    both = settings(inputs=["tokens", "mask"], parameters=parameters)

    def call(inputs: dict[str, Array]) -> list[Array]:
        assert inputs["tokens"].shape == inputs["mask"].shape == (1, 8)
        assert (inputs["mask"][inputs["tokens"] == 9] == 0).all()
        return [inputs["tokens"] + inputs["mask"]]

    request = Request(tokens=rows(1, 5), mask=np.ones((1, 5), np.float32))
    response = batch.execute([request], both, call, PB_UTILS)[0]
    assert np.array_equal(response.outputs["y"], request.given["tokens"] + 1)


def test_axes_that_are_not_padded_keep_their_size_whatever_the_buckets_are() -> None:
    calls: list[tuple[int, ...]] = []
    requests = [Request(x=np.zeros((1, length, width), np.float32)) for length, width in ((2, 3), (5, 3), (2, 5))]
    batch.execute(requests, bucketed(), doubled(calls), PB_UTILS)
    assert sorted(calls) == [(1, 4, 5), (2, 8, 3)]


def test_one_bad_request_among_padded_ones_fails_alone_and_the_others_stay_padded() -> None:
    calls: list[tuple[int, ...]] = []

    def call(inputs: dict[str, Array]) -> list[Array]:
        calls.append(inputs["x"].shape)
        if (inputs["x"] < -1).any():
            raise ValueError("below -1")
        return [inputs["x"].max(axis=1, keepdims=True)]

    requests = [Request(x=rows(1, length, first)) for length, first in ((2, 1.0), (3, -5.0), (7, 1.0))]
    responses = batch.execute(requests, bucketed(), call, PB_UTILS)
    assert calls == [(3, 8), (1, 4), (1, 4), (1, 8)]
    assert [response.error and response.error.message for response in responses] == [None, "below -1", None]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"padding": '{"x": {"1": 0}}', "length_buckets": "16"}, "length_buckets is 16; give lengths that rise"),
        ({"padding": '{"x": {"1": 0}}', "length_buckets": "[16, 8]"}, "length_buckets is [16, 8]; give lengths"),
        ({"padding": '{"x": {"1": 0}}', "length_buckets": "[0, 8]"}, "length_buckets is [0, 8]; give lengths"),
        ({"padding": '{"x": {"1": 0}}', "length_buckets": "[8.0]"}, "length_buckets is [8.0]; give lengths"),
        ({"padding": '{"x": {"1": 0}}', "length_buckets": "8,"}, "length_buckets is not JSON"),
        ({"length_buckets": "[8]"}, "length_buckets needs parameter padding"),
        ({"padding": "{"}, "padding is not JSON"),
        ({"padding": "[1]"}, "padding is [1]; give an object"),
        ({"padding": '{"z": {"1": 0}}'}, "padding names input 'z'; this model has x"),
        ({"padding": '{"x": {"0": 0}}'}, "axes from 1 on"),
        ({"padding": '{"x": {}}'}, "axes from 1 on"),
        ({"padding": '{"x": {"1": 0, "2": 1}}'}, "several values"),
        ({"padding": '{"x": {"1": "blank"}}'}, "fills input 'x' (float32) with \"blank\""),
        ({"padding": '{"x": {"1": 0}}', "unpad": '{"y": {"1": "x"}}'}, "give [input, axis]"),
        ({"padding": '{"x": {"1": 0}}', "unpad": '{"y": {"1": ["x", 2]}}'}, "give [input, axis]"),
        ({"unpad": '{"y": {"1": ["x", 1]}}'}, "give [input, axis]"),
    ],
)
def test_padding_that_is_not_understood_is_an_error_in_words(parameters: dict[str, str], words: str) -> None:
    with pytest.raises(reading.ConfigError) as caught:
        settings(parameters={key: {"string_value": text} for key, text in parameters.items()})
    assert words in str(caught.value)


def test_whole_numbers_are_padded_with_what_they_can_hold() -> None:
    tokens = [{"name": "x", "data_type": "TYPE_INT64"}]
    assert settings(input=tokens, parameters={"padding": {"string_value": '{"x": {"1": 0.0}}'}}).padding["x"][1] == 0
    with pytest.raises(reading.ConfigError, match=r"with 0\.5, which int64 cannot hold"):
        settings(input=tokens, parameters={"padding": {"string_value": '{"x": {"1": 0.5}}'}})
    with pytest.raises(reading.ConfigError, match="max_batch_size is 0"):
        settings(max_batch_size=0, parameters=PADDED)


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "²"])
def test_a_number_that_is_none_is_an_error_in_words(text: str) -> None:
    with pytest.raises(reading.ConfigError, match="give a whole number"):
        settings(parameters={"threads": {"string_value": text}}).number("threads")


@pytest.mark.parametrize(
    ("text", "expected"), [("true", True), ("ON", True), ("1", True), ("False", False), ("no", False), ("", None)]
)
def test_booleans_are_read_in_the_ways_that_triton_knows(text: str, expected: bool | None) -> None:
    assert settings(parameters={"flag": {"string_value": text}}).flag("flag") is expected


def test_a_boolean_that_is_none_is_an_error_in_words() -> None:
    with pytest.raises(reading.ConfigError, match="flag is 'maybe'; give true or false"):
        settings(parameters={"flag": {"string_value": "maybe"}}).flag("flag")


def test_a_type_that_numpy_does_not_have_is_an_error_in_words() -> None:
    with pytest.raises(reading.ConfigError, match="tensor 'y' is TYPE_BF16"):
        settings({"y": "TYPE_BF16"})
