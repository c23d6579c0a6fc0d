"""The name of a defect follows from which requests an artifact answered, and how; a wrong name leads astray."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from contract.compare import Tolerance
from contract.golden import Example
from contract.tensors import Array, Tensors, TensorSpec
from export.diagnosis import Diagnosis, diagnose, wrong_signature
from export.opened import Outcome, Port

TOLERANCE = Tolerance(1e-4, 1e-3)
TOKENS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"])
MASK = TensorSpec(name="mask", dtype="int64", dims=["batch", "length"])
# (key, rows, length): the first of several rows is the one that an exporter sees
SIZES = [("r0000", 1, 4), ("r0001", 3, 7), ("r0002", 1, 7), ("r0003", 2, 9), ("r0004", 3, 4), ("r0005", 1, 12)]
TRACED = "r0001"


def right(tokens: Array) -> Tensors:
    """The answer of the trained model: two outputs of the same shape and one of whole numbers."""
    total = tokens.sum(axis=1).astype(np.float32)
    return {
        "left": np.stack([total, 1 + total], axis=1),
        "right": np.stack([-total, 5 - total], axis=1),
        "place": tokens.argmax(axis=1).astype(np.int64),
    }


def request(key: str, rows: int, length: int) -> Example:
    tokens = 1 + np.arange(rows * length, dtype=np.int64).reshape(rows, length)
    return Example(key, {"tokens": tokens}, right(tokens))


def outcomes(artifact: Callable[[Array], Tensors], sizes: list[tuple[str, int, int]] = SIZES) -> list[Outcome]:
    """What an artifact says to every request; what it raises is an outcome."""
    found = []
    for example in [request(*size) for size in sizes]:
        try:
            found.append(Outcome(example, artifact(example.inputs["tokens"])))
        except ValueError as error:
            found.append(Outcome(example, None, f"ValueError: {error}"))
    return found


def named(artifact: Callable[[Array], Tensors], tolerance: Tolerance = TOLERANCE) -> Diagnosis:
    found = diagnose(outcomes(artifact), tolerance, [TOKENS], TRACED)
    assert found is not None
    return found


def changed(**other: Callable[[Array], Array]) -> Callable[[Array], Tensors]:
    """The right answer with some outputs passed through a function."""

    def artifact(tokens: Array) -> Tensors:
        answer = right(tokens)
        return answer | {name: change(answer[name]) for name, change in other.items()}

    return artifact


def only_where(true: Callable[[Array], bool], refuse: bool = False) -> Callable[[Array], Tensors]:
    """Right for some requests; others are answered wrongly, or refused."""

    def artifact(tokens: Array) -> Tensors:
        if true(tokens):
            return right(tokens)
        if refuse:
            raise ValueError("sizes do not match")
        return right(tokens + 100)

    return artifact


def swapped(tokens: Array) -> Tensors:
    answer = right(tokens)
    return answer | {"left": answer["right"], "right": answer["left"]}


def test_right_answers_have_no_diagnosis() -> None:
    assert diagnose(outcomes(right), TOLERANCE, [TOKENS], TRACED) is None


@pytest.mark.parametrize(
    ("artifact", "name", "evidence"),
    [
        (changed(left=lambda a: a * 2), "wrong values", "r0000: 'left' is out of tolerance in 2 of 2"),
        (changed(left=lambda a: a.astype(np.float64)), "wrong dtype", "dtype of 'left' is float64, expected float32"),
        (changed(place=lambda a: a.astype(np.int32)), "wrong dtype", "dtype of 'place' is int32, expected int64"),
        (changed(left=lambda a: a * np.float32("nan")), "not a number", "NaN in 2 elements of 'left'"),
        (changed(right=lambda a: a + np.float32("inf")), "not a number", "Inf in 2 elements of 'right'"),
        (changed(left=lambda a: a[:, :1]), "wrong shape", "shape of 'left' is [1, 1], expected [1, 2]"),
        (changed(left=lambda a: a[0]), "wrong shape", "shape of 'left' is [2], expected [1, 2]"),
        (swapped, "swapped outputs", "'right' stands in the place of 'left'"),
        (changed(place=lambda a: a + 1), "wrong values", "'place' differs in 1 of 1 elements"),
        (only_where(lambda t: t.shape[1] == 7), "frozen dimension", "right only where 'length' is 7"),
        (only_where(lambda t: t.shape[1] == 7, refuse=True), "frozen dimension", "r0000: ValueError: sizes do not"),
        (only_where(lambda t: t.shape[0] == 3), "frozen dimension", "right only where 'batch' is 3"),
        (only_where(lambda t: t.shape[0] == 3, refuse=True), "frozen dimension", "right only where 'batch' is 3"),
        (only_where(lambda t: int(t.sum()) % 3 == 0), "frozen control flow", "agrees on the traced request r0001"),
        (only_where(lambda t: False, refuse=True), "refused request", "r0000: ValueError: sizes do not match"),
        (only_where(lambda t: t.size > 15, refuse=True), "refused request", "ValueError: sizes do not match"),
        (changed(left=lambda a: a + np.float32(0.1)), "imprecise arithmetic", "set atol and rtol in models.toml"),
    ],
)
def test_a_defect_has_a_name_and_its_evidence(artifact: Callable[[Array], Tensors], name: str, evidence: str) -> None:
    found = named(artifact)
    assert found.name == name, found
    assert evidence in found.sentence


def test_a_little_imprecision_beside_an_output_of_whole_numbers_that_is_right_is_imprecision() -> None:
    found = named(changed(left=lambda a: a + np.float32(0.1), place=lambda a: a))
    assert found.name == "imprecise arithmetic", found


def test_a_wrong_whole_number_is_never_imprecision() -> None:
    assert named(changed(left=lambda a: a + np.float32(0.1), place=lambda a: a + 1)).name == "wrong values"


def test_wrong_values_are_not_hidden_by_a_nan_that_the_trained_model_has_as_well() -> None:
    wanted = np.array([[np.nan, 1.0]], dtype=np.float32)
    example = Example("r0000", {"tokens": np.ones((1, 2), np.int64)}, {"left": wanted})
    far = Outcome(example, {"left": np.array([[np.nan, 500.0]], dtype=np.float32)})
    found = diagnose([far], TOLERANCE, [TOKENS], "r0000")
    assert found is not None
    assert found.name == "wrong values", found


def test_a_number_where_the_trained_model_has_nan_is_not_off_by_nothing() -> None:
    wanted = np.array([[np.nan, 1.0]], dtype=np.float32)
    example = Example("r0000", {"tokens": np.ones((1, 2), np.int64)}, {"left": wanted})
    found = diagnose([Outcome(example, {"left": np.array([[3.0, 1.0]], np.float32)})], TOLERANCE, [TOKENS], "r0000")
    assert found is not None
    assert found.name != "imprecise arithmetic", found
    assert "off 0.0 times" not in found.sentence


@pytest.mark.parametrize(
    ("other", "mistaken_for"),
    [
        (np.ones((1, 3), np.float32), "wrong shape"),
        (np.ones((1, 2), np.float64), "wrong dtype"),
    ],
)
def test_swapped_outputs_of_unlike_shape_or_dtype_are_swapped_outputs(other: Array, mistaken_for: str) -> None:
    outputs = {"left": np.zeros((1, 2), np.float32), "right": other}
    example = Example("r0000", {"tokens": np.ones((1, 2), np.int64)}, outputs)
    answer = {"left": outputs["right"], "right": outputs["left"]}
    found = diagnose([Outcome(example, answer)], TOLERANCE, [TOKENS], "r0000")
    assert found is not None
    assert found.name == "swapped outputs", f"mistaken for {mistaken_for}: {found}"


def test_three_outputs_that_went_round_are_swapped_outputs() -> None:
    outputs = {name: np.full((1, 2), value, np.float32) for name, value in (("a", 1), ("b", 2), ("c", 3))}
    example = Example("r0000", {"tokens": np.ones((1, 2), np.int64)}, outputs)
    answer = {"a": outputs["b"], "b": outputs["c"], "c": outputs["a"]}
    found = diagnose([Outcome(example, answer)], TOLERANCE, [TOKENS], "r0000")
    assert found is not None
    assert (found.name, found.sentence.count("stands in the place of")) == ("swapped outputs", 3)


def test_a_missing_output_is_an_answer_and_not_the_end_of_the_diagnosis() -> None:
    found = named(lambda tokens: {name: value for name, value in right(tokens).items() if name != "right"})
    assert "'right' is missing" in found.sentence


def test_a_frozen_length_is_one_although_padding_makes_a_short_request_right() -> None:
    """A loop that was unrolled seven times reads a request of seven words that is padded to eight, too."""
    padded = request("r0002", 1, 7)
    longer = Example("padded-0002", {"tokens": np.pad(padded.inputs["tokens"], [(0, 0), (0, 1)])}, padded.outputs)

    def unrolled(tokens: Array) -> Tensors:
        if tokens.shape[1] < 7:
            raise ValueError("index 6 is out of range")
        return right(tokens[:, :7])

    asked = [*outcomes(unrolled), Outcome(longer, unrolled(longer.inputs["tokens"]))]
    found = diagnose(asked, TOLERANCE, [TOKENS], TRACED)
    assert found is not None
    assert found.name == "frozen dimension", found


def test_an_axis_that_several_inputs_share_is_named_once() -> None:
    def both(outcome: Outcome) -> Outcome:
        tokens = outcome.example.inputs["tokens"]
        inputs = {"tokens": tokens, "mask": np.ones_like(tokens)}
        return Outcome(Example(outcome.example.key, inputs, outcome.example.outputs), outcome.answer, outcome.error)

    asked = [both(outcome) for outcome in outcomes(only_where(lambda t: t.shape[1] == 7))]
    found = diagnose(asked, TOLERANCE, [TOKENS, MASK], TRACED)
    assert found is not None
    assert found.sentence.startswith("it is right only where 'length' is 7; ")


def test_a_lookup_table_with_one_wrong_row_is_not_taken_for_frozen_control_flow() -> None:
    """The wrong requests all hold the value 9 and no other does: its weight is wrong, no choice was frozen."""

    def table(tokens: Array) -> Tensors:
        return right(tokens + np.where(tokens == 9, 100, 0))

    sizes = [("r0000", 1, 4), ("r0001", 2, 4), ("r0002", 1, 9), ("r0003", 3, 4), ("r0004", 1, 8), ("r0005", 1, 12)]
    found = diagnose(outcomes(table, sizes), TOLERANCE, [TOKENS], "r0001")
    assert found is not None
    assert found.name == "wrong values"
    assert found.sentence.startswith("only where 'tokens' holds 9: a weight that belongs to it is wrong; ")


def test_a_tolerance_of_nothing_does_not_divide_by_it() -> None:
    found = named(changed(left=lambda a: np.nextafter(a, np.float32(np.inf))), Tolerance(0.0, 0.0))
    assert found.name in ("wrong values", "imprecise arithmetic")


LOGITS = TensorSpec(name="logits", dtype="float32", dims=["batch", 2])
SCALAR = TensorSpec(name="scale", dtype="float32", dims=[])


@pytest.mark.parametrize(
    ("declared", "ports", "name", "evidence"),
    [
        ([LOGITS], [Port("scores")], "wrong signature", "inputs are scores, declared are logits"),
        ([LOGITS], [], "wrong signature", "declared are logits"),
        ([LOGITS], [Port("logits"), Port("more")], "wrong signature", "inputs are logits, more"),
        ([LOGITS], [Port("logits", "float64", [None, 2])], "wrong dtype", "is float64, expected float32"),
        ([LOGITS], [Port("logits", "float32", [None, 2, 1])], "wrong signature", "has 3 axes"),
        ([LOGITS], [Port("logits", "float32", [3, 2])], "frozen dimension", "axis 0 of 'logits' is 3"),
        ([LOGITS], [Port("logits", "float32", [None, 4])], "wrong signature", "axis 1 of 'logits' is 4"),
        ([SCALAR], [Port("scale", "float32", [1])], "wrong signature", "has 1 axes in the artifact, declared are 0"),
    ],
)
def test_what_is_wrong_with_a_signature_has_a_name(
    declared: list[TensorSpec], ports: list[Port], name: str, evidence: str
) -> None:
    found = wrong_signature(declared, ports, "inputs")
    assert found is not None
    assert found.name == name
    assert evidence in found.sentence


@pytest.mark.parametrize(
    ("declared", "ports"),
    [
        ([LOGITS], [Port("logits")]),
        ([LOGITS], [Port("logits", "float32", [None, 2])]),
        ([LOGITS], [Port("logits", "float32", [None, None])]),
        ([SCALAR], [Port("scale", "float32", [])]),
        ([LOGITS, SCALAR], [Port("scale"), Port("logits")]),
    ],
    ids=["names only", "the same", "more dynamic than asked", "a scalar", "another order"],
)
def test_a_signature_that_serves_what_was_declared_is_right(declared: list[TensorSpec], ports: list[Port]) -> None:
    assert wrong_signature(declared, ports, "inputs") is None
