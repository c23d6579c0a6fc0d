"""Requests that are made for a stage, and what is known of their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.errors import UsageError
from contract.golden import Example, write_examples
from contract.shapes import Payloads
from contract.tensors import TensorSpec
from loadtest.plan.payload_sets import MOST, make_set
from tests.builders import endpoint

TOKENS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"])
WORDS = endpoint(inputs=[TOKENS])


def golden() -> list[Example]:
    """Single requests of three lengths, and a batch; an answer is the sum of its row, so that it can be checked."""
    made = []
    for number in range(9):
        tokens = np.arange(4 + number % 3, dtype=np.int64)[None, :] + number
        made.append(Example(f"r{number:04d}", {"tokens": tokens}, {"logits": answer(tokens)}))
    batch = np.ones((5, 4), np.int64)
    return [*made, Example("r0009", {"tokens": batch}, {"logits": answer(batch)})]


def answer(tokens: Any) -> Any:
    return tokens.sum(axis=1, keepdims=True).astype(np.float32)


def test_joined_requests_have_the_sizes_asked_for_and_the_answers_of_their_parts() -> None:
    found = make_set(Payloads(rows=[2, 7]), WORDS, golden(), 0, seed=3)
    assert {example.rows for example in found} == {2, 7}
    assert len(found) == MOST
    for example in found:
        assert (example.outputs["logits"] == answer(example.inputs["tokens"])).all()


def test_lengths_are_drawn_from_the_range_and_requests_repeat_from_their_beginning() -> None:
    found = make_set(Payloads(length=(2, 30)), WORDS, golden(), 0, seed=3)
    lengths = {example.inputs["tokens"].shape[1] for example in found}
    assert min(lengths) >= 2 and max(lengths) <= 30 and len(lengths) > 10
    row = next(example.inputs["tokens"][0] for example in found if example.inputs["tokens"].shape[1] > 12)
    period = next(n for n in (4, 5, 6) if row[n] == row[0])
    assert (row[period:] == row[:-period]).all()


def test_a_request_of_another_length_has_no_known_answer() -> None:
    assert all(not example.outputs for example in make_set(Payloads(length=(2, 30)), WORDS, golden(), 0, seed=3))
    both = make_set(Payloads(length=(6, 6), rows=[3]), WORDS, golden(), 0, seed=3)
    assert {example.inputs["tokens"].shape for example in both} == {(3, 6)}
    assert all(not example.outputs for example in both)


def test_a_users_own_requests_are_taken_as_they_are_and_without_their_answers(tmp_path: Path) -> None:
    write_examples(tmp_path / "mine.npz", golden()[:3])
    found = make_set(Payloads(file=tmp_path / "mine.npz"), WORDS, golden(), 1, seed=3)
    assert [example.key for example in found] == ["b-0000", "b-0001", "b-0002"]
    assert (found[0].inputs["tokens"] == golden()[0].inputs["tokens"]).all()
    assert not found[0].outputs


def test_a_users_requests_must_be_what_the_model_takes(tmp_path: Path) -> None:
    write_examples(tmp_path / "mine.npz", [Example("r0000", {"words": np.ones((1, 3), np.int64)})])
    with pytest.raises(UsageError, match="words"):
        make_set(Payloads(file=tmp_path / "mine.npz"), WORDS, golden(), 0, seed=3)


def test_one_seed_makes_one_set() -> None:
    first, again, other = (make_set(Payloads(rows=[1, 2]), WORDS, golden(), 0, seed) for seed in (3, 3, 4))
    assert [example.rows for example in first] == [example.rows for example in again]
    assert [example.rows for example in first] != [example.rows for example in other]


@pytest.mark.parametrize(
    ("dims", "axis", "words"),
    [
        (["batch", 4], None, "without an axis: words has the dynamic axes none"),
        (["batch", "length", "width"], None, "has the dynamic axes length, width; name one of them"),
        (["batch", "length"], "width", "axis 'width': words has the dynamic axes length"),
    ],
)
def test_a_length_of_no_axis_or_of_several_is_refused(dims: list[Any], axis: str | None, words: str) -> None:
    model = endpoint(inputs=[TensorSpec(name="tokens", dtype="int64", dims=dims)], model="words")
    with pytest.raises(UsageError, match=words):
        make_set(Payloads(length=(2, 3), axis=axis), model, golden(), 0, seed=3)


def test_requests_without_a_batch_axis_are_not_joined() -> None:
    scalar = [Example("r0000", {"x": np.float32(1).reshape(())}, {})]
    with pytest.raises(UsageError, match="without a batch axis"):
        make_set(Payloads(rows=[2]), endpoint(), scalar, 0, seed=3)


@pytest.mark.parametrize(
    ("payloads", "why"),
    [
        (Payloads(length=(1, 10**11)), "payloads.length asks for requests of 762,939 MiB; 64 of them are made"),
        (Payloads(rows=[1, 10**9]), "payloads.rows asks for requests of 45,776 MiB"),
        (Payloads(length=(1, 10**4), rows=[10**6]), "payloads.rows asks for requests of .* MiB"),
    ],
)
def test_requests_that_would_fill_the_memory_are_refused_before_they_are_made(payloads: Payloads, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        make_set(payloads, WORDS, golden(), 0, seed=3)
