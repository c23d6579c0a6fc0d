"""The table of the zoo: which models there are, who makes them, and what a command chooses."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import UsageError
from contract.files import write_json
from tests.conftest import ROOT, Command
from zoo.__main__ import _chosen
from zoo.card import CARD, Card, trained
from zoo.recipes import RECIPES, TRAINERS
from zoo.train import recipe

FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras"}


@pytest.mark.parametrize("name", RECIPES)
def test_every_model_has_a_module_of_its_own_with_a_factory_that_needs_no_argument(name: str) -> None:
    tree = ast.parse((ROOT / "zoo" / f"{name}.py").read_text())
    (factory,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "build"]
    assert len(factory.args.defaults) == len(factory.args.args)
    assert RECIPES[name].trainer in TRAINERS


def test_the_zoo_holds_every_kind_of_model_in_each_framework() -> None:
    trainers = {name: row.trainer for name, row in RECIPES.items()}
    assert len(trainers) == 15
    assert sorted(trainers.values()).count("torch") == 6
    assert sorted(trainers.values()).count("keras") == 6
    assert sorted(trainers.values()).count("tensorflow") == 2


def test_what_needs_no_framework_imports_none() -> None:
    modules = "zoo.__main__, zoo.train, zoo.recipes, zoo.text, zoo.image, zoo.show"
    script = f"import sys, {modules}; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) & FRAMEWORKS == set()


@pytest.mark.parametrize("kind", ["torch", "tensorflow"])
def test_the_frameworks_never_meet_in_a_process(kind: str, tmp_path: Path) -> None:
    """The trainers import all that training needs; the package tensorboard would import TensorFlow if it were let."""
    ours = {"torch": ["torch", "minilm"], "tensorflow": ["keras", "tensorflow"]}[kind]
    theirs = {"torch": {"tensorflow", "keras"}, "tensorflow": {"torch", "torchvision"}}[kind]
    names = [TRAINERS[trainer] for trainer in ours]
    names += [f"zoo.{name}" for name, row in RECIPES.items() if row.trainer in ours]
    names += {"torch": ["zoo.preprocessing_torchvision"], "tensorflow": ["zoo.preprocessing_keras"]}[kind]
    write = "zoo.log_torch.Log(pathlib.Path(sys.argv[1])).text('a', 'b'); " if kind == "torch" else ""
    script = f"import pathlib, sys, {', '.join(names)}; {write}print(*{{n.split('.')[0] for n in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(result.stdout.split()) & theirs == set()


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"the zoo has no 'digits_tourch': .*; did you mean 'digits_torch'"):
        recipe("digits_tourch")


def test_without_names_all_but_the_optional_models_are_made(tmp_path: Path) -> None:
    assert set(_chosen([], None, tmp_path)) == set(RECIPES) - {"minilm_torch"}
    assert _chosen(["minilm_torch"], None, tmp_path) == ["minilm_torch"]


def test_a_configuration_chooses_the_models_whose_files_it_names(tmp_path: Path) -> None:
    config = tmp_path / "models.toml"
    model = """
[models.{name}]
framework = "pytorch"
source = "zoo.{name}:build"
weights = "zoo/out/{name}/weights.safetensors"
formats = ["onnx"]
inputs = [{{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }}]
outputs = [{{ name = "logits", dtype = "float32", dims = ["batch", 2] }}]
"""
    named = ("recurrent_torch", "minilm_torch")
    config.write_text("schema_version = 1\n" + "".join(model.format(name=name) for name in named))
    zoo = tmp_path / "zoo" / "out"
    assert _chosen([], config, zoo) == list(named)
    assert _chosen(["recurrent_torch", "digits_torch"], config, zoo) == ["recurrent_torch"]
    assert _chosen([], config, tmp_path / "elsewhere") == []
    config.write_text(config.read_text() + 'group = "others"\n')  # of the last one
    assert _chosen([], config, zoo, "default") == ["recurrent_torch"]
    assert _chosen([], config, zoo, "others") == ["minilm_torch"]


def test_a_model_of_an_older_zoo_is_made_anew(tmp_path: Path) -> None:
    card = Card(
        schema_version=1,
        model="a",
        about="b",
        note="",
        accuracy=0.9,
        majority_baseline=0.5,
        test_rows=10,
        train_rows=80,
        data_sha256="c",
        seed=1,
        seconds=1.0,
        cpu_seconds=1.0,
        versions={},
    )
    assert not trained(tmp_path)
    write_json(tmp_path / CARD, card)
    assert trained(tmp_path)
    write_json(tmp_path / CARD, {"schema_version": 1, "model": "a", "test_sentences": 10})
    assert not trained(tmp_path)


def test_the_command_refuses_an_unknown_model(command: Command, tmp_path: Path) -> None:
    result = command("zoo", "sentiment_torchh", "--workspace", str(tmp_path))
    assert result.returncode == 2
    assert "did you mean 'sentiment_torch'" in result.stderr
