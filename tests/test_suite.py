"""The suite is made once by the trained model: complete, honest about what was left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.config import Model
from contract.errors import UsageError
from contract.files import read_model
from contract.golden import Example, synthesize, write_examples
from contract.manifest import EDGES, GOLDEN, SUITE, VALIDATION
from contract.tensors import Array, Tensors, TensorSpec
from contract.validation import read_validation, write_validation
from export.suite import SuiteFile, make_suite, read_suite
from export.trained import Trained
from tests.builders import LOGITS, model

WORDS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"], range=(1, 50))
PLACE = TensorSpec(name="place", dtype="int64", dims=["batch"])
SCALE = TensorSpec(name="scale", dtype="float32", dims=[])
FEATURES = TensorSpec(name="features", dtype="float32", dims=["batch", 3])


def masked(tokens: Array) -> Tensors:
    """Ignores padding (word 0) and gives a row the same answer in every batch."""
    total = tokens.sum(axis=1).astype(np.float32)
    count = np.maximum((tokens > 0).sum(axis=1), 1).astype(np.float32)
    return {"logits": np.stack([total / count, 2 - total / count], axis=1)}


def unmasked(tokens: Array) -> Tensors:
    mean = tokens.mean(axis=1).astype(np.float32)
    return {"logits": np.stack([mean, 2 - mean], axis=1)}


def normed_by_batch(tokens: Array) -> Tensors:
    return {"logits": masked(tokens)["logits"] - masked(tokens)["logits"].mean(axis=0)}


def of(answer: Callable[[Array], Tensors], inputs: list[TensorSpec] | None = None) -> Trained:
    return Trained(inputs or [WORDS], lambda tensors: answer(tensors["tokens"]))


def words(**changes: Any) -> Model:
    return model(**({"inputs": [WORDS]} | changes))


def brought(path: Path, sizes: list[tuple[int, int]], prefix: str = "r") -> Path:
    """A user's examples."""
    made = [
        Example(f"{prefix}{number:04d}", {"tokens": np.arange(1, 1 + rows * length).reshape(rows, length)})
        for number, (rows, length) in enumerate(sizes)
    ]
    write_examples(path, made)
    return path


def test_a_suite_is_what_an_artifact_is_asked(tmp_path: Path) -> None:
    made = make_suite(words(padding={"length": 0}), of(masked), tmp_path)
    assert {item.name for item in tmp_path.iterdir()} == {SUITE, GOLDEN, EDGES}
    assert made == read_model(tmp_path / SUITE, SuiteFile, "make export")
    assert (made.batched, made.batch_invariant, made.notes) == (True, True, [])
    read = read_suite(tmp_path, "onnx")
    assert read.inputs == [WORDS] and read.outputs == [LOGITS]
    for example in (*read.golden, *(edge for edge in read.edges if "padded" not in edge.key)):
        assert np.array_equal(example.outputs["logits"], masked(example.inputs["tokens"])["logits"])
    assert {edge.key.rpartition("-")[0] for edge in read.edges} == {
        "padded",
        "shortest",
        "longest",
        "lowest",
        "highest",
    }


