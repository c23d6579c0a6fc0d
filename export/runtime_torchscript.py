"""Open a TorchScript file as a serving engine does: torch.jit.load on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from contract.tensors import Tensors, TensorSpec

warnings.filterwarnings("ignore", category=FutureWarning)


def open_artifact(
    path: Path, inputs: list[TensorSpec], outputs: list[TensorSpec]
) -> tuple[list[str], list[str], Callable[[Tensors], Tensors]]:
    """Return (input names, output names, call). Outputs of TorchScript have no names: the declared order counts."""
    module = torch.jit.load(str(path), map_location="cpu").eval()
    names = [argument.name for argument in module.forward.schema.arguments[1:]]

    def call(tensors: Tensors) -> Tensors:
        with torch.inference_mode():
            result = module(*[torch.from_numpy(np.ascontiguousarray(tensors[name])) for name in names])
        values = result if isinstance(result, tuple | list) else (result,)
        return {spec.name: value.numpy() for spec, value in zip(outputs, values, strict=True)}

    return names, [spec.name for spec in outputs], call
