"""What a source says becomes named tensors: outputs by declaration, sizes by what follows what in the examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from contract.errors import UsageError
from contract.golden import Example
from contract.tensors import Array, TensorSpec
from export.trained import declared_inputs, infer_outputs, inputs_of, named_outputs, traced
from tests.builders import LOGITS, TOKENS, model

OTHER = TensorSpec(name="other", dtype="float32", dims=["batch", 2])


def request(key: str, rows: int, length: int) -> Example:
    return Example(key, {"tokens": np.ones((rows, length), np.int64)})


def inferred(answers: list[Any], sizes: list[tuple[int, int]], name: str = "scores") -> TensorSpec:
    examples = [request(f"r{number:04d}", *size) for number, size in enumerate(sizes)]
    [spec] = infer_outputs([TOKENS], examples, [{name: answer} for answer in answers])
    return spec


def zeros(*shapes: tuple[int, ...]) -> list[Array]:
    return [np.zeros(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize(
    ("outputs", "result", "names"),
    [
        ([LOGITS], "a", ["logits"]),
        ([LOGITS, OTHER], ("a", "b"), ["logits", "other"]),
        ([LOGITS, OTHER], ["a", "b"], ["logits", "other"]),
        ([OTHER, LOGITS], {"logits": "a", "other": "b"}, ["other", "logits"]),
        ([LOGITS], {"logits": "a", "hidden": "b"}, ["logits"]),
        ([], "a", ["output_0"]),
        ([], ("a", "b"), ["output_0", "output_1"]),
        ([], {"hidden": "a", "logits": "b"}, ["hidden", "logits"]),
    ],
)
def test_outputs_get_the_declared_names_else_their_own_else_numbers(
    outputs: list[TensorSpec], result: object, names: list[str]
) -> None:
    assert list(named_outputs(model(outputs=outputs), result)) == names


def test_outputs_that_come_by_name_are_found_by_name() -> None:
    found = named_outputs(model(outputs=[OTHER, LOGITS]), {"logits": "a", "other": "b"})
    assert found == {"other": "b", "logits": "a"}


@pytest.mark.parametrize(
    ("outputs", "result", "sentence"),
    [
        ([LOGITS], {"scores": 1}, "the model has no output 'logits'; it has scores"),
        ([LOGITS], (1, 2), "the model returns 2 outputs, models.toml declares 1"),
        ([LOGITS, OTHER], 1, "the model returns 1 outputs, models.toml declares 2"),
    ],
)
def test_a_declaration_that_the_network_does_not_keep_is_a_sentence(
    outputs: list[TensorSpec], result: object, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        named_outputs(model(outputs=outputs), result)


def test_inputs_that_nobody_declared_are_asked_for_with_an_example_of_how() -> None:
    with pytest.raises(UsageError, match=r"declare them in models\.toml: inputs = .*--input NAME:DTYPE:DIMS"):
        declared_inputs(model(inputs=[], outputs=[]))
    assert declared_inputs(model()) == [TOKENS]


@pytest.mark.parametrize(
    ("sizes", "answers", "dims"),
    [
        ([(1, 3), (2, 5)], zeros((1, 2), (2, 2)), ["batch", 2]),
        ([(1, 3), (2, 5)], zeros((1, 3, 4), (2, 5, 4)), ["batch", "length", 4]),
        ([(1, 3), (2, 5)], zeros((3, 1), (5, 2)), ["length", "batch"]),
        ([(1, 3), (2, 5)], zeros((1, 7), (2, 9)), ["batch", "scores_1"]),
        ([(1, 3), (2, 5)], zeros((1,), (2,)), ["batch"]),
        ([(1, 3), (2, 5)], zeros((), ()), []),
        ([(1, 3), (2, 5)], zeros((1, 0), (2, 0)), ["batch", "scores_1"]),
    ],
    ids=["classes", "a sequence", "the other way round", "a length of its own", "one per row", "scalar", "empty"],
)
def test_an_axis_is_named_after_the_one_that_it_follows(
    sizes: list[tuple[int, int]], answers: list[Array], dims: list[int | str]
) -> None:
    assert inferred(answers, sizes).dims == dims


def test_an_axis_that_never_changes_has_a_size_although_an_input_happens_to_have_it_too() -> None:
    """Examples that are all of one row, or all of one length, are no evidence that anything follows them."""
    assert inferred(zeros((1, 1), (1, 1)), [(1, 3), (1, 5)]).dims == ["batch", 1]
    assert inferred(zeros((1, 4), (2, 4)), [(1, 4), (2, 4)]).dims == ["batch", 4]


def test_two_axes_of_an_output_that_follow_two_named_ones_do_not_share_one_name() -> None:
    assert inferred(zeros((2, 2, 5), (3, 3, 5)), [(2, 2), (3, 3)]).dims[:2] == ["batch", "length"]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "float64", "object"])
def test_every_known_dtype_is_inferred(dtype: str) -> None:
    spec = inferred([np.empty((1, 2), dtype), np.empty((2, 2), dtype)], [(1, 3), (2, 5)])
    assert spec.dtype == ("string" if dtype == "object" else dtype)


@pytest.mark.parametrize("name", ["dense-1", "model/logits", "1"])
def test_a_name_that_no_signature_takes_is_a_sentence_that_names_it(name: str) -> None:
    """Keras layers and ONNX files have such names."""
    with pytest.raises(UsageError, match=name):
        inferred(zeros((1, 2), (2, 2)), [(1, 3), (2, 5)], name)


def test_a_dtype_that_no_server_takes_is_a_sentence_that_names_it() -> None:
    with pytest.raises(UsageError, match="complex64"):
        inferred([np.zeros((1, 2), np.complex64)] * 2, [(1, 3), (2, 5)])


def test_an_exporter_sees_the_first_request_of_several_rows_or_else_the_first() -> None:
    several = [request("r0000", 1, 3), request("r0001", 2, 3), request("r0002", 3, 3)]
    assert traced(several).key == "r0001"
    assert traced(several[:1]).key == "r0000"


def test_inputs_are_described_by_examples_where_nobody_declares_them() -> None:
    def asked(key: str, rows: int, length: int) -> Example:
        inputs = {
            "tokens": np.ones((rows, length), np.int64),
            "mask": np.ones((rows, length), bool),
            "features": np.ones((rows, 3), np.float32),
        }
        return Example(key, inputs)

    specs = inputs_of([asked("r0000", 1, 4), asked("r0001", 1, 7), asked("r0002", 1, 7)])
    assert [(spec.name, spec.dtype, spec.dims) for spec in specs] == [
        ("tokens", "int64", ["batch", "axis_1"]),
        ("mask", "bool", ["batch", "axis_1"]),
        ("features", "float32", ["batch", 3]),
    ]
