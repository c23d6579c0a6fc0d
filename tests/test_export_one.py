"""One model without a file: what the command line says is written as a models.toml that means the same."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from contract.config import read_config
from contract.errors import LoadproofError, UsageError
from export import one
from export.__main__ import main
from export.described import toml
from export.one import _tensor, job
from export.pipeline import step_command


@pytest.fixture(autouse=True)
def path_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)


def asked(*words: str, name: str = "mine") -> list[str]:
    return [*words, "--name", name, "--artifacts", "artifacts"]


@pytest.mark.parametrize(
    ("source", "framework", "kind"),
    [
        ("model.pt", "pytorch", "torchscript"),
        ("model.jit", "pytorch", "torchscript"),
        ("model.pt2", "pytorch", "torch.export"),
        ("model.keras", "keras", "keras"),
        ("model.onnx", "onnx", "onnx"),
        ("a folder", "tensorflow", "savedmodel"),
    ],
)
def test_the_ending_of_a_file_tells_its_framework(tmp_path: Path, source: str, framework: str, kind: str) -> None:
    if "." in source:
        (tmp_path / source).write_bytes(b"m")
    else:
        (tmp_path / source).mkdir()
    made = job(asked(source))
    assert (made.model.framework, made.model.kind) == (framework, kind)
    assert made.model.path == tmp_path / source
    assert (made.name, made.directory) == ("mine", tmp_path / "artifacts" / "mine")


def test_what_was_asked_for_is_what_the_written_file_says(tmp_path: Path) -> None:
    made = job(
        asked(
            "package.module:factory",
            *("--framework", "pytorch", "--weights", "w.safetensors", "--examples", "e.npz", "--validation", "v.npz"),
            *("--input", "x:int64:batch,length@0,500", "--input", "scale:float32:", "--output", "y:float32:batch,2"),
            *("--formats", "onnx", "onnx-int8", "--trust"),
        )
    )
    assert made.config == tmp_path / "artifacts" / "mine" / "models.toml"
    model = read_config(made.config).models["mine"]
    assert model == made.model
    assert model.source == "package.module:factory" and model.trust
    assert (model.weights, model.examples) == (tmp_path / "w.safetensors", tmp_path / "e.npz")
    assert [(spec.name, spec.dtype, spec.dims, spec.range) for spec in model.inputs] == [
        ("x", "int64", ["batch", "length"], (0.0, 500.0)),
        ("scale", "float32", [], None),
    ]
    assert model.formats == ["onnx", "onnx-int8"]


@pytest.mark.parametrize(
    "folder",
    [
        "with space",
        "with.dots",
        'with "quotes"',
        "with 'quotes'",
        "back\\slash",
        "ünïcødé",
        "emoji 🙂",
        "tab\tand\nnewline",
        "# no comment",
        "delete\x7f",
    ],
)
def test_a_path_comes_back_as_it_was_whatever_characters_it_has(tmp_path: Path, folder: str) -> None:
    source = tmp_path / folder / "model.onnx"
    source.parent.mkdir()
    source.write_bytes(b"m")
    assert job(asked(str(source))).model.path == source


@pytest.mark.parametrize("name", ["a.b", "v1.2-rc", "words", "0"])
def test_a_name_with_dots_is_one_name(name: str) -> None:
    assert job(asked("model.onnx", name=name)).name == name
    assert list(tomllib.loads(Path("artifacts", name, "models.toml").read_text())["models"]) == [name]


@pytest.mark.parametrize("name", ["../outside", "a/b", "/absolute", "..", "a__b", "", "with space"])
def test_a_name_that_is_none_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        job(asked("model.onnx", name=name))
    assert list(tmp_path.rglob("*.toml")) == []


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("x:int64:batch,length", {"name": "x", "dtype": "int64", "dims": ["batch", "length"]}),
        ("x:float32:batch,3,224", {"name": "x", "dtype": "float32", "dims": ["batch", 3, 224]}),
        ("x:float32:", {"name": "x", "dtype": "float32", "dims": []}),
        ("x:0:float32:batch", {"name": "x:0", "dtype": "float32", "dims": ["batch"]}),
        ("input.1:float32:batch", {"name": "input.1", "dtype": "float32", "dims": ["batch"]}),
        ("x:float32:batch@-1,1.5", {"name": "x", "dtype": "float32", "dims": ["batch"], "range": [-1.0, 1.5]}),
        ("x:float32:batch@1e-3,1e300", {"name": "x", "dtype": "float32", "dims": ["batch"], "range": [1e-3, 1e300]}),
    ],
)
def test_a_tensor_in_one_word(text: str, spec: dict[str, Any]) -> None:
    assert _tensor(text) == spec


@pytest.mark.parametrize(
    "text",
    ["x", "x:int64", "x:int64:batch@", "x:int64:batch,-1", "x:int64:batch@1", "x:int64:batch@1,2,3", "x:int64:b@a,z"],
)
def test_a_tensor_that_is_not_readable_shows_one_that_is(text: str) -> None:
    with pytest.raises(UsageError, match="such as"):
        _tensor(text)


@pytest.mark.parametrize("ends", ["0,inf", "-inf,1", "nan,1", "0,1e999"])
def test_a_range_without_an_end_is_refused_in_the_words_that_were_typed(ends: str) -> None:
    with pytest.raises(UsageError) as caught:
        job(asked("model.onnx", "--input", f"x:float32:batch@{ends}"))
    assert "not valid TOML" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["package.module:factory"], "is a factory: say --framework pytorch, keras or tensorflow"),
        (["model.bin"], r"does not end in \.pt, \.jit, \.pt2, \.keras, \.onnx: name a source of these kinds"),
        (["model.h5"], r"\.onnx: load it with Keras and save it as \.keras"),
        (["model.onnx", "--input", "x:int65:batch"], "unknown dtype 'int65'"),
        (["model.onnx", "--framework", "keras"], r"neither package\.module:factory nor a file that ends in \.keras"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        job(asked(*words))


def test_a_file_with_a_colon_in_its_path_is_a_file(tmp_path: Path) -> None:
    source = tmp_path / "run 12:30" / "model.onnx"
    source.parent.mkdir()
    source.write_bytes(b"m")
    assert job(asked(str(source))).model.path == source


def test_a_source_that_is_not_there_is_a_sentence_with_a_next_step() -> None:
    with pytest.raises(LoadproofError, match=r"model\.onnx does not exist; correct the path") as caught:
        main(asked("model.onnx"))
    assert "models.toml" not in str(caught.value)  # nobody wrote one: the path stands on the command line


@pytest.mark.parametrize("typed", ["own/churn.py:build", "{folder}/own/churn.py:build"])
def test_a_factory_may_be_named_by_its_file_wherever_that_lies(tmp_path: Path, typed: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "churn.py").write_text("")
    made = job(asked(typed.format(folder=tmp_path), "--framework", "pytorch"))
    assert (made.model.source, made.code) == ("churn:build", tmp_path / "own")
    assert step_command("golden", made, tmp_path)[-4:-2] == ["--code", str(tmp_path / "own")]


def test_the_file_of_a_factory_in_the_current_folder_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "churn.py").write_text("")
    made = job(asked("churn.py:build", "--framework", "pytorch"))
    assert (made.model.source, made.code) == ("churn:build", tmp_path)


def test_the_file_of_a_factory_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"{tmp_path}/own/churn\.py does not exist; correct the path"):
        job(asked("own/churn.py:build", "--framework", "pytorch"))


def failed(source: str) -> None:
    """An export that fails once its steps have read the file."""
    with one.described(asked(source)) as made:
        assert source in made.config.read_text()
        raise LoadproofError("it failed")


def test_a_failed_export_leaves_no_file_and_announces_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LoadproofError, match="it failed"):
        failed("model.onnx")
    assert list(tmp_path.glob("artifacts/*")) == []
    assert capsys.readouterr().err == ""


def test_a_failed_export_leaves_the_file_of_an_earlier_one_as_it_was() -> None:
    with one.described(asked("model.onnx")) as made:
        pass
    kept = made.config.read_bytes()
    with pytest.raises(LoadproofError, match="it failed"):
        failed("other.onnx")
    assert made.config.read_bytes() == kept


def test_the_file_is_announced_where_the_export_came_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with one.described(asked("model.onnx")) as made:
        assert capsys.readouterr().err == ""
    assert made.config.is_file()
    assert f"wrote {made.config}" in capsys.readouterr().err


def test_keys_without_a_value_are_left_out() -> None:
    text = toml("words", {"framework": "onnx", "weights": None, "inputs": [], "trust": None, "formats": ["onnx"]})
    assert tomllib.loads(text) == {
        "schema_version": 1,
        "models": {"words": {"framework": "onnx", "formats": ["onnx"]}},
    }


def test_a_misspelt_command_is_not_taken_for_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((SystemExit, UsageError)) as caught:
        main(["verfy", "artifacts"])
    said = capsys.readouterr().err + str(caught.value)
    assert "verify" in said, said
