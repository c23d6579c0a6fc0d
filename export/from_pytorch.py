"""PyTorch sources: a factory with weights, a TorchScript file, a torch.export file; and where torch itself leads.

Nothing is unpickled unless models.toml trusts the source: weights load with weights_only=True. A TorchScript or .pt2
file is a program that runs with its author's rights; it is only opened in a step's own process.
"""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import torch

from contract.config import Model
from contract.errors import UsageError
from contract.golden import Example
from contract.table import load
from contract.tensors import Array, Tensors
from export.refused import Refused, quoting
from export.torch_tensors import tensor
from export.trained import Trained, declared_inputs, named_outputs, traced

ONNX_OPSET = 18  # the newest that torch's exporter implements natively and every Triton since 24.10 loads
# TorchScript is deprecated and says so at every call; it stays the one batched C++ path in Triton.
warnings.filterwarnings("ignore", category=FutureWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)


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
    """The module of any PyTorch source, ready for inference on the CPU. Raises UsageError with a next step."""
    module: torch.nn.Module = {
        "pytorch": _from_factory,
        "torchscript": _from_torchscript,
        "torch.export": _from_exported,
    }[model.kind](model)
    return module


def _from_factory(model: Model) -> torch.nn.Module:
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


def _from_torchscript(model: Model) -> torch.nn.Module:
    try:
        module: torch.nn.Module = torch.jit.load(model.source, map_location="cpu")
    except (RuntimeError, ValueError) as error:
        if not model.trust:
            raise UsageError(
                f"{model.source} is not a TorchScript file ({str(error).strip().splitlines()[0]}); a pickled module "
                "runs code when it is loaded: name package.module:factory and its weights instead, or set trust = true "
                "(--trust) if its author may run code here"
            ) from None
        module = torch.load(model.source, map_location="cpu", weights_only=False)
        if not isinstance(module, torch.nn.Module):
            raise UsageError(f"{model.source} holds a {type(module).__name__}, not a torch.nn.Module") from None
    return module.eval()


def _from_exported(model: Model) -> torch.nn.Module:
    try:
        return _exported(model).module()
    except Exception as error:  # what the reader of a foreign archive raises has no common base
        raise UsageError(f"{model.source} does not load as a torch.export file: {error}") from None


def _exported(model: Model) -> Any:
    return torch.export.load(model.source)


def trained(model: Model) -> Trained:
    """The trained model's own answers, request by request."""
    module = build(model)
    inputs = declared_inputs(model)

    def answer(tensors: Tensors) -> Tensors:
        if isinstance(module, torch.jit.ScriptModule) and hasattr(module, "reset_states"):
            module.reset_states()  # a file that keeps a state between calls: every request starts anew
        with torch.inference_mode():
            result = module(*[tensor(tensors[spec.name]) for spec in inputs])
        return {name: _array(value) for name, value in named_outputs(model, result).items()}

    return Trained(inputs, answer)


def to_torchscript(model: Model, examples: list[Example], path: Path) -> str:
    """Script the module: control flow that depends on the data survives."""
    module = build(model)
    with quoting("torch.jit.script"):
        torch.jit.save(torch.jit.script(module), str(path))
    return "torch.jit.script"


def traced_to_torchscript(model: Model, examples: list[Example], path: Path) -> str:
    """Trace the module with one request: control flow becomes what that request took, which the proof finds out."""
    module = build(model)
    with quoting("torch.jit.trace"), torch.inference_mode():
        module = torch.jit.trace(module, _arguments(model, traced(examples)), check_trace=False)
    torch.jit.save(module, str(path))
    return "torch.jit.trace"


def copied_torchscript(model: Model, examples: list[Example], path: Path) -> str:
    """The source is in the format already: saved again, so that it holds what torch.jit.load understood."""
    torch.jit.save(_script_module(model), str(path))
    return "torch.jit.load, torch.jit.save"


def _script_module(model: Model) -> Any:
    module = build(model)
    if not isinstance(module, torch.jit.ScriptModule):
        raise Refused("the source is a pickled module, not TorchScript; only tracing leads on from it")
    return module


def to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Export through torch.export, batch and every named axis dynamic, weights inside the file."""
    source = _exported(model) if model.kind == "torch.export" else build(model)
    dynamic = None if model.kind == "torch.export" else _dynamic_shapes(model)
    with quoting("torch.onnx.export(dynamo=True)"):
        _write_onnx(model, source, examples, path, dynamo=True, dynamic_shapes=dynamic, external_data=False)
    return f"torch.onnx.export(dynamo=True), opset {ONNX_OPSET}"


def scripted_to_onnx(model: Model, examples: list[Example], path: Path) -> str:
    """Export the scripted module: torch's older exporter writes loops and branches as ONNX Loop and If."""
    module = build(model)
    axes = {
        spec.name: {axis: dim for axis, dim in enumerate(spec.dims) if isinstance(dim, str)}
        for spec in (*model.inputs, *model.outputs)
    }
    with quoting("torch.onnx.export(dynamo=False)"):
        scripted = module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module)
        _write_onnx(model, scripted, examples, path, dynamo=False, dynamic_axes=axes)
    return f"torch.jit.script, torch.onnx.export(dynamo=False), opset {ONNX_OPSET}"


def _write_onnx(model: Model, source: Any, examples: list[Example], path: Path, **options: Any) -> None:
    torch.onnx.export(
        source,
        _arguments(model, traced(examples)),
        str(path),
        input_names=[spec.name for spec in model.inputs],
        output_names=[spec.name for spec in model.outputs],
        opset_version=ONNX_OPSET,
        verbose=False,
        **options,
    )


def to_pt2(model: Model, examples: list[Example], path: Path) -> str:
    """Compile ahead of time for this processor: a package for Triton's torch_aoti (beta, from 26.03 on)."""
    with quoting("torch.export and AOTInductor"), torch.no_grad():
        if model.kind == "torch.export":
            program = _exported(model)
        else:
            module = build(model)
            program = torch.export.export(
                module, _arguments(model, traced(examples)), dynamic_shapes=_dynamic_shapes(model)
            )
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return "torch.export.export, torch._inductor.aoti_compile_and_package (for this processor only)"


def _dynamic_shapes(model: Model) -> tuple[dict[int, Any], ...]:
    """Named axes by position of the argument. AUTO lets torch find relations between them; an axis that it finds to be
    fixed is frozen without a word, which the proof finds out."""
    return tuple(
        {axis: torch.export.Dim.AUTO for axis, dim in enumerate(spec.dims) if isinstance(dim, str)}
        for spec in model.inputs
    )


def _arguments(model: Model, example: Example) -> tuple[torch.Tensor, ...]:
    return tuple(tensor(example.inputs[spec.name]) for spec in model.inputs)


def _array(value: object) -> Array:
    if not isinstance(value, torch.Tensor):
        raise UsageError(f"the model returns a {type(value).__name__} among its outputs; only tensors can be exported")
    array: Array = value.detach().cpu().numpy()
    return array