def test_the_same_model_makes_the_same_suite(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_suite(words(padding={"length": 0}), of(masked), tmp_path / name)
    for file in (GOLDEN, SUITE):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_outputs_that_nobody_declared_are_described_in_the_suite(tmp_path: Path) -> None:
    make_suite(words(outputs=[]), of(masked), tmp_path)
    assert read_suite(tmp_path, "onnx").outputs == [LOGITS]


@pytest.mark.parametrize("form", ["torchscript", "onnx"])
def test_every_wanted_format_has_its_limits_and_onnx_always(tmp_path: Path, form: str) -> None:
    make_suite(words(formats=["torchscript"]), of(masked), tmp_path)
    assert read_suite(tmp_path, form).tolerance.atol == 1e-4


def test_a_format_without_limits_is_a_sentence(tmp_path: Path) -> None:
    make_suite(words(formats=["torchscript"]), of(masked), tmp_path)
    with pytest.raises(UsageError, match="has no limits for 'savedmodel': one of onnx, torchscript"):
        read_suite(tmp_path, "savedmodel")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda tokens: {"scores": tokens}, "the model has no output 'logits'; it has scores"),
        (lambda tokens: {"logits": masked(tokens)["logits"].astype(np.float64)}, "dtype of 'logits' is float64"),
        (lambda tokens: {"logits": masked(tokens)["logits"][:, :1]}, "shape of 'logits' is"),
    ],
    ids=["another name", "another dtype", "another shape"],
)
def test_an_answer_that_is_not_the_declared_one_is_a_sentence(
    tmp_path: Path, answer: Callable[[Array], Tensors], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        make_suite(words(), of(answer), tmp_path)


def test_a_model_that_refuses_an_example_is_a_sentence_that_names_both(tmp_path: Path) -> None:
    """A token beyond the vocabulary, most often: the range in models.toml is too wide."""

    def small(tokens: Array) -> Tensors:
        if tokens.max() > 20:
            raise IndexError("index out of range in self")
        return masked(tokens)

    with pytest.raises(UsageError, match=r"r0000.*IndexError: index out of range in self"):
        make_suite(words(), of(small), tmp_path)


def test_an_edge_that_the_trained_model_refuses_is_left_out_and_noted(tmp_path: Path) -> None:
    def at_most(tokens: Array) -> Tensors:
        if tokens.shape[1] > 40:
            raise IndexError("position 41 of 40")
        return masked(tokens)

    notes = make_suite(words(), of(at_most), tmp_path).notes
    assert notes == ["longest-0000 is left out: the trained model refuses it (IndexError)"]
    assert "longest-0000" not in {edge.key for edge in read_suite(tmp_path, "onnx").edges}


def test_padding_beyond_what_the_trained_model_takes_is_left_out_and_noted(tmp_path: Path) -> None:
    def at_most(tokens: Array) -> Tensors:
        if tokens.shape[1] > 33:
            raise IndexError("position 34 of 33")
        return masked(tokens)

    notes = make_suite(words(padding={"length": 0}), of(at_most), tmp_path).notes
    assert any("padded-" in note for note in notes)


def test_an_edge_whose_own_answer_is_not_finite_is_left_out_and_noted(tmp_path: Path) -> None:
    def of_one_word(tokens: Array) -> Tensors:
        answer = masked(tokens)["logits"]
        return {"logits": answer / np.float32(0 if tokens.shape[1] == 1 else 1)}

    with np.errstate(all="ignore"):
        notes = make_suite(words(), of(of_one_word), tmp_path).notes
    assert notes == ["shortest-0000 is left out: the trained model's own answer is not finite"]


def test_a_trained_model_that_answers_nan_to_its_examples_is_noted(tmp_path: Path) -> None:
    def nan(tokens: Array) -> Tensors:
        return {"logits": masked(tokens)["logits"] * np.float32("nan")}

    notes = make_suite(words(), of(nan), tmp_path).notes
    assert notes[0] == "the trained model's own answer to r0000 and 47 others is not finite"


def test_padding_that_changes_the_trained_models_own_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"padding changes the trained model's own answer .* correct 'padding'"):
        make_suite(words(padding={"length": 0}), of(unmasked), tmp_path)


def test_padding_along_an_axis_that_no_input_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="padding names the axis 'width'"):
        make_suite(model(inputs=[], outputs=[], padding={"width": 0}), of(masked), tmp_path)


def test_a_value_of_its_own_for_what_is_no_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pad_with names 'mask', which is no input"):
        make_suite(model(inputs=[], outputs=[], padding={"length": 0}, pad_with={"mask": 1}), of(masked), tmp_path)


