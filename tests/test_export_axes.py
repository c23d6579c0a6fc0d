"""Axes that nobody named: one name where they are always of one size, names of their own where examples differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from contract.golden import Example, check_inputs, write_examples
from contract.tensors import TensorSpec
from export.from_onnx import trained
from export.trained import apart, inputs_of
from tests.builders import model


def asked(number: int, source: int, target: int) -> Example:
    """A request of two sequences; the mask is as long as the first one."""
    inputs = {
        "src": np.ones((2, source), np.int64),
        "src.mask": np.ones((2, source), bool),
        "tgt": np.ones((2, target), np.int64),
    }
    return Example(f"r{number:04d}", inputs)


DIFFERENT = [asked(0, 5, 3), asked(1, 7, 4), asked(2, 7, 9)]
ALIKE = [asked(0, 5, 5), asked(1, 7, 7)]


def dims(specs: list[TensorSpec]) -> dict[str, list[int | str]]:
    return {spec.name: spec.dims for spec in specs}


def test_two_sequences_of_lengths_of_their_own_have_axes_of_their_own() -> None:
    specs = inputs_of(DIFFERENT)
    assert dims(specs) == {"src": ["batch", "src_1"], "src.mask": ["batch", "src_1"], "tgt": ["batch", "tgt_1"]}
    check_inputs(DIFFERENT, specs, Path("examples.npz"))


def test_sequences_that_are_always_of_one_length_have_one_axis() -> None:
    assert set(map(tuple, dims(inputs_of(ALIKE)).values())) == {("batch", "axis_1")}


def test_an_axis_has_a_name_although_the_input_has_dots_and_colons() -> None:
    specs = [TensorSpec(name=name, dtype="int64", dims=["batch", "axis_1"]) for name in ("a.b:0", "c")]
    examples = [Example("r0000", {"a.b:0": np.ones((1, 2), np.int64), "c": np.ones((1, 3), np.int64)})]
    assert dims(apart(specs, examples)) == {"a.b:0": ["batch", "a_b_0_1"], "c": ["batch", "c_1"]}


def test_names_that_somebody_gave_stay_and_without_examples_all_do() -> None:
    specs = [TensorSpec(name=name, dtype="int64", dims=["batch", axis]) for name, axis in (("src", "length"),)]
    assert apart(specs, DIFFERENT) == specs
    nameless = [TensorSpec(name=name, dtype="int64", dims=["batch", "axis_1"]) for name in ("src", "tgt")]
    assert apart(nameless, []) == nameless


def test_examples_that_do_not_fit_are_left_to_the_check_that_says_so() -> None:
    specs = [TensorSpec(name=name, dtype="int64", dims=["batch", "axis_1"]) for name in ("src", "tgt")]
    apart(specs, [Example("r0000", {"src": np.ones(2, np.int64)})])


@pytest.fixture
def two_sequences(tmp_path: Path) -> Path:
    """An ONNX file of two inputs whose axes have no names."""
    inputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, None]) for name in ("src", "tgt")]
    outputs = [onnx.helper.make_tensor_value_info("sums", onnx.TensorProto.FLOAT, [None, None])]
    nodes = [
        onnx.helper.make_node("ReduceSum", [name], [f"{name}_sum"], noop_with_empty_axes=0, keepdims=1)
        for name in ("src", "tgt")
    ]
    nodes.append(onnx.helper.make_node("Add", ["src_sum", "tgt_sum"], ["sums"]))
    graph = onnx.helper.make_graph(nodes, "two", inputs, outputs)
    path = tmp_path / "two.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.mark.parametrize(("lengths", "names"), [((3, 5), ("src_1", "tgt_1")), ((4, 4), ("axis_1", "axis_1"))])
def test_nameless_axes_of_an_onnx_file_are_apart_where_the_examples_show_it(
    tmp_path: Path, two_sequences: Path, lengths: tuple[int, int], names: tuple[str, str]
) -> None:
    inputs = {name: np.ones((1, length), np.float32) for name, length in zip(("src", "tgt"), lengths, strict=True)}
    examples = [Example("r0000", inputs)]
    write_examples(tmp_path / "examples.npz", examples)
    described = model(
        framework="onnx", source=str(two_sequences), inputs=[], outputs=[], examples=tmp_path / "examples.npz"
    )
    opened = trained(described)
    assert tuple(spec.dims[1] for spec in opened.inputs) == names
    check_inputs(examples, opened.inputs, tmp_path / "examples.npz")
    assert opened.answer(inputs)["sums"].item() == sum(lengths)
