"""Open a TorchScript file as a serving engine does: torch.jit.load on the CPU, inputs by name, else by position."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from contract.tensors import Tensors, TensorSpec
from export.opened import Opened, OtherOutputs, Port
from export.torch_tensors import tensor

warnings.filterwarnings("ignore", category=FutureWarning)


def open_artifact(path: Path, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> Opened:
    """The schema names the arguments and nothing else; outputs have no names: the declared order counts."""
    module = torch.jit.load(str(path), map_location="cpu").eval()
    arguments = [argument.name for argument in module.forward.schema.arguments[1:]]
    declared = [spec.name for spec in inputs]
    # As Triton's pytorch backend: by name where all match, else the order of the configuration is the true one.
    order = arguments if set(arguments) == set(declared) or len(arguments) != len(declared) else declared

    def call(tensors: Tensors) -> Tensors:
        if hasattr(module, "reset_states"):
            module.reset_states()  # a file that keeps a state between calls: every request starts anew
        with torch.inference_mode():
            result = module(*[tensor(tensors[name]) for name in order])
        values = list(result) if isinstance(result, tuple | list) else [result]
        if len(values) != len(outputs):
            raise OtherOutputs(f"it returns {len(values)} outputs, declared are {len(outputs)}")
        return {spec.name: value.detach().numpy() for spec, value in zip(outputs, values, strict=True)}

    kinds = {node.kind() for node in module.inlined_graph.nodes()} if hasattr(module, "inlined_graph") else set()
    control = sorted(kind.removeprefix("prim::").lower() for kind in kinds & {"prim::Loop", "prim::If"})
    facts: dict[str, int | str] = {"control_flow": ", ".join(control) or "none"}
    return Opened([Port(name) for name in order], [Port(spec.name) for spec in outputs], call, facts)
