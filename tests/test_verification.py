"""A proof runs every check whatever an artifact answers, breaks off for none, and says what is wrong in one name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.compare import Tolerance
from contract.golden import Example
from contract.tensors import Array, Tensors, TensorSpec
from contract.validation import Validation
from export import routes, step
from export.opened import Opened, Port, ask
from export.verification import Proof, Suite, batches, split, unreadable, verify

TOKENS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"])
LOGITS = TensorSpec(name="logits", dtype="float32", dims=["batch", 3])
LENGTH = TensorSpec(name="size", dtype="int64", dims=["batch"])
FULL = Tolerance(1e-4, 1e-3)
INT8 = Tolerance(0.25, 0.1, agreement=0.99)


def trained(tokens: Array) -> Tensors:
    """Two outputs: three classes, and a whole number per row."""
    total = tokens.sum(axis=1)
    logits = np.stack([total % 3 == number for number in range(3)], axis=1).astype(np.float32)
    return {"logits": logits, "size": total.astype(np.int64)}


def request(key: str, rows: int, length: int) -> Example:
    tokens = np.arange(rows * length, dtype=np.int64).reshape(rows, length) + int(key[-4:])
    return Example(key, {"tokens": tokens}, trained(tokens))


def suite(**changes: Any) -> Suite:
    fields: dict[str, Any] = {
        "inputs": [TOKENS],
        "outputs": [LOGITS, LENGTH],
        "golden": [request("r0000", 1, 4), request("r0001", 3, 5), request("r0002", 2, 7), request("r0003", 1, 9)],
        "edges": [request("padded-0000", 1, 6), request("shortest-0000", 1, 1)],
        "validation": None,
        "batch_invariant": True,
        "tolerance": FULL,
    }
    return Suite(**(fields | changes))


def opened(answer: Callable[[Array], Tensors], outputs: Sequence[Port] | None = None) -> Opened:
    ports = [Port("logits"), Port("size")] if outputs is None else list(outputs)
    return Opened([Port("tokens")], ports, lambda tensors: answer(tensors["tokens"]), {"kind": "fake"})


def labelled(rows: int = 40) -> Validation:
    tokens = np.arange(rows * 4, dtype=np.int64).reshape(rows, 4) * 7 % 11
    decisions = trained(tokens)["logits"].argmax(axis=1)
    return Validation({"tokens": tokens}, decisions.copy(), decisions)


def failed(proof: Proof) -> list[str]:
    return [check.name for check in proof.checks if not check.passed]


def test_an_artifact_that_answers_as_the_trained_model_is_proven_by_every_check() -> None:
    proof = verify(opened(trained), suite(validation=labelled()))
    assert (proof.passed, proof.diagnosis, proof.sentence) == (True, None, None)
    assert [check.name for check in proof.checks] == [
        "signature",
        "golden",
        "padding invariance",
        "extreme values",
        "batch invariance",
        "decisions",
    ]
    assert proof.facts == {"kind": "fake"}
    assert proof.decisions is not None and proof.decisions.agreement == 1.0


def test_checks_without_requests_are_not_made() -> None:
    proof = verify(opened(trained), suite(edges=[], batch_invariant=False))
    assert [check.name for check in proof.checks] == ["signature", "golden"]


def renamed(tokens: Array) -> Tensors:
    answer = trained(tokens)
    return {"scores": answer["logits"], "size": answer["size"]}


def without_batch_axis(tokens: Array) -> Tensors:
    answer = trained(tokens)
    return answer | {"size": answer["size"].sum()}


def as_long_as_it_likes(tokens: Array) -> Tensors:
    """The rows of a batch, asked one by one, have answers of different sizes."""
    answer = trained(tokens)
    return answer | {"logits": np.zeros((len(tokens), 3 + int(tokens.sum()) % 5), np.float32)}


def one_less(tokens: Array) -> Tensors:
    return {"logits": trained(tokens)["logits"]}


@pytest.mark.parametrize(
    ("answer", "outputs", "name", "evidence"),
    [
        (renamed, [Port("scores"), Port("size")], "wrong signature", "outputs are scores, size, declared are logits"),
        (one_less, [Port("logits")], "wrong signature", "outputs are logits, declared are logits, size"),
        (without_batch_axis, None, "wrong shape", "shape of 'size' is []"),
        (as_long_as_it_likes, None, "wrong shape", "shape of 'logits'"),
    ],
)
def test_outputs_that_are_not_the_declared_ones_have_a_name_and_do_not_break_the_proof_off(
    answer: Callable[[Array], Tensors], outputs: list[Port] | None, name: str, evidence: str
) -> None:
    proof = verify(opened(answer, outputs), suite(validation=labelled()))
    assert (proof.passed, proof.diagnosis) == (False, name)
    assert evidence in (proof.sentence or "")


def test_an_artifact_that_refuses_everything_is_judged_to_the_end() -> None:
    def refuse(tokens: Array) -> Tensors:
        raise RuntimeError("no kernel\nat some line of C++")

    proof = verify(opened(refuse), suite(validation=labelled()))
    assert (proof.passed, proof.diagnosis) == (False, "refused request")
    assert proof.sentence == "r0000: RuntimeError: no kernel"
    assert failed(proof) == ["golden", "padding invariance", "extreme values", "batch invariance", "decisions"]
    assert proof.parity is not None and proof.parity.requests == 4


def test_what_is_wrong_at_the_edges_alone_fails_the_proof_and_names_the_edge() -> None:
    def short(tokens: Array) -> Tensors:
        return trained(tokens + 1 if tokens.shape[1] == 1 else tokens)

    proof = verify(opened(short), suite())
    assert failed(proof) == ["extreme values"]
    assert "shortest-0000" in (proof.sentence or "")
    assert proof.parity is not None and proof.parity.passed


def test_a_row_that_is_answered_otherwise_alone_than_in_its_batch_fails() -> None:
    def of_the_whole_batch(tokens: Array) -> Tensors:
        return trained(tokens - tokens.min(axis=0) if len(tokens) == 1 and tokens.shape[1] == 5 else tokens)

    proof = verify(opened(of_the_whole_batch), suite())
    assert failed(proof) == ["batch invariance"]
    assert "batch invariance" in (proof.sentence or "")


def test_a_batch_size_that_is_frozen_has_its_name_even_where_all_examples_are_of_that_size() -> None:
    def three_rows(tokens: Array) -> Tensors:
        if len(tokens) != 3:
            raise ValueError("expected 3 rows")
        return trained(tokens)

    same = [request(f"r{number:04d}", 3, 4 + number) for number in range(4)]
    proof = verify(opened(three_rows), suite(golden=same, edges=[]))
    assert failed(proof) == ["batch invariance"]
    assert proof.diagnosis == "frozen dimension", proof.sentence


def test_decisions_are_those_of_the_first_declared_output_in_whatever_order_an_artifact_answers() -> None:
    """A SavedModel's signature has no order, an ONNX file has its own."""

    def other_order(tokens: Array) -> Tensors:
        return dict(reversed(trained(tokens).items()))

    proof = verify(opened(other_order, [Port("size"), Port("logits")]), suite(validation=labelled()))
    assert proof.passed, proof.sentence
    assert proof.decisions is not None and proof.decisions.agreement == 1.0