def test_a_padded_request_is_asked_once_however_many_outputs_there_are(tmp_path: Path) -> None:
    asked: list[bytes] = []

    def two(tokens: Array) -> Tensors:
        asked.append(tokens.tobytes() + str(tokens.shape).encode())
        return masked(tokens) | {"place": tokens.argmax(axis=1).astype(np.int64)}

    make_suite(words(outputs=[LOGITS, PLACE], padding={"length": 0}), of(two), tmp_path)
    padded = [edge for edge in read_suite(tmp_path, "onnx").edges if edge.key.startswith("padded")]
    assert padded
    for edge in padded:
        tokens = edge.inputs["tokens"]
        assert asked.count(tokens.tobytes() + str(tokens.shape).encode()) == 1


def test_an_output_as_long_as_the_input_is_held_against_the_padded_answer(tmp_path: Path) -> None:
    tags = TensorSpec(name="tags", dtype="float32", dims=["batch", "length"])
    make_suite(
        words(outputs=[tags], padding={"length": 0}),
        of(lambda tokens: {"tags": tokens.astype(np.float32)}),
        tmp_path,
    )
    edges = read_suite(tmp_path, "onnx").edges
    assert any(edge.key.startswith("padded") for edge in edges)
    for edge in edges:
        assert edge.outputs["tags"].shape == edge.inputs["tokens"].shape


def test_a_model_whose_batch_changes_a_row_is_not_asked_for_batch_invariance_and_that_is_noted(tmp_path: Path) -> None:
    made = make_suite(words(), of(normed_by_batch), tmp_path)
    assert not made.batch_invariant
    assert made.notes[0].startswith("batch invariance is not asked for: the trained model itself has none (r00")


def test_rows_whose_answers_have_sizes_of_their_own_do_not_break_the_suite_off(tmp_path: Path) -> None:
    """A decoder stops where its batch is done: rows alone are shorter."""

    def decoded(tokens: Array) -> Tensors:
        return {"text": np.ones((len(tokens), int(tokens.max())), np.int64)}

    made = make_suite(words(outputs=[]), of(decoded), tmp_path)
    assert not made.batch_invariant
    assert any("batch invariance" in note for note in made.notes)


