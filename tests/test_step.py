"""One step of an export: what is wrong with the words of its command, and what is not its own defect."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import LoadproofError, UsageError
from export import routes, step

CONFIG = """
schema_version = 1
[models.words]
framework = "pytorch"
source = "somewhere:build"
formats = ["torchscript", "onnx"]
inputs = [{ name = "x", dtype = "float32", dims = ["batch", 4] }]
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "models.toml").write_text(CONFIG)
    return ["--config", str(tmp_path / "models.toml"), "--directory", str(tmp_path), "--network"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["golden", "word"], "has no model 'word'; did you mean 'words'"),
        (["export", "words"], "step 'export' needs a format: one of torchscript, savedmodel, onnx"),
        (["verify", "words"], "step 'verify' needs a format"),
        (["export", "words", "onx"], "there is no route from pytorch to onx"),
        (
            ["export", "words", "onnx", "--route", "dynam"],
            "no route 'dynam' from pytorch to onnx: one of dynamo, scripted",
        ),
        (["export", "words", "onnx"], r"suite\.json does not exist; run 'make export' first"),
        (["verify", "words", "onnx"], r"suite\.json does not exist; run 'make export' first"),
    ],
)
def test_a_step_that_cannot_be_done_is_a_sentence(words: list[str], asked: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        step.main([*asked, *words])


@pytest.mark.parametrize("moment", ["import", "call"])
def test_an_error_of_the_persons_own_code_is_quoted_and_is_no_defect_of_this_project(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Its last line becomes the status in the manifest: `this is a defect of loadproof` would accuse the wrong one."""
    body = "def trained(model):\n    raise ZeroDivisionError('my own mistake')\n"
    if moment == "import":
        body = "raise ZeroDivisionError('my own mistake')\n"
    (tmp_path / f"own_code_{moment}.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(routes.ORACLES, "pytorch", f"own_code_{moment}:trained")
    with pytest.raises(LoadproofError, match="ZeroDivisionError: my own mistake"):
        step.main(["golden", "words", *words])


def test_a_step_leaves_the_network_unless_it_is_told_to_keep_it(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left: list[int] = []

    def leave() -> str:
        left.append(1)
        return "Operation not permitted"

    monkeypatch.setattr(step, "leave_network", leave)
    with pytest.raises(UsageError):
        step.main(["export", "words", *words])
    assert left == []
    with pytest.raises(UsageError):
        step.main(["export", "words", *[word for word in words if word != "--network"]])
    assert left == [1]
    assert "note: this step has the network (Operation not permitted)" in capsys.readouterr().err
