"""The networks of the zoo with random weights: shapes, padding, company in a batch. One child process per framework."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT

TORCH = """
import json, warnings
import torch
from contract.table import load
from zoo.recipes import RECIPES

warnings.simplefilter("ignore")
torch.manual_seed(0)
found = {}
for name, row in RECIPES.items():
    if row.trainer not in ("torch", "minilm"):
        continue
    network = load(f"zoo.{name}:build")().eval().requires_grad_(False)
    scripted = torch.jit.script(network)
    if name.startswith(("digits", "mobilenet")):
        inputs = (torch.rand(5, 1, 28, 28) if name.startswith("digits") else torch.rand(5, 3, 64, 64),)
        padded = inputs
    else:
        tokens = torch.randint(1, 8000, (5, 9))
        tokens[1, 4:], tokens[2, 1:] = 0, 0
        longer = torch.nn.functional.pad(tokens, (0, 23))
        inputs, padded = (tokens,), (longer,)
        if row.trainer == "minilm":
            inputs, padded = (tokens, (tokens != 0).long()), (longer, (longer != 0).long())
    answer = network(*inputs)
    alone = torch.cat([network(*[tensor[i : i + 1] for tensor in inputs]) for i in range(5)])
    found[name] = {
        "shape": list(answer.shape),
        "dtype": str(answer.dtype),
        "arguments": [a.debugName() for a in scripted.graph.inputs()][1:],
        "scripted": float((scripted(*inputs) - answer).abs().max()),
        "padded": float((network(*padded) - answer).abs().max()),
        "alone": float((alone - answer).abs().max()),
        "spread": float(answer.std(dim=0).max()),
    }
print(json.dumps(found))
"""
TENSORFLOW = """
import json, os, sys, tempfile
import numpy as np
import tensorflow as tf
import keras
from contract.table import load
from zoo.recipes import RECIPES

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
found = {}
for name, row in RECIPES.items():
    if row.trainer not in ("keras", "tensorflow"):
        continue
    network = load(f"zoo.{name}:build")()
    if name.startswith(("digits", "mobilenet")):
        size = (5, 28, 28, 1) if name.startswith("digits") else (5, 64, 64, 3)
        inputs = padded = random.random(size, dtype=np.float32)
    else:
        inputs = random.integers(1, 8000, (5, 9))
        inputs[1, 4:], inputs[2, 1:] = 0, 0
        padded = np.pad(inputs, ((0, 0), (0, 23)))
    call = network if row.trainer == "tensorflow" else lambda x: network(x, training=False)
    answer = np.asarray(call(tf.constant(inputs)))
    file = os.path.join(tempfile.mkdtemp(), row.plan.weights)
    if row.trainer == "tensorflow":
        signature = [tf.TensorSpec([None, None], tf.int64, name="tokens")]
        again = tf.function(network.__call__, input_signature=signature)
        loops = [o.name for o in again.get_concrete_function().graph.get_operations() if o.type.endswith("While")]
        arguments = ["tokens"]
    else:
        loops = []
        if file.endswith(".keras"):
            network.save(file)
            again = keras.saving.load_model(file, safe_mode=True)
            arguments = [tensor.name for tensor in again.inputs]
        else:
            network.save_weights(file)
            again = load(f"zoo.{name}:build")()
            again.load_weights(file)
            arguments = ["tokens"]
    found[name] = {
        "shape": list(answer.shape),
        "dtype": str(answer.dtype),
        "arguments": arguments,
        "loops": len(loops),
        "scripted": float(abs(np.asarray(again(tf.constant(inputs))) - answer).max()),
        "padded": float(abs(np.asarray(call(tf.constant(padded))) - answer).max()),
        "alone": float(max(abs(np.asarray(call(tf.constant(inputs[i : i + 1]))) - answer[i]).max() for i in range(5))),
        "spread": float(answer.std(axis=0).max()),
    }
print(json.dumps(found))
"""
ON_TORCH = """
import sys
import numpy as np
import keras
from zoo.sentiment_keras_subclass import build

assert keras.backend.backend() == "torch"
model = build()
print(model(np.array([[5, 6, 0]])).shape, "tensorflow" in sys.modules)
"""

CLASSES = {"digits": 10, "mobilenet": 10, "minilm": 384}


def child(script: str, **environment: str) -> str:
    """What a script prints in an interpreter of its own."""
    surroundings = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", **environment}
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def networks() -> dict[str, dict[str, Any]]:
    """What the networks of both frameworks do, by name."""
    return {
        name: facts
        for script in (TORCH, TENSORFLOW)
        for name, facts in json.loads(child(script).splitlines()[-1]).items()
    }


def test_every_network_answers_one_row_per_case_in_float32(networks: dict[str, dict[str, Any]]) -> None:
    assert len(networks) == 15
    for name, facts in networks.items():
        assert facts["shape"] == [5, CLASSES.get(name.split("_")[0], 2)], name
        assert facts["dtype"].endswith("float32"), name
        assert facts["spread"] > 0, name


def test_padding_does_not_change_an_answer(networks: dict[str, dict[str, Any]]) -> None:
    assert {name: facts["padded"] for name, facts in networks.items() if facts["padded"] > 1e-5} == {}


def test_an_answer_does_not_depend_on_the_company_it_is_in(networks: dict[str, dict[str, Any]]) -> None:
    assert {name: facts["alone"] for name, facts in networks.items() if facts["alone"] > 1e-5} == {}


def test_a_network_answers_the_same_scripted_or_read_back_from_its_file(networks: dict[str, dict[str, Any]]) -> None:
    assert {name: facts["scripted"] for name, facts in networks.items() if facts["scripted"] > 1e-5} == {}


def test_inputs_have_the_names_that_servers_are_told(networks: dict[str, dict[str, Any]]) -> None:
    for name, facts in networks.items():
        expected = ["pixels"] if name.startswith(("digits", "mobilenet")) else ["tokens"]
        expected = {"sentiment_torch_sequential": ["input"], "minilm_torch": ["tokens", "mask"]}.get(name, expected)
        assert [argument.split(".")[0] for argument in facts["arguments"]] == expected, name


def test_the_loop_of_the_adaptive_module_is_one_of_the_graphs(networks: dict[str, dict[str, Any]]) -> None:
    assert networks["adaptive_tensorflow"]["loops"] == 1
    assert networks["sentiment_tensorflow"]["loops"] == 0


def test_the_keras_subclass_runs_on_torch_without_tensorflow() -> None:
    assert child(ON_TORCH, KERAS_BACKEND="torch").strip() == "torch.Size([1, 2]) False"
