"""PyTorch models: their own answers, and their exports to TorchScript and ONNX."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import numpy as np
import torch

from contract.config import Model
from contract.errors import UsageError
from contract.golden import Example
from contract.table import load
from contract.tensors import Tensors

ONNX_OPSET = 18  # the newest that torch's exporter implements natively and every Triton since 24.10 loads
# TorchScript is deprecated and says so at every call; it stays the one batched C++ path in Triton.
warnings.filterwarnings("ignore", category=FutureWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read a state_dict; nothing that could run code is unpickled. Raises UsageError for a foreign file."""
    if not path.is_file():
        raise UsageError(f"weights {path} do not exist; run 'make zoo' for the example models, or correct models.toml")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        loaded: dict[str, torch.Tensor] = load_file(path)
        return loaded
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"{path} is not a state_dict that loads with weights_only=True: {error}") from None
    if not isinstance(state, dict):
        raise UsageError(f"{path} holds a {type(state).__name__}, not a state_dict")
    return state


def build(model: Model) -> torch.nn.Module:
    """Build the module from its factory and load its weights, ready for inference on the CPU."""
    if ":" not in model.source:
        raise UsageError(f"source '{model.source}' is not of the form package.module:factory")
    factory = load(model.source)
    state = read_state(model.weights) if model.weights else None
    takes_state = any(
        parameter.default is inspect.Parameter.empty and parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        for parameter in inspect.signature(factory).parameters.values()
    )
    if takes_state and state is None:
        raise UsageError(f"factory '{model.source}' takes the state_dict, but models.toml names no weights")
    module = factory(state) if takes_state else factory()
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"factory '{model.source}' returned a {type(module).__name__}, not a torch.nn.Module")
    if state is not None:
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise UsageError(f"{model.weights} does not fit '{model.source}': {error}") from None
    names = list(inspect.signature(module.forward).parameters)
    declared = [spec.name for spec in model.inputs]
    if names[: len(declared)] != declared:
        raise UsageError(
            f"forward() of '{model.source}' takes {', '.join(names)}; models.toml declares {', '.join(declared)} "
            "(Triton matches them by these names, so they have to be the same)"
        )
    return module.eval().requires_grad_(False)


def answers(model: Model, examples: list[Example]) -> list[Tensors]:
    """The trained model's own outputs, request by request."""
    module = build(model)
    return [_named(model, module(*_arguments(model, example.inputs))) for example in examples]


def to_torchscript(model: Model, examples: list[Example], path: Path) -> str:
    """Script the module (control flow survives); where that fails, trace it. Returns the route."""
    module = build(model)
    try:
        scripted = torch.jit.script(module)
        route = "torch.jit.script"
    except (RuntimeError, torch.jit.frontend.NotSupportedError) as error:
        scripted = torch.jit.trace(module, _arguments(model, _example(examples).inputs))
        route = f"torch.jit.trace (script refused: {str(error).strip().splitlines()[0]})"
    torch.jit.save(scripted, str(path))
    return route


def to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Export through torch.export, batch and every named axis dynamic, weights inside the file. Returns the route."""
    module = build(model)
    dynamic = {
        spec.name: {axis: dim for axis, dim in enumerate(spec.dims) if isinstance(dim, str)} for spec in model.inputs
    }
    torch.onnx.export(
        module,
        _arguments(model, _example(examples).inputs),
        str(path),
        input_names=[spec.name for spec in model.inputs],
        output_names=[spec.name for spec in model.outputs],
        dynamic_shapes=dynamic,
        opset_version=ONNX_OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return f"torch.onnx.export(dynamo=True), opset {ONNX_OPSET}"


def _example(examples: list[Example]) -> Example:
    """The request that shows shapes to the exporter: several rows, since sizes 0 and 1 are specialised."""
    return next((example for example in examples if example.rows > 1), examples[0])


def _arguments(model: Model, inputs: Tensors) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(inputs[spec.name])) for spec in model.inputs)


def _named(model: Model, result: object) -> Tensors:
    outputs = result if isinstance(result, tuple | list) else (result,)
    if len(outputs) != len(model.outputs):
        raise UsageError(f"the model returns {len(outputs)} outputs, models.toml declares {len(model.outputs)}")
    return {spec.name: tensor.numpy() for spec, tensor in zip(model.outputs, outputs, strict=True)}
