"""compare(): NaN, Inf, shape, dtype, missing and extra outputs fail by name; atol + rtol * |reference| decides else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from contract.compare import MOST_REASONS, Parity, Tolerance, compare
from contract.files import read_model, write_json
from contract.tensors import Array, Tensors

NAN, INF = math.nan, math.inf
EXACT = Tolerance(0.0, 0.0)
USUAL = Tolerance(1e-4, 1e-3)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def strings(*values: bytes) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def judge(reference: Array, answer: Array, tolerance: Tolerance = USUAL) -> Parity:
    return compare([("r0000", {"y": reference}, {"y": answer})], tolerance)


def test_the_same_answer_passes() -> None:
    parity = judge(floats(1, -2, 0), floats(1, -2, 0), EXACT)
    assert parity == Parity(passed=True, max_abs=0.0, max_rel=0.0, agreement=None, requests=1, reasons=[])


@pytest.mark.parametrize(
    ("reference", "answer", "tolerance", "passed", "why"),
    [
        (10.0, 10.5, Tolerance(0.5, 0.0), True, "on the absolute bound"),
        (10.0, 10.5625, Tolerance(0.5, 0.0), False, "just beyond the absolute bound"),
        (16.0, 18.0, Tolerance(0.0, 0.125), True, "on the relative bound"),
        (-16.0, -18.0, Tolerance(0.0, 0.125), True, "relative to the magnitude of a negative reference"),
        (16.0, 18.5, Tolerance(0.0, 0.125), False, "just beyond the relative bound"),
        (16.0, 18.5, Tolerance(0.5, 0.125), True, "the two bounds add up"),
        (18.0, 16.0, Tolerance(0.0, 0.12), True, "relative to the reference"),
        (16.0, 18.0, Tolerance(0.0, 0.12), False, "not relative to the answer"),
        (0.0, 0.0, EXACT, True, "0/0 is no difference"),
        (0.0, -0.0, EXACT, True, "the sign of zero is no difference"),
        (0.0, 0.5, Tolerance(0.5, 9.0), True, "at reference zero the absolute bound alone counts"),
        (0.0, 0.5625, Tolerance(0.5, 9.0), False, "no relative tolerance helps at reference zero"),
    ],
)
def test_an_element_agrees_within_atol_plus_rtol_times_reference(
    reference: float, answer: float, tolerance: Tolerance, passed: bool, why: str
) -> None:
    assert judge(floats(reference), floats(answer), tolerance).passed is passed, why


def test_what_is_out_of_tolerance_is_counted_and_named() -> None:
    parity = judge(floats(1, 2, 4), floats(1, 3, 6), USUAL)
    assert parity.reasons == [
        "r0000: 'y' is out of tolerance in 2 of 3 elements (max |difference| 2, atol 0.0001, rtol 0.001)"
    ]
    assert (parity.max_abs, parity.max_rel) == (2.0, 0.5)


def test_reference_zero_has_an_absolute_but_no_relative_difference() -> None:
    parity = judge(floats(0, 4), floats(0.5, 5), Tolerance(9, 9))
    assert (parity.max_abs, parity.max_rel) == (1.0, 0.25)


@pytest.mark.parametrize(("value", "label"), [(NAN, "NaN"), (INF, "Inf"), (-INF, "Inf")])
def test_nan_or_inf_where_the_reference_is_finite_fails_by_name(value: float, label: str) -> None:
    parity = judge(floats(1, 2, 3), floats(1, value, value), Tolerance(1e9, 1e9))
    assert not parity.passed
    assert parity.reasons == [f"r0000: {label} in 2 elements of 'y' where the trained model is finite"]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_reference_that_is_nan_or_inf_itself_wants_the_same(value: float) -> None:
    assert judge(floats(1, value), floats(1, value), EXACT).passed


@pytest.mark.parametrize(
    ("reference", "answer"), [(NAN, 1.0), (INF, 1.0), (-INF, 1.0), (INF, -INF), (NAN, INF), (INF, NAN), (NAN, 0.0)]
)
def test_another_value_than_the_reference_s_own_nan_or_inf_fails(reference: float, answer: float) -> None:
    assert not judge(floats(1, reference), floats(1, answer), Tolerance(1e9, 1e9)).passed


@pytest.mark.parametrize(("reference", "answer"), [(NAN, INF), (INF, NAN)])
def test_the_reason_never_calls_a_reference_finite_that_is_not(reference: float, answer: float) -> None:
    assert "finite" not in judge(floats(reference), floats(answer)).reasons[0]


@pytest.mark.parametrize(
    ("reference", "answer"), [(NAN, 1.0), (1.0, NAN), (INF, 1.0), (INF, -INF), (1.0, INF), (NAN, NAN)]
)
def test_the_figures_of_a_parity_are_numbers_that_json_knows(tmp_path: Path, reference: float, answer: float) -> None:
    """NaN and Infinity are no JSON: a browser and jq refuse the whole report."""
    parity = judge(floats(reference), floats(answer))
    write_json(tmp_path / "parity.json", parity)

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} in a JSON file")

    json.loads((tmp_path / "parity.json").read_text(), parse_constant=refuse)
    assert read_model(tmp_path / "parity.json", Parity, "make export") == parity


def test_the_figures_do_not_depend_on_the_order_of_requests() -> None:
    rows: list[tuple[str, Tensors, Tensors]] = [
        ("r0000", {"y": floats(NAN)}, {"y": floats(1)}),
        ("r0001", {"y": floats(1)}, {"y": floats(3)}),
    ]
    forward, backward = compare(rows, USUAL), compare(rows[::-1], USUAL)
    assert str(forward.max_abs) == str(backward.max_abs)
    assert str(forward.max_rel) == str(backward.max_rel)


def test_another_shape_fails_by_name_although_it_would_broadcast() -> None:
    parity = judge(np.ones((2, 3), np.float32), np.ones((1, 3), np.float32))
    assert not parity.passed
    assert parity.reasons == ["r0000: shape of 'y' is [1, 3], expected [2, 3]"]
    assert (parity.max_abs, parity.max_rel) == (None, None)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (np.array([1.0], np.float64), "float64"),
        (np.array([1], np.int64), "int64"),
        (np.array([True]), "bool"),
        (strings(b"1"), "string"),
    ],
)
def test_another_dtype_fails_by_name_although_the_values_agree(answer: Array, name: str) -> None:
    parity = judge(floats(1), answer)
    assert not parity.passed
    assert parity.reasons == [f"r0000: dtype of 'y' is {name}, expected float32"]


def test_byte_order_is_no_other_dtype() -> None:
    assert judge(floats(1, 2), np.array([1, 2], ">f4")).passed


def test_a_missing_output_fails_by_name() -> None:
    parity = compare([("r0003", {"y": floats(1), "z": floats(1)}, {"z": floats(1)})], USUAL)
    assert not parity.passed
    assert parity.reasons == ["r0003: output 'y' is missing"]


def test_an_extra_output_fails_by_name() -> None:
    parity = compare([("r0003", {"y": floats(1)}, {"y": floats(1), "b": floats(1), "a": floats(1)})], USUAL)
    assert not parity.passed
    assert parity.reasons == ["r0003: unexpected output a, b"]


def test_nothing_compared_is_no_pass() -> None:
    parity = compare([], USUAL)
    assert parity == Parity(
        passed=False, max_abs=None, max_rel=None, agreement=None, requests=0, reasons=["nothing was compared"]
    )


def test_a_request_without_reference_outputs_is_no_pass() -> None:
    parity = compare([("r0000", {}, {})], USUAL)
    assert not parity.passed
    assert parity.reasons


def test_an_empty_batch_passes_when_its_shape_is_right() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert judge(empty, empty.copy()).passed
    assert not judge(empty, np.zeros((0, 4), np.float32)).passed
    assert judge(empty, empty.copy()).agreement is None


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_integers_must_be_equal_whatever_the_tolerance(dtype: str) -> None:
    reference, answer = np.array([0, 1, 1], dtype), np.array([0, 0, 1], dtype)
    assert judge(reference, reference.copy(), EXACT).passed
    parity = judge(reference, answer, Tolerance(100, 100))
    assert not parity.passed
    assert parity.reasons == ["r0000: 'y' differs in 1 of 3 elements"]


def test_large_integers_are_not_compared_as_floats() -> None:
    assert not judge(np.array([2**53]), np.array([2**53 + 1])).passed


def test_strings_must_be_equal() -> None:
    reference = strings(b"a", b"", b"\xff\x00")
    assert judge(reference, strings(b"a", b"", b"\xff\x00")).passed
    parity = judge(reference, strings(b"a", b"", b"\xff"))
    assert not parity.passed
    assert parity.reasons == ["r0000: 'y' differs in 1 of 3 elements"]


def test_the_imaginary_part_counts() -> None:
    assert not judge(np.array([1 + 1j]), np.array([1 + 5j])).passed


def test_extreme_doubles_neither_warn_nor_pass() -> None:
    assert not judge(np.array([1e308]), np.array([-1e308])).passed
    assert not judge(np.array([5e-324]), np.array([1.0])).passed


def test_float16_is_compared_in_double_precision() -> None:
    parity = judge(np.array([60000], np.float16), np.array([-60000], np.float16))
    assert not parity.passed
    assert parity.max_abs == pytest.approx(120000, rel=1e-3)


def test_agreement_is_the_share_of_rows_with_the_same_largest_class() -> None:
    reference = np.array([[1, 2], [3, 1], [0, 5], [9, 8]], np.float32)
    answer = np.array([[1, 2], [1, 3], [0, 5], [9, 8]], np.float32)
    parity = judge(reference, answer)
    assert parity.agreement == 0.75
    assert not parity.passed


def test_agreement_counts_rows_over_all_requests() -> None:
    one, two = np.array([[1, 2]], np.float32), np.array([[2, 1], [1, 2], [1, 2]], np.float32)
    parity = compare([("a", {"y": one}, {"y": one}), ("b", {"y": two}, {"y": two[:, ::-1].copy()})], USUAL)
    assert parity.agreement == 0.25
    assert parity.requests == 2


@pytest.mark.parametrize("shape", [(4,), (4, 1), (0, 3), ()])
def test_agreement_is_null_without_classes(shape: tuple[int, ...]) -> None:
    array = np.ones(shape, np.float32)
    assert judge(array, array.copy()).agreement is None


def test_the_largest_difference_of_all_outputs_and_requests_is_kept() -> None:
    rows: list[tuple[str, Tensors, Tensors]] = [
        ("r0000", {"y": floats(1), "z": floats(8)}, {"y": floats(1.5), "z": floats(9)}),
        ("r0001", {"y": floats(4), "z": floats(8)}, {"y": floats(4), "z": floats(8)}),
    ]
    parity = compare(rows, Tolerance(10, 0))
    assert parity.passed
    assert (parity.max_abs, parity.max_rel, parity.requests) == (1.0, 0.5, 2)


def test_only_the_first_reasons_are_kept() -> None:
    parity = compare([(f"r{n:04d}", {"y": floats(1)}, {"y": floats(2), "z": floats(2)}) for n in range(20)], USUAL)
    assert len(parity.reasons) == MOST_REASONS
    assert parity.reasons[0].startswith("r0000: ")
    assert parity.requests == 20
