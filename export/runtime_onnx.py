"""Open an ONNX file as a serving engine does: the checker, then a CPU session of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from contract.tensors import Array, Tensors, TensorSpec
from export.opened import Opened, Port

NEWEST_OPSET = 21  # what ONNX Runtime 1.19 (Triton 24.10, the local server) loads
NEWEST_IR = 10
TYPES = {
    "tensor(bool)": "bool",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(string)": "string",
}


def open_artifact(path: Path, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> Opened:
    """Raises ValueError where no server of the supported releases would load the file."""
    onnx.checker.check_model(str(path), full_check=True)
    facts = versions(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def call(tensors: Tensors) -> Tensors:
        return dict(zip(names, map(from_runtime, session.run(names, to_runtime(tensors))), strict=True))

    return Opened(
        [port(item) for item in session.get_inputs()], [port(item) for item in session.get_outputs()], call, facts
    )


def to_runtime(tensors: Tensors) -> Tensors:
    """Byte strings as text: ONNX Runtime would take b'good' for the six characters that Python shows."""
    return {
        name: np.array([item.decode() for item in array.flat], dtype=object).reshape(array.shape)
        if array.dtype == object
        else array
        for name, array in tensors.items()
    }


def from_runtime(array: Array) -> Array:
    """Text as byte strings, as every other runtime answers."""
    if array.dtype != object:
        return array
    return np.array([str(item).encode() for item in array.flat], dtype=object).reshape(array.shape)


def port(item: onnxruntime.NodeArg) -> Port:
    """One input or output of a session."""
    return Port(item.name, TYPES.get(item.type), [size if isinstance(size, int) else None for size in item.shape])


def versions(path: Path) -> dict[str, int | str]:
    """Opset and IR version of a file. Raises ValueError when they are newer than the servers' ONNX Runtime."""
    model = onnx.load(str(path), load_external_data=False)
    opset = max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)
    if opset > NEWEST_OPSET or model.ir_version > NEWEST_IR:
        raise ValueError(
            f"opset {opset}, IR version {model.ir_version}: newer than {NEWEST_OPSET} and {NEWEST_IR}, the newest "
            "that ONNX Runtime 1.19 of Triton 24.10 loads"
        )
    domains = sorted({item.domain for item in model.opset_import} - {"", "ai.onnx"})
    return {"opset": opset, "ir": model.ir_version, "domains": ", ".join(domains) or "none"}