def undecided(share: float, rows: int = 40) -> Callable[[Array], Tensors]:
    """Right for the examples; of the labelled rows (four words each) a share gets another class."""

    def answer(tokens: Array) -> Tensors:
        right = trained(tokens)
        if tokens.shape == (rows % 32 or 32, 4):
            wrong = round(share * rows)
            right["logits"][:wrong] = np.roll(right["logits"][:wrong], 1, axis=1)
        return right

    return answer


def test_an_artifact_that_decides_otherwise_fails_with_the_figures() -> None:
    proof = verify(opened(undecided(0.1)), suite(validation=labelled()))
    assert failed(proof) == ["decisions"]
    assert "90.00% of 40 equal to the trained model's (needed: 99%)" in (proof.sentence or "")
    assert proof.decisions is not None
    assert (proof.decisions.accuracy_trained, proof.decisions.accuracy) == (1.0, 0.9)


def test_a_share_of_equal_classes_that_a_person_allows_is_enough() -> None:
    """tolerances.onnx-int8.agreement = 0.8 in models.toml."""
    proof = verify(opened(undecided(0.1)), suite(validation=labelled(), tolerance=Tolerance(0.25, 0.1, agreement=0.8)))
    assert proof.passed, proof.sentence


def test_a_share_of_equal_classes_that_a_person_demands_counts_for_decisions_too() -> None:
    proof = verify(opened(undecided(0.025)), suite(validation=labelled(), tolerance=Tolerance(1, 1, agreement=1.0)))
    assert failed(proof) == ["decisions"]


