"""What made-up examples of whole numbers are drawn from: what cannot be is refused, what nobody said is noted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from contract.errors import UsageError
from contract.tensors import Tensors, TensorSpec
from export.made_up import check_ranges, made_up, without_range
from export.suite import make_suite
from export.trained import Trained
from tests.builders import model


def tokens(dtype: str = "int64", **changes: object) -> TensorSpec:
    return TensorSpec.model_validate({"name": "tokens", "dtype": dtype, "dims": ["batch", 4], **changes})


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (tokens(range=(0.2, 0.9)), r"range of 'tokens' is \[0\.2, 0\.9\), and int64 takes whole numbers; say two"),
        (tokens("uint8", range=(0, 1000)), r"is \[0, 1000\), and uint8 goes from 0 to 255; correct the range"),
        (tokens("uint8", range=(-1, 10)), r"is \[-1, 10\), and uint8 goes from 0 to 255"),
        (tokens("int32", range=(0, 1e12)), r"is \[0, 1000000000000\), and int32 goes from"),
    ],
)
def test_a_range_that_no_value_of_the_dtype_can_be_drawn_from_is_a_sentence(spec: TensorSpec, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_ranges([tokens(), spec])


def test_the_whole_range_of_a_dtype_and_fractions_of_floats_are_taken() -> None:
    whole = tokens("uint8", range=(0, 256))
    check_ranges([whole, tokens("int8", range=(-128, 128)), tokens("float32", range=(0.2, 0.9))])
    values = np.concatenate([example.inputs["tokens"].ravel() for example in made_up([whole])])
    assert values.dtype == np.uint8 and values.max() > 128


def test_inputs_of_whole_numbers_without_a_range_are_named() -> None:
    (note,) = without_range([tokens(), tokens("float32"), tokens("bool"), tokens(range=(0, 9))])
    assert note == "made-up examples of 'tokens' are drawn from 0 and 1 alone: set its range, or bring examples"
    assert without_range([tokens(range=(0, 9))]) == []


def test_the_suite_refuses_such_a_range_and_notes_a_missing_one(tmp_path: Path) -> None:
    def total(tensors: Tensors) -> Tensors:
        return {"total": tensors["tokens"].sum(axis=1, keepdims=True).astype(np.float32)}

    bare, wrong = tokens(), tokens(range=(0.2, 0.9))
    notes = make_suite(model(inputs=[bare], outputs=[]), Trained([bare], total), tmp_path).notes
    assert notes == without_range([bare])
    with pytest.raises(UsageError, match="takes whole numbers"):
        make_suite(model(inputs=[wrong], outputs=[]), Trained([wrong], total), tmp_path)
