"""Requests at the edge keep to what the inputs declare, and agree with each other about the sizes of shared axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contract.golden import Example, check_inputs, write_examples
from contract.tensors import Array, TensorSpec
from export.edges import LONGER_BY, PADDED_REQUESTS, extremes, padded

TOKENS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"], range=(0, 500))
MASK = TensorSpec(name="mask", dtype="bool", dims=["batch", "length"])
IMAGE = TensorSpec(name="image", dtype="float32", dims=["batch", "height", "width"], range=(-1, 1))
FEATURES = TensorSpec(name="features", dtype="float32", dims=["batch", 3])
SCALE = TensorSpec(name="scale", dtype="float32", dims=[])


def tokens(key: str, rows: int, length: int) -> Example:
    array = np.arange(1, 1 + rows * length, dtype=np.int64).reshape(rows, length)
    return Example(key, {"tokens": array})


def by_key(specs: list[TensorSpec], examples: list[Example]) -> dict[str, Example]:
    return {example.key: example for example in extremes(specs, examples)}


def test_shortest_and_longest_are_one_row_of_one_and_of_twice_the_longest_length() -> None:
    made = by_key([TOKENS], [tokens("r0000", 2, 3), tokens("r0001", 1, 5)])
    assert made["shortest-0000"].inputs["tokens"].tolist() == [[1]]
    assert made["longest-0000"].inputs["tokens"].tolist() == [[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]]


def test_lowest_and_highest_are_the_ends_of_the_vocabulary_the_upper_one_left_out() -> None:
    made = by_key([TOKENS], [tokens("r0000", 1, 2)])
    assert made["lowest-0000"].inputs["tokens"].tolist() == [[0, 0]]
    assert made["highest-0000"].inputs["tokens"].tolist() == [[499, 499]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_highest_number_lies_below_the_upper_end_in_its_own_precision(dtype: str) -> None:
    spec = TensorSpec(name="x", dtype=dtype, dims=["batch", 2], range=(0, 1))
    made = by_key([spec], [Example("r0000", {"x": np.zeros((1, 2), dtype)})])
    highest = made["highest-0000"].inputs["x"]
    assert highest.dtype == dtype
    assert (highest < 1).all(), highest
    assert (highest > 0.99).all()


@pytest.mark.parametrize(
    ("spec", "array"),
    [
        (FEATURES, np.ones((1, 3), np.float32)),
        (SCALE, np.float32(1).reshape(())),
        (TensorSpec(name="texts", dtype="string", dims=["batch"]), np.array([b"a"], dtype=object)),
        (TensorSpec(name="flags", dtype="bool", dims=["batch", 2]), np.ones((1, 2), bool)),
    ],
    ids=["fixed sizes", "a scalar", "strings", "flags"],
)
def test_without_a_dynamic_axis_or_a_range_there_is_no_edge(spec: TensorSpec, array: Array) -> None:
    assert list(extremes([spec], [Example("r0000", {spec.name: array})])) == []


def test_inputs_that_share_an_axis_stay_equally_long() -> None:
    example = Example("r0000", {"tokens": np.ones((2, 4), np.int64), "mask": np.ones((2, 4), bool)})
    found = list(extremes([TOKENS, MASK], [example]))
    assert {"shortest-0000", "longest-0000"} <= {edge.key for edge in found}
    for edge in found:
        assert edge.inputs["tokens"].shape == edge.inputs["mask"].shape
        check_inputs([edge], [TOKENS, MASK], Path("edges.npz"))


def test_an_axis_that_is_the_first_of_one_input_and_the_second_of_another_has_one_size() -> None:
    weights = TensorSpec(name="weights", dtype="float32", dims=["length"])
    example = Example("r0000", {"tokens": np.ones((2, 4), np.int64), "weights": np.ones(4, np.float32)})
    found = list(extremes([TOKENS, weights], [example]))
    assert {"shortest-0000", "longest-0000"} <= {edge.key for edge in found}
    for edge in found:
        assert edge.inputs["weights"].shape[0] == edge.inputs["tokens"].shape[1], edge.key


def test_the_only_axis_of_a_model_without_batches_is_stretched_as_well() -> None:
    """Where the second input shows that the first axis is no batch axis, that axis is a length like any other."""
    signal = TensorSpec(name="signal", dtype="float32", dims=["length"])
    example = Example("r0000", {"signal": np.ones(6, np.float32), "scale": np.float32(1).reshape(())})
    sizes = {edge.key: edge.inputs["signal"].shape[0] for edge in extremes([signal, SCALE], [example])}
    assert sizes == {"shortest-0000": 1, "longest-0000": 12}


def test_a_first_request_that_is_empty_is_no_obstacle() -> None:
    empty = Example("r0000", {"tokens": np.zeros((1, 0), np.int64)})
    made = by_key([TOKENS], [empty, tokens("r0001", 1, 5)])
    assert made["longest-0000"].inputs["tokens"].shape == (1, 10)


def test_whatever_is_made_fits_the_declaration_and_can_be_written(tmp_path: Path) -> None:
    example = Example("r0000", {"image": np.zeros((2, 3, 4), np.float32)})
    made = list(extremes([IMAGE], [example]))
    assert [edge.key for edge in made] == ["shortest-0000", "longest-0000", "lowest-0000", "highest-0000"]
    check_inputs(made, [IMAGE], tmp_path)
    write_examples(tmp_path / "edges.npz", made)
    assert made[1].inputs["image"].shape == (1, 6, 8)


def test_padded_requests_are_single_ones_made_longer_by_several_lengths() -> None:
    singles = [tokens(f"r{number:04d}", 1, 4) for number in range(9)]
    pairs = list(padded([TOKENS], [tokens("r0009", 2, 4), *singles], {"length": 0}))
    assert len(pairs) == PADDED_REQUESTS
    grown = [longer.inputs["tokens"].shape[1] - short.inputs["tokens"].shape[1] for short, longer in pairs]
    assert grown == [LONGER_BY[number % len(LONGER_BY)] for number in range(PADDED_REQUESTS)]
    for short, longer in pairs:
        assert longer.key == f"padded-{short.key[1:]}"
        assert (longer.inputs["tokens"][:, :4] == short.inputs["tokens"]).all()
        assert (longer.inputs["tokens"][:, 4:] == 0).all()


def test_without_padding_nothing_is_padded() -> None:
    assert list(padded([TOKENS], [tokens("r0000", 1, 4)], {})) == []


def test_every_axis_is_padded_with_its_own_value() -> None:
    example = Example("r0000", {"image": np.zeros((1, 1, 1), np.float32)})
    [(_, longer)] = padded([IMAGE], [example], {"height": 5, "width": 7})
    assert longer.inputs["image"].shape == (1, 2, 2)
    image = longer.inputs["image"][0]
    assert (image[1, 0], image[0, 1]) == (5, 7)


def test_only_the_axes_that_are_named_are_padded_and_of_every_input_that_has_them() -> None:
    example = Example(
        "r0000", {"tokens": np.ones((1, 3), np.int64), "mask": np.ones((1, 3), bool), "features": np.ones((1, 3), "f4")}
    )
    [(_, longer)] = padded([TOKENS, MASK, FEATURES], [example], {"length": 0})
    assert {name: array.shape for name, array in longer.inputs.items()} == {
        "tokens": (1, 4),
        "mask": (1, 4),
        "features": (1, 3),
    }
    assert longer.inputs["mask"].tolist() == [[True, True, True, False]]
    assert longer.inputs["mask"].dtype == bool


@pytest.mark.parametrize("key", ["r0003", "edge-0003", "long-0012"])
def test_a_padded_request_can_be_written_whatever_key_its_example_has(tmp_path: Path, key: str) -> None:
    """examples.npz takes keys such as edge-0003 (contract/golden.py)."""
    write_examples(tmp_path / "examples.npz", [tokens(key, 1, 3)])
    [(_, longer)] = padded([TOKENS], [tokens(key, 1, 3)], {"length": 0})
    write_examples(tmp_path / "edges.npz", [longer])


def test_padded_requests_of_unlike_examples_have_unlike_keys() -> None:
    examples = [tokens("r0003", 1, 3), tokens("edge-0003", 1, 3), tokens("wedge-0003", 1, 3)]
    keys = [longer.key for _, longer in padded([TOKENS], examples, {"length": 0})]
    assert len(set(keys)) == 3


def test_an_input_is_padded_with_its_own_value_where_it_has_one() -> None:
    mask = TOKENS.model_copy(update={"name": "mask", "range": None})
    example = Example("r0000", {"tokens": np.full((1, 2), 9), "mask": np.ones((1, 2), np.int64)})
    [(_, longer)] = padded([TOKENS, mask], [example], {"length": 0}, {"tokens": 1})
    assert longer.inputs["tokens"].tolist() == [[9, 9, 1]]
    assert longer.inputs["mask"].tolist() == [[1, 1, 0]]