def test_decisions_that_cannot_be_made_are_a_failed_check_that_quotes_why() -> None:
    def four_words(tokens: Array) -> Tensors:
        if tokens.shape[0] > 8:
            raise MemoryError("32 rows at once")
        return trained(tokens)

    proof = verify(opened(four_words), suite(validation=labelled()))
    assert failed(proof) == ["decisions"]
    assert "MemoryError: 32 rows at once" in (proof.sentence or "")


def test_labels_of_another_shape_than_the_decisions_are_a_failed_check_and_not_the_end() -> None:
    validation = Validation(labelled().inputs, np.zeros((40, 2), np.int64), labelled().decisions)
    proof = verify(opened(trained), suite(validation=validation))
    assert failed(proof) == ["decisions"]


def test_int8_rows_may_be_off_alone_as_long_as_their_classes_are_equal() -> None:
    def scaled_by_batch(tokens: Array) -> Tensors:
        right = trained(tokens)
        return right | {"logits": right["logits"] * (1 if len(tokens) > 1 or tokens.shape[1] in (1, 4, 6, 9) else 2)}

    assert failed(verify(opened(scaled_by_batch), suite(tolerance=FULL))) == ["batch invariance"]
    assert verify(opened(scaled_by_batch), suite(tolerance=INT8)).passed


def test_int8_rows_whose_classes_differ_alone_fail() -> None:
    def decides_by_batch(tokens: Array) -> Tensors:
        right = trained(tokens)
        alone = len(tokens) == 1 and tokens.shape[1] not in (1, 4, 6, 9)
        return right | {"logits": np.roll(right["logits"], 1, axis=1) if alone else right["logits"]}

    assert failed(verify(opened(decides_by_batch), suite(tolerance=INT8))) == ["batch invariance"]


def test_int8_that_gives_nan_to_a_row_alone_fails() -> None:
    def nan_alone(tokens: Array) -> Tensors:
        right = trained(tokens)
        alone = len(tokens) == 1 and tokens.shape[1] not in (1, 4, 6, 9)
        return right | {"logits": right["logits"] * np.float32("nan") if alone else right["logits"]}

    assert failed(verify(opened(nan_alone), suite(tolerance=INT8))) == ["batch invariance"]


def test_a_tie_of_the_trained_model_is_no_decision_that_int8_could_miss() -> None:
    """The shortest request often is a single word that nobody knows: all classes alike."""
    tie = Example("shortest-0000", {"tokens": np.zeros((1, 1), np.int64)}, trained(np.zeros((1, 1), np.int64)))
    tie = Example(tie.key, tie.inputs, tie.outputs | {"logits": np.zeros((1, 3), np.float32)})

    def nearly(tokens: Array) -> Tensors:
        right = trained(tokens)
        return right | {"logits": np.array([[0, 0, 1e-3]], np.float32) if tokens.size == 1 else right["logits"]}

    proof = verify(opened(nearly), suite(edges=[tie], tolerance=INT8))
    assert proof.passed, proof.sentence


