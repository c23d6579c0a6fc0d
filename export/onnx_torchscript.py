"""ONNX -> TorchScript through onnx2torch and tracing. Where the tracing freezes an axis, the proof says so."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from onnx2torch import convert

from contract.config import Model
from contract.golden import Example
from export.refused import quoting
from export.torch_tensors import tensor
from export.trained import traced

warnings.filterwarnings("ignore", category=FutureWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)


def to_torchscript(model: Model, examples: list[Example], path: Path, source: Path) -> str:
    """Convert ``source`` to a module and trace it with one request."""
    with quoting("onnx2torch"):
        module = convert(str(source)).eval()
    arguments = tuple(tensor(traced(examples).inputs[spec.name]) for spec in model.inputs)
    with quoting("torch.jit.trace of onnx2torch's module"), torch.inference_mode():
        script = torch.jit.trace(module, arguments, check_trace=False)
    torch.jit.save(script, str(path))
    return "onnx2torch, torch.jit.trace"
