"""Open an ONNX file as a serving engine does: the checker, then a CPU session of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime

from contract.tensors import Tensors, TensorSpec


def open_artifact(
    path: Path, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> tuple[list[str], list[str], Callable[[Tensors], Tensors]]:
    """Return (input names, output names, call)."""
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def call(tensors: Tensors) -> Tensors:
        return dict(zip(names, session.run(names, tensors), strict=True))

    return [item.name for item in session.get_inputs()], names, call