@pytest.mark.parametrize("sizes", [[(1, 3), (1, 5), (1, 4)], [(1, 3)]])
def test_examples_of_one_row_each_prove_batches_as_well(tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    """The server will form batches: an export that froze one row must not pass."""
    examples = brought(tmp_path / "examples.npz", sizes)
    make_suite(words(examples=examples), of(masked), tmp_path / "out")
    suite = read_suite(tmp_path / "out", "onnx")
    assert [edge.key for edge in suite.edges if edge.rows > 1] == ["joined-0000"]


def test_examples_under_other_keys_can_be_padded(tmp_path: Path) -> None:
    examples = brought(tmp_path / "examples.npz", [(1, 3), (2, 5), (1, 4)], prefix="mine-")
    make_suite(words(examples=examples, padding={"length": 0}), of(masked), tmp_path / "out")
    assert any(edge.key.startswith("padded-") for edge in read_suite(tmp_path / "out", "onnx").edges)


def test_examples_that_do_not_fit_the_inputs_are_a_sentence(tmp_path: Path) -> None:
    write_examples(tmp_path / "examples.npz", [Example("r0000", {"words": np.ones((1, 2), np.int64)})])
    with pytest.raises(UsageError, match=r"r0000 gives inputs \['words'\], models.toml declares \['tokens'\]"):
        make_suite(words(examples=tmp_path / "examples.npz"), of(masked), tmp_path / "out")


def test_more_examples_than_keys_are_a_sentence(tmp_path: Path) -> None:
    entries = {f"r{number:04d}/in/tokens": np.ones((1, 2), np.int64) for number in (9999, 10000)}
    np.savez(tmp_path / "examples.npz", **entries)
    with pytest.raises(UsageError, match="10,000"):
        make_suite(words(examples=tmp_path / "examples.npz"), of(masked), tmp_path / "out")


@pytest.mark.parametrize(
    "inputs",
    [[SCALE, FEATURES], [FEATURES, SCALE], [SCALE]],
    ids=["scalar first", "scalar last", "nothing but a scalar"],
)
def test_scalar_inputs_are_made_up_and_proven(tmp_path: Path, inputs: list[TensorSpec]) -> None:
    def scaled(tensors: Tensors) -> Tensors:
        return {"product": tensors["scale"] * tensors.get("features", np.ones((1, 3), np.float32))}

    make_suite(model(inputs=inputs, outputs=[]), Trained(inputs, scaled), tmp_path)
    suite = read_suite(tmp_path, "onnx")
    assert {example.inputs["scale"].shape for example in suite.golden} == {()}


def test_strings_bools_and_whole_numbers_are_made_up_in_their_dtypes() -> None:
    specs = [
        TensorSpec(name="text", dtype="string", dims=["batch"]),
        TensorSpec(name="flag", dtype="bool", dims=["batch", 2]),
        TensorSpec(name="count", dtype="uint8", dims=["batch"]),
        TensorSpec(name="half", dtype="float16", dims=["batch"], range=(0, 1)),
    ]
    for example in synthesize(specs, 20, 1):
        assert all(spec.mismatch(example.inputs[spec.name]) is None for spec in specs)
        assert (example.inputs["half"] < 1).all()


def labelled(path: Path, rows: int = 40) -> Path:
    tokens = np.arange(rows * 4, dtype=np.int64).reshape(rows, 4) % 7
    write_validation(path, {"tokens": tokens}, np.zeros(rows))
    return path


def test_the_trained_models_decisions_are_kept_beside_the_labels(tmp_path: Path) -> None:
    make_suite(words(validation=labelled(tmp_path / "v.npz")), of(masked), tmp_path / "out")
    kept = read_validation(tmp_path / "out" / VALIDATION, [WORDS])
    assert kept.decisions is not None
    assert kept.decisions.tolist() == masked(kept.inputs["tokens"])["logits"].argmax(axis=1).tolist()


def test_decisions_are_those_of_the_first_declared_output(tmp_path: Path) -> None:
    """A source may answer in an order of its own: ONNX and SavedModels by name."""
    wide = TensorSpec(name="wide", dtype="float32", dims=["batch", 5])

    def other_order(tokens: Array) -> Tensors:
        return {"wide": np.tile(np.arange(5, dtype=np.float32), (len(tokens), 1)), **masked(tokens)}

    validation = labelled(tmp_path / "v.npz")
    make_suite(words(outputs=[LOGITS, wide], validation=validation), of(other_order), tmp_path / "out")
    kept = read_validation(tmp_path / "out" / VALIDATION, [WORDS]).decisions
    assert kept is not None and kept.max() <= 1


@pytest.mark.parametrize(
    ("outputs", "answer"),
    [
        (
            [TensorSpec(name="score", dtype="float32", dims=["batch"])],
            lambda tokens: {"score": tokens.mean(axis=1).astype(np.float32)},
        ),
        (
            [TensorSpec(name="tags", dtype="float32", dims=["batch", "length", 2])],
            lambda tokens: {"tags": np.zeros((*tokens.shape, 2), np.float32)},
        ),
    ],
    ids=["one score per row", "a class per word"],
)
def test_labels_that_are_none_of_what_the_model_decides_are_a_sentence(
    tmp_path: Path, outputs: list[TensorSpec], answer: Callable[[Array], Tensors]
) -> None:
    validation = labelled(tmp_path / "v.npz")
    with pytest.raises(UsageError, match=r"validation|labels"):
        make_suite(words(outputs=outputs, validation=validation), of(answer), tmp_path / "out")
