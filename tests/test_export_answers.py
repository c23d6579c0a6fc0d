"""What the trained model's own answers can prove: answers that are no numbers prove nothing, small ones little."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.compare import Tolerance
from contract.errors import ServerError, UsageError
from contract.golden import Example
from contract.tensors import Array, Tensors, TensorSpec
from export import routes, step
from export.answers import check_numbers, hidden, small
from export.opened import Opened, Port
from export.suite import make_suite
from export.trained import Trained
from export.verification import Proof, Suite, verify
from tests.builders import model

FULL = Tolerance(1e-4, 1e-3)
X = TensorSpec(name="x", dtype="float32", dims=["batch", 4])
PROBS = TensorSpec(name="probs", dtype="float32", dims=["batch", 4])


def example(outputs: Tensors, key: str = "r0000") -> Example:
    return Example(key, {"x": np.ones((1, 4), np.float32)}, outputs)


def probs(scale: float, x: Array) -> Tensors:
    """Four classes; the largest value of a row is ``scale``."""
    return {"probs": np.float32(scale) * (x / x.max(axis=1, keepdims=True))}


def suite(scale: float, tolerance: Tolerance = FULL) -> Suite:
    random = np.random.default_rng(3)
    inputs = [random.uniform(0.2, 0.9, (1 + number % 2, 4)).astype(np.float32) for number in range(12)]
    golden = [Example(f"r{number:04d}", {"x": x}, probs(scale, x)) for number, x in enumerate(inputs)]
    return Suite([X], [PROBS], golden, [], None, True, tolerance)


def proof(asked: Suite, scale: float) -> Proof:
    return verify(Opened([Port("x")], [Port("probs")], lambda tensors: probs(scale, tensors["x"])), asked)


def nothing_but(value: float) -> list[Example]:
    return [example({"probs": np.full((1, 4), value, np.float32), "class": np.zeros(1, np.int64)}) for _ in range(3)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_answers_no_number_to_any_example_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match=r"answers NaN or Inf to all of its 3 examples.*look at its weights"):
        check_numbers(nothing_but(value))


def test_a_model_that_answers_a_number_or_has_no_float_outputs_is_not_refused() -> None:
    check_numbers([*nothing_but(np.nan), *nothing_but(1.0)])
    check_numbers([example({"class": np.zeros(1, np.int64)})])


def test_the_golden_step_of_a_model_that_answers_only_nan_ends_with_the_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import numpy as np\nfrom export.trained import Trained\n\n\ndef trained(model):\n"
    text += "    return Trained(model.inputs, lambda tensors: {'logits': np.full((len(tensors['x']), 2), np.nan)})\n"
    (tmp_path / "nan_oracle.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(routes.ORACLES, "pytorch", "nan_oracle:trained")
    with pytest.raises(UsageError, match="answers NaN or Inf to all of its 48 examples"):
        step.golden(model(inputs=[X], outputs=[]), tmp_path)


def test_outputs_of_which_the_tolerance_forgives_much_are_named_with_a_finer_one() -> None:
    answers = [probs(9e-5, np.ones((1, 4), np.float32)), {"probs": np.full((1, 4), np.nan, np.float32)}]
    assert small(answers, 1e-4) == [
        "'probs' is at most 9.0e-05 in all answers, of which atol = 0.0001 forgives everything; "
        "set a smaller atol in models.toml, such as 9e-08"
    ]
    (sentence,) = small([probs(5e-4, np.ones((1, 4), np.float32))], 1e-4)
    assert "forgives 20%" in sentence
    assert small([probs(2e-3, np.ones((1, 4), np.float32))], 1e-4) == []
    assert (hidden(answers, 1e-4), hidden(answers, 1e-5), hidden(answers, 0.0)) == ({"probs"}, set(), set())


def test_outputs_that_are_no_floats_or_are_compared_exactly_are_never_small() -> None:
    assert small([{"class": np.zeros(1, np.int64), "text": np.array([b"x"], dtype=object)}], 1e-4) == []
    assert small([{"probs": np.zeros((1, 4), np.float32)}], 0.0) == []


def test_the_suite_notes_outputs_that_its_tolerance_hides(tmp_path: Path) -> None:
    described = model(inputs=[X], outputs=[PROBS])
    trained = Trained([X], lambda tensors: probs(9e-5, tensors["x"]))
    assert [note for note in make_suite(described, trained, tmp_path).notes if "'probs' is at most 9.0e-05" in note]
    finer = described.model_copy(update={"atol": 9e-8})
    assert make_suite(finer, trained, tmp_path).notes == []


def test_zeros_instead_of_small_probabilities_are_no_proof() -> None:
    asked = suite(9e-5)
    found = proof(asked, 0.0)
    assert found.parity is not None and found.parity.passed  # by their values they agree
    (check,) = [check for check in found.checks if not check.passed]
    assert check.name == "classes" and "needed: 99%" in check.detail
    assert not found.passed and found.sentence is not None and found.sentence.startswith("classes: ")
    right = proof(asked, 9e-5)
    assert right.passed and {"classes", "golden"} <= {check.name for check in right.checks}
    golden = next(check for check in right.checks if check.name == "golden")
    assert "'probs' is at most 9.0e-05" in golden.detail


def test_where_the_values_can_tell_classes_are_not_asked_for() -> None:
    for asked in (suite(1.0), replace(suite(9e-5), tolerance=Tolerance(9e-8, 1e-3))):
        largest = max(float(item.outputs["probs"].max()) for item in asked.golden)
        assert "classes" not in {check.name for check in proof(asked, largest).checks}
        assert not proof(asked, 0.0).passed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import a_package_that_nobody_has\n", "a_package_that_nobody_has is not installed here, by which onnx is"),
        ("from json import no_such_name\n", r"json cannot be loaded here \(cannot import name 'no_such_name'"),
    ],
)
def test_a_runtime_that_this_machine_lacks_says_nothing_about_the_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    (tmp_path / "lacking_runtime.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(routes.RUNTIMES, "onnx", "lacking_runtime:open_artifact")
    monkeypatch.setattr(step, "read_suite", lambda directory, form: suite(1.0))
    with pytest.raises(ServerError, match=sentence) as caught:
        step.prove("onnx", tmp_path)
    assert "make env" in str(caught.value)
