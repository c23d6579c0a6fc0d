"""Labelled inputs: what is written is read, what does not fit is a sentence, and a decision is one that can differ."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from contract.errors import UsageError
from contract.tensors import Array, TensorSpec
from contract.validation import ROWS_AT_ONCE, Validation, classes, read_validation, write_validation
from tests.builders import TOKENS

MASK = TensorSpec(name="mask", dtype="bool", dims=["batch", "length"])
TEXTS = TensorSpec(name="texts", dtype="string", dims=["batch"])
SCALE = TensorSpec(name="scale", dtype="float32", dims=[])


def rows(count: int) -> Array:
    return np.arange(count * 3, dtype=np.int64).reshape(count, 3)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "validation.npz"
    write_validation(path, {"tokens": rows(5)}, np.array([0, 1, 0, 1, 1]))
    read = read_validation(path, [TOKENS])
    assert (read.inputs["tokens"] == rows(5)).all()
    assert (read.labels.tolist(), read.decisions, read.rows) == ([0, 1, 0, 1, 1], None, 5)
    write_validation(path, read.inputs, read.labels, np.array([0, 1, 1, 1, 1]))
    again = read_validation(path, [TOKENS])
    assert again.decisions is not None
    assert again.accuracy(again.decisions) == 0.8


def test_strings_are_written_and_read_and_nothing_is_pickled(tmp_path: Path) -> None:
    texts = np.array([b"good", "schön".encode(), b""], dtype=object)
    path = tmp_path / "validation.npz"
    write_validation(path, {"texts": texts}, np.array([1, 1, 0]))
    read = read_validation(path, [TEXTS])
    assert read.inputs["texts"].tolist() == texts.tolist()
    with zipfile.ZipFile(path) as archive:
        assert not any(b"numpy" in archive.read(name)[100:] for name in archive.namelist())


@pytest.mark.parametrize("count", [1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE])
def test_batches_are_all_rows_in_order(count: int) -> None:
    made = list(Validation({"tokens": rows(count)}, np.zeros(count)).batches())
    assert (np.concatenate([batch["tokens"] for batch in made]) == rows(count)).all()
    assert all(1 <= len(batch["tokens"]) <= ROWS_AT_ONCE for batch in made)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"labels": np.zeros(2)}, "holds labels; expected are labels and in/tokens"),
        ({"in/tokens": rows(2)}, "holds in/tokens; expected are labels and in/tokens"),
        ({"in/words": rows(2), "labels": np.zeros(2)}, "expected are labels and in/tokens"),
        ({"in/tokens": rows(2), "labels": np.zeros(3)}, "'tokens' has 2 rows and there are 3 labels"),
        ({"in/tokens": rows(2).astype(np.int32), "labels": np.zeros(2)}, "dtype of 'tokens' is int32, expected int64"),
        ({"in/tokens": np.zeros(2, np.int64), "labels": np.zeros(2)}, "shape of 'tokens' is"),
        ({"in/tokens": rows(2), "labels": np.array(1)}, "labels"),
        ({"in/tokens": rows(0), "labels": np.zeros(0)}, "row"),
        ({"in/tokens": rows(2), "labels": np.array([0.5, 1.0])}, "labels"),
    ],
    ids=[
        "no inputs",
        "no labels",
        "another input",
        "a label too many",
        "another dtype",
        "another rank",
        "one label for all",
        "no rows",
        "labels between classes",
    ],
)
def test_a_file_that_does_not_fit_is_a_sentence(tmp_path: Path, entries: dict[str, Array], sentence: str) -> None:
    path = tmp_path / "validation.npz"
    np.savez(path, **entries)
    with pytest.raises(UsageError, match=sentence) as caught:
        read_validation(path, [TOKENS])
    assert str(path) in str(caught.value)


def test_labels_of_every_word_of_a_row_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "validation.npz"
    write_validation(path, {"tokens": rows(2)}, np.zeros((2, 3)))
    assert read_validation(path, [TOKENS]).labels.shape == (2, 3)


def test_a_scalar_input_is_a_sentence_and_no_stack_trace(tmp_path: Path) -> None:
    path = tmp_path / "validation.npz"
    entries: dict[str, Array] = {"in/scale": np.ones((), np.float32), "labels": np.zeros(2)}
    np.savez(path, **entries)
    with pytest.raises(UsageError, match="scale"):
        read_validation(path, [SCALE])


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_foreign_file_is_a_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "validation.npz"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"cannot be read as an .npz file of validation data"):
        read_validation(path, [TOKENS])


def test_a_file_that_is_not_there_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not exist; run 'make zoo' first, or correct 'validation'"):
        read_validation(tmp_path / "validation.npz", [TOKENS])


def test_a_pickled_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "validation.npz"
    np.savez(path, **{"in/texts": np.array([{"a": 1}], dtype=object), "labels": np.zeros(1)})
    with pytest.raises(UsageError, match="cannot be read"):
        read_validation(path, [TEXTS])


def test_the_decision_is_the_largest_of_the_last_axis() -> None:
    assert classes(np.array([[0.1, 0.9], [0.8, 0.2]])).tolist() == [1, 0]
    assert classes(np.zeros((2, 5, 3))).shape == (2, 5)


@pytest.mark.parametrize(
    "output",
    [np.array([[0.9], [0.1]], np.float32), np.array([0.9, 0.1], np.float32), np.array([1, 0], np.int64)],
    ids=["one column", "one score per row", "the class itself"],
)
def test_an_output_without_two_columns_is_decided_sensibly_or_refused_and_never_always_the_same(output: Array) -> None:
    """argmax over one column is 0 for every row: all exports would agree, whatever they answer."""
    try:
        decided = classes(output)
    except UsageError:
        return
    assert decided.tolist() == [1, 0]
