"""Exports that are broken on purpose, one in each way, and what the proof says about each: printed as JSON.

``python -m tests.e2e.broken_exports torch DIR`` (torch and ONNX Runtime), ``… tensorflow DIR`` (TensorFlow alone).
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contract.config import Model
from contract.files import sha256_file, sha256_tree, write_json
from contract.manifest import EDGES, GOLDEN, MANIFEST, SUITE, Manifest
from contract.tensors import Tensors, TensorSpec
from export.routes import FILES
from export.step import prove
from export.suite import make_suite
from export.trained import Trained
from tests.builders import format_record

TOKENS = TensorSpec(name="tokens", dtype="int64", dims=["batch", "length"], range=(0, 40))
VALUES = TensorSpec(name="values", dtype="float32", dims=["batch", 4], range=(0, 1))
LEFT = TensorSpec(name="left", dtype="float32", dims=["batch", 2])
RIGHT = TensorSpec(name="right", dtype="float32", dims=["batch", 2])


def described(inputs: list[TensorSpec], outputs: list[TensorSpec], formats: list[str], **more: Any) -> Model:
    """A model as models.toml would describe it."""
    fields: dict[str, Any] = {"framework": "pytorch", "source": "somewhere:build", "formats": formats}
    return Model(**fields, inputs=inputs, outputs=outputs, **more)


def verdict(form: str, directory: Path) -> dict[str, Any]:
    """The proof of the artifact that stands there now; a proof that breaks off is a finding as well."""
    try:
        proof = prove(form, directory)
    except Exception as error:
        return {"passed": False, "diagnosis": f"the proof itself broke off: {error!r}", "sentence": None}
    return {"passed": proof.passed, "diagnosis": proof.diagnosis, "sentence": proof.sentence}


# --- torch ------------------------------------------------------------------------------------------------------------


def with_torch(root: Path) -> dict[str, Any]:
    """Every TorchScript and ONNX file that is broken, under a name that says how."""
    import copy

    import torch
    from torch import nn

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(5)

    class Heads(nn.Module):
        """Words, their mean, two heads of the same shape."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(40, 8)
            self.left = nn.Linear(8, 2)
            self.right = nn.Linear(8, 2)

        def forward(self, tokens: Any) -> Any:
            mean = self.words(tokens).mean(1)
            return self.left(mean), self.right(mean)

    class Recurrent(nn.Module):
        """A loop over the time steps, which tracing unrolls; padding (word 0) leaves the state as it is."""

        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(40, 8)
            self.left = nn.Linear(8, 2)
            self.right = nn.Linear(8, 2)

        def forward(self, tokens: Any) -> Any:
            state = torch.zeros_like(self.words(tokens[:, 0]))
            for step in range(tokens.shape[1]):
                word = tokens[:, step]
                state = torch.where((word > 0).unsqueeze(1), torch.tanh(0.9 * state + self.words(word)), state)
            return self.left(state), self.right(state)

    class FixedBatch(Recurrent):
        """Its first state has as many rows as the request that it was traced with."""

        def forward(self, tokens: Any) -> Any:
            mean = torch.zeros(int(tokens.shape[0]), 8) + self.words(tokens).mean(1)
            return self.left(mean), self.right(mean)

    class Adaptive(nn.Module):
        """Rows take as many steps as they need; a row that is done keeps its state, whoever else is in the batch."""

        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Linear(4, 4)
            self.left = nn.Linear(4, 2)
            self.right = nn.Linear(4, 2)

        def forward(self, values: Any) -> Any:
            need = torch.floor(9 * values[:, 0] ** 3)
            state, taken = values, torch.zeros_like(need)
            while bool((taken < need).any()):
                going = (taken < need).unsqueeze(1)
                state = torch.where(going, 1.5 * torch.tanh(self.step(state)) + state, state)
                taken = taken + 1
            return self.left(state), self.right(state)

    from contract.golden import read_examples
    from export.trained import traced

    def prepared(name: str, module: Any, inputs: list[TensorSpec], **more: Any) -> tuple[Path, tuple[Any, ...]]:
        directory = root / name
        directory.mkdir()

        def answer(tensors: Tensors) -> Tensors:
            with torch.inference_mode():
                left, right = module(*[torch.from_numpy(tensors[spec.name]) for spec in inputs])
            return {"left": left.numpy(), "right": right.numpy()}

        model = described(inputs, [LEFT, RIGHT], ["torchscript", "onnx"], **more)
        make_suite(model, Trained(inputs, answer), directory)
        request = traced(read_examples(directory / GOLDEN))
        return directory, tuple(torch.from_numpy(request.inputs[spec.name]) for spec in inputs)

    def broken(module: Any, change: Callable[[Any], None]) -> Any:
        other = copy.deepcopy(module)
        with torch.no_grad():
            change(other)
        return other

    class Around(nn.Module):
        """A module whose outputs are changed on their way out."""

        def __init__(self, module: Any, change: Callable[[Any, Any], Any]) -> None:
            super().__init__()
            self.module = module
            self.change = change

        def forward(self, tokens: Any) -> Any:
            return self.change(*self.module(tokens))

    def larger(module: Any) -> None:
        module.left.weight.mul_(1.5)

    def one_word(module: Any) -> None:
        module.words.weight[7] += 3

    def not_a_number(module: Any) -> None:
        module.right.bias[0] = float("nan")

    found: dict[str, Any] = {}
    heads = Heads().eval()
    directory, request = prepared("heads", heads, [TOKENS])

    def torchscript(name: str, module: Any, at: Path, arguments: Any) -> None:
        with torch.inference_mode():
            torch.jit.save(torch.jit.trace(module, arguments, check_trace=False), str(at / FILES["torchscript"]))
        found[name] = verdict("torchscript", at)

    torchscript("nothing", heads, directory, request)
    _publish(directory, root)
    torchscript("wrong weight", broken(heads, larger), directory, request)
    torchscript("one wrong word", broken(heads, one_word), directory, request)
    torchscript("NaN", broken(heads, not_a_number), directory, request)
    torchscript("swapped outputs", Around(heads, lambda left, right: (right, left)), directory, request)
    torchscript("wrong dtype", Around(heads, lambda left, right: (left.double(), right.double())), directory, request)
    torchscript("wrong shape", Around(heads, lambda left, right: (left[:, :1], right)), directory, request)
    torchscript("an output too many", Around(heads, lambda left, right: (left, right, right)), directory, request)
    torchscript("a batch without rows", Around(heads, lambda left, right: (left.sum(), right)), directory, request)
    whole = (directory / FILES["torchscript"]).read_bytes()
    (directory / FILES["torchscript"]).write_bytes(whole[: len(whole) // 2])
    found["truncated file"] = verdict("torchscript", directory)

    recurrent = Recurrent().eval()
    at, arguments = prepared("recurrent", recurrent, [TOKENS.model_copy(update={"range": (1, 40)})])
    torchscript("frozen length", recurrent, at, arguments)
    at, arguments = prepared("padded", recurrent, [TOKENS.model_copy(update={"range": (1, 40)})], padding={"length": 0})
    torchscript("frozen length, padding declared", recurrent, at, arguments)
    fixed = FixedBatch().eval()
    at, arguments = prepared("batch", fixed, [TOKENS])
    torchscript("frozen batch", fixed, at, arguments)
    adaptive = Adaptive().eval()
    at, arguments = prepared("adaptive", adaptive, [VALUES])
    torchscript("frozen control flow", adaptive, at, arguments)

    for name, changes in ONNX_CASES.items():
        weights = {key: value.numpy() for key, value in heads.state_dict().items()}
        _write_onnx(directory / FILES["onnx"], weights, **changes)
        found[f"ONNX: {name}"] = verdict("onnx", directory)
    found["ONNX: strings"] = _strings(root / "strings")
    whole = (directory / FILES["onnx"]).read_bytes()
    (directory / FILES["onnx"]).write_bytes(whole[:-100])
    found["ONNX: truncated file"] = verdict("onnx", directory)
    return found


ONNX_CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "renamed input": {"tokens": "words"},
    "renamed output": {"left": "links"},
    "fixed length": {"length": 7},
    "wrong dtype": {"double": True},
    "swapped outputs": {"swapped": True},
    "wrong weight": {"factor": 1.5},
    "NaN": {"factor": float("nan")},
}


def _write_onnx(
    path: Path,
    weights: Tensors,
    tokens: str = "tokens",
    left: str = "left",
    length: int | str = "length",
    double: bool = False,
    swapped: bool = False,
    factor: float = 1.0,
) -> None:
    """The model of two heads, operation by operation."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kind = np.float64 if double else np.float32
    element = TensorProto.DOUBLE if double else TensorProto.FLOAT
    first, second = ("right", "left") if swapped else ("left", "right")
    constants = {
        "words": weights["words.weight"],
        "w_left": weights[f"{first}.weight"].T * factor,
        "b_left": weights[f"{first}.bias"],
        "w_right": weights[f"{second}.weight"].T,
        "b_right": weights[f"{second}.bias"],
    }
    stored = [
        numpy_helper.from_array(np.ascontiguousarray(value.astype(kind)), f"c_{k}") for k, value in constants.items()
    ]
    stored.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axes"))
    nodes = [
        helper.make_node("Gather", ["c_words", tokens], ["rows"]),
        helper.make_node("ReduceMean", ["rows", "axes"], ["mean"], keepdims=0),
    ]
    for side, name in (("left", left), ("right", "right")):
        nodes.append(helper.make_node("MatMul", ["mean", f"c_w_{side}"], [f"m_{side}"]))
        nodes.append(helper.make_node("Add", [f"m_{side}", f"c_b_{side}"], [name]))
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info(tokens, TensorProto.INT64, ["batch", length])],
        [helper.make_tensor_value_info(name, element, ["batch", 2]) for name in (left, "right")],
        stored,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))


def _strings(directory: Path) -> dict[str, Any]:
    """A file that gives back the bytes that it is asked with."""
    import onnx
    from onnx import TensorProto, helper

    texts = TensorSpec(name="texts", dtype="string", dims=["batch"])
    said = TensorSpec(name="said", dtype="string", dims=["batch"])
    directory.mkdir()
    make_suite(
        described([texts], [said], ["onnx"]),
        Trained([texts], lambda tensors: {"said": tensors["texts"]}),
        directory,
    )
    graph = helper.make_graph(
        [helper.make_node("Identity", ["texts"], ["said"])],
        "strings",
        [helper.make_tensor_value_info("texts", TensorProto.STRING, ["batch"])],
        [helper.make_tensor_value_info("said", TensorProto.STRING, ["batch"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, str(directory / FILES["onnx"]))
    return verdict("onnx", directory)


def _publish(directory: Path, root: Path) -> None:
    """A complete version with a TorchScript file that is right: ``published/heads/1``."""
    version = root / "published" / "heads" / "1"
    shutil.copytree(directory, version)
    path = FILES["torchscript"]
    record = format_record(path=path, sha256=sha256_tree(version / path), bytes=(version / path).stat().st_size)
    write_json(
        version / MANIFEST,
        Manifest(
            schema_version=2,
            model="heads",
            version=1,
            created="2026-01-31T12:00:00+00:00",
            fingerprint="f" * 64,
            framework="pytorch",
            source="pytorch",
            inputs=[TOKENS],
            outputs=[LEFT, RIGHT],
            golden_sha256=sha256_file(version / GOLDEN),
            files_sha256={name: sha256_file(version / name) for name in (SUITE, EDGES)},
            notes=[],
            formats={"torchscript": record},
            accuracy={},
        ),
    )


# --- TensorFlow -------------------------------------------------------------------------------------------------------


def with_tensorflow(root: Path) -> dict[str, Any]:
    """The SavedModels that are broken."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(3)
    words = random.normal(size=(40, 8)).astype(np.float32)
    heads = {side: random.normal(size=(8, 2)).astype(np.float32) for side in ("left", "right")}

    class Heads(tf.Module):
        def __init__(self, left: str = "left", right: str = "right", factor: float = 1.0) -> None:
            super().__init__()
            self.words = tf.Variable(words)
            self.first = tf.Variable(heads[left] * factor)
            self.second = tf.Variable(heads[right])

        def answer(self, tokens: Any) -> dict[str, Any]:
            mean = tf.reduce_mean(tf.gather(self.words, tokens), axis=1)
            return {"left": tf.matmul(mean, self.first), "right": tf.matmul(mean, self.second)}

    def trained(tensors: Tensors) -> Tensors:
        answer = Heads().answer(tf.constant(tensors["tokens"]))
        return {name: value.numpy() for name, value in answer.items()}

    model = described([TOKENS], [LEFT, RIGHT], ["savedmodel"])
    make_suite(model, Trained([TOKENS], trained), root)
    cases: list[tuple[str, Any, list[int | None]]] = [
        ("nothing", Heads(), [None, None]),
        ("swapped outputs", Heads("right", "left"), [None, None]),
        ("NaN", Heads(factor=float("nan")), [None, None]),
        ("fixed length", Heads(), [None, 7]),
    ]
    found: dict[str, Any] = {}
    for name, module, shape in cases:
        shutil.rmtree(root / FILES["savedmodel"], ignore_errors=True)
        function = tf.function(module.answer, input_signature=[tf.TensorSpec(shape, tf.int64, name="tokens")])
        tf.saved_model.save(
            module, str(root / FILES["savedmodel"]), signatures={"serving_default": function.get_concrete_function()}
        )
        found[f"SavedModel: {name}"] = verdict("savedmodel", root)
        if name == "nothing":
            found["SavedModel: as ONNX"] = _operators(root / FILES["savedmodel"], root / FILES["onnx"])
    (root / FILES["savedmodel"] / "saved_model.pb").write_bytes(b"cut off")
    found["SavedModel: truncated file"] = verdict("savedmodel", root)
    return found


def _operators(source: Path, path: Path) -> list[str]:
    """What a SavedModel as TensorFlow writes it today, its graph a call of a function, becomes."""
    import onnx

    from export.from_tensorflow import savedmodel_to_onnx

    model = Model(framework="tensorflow", source=str(source), formats=["onnx"], inputs=[TOKENS], outputs=[LEFT, RIGHT])
    try:
        savedmodel_to_onnx(model, [], path)
    except Exception as error:  # a refusal is a finding of the test, not the end of the script
        return [f"refused: {error}"]
    return sorted({node.op_type for node in onnx.load(str(path)).graph.node})


if __name__ == "__main__":
    made = {"torch": with_torch, "tensorflow": with_tensorflow}[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps(made))
