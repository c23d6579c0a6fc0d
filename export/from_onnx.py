"""ONNX files as a source: their own answers through ONNX Runtime, and a checked copy."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime

from contract.config import Model
from contract.errors import UsageError
from contract.golden import Example
from contract.tensors import Tensors, TensorSpec
from export.opened import Port
from export.runtime_onnx import NEWEST_IR, from_runtime, port, to_runtime
from export.trained import Trained, described, nameless, told_inputs


def trained(model: Model) -> Trained:
    """The answers of an ONNX file, its inputs read from the graph where models.toml does not declare them."""
    path = Path(model.source)
    if not path.is_file():
        raise UsageError(f"source {path} does not exist; correct the path in models.toml")
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no public base
        raise UsageError(f"{path} does not load in ONNX Runtime: {error}") from None
    inputs = list(model.inputs) or told_inputs(model, [_spec(item) for item in session.get_inputs()])
    given = {item.name for item in session.get_inputs()}
    unknown = [spec.name for spec in inputs if spec.name not in given]
    if unknown:
        raise UsageError(f"{path} has no input '{unknown[0]}'; it has {', '.join(sorted(given))}")
    left_out = sorted(given - {spec.name for spec in inputs})
    if left_out:
        raise UsageError(
            f"{path} has the input '{left_out[0]}', which is not declared; it has {', '.join(sorted(given))}"
        )
    known = [item.name for item in session.get_outputs()]
    names = [spec.name for spec in model.outputs] or known
    missing = [name for name in names if name not in known]
    if missing:
        raise UsageError(f"{path} has no output '{missing[0]}'; it has {', '.join(known)}")

    def answer(tensors: Tensors) -> Tensors:
        return dict(zip(names, map(from_runtime, session.run(names, to_runtime(tensors))), strict=True))

    return Trained(inputs, answer)


def copied(model: Model, examples: list[Example], path: Path) -> str:
    """Copy the file, with external data drawn in. An IR version that servers do not know yet is written as an older
    one, which says the same as long as the opset is old enough (the proof checks that)."""
    loaded = onnx.load(model.source)
    notes = ["copied"]
    if loaded.ir_version > NEWEST_IR:
        notes.append(f"IR version {loaded.ir_version} written as {NEWEST_IR}")
        loaded.ir_version = NEWEST_IR
    onnx.save(loaded, str(path))
    return ", ".join(notes)


def _spec(item: onnxruntime.NodeArg) -> TensorSpec:
    """Symbolic sizes keep their names, nameless ones are called after their position."""
    found: Port = port(item)
    if found.dtype is None:
        raise UsageError(f"input '{item.name}' is {item.type}, which is not a tensor of a known dtype")
    dims: list[int | str] = []
    for axis, size in enumerate(item.shape):
        if (isinstance(size, int) and size > 0) or (isinstance(size, str) and size.isidentifier()):
            dims.append(size)
        else:
            dims.append("batch" if axis == 0 else nameless(axis))
    return described(item.name, found.dtype, dims)