def test_models_without_floats_are_compared_exactly() -> None:
    def only_size(tokens: Array) -> Tensors:
        return {"size": trained(tokens)["size"]}

    golden = [Example(e.key, e.inputs, {"size": e.outputs["size"]}) for e in suite().golden]
    whole = suite(outputs=[LENGTH], golden=golden, edges=[])
    proof = verify(opened(only_size, [Port("size", "int64", [None])]), whole)
    assert proof.passed and proof.parity is not None and proof.parity.max_abs is None
    assert proof.checks[1].detail == "equal over 4 requests"
    off = verify(opened(lambda tokens: {"size": only_size(tokens)["size"] + 1}, [Port("size")]), whole)
    assert off.diagnosis == "wrong values"


def test_strings_are_compared_as_bytes() -> None:
    words = TensorSpec(name="word", dtype="string", dims=["batch"])

    def name(tokens: Array) -> Tensors:
        made = np.empty(len(tokens), dtype=object)
        made[:] = [f"word {row.sum()}".encode() for row in tokens]
        return {"word": made}

    golden = [Example(e.key, e.inputs, name(e.inputs["tokens"])) for e in suite().golden]
    asked = suite(outputs=[words], golden=golden, edges=[])
    assert verify(opened(name, [Port("word", "string", [None])]), asked).passed
    proof = verify(opened(lambda tokens: name(tokens + 1), [Port("word")]), asked)
    assert (proof.passed, proof.diagnosis) == (False, "wrong values")


def test_the_worst_element_is_kept_by_its_hash_and_its_values_only_when_asked_for() -> None:
    def off(tokens: Array) -> Tensors:
        right = trained(tokens)
        return right | {"logits": right["logits"] + np.float32(0.5)}

    worst = verify(opened(off), suite()).parity.worst  # type: ignore[union-attr]
    assert worst is not None
    assert (worst.output, worst.difference, worst.answer, worst.reference) == ("logits", 0.5, None, None)
    assert worst.sha256 is not None and len(worst.sha256) == 64
    told = verify(opened(off), suite(), include_payloads=True).parity.worst  # type: ignore[union-attr]
    assert told is not None and told.answer is not None and told.reference is not None
    assert told.answer - told.reference == pytest.approx(0.5)


def test_the_first_batches_are_split_and_singles_are_not() -> None:
    golden = [request(f"r{n:04d}", 1 + n % 3, 4) for n in range(12)]
    assert [example.key for example in batches(golden)] == ["r0001", "r0002", "r0004"]
    rows = split(golden[2])
    assert [row.inputs["tokens"].shape for row in rows] == [(1, 4)] * 3
    assert (np.concatenate([row.inputs["tokens"] for row in rows]) == golden[2].inputs["tokens"]).all()


def test_asking_never_raises() -> None:
    def sometimes(tokens: Array) -> Tensors:
        if tokens.shape[1] == 5:
            raise KeyError("length")
        return trained(tokens)

    assert [outcome.error for outcome in ask(opened(sometimes), suite().golden)] == [
        None,
        "KeyError: 'length'",
        None,
        None,
    ]


def test_a_file_that_cannot_be_opened_has_a_proof_of_its_own() -> None:
    proof = unreadable(RuntimeError("not a zip archive\nsecond line"))
    assert (proof.passed, proof.diagnosis) == (False, "unreadable file")
    assert proof.checks[0].detail == "it cannot be opened: RuntimeError: not a zip archive"


def test_a_runtime_that_is_not_installed_is_not_an_unreadable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """python -m export verify on another machine: the file is good, the machine lacks a package."""
    (tmp_path / "runtime_without.py").write_text("import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(routes.RUNTIMES, "onnx", "runtime_without:open_artifact")
    monkeypatch.setattr(step, "read_suite", lambda directory, form: suite())
    try:
        found = step.prove("onnx", tmp_path).diagnosis
    except Exception as error:
        found = str(error)
    assert found != "unreadable file"
    assert "a_package_that_nobody_has" in str(found)
