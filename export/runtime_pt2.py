"""Open a package of AOTInductor as Triton's torch_aoti platform does (beta): the compiled code of this processor."""

from __future__ import annotations

from pathlib import Path

import torch

from contract.tensors import Tensors, TensorSpec
from export.opened import Opened, Port
from export.torch_tensors import tensor


def open_artifact(path: Path, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> Opened:
    """A package tells neither names nor dtypes: the declared order counts."""
    model = torch._inductor.aoti_load_package(str(path))

    def call(tensors: Tensors) -> Tensors:
        with torch.inference_mode():
            result = model(*[tensor(tensors[spec.name]) for spec in inputs])
        values = list(result) if isinstance(result, tuple | list) else [result]
        return {spec.name: value.detach().numpy() for spec, value in zip(outputs, values, strict=True)}

    return Opened([Port(spec.name) for spec in inputs], [Port(spec.name) for spec in outputs], call)
