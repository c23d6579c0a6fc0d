"""A trained model that answers in its own framework: the one reference of every proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contract.config import Model
from contract.errors import UsageError
from contract.golden import Example
from contract.tensors import Array, Tensors, TensorSpec


@dataclass(frozen=True)
class Trained:
    """What a source gives: its inputs (declared, or read from the file) and its answers, by output name in order."""

    inputs: list[TensorSpec]
    answer: Callable[[Tensors], Tensors]


def named_outputs(model: Model, result: object) -> dict[str, object]:
    """Give what a network returns its declared names; without a declaration ``output_0``, ``output_1``, …

    Raises UsageError when a declaration and the network disagree about how many there are.
    """
    declared = [spec.name for spec in model.outputs]
    if isinstance(result, Mapping):
        missing = [name for name in declared if name not in result]
        if missing:
            raise UsageError(f"the model has no output '{missing[0]}'; it has {', '.join(map(str, result))}")
        return {name: result[name] for name in declared or result}
    outputs = list(result) if isinstance(result, tuple | list) else [result]
    names = declared or [f"output_{index}" for index in range(len(outputs))]
    if len(names) != len(outputs):
        raise UsageError(f"the model returns {len(outputs)} outputs, models.toml declares {len(names)}")
    return dict(zip(names, outputs, strict=True))


def declared_inputs(model: Model) -> list[TensorSpec]:
    """The inputs in models.toml, for a source that does not tell them itself."""
    if not model.inputs:
        raise UsageError(
            f"'{model.source}' does not tell its inputs; declare them in models.toml: "
            'inputs = [{ name = "x", dtype = "float32", dims = ["batch", 4] }], or with --input NAME:DTYPE:DIMS'
        )
    return list(model.inputs)


def infer_outputs(
    inputs: list[TensorSpec], examples: Sequence[Example], answers: Sequence[Tensors]
) -> list[TensorSpec]:
    """Describe the outputs from the answers: an axis that follows a named axis of the inputs in every request has its
    name, one that never changes has its size, any other is dynamic and named after the output."""
    sizes = [_named_sizes(inputs, example) for example in examples]
    specs = []
    for name, first in answers[0].items():
        arrays = [answer[name] for answer in answers]
        dims = [_dim(name, axis, [array.shape[axis] for array in arrays], sizes) for axis in range(first.ndim)]
        specs.append(TensorSpec(name=name, dtype=_dtype(first), dims=dims))
    return specs


def _dtype(array: Array) -> str:
    return "string" if array.dtype == object else array.dtype.name


def _named_sizes(inputs: list[TensorSpec], example: Example) -> dict[str, int]:
    return {
        dim: size
        for spec in inputs
        for dim, size in zip(spec.dims, example.inputs[spec.name].shape, strict=True)
        if isinstance(dim, str)
    }


def _dim(name: str, axis: int, seen: list[int], sizes: list[dict[str, int]]) -> int | str:
    for candidate in sizes[0]:
        if all(size[candidate] == actual for size, actual in zip(sizes, seen, strict=True)):
            return candidate
    return seen[0] if len(set(seen)) == 1 and seen[0] > 0 else f"{name.replace('.', '_').replace(':', '_')}_{axis}"


def traced(examples: Sequence[Example]) -> Example:
    """The request that shows shapes to an exporter: several rows, since sizes 0 and 1 are specialised."""
    return next((example for example in examples if example.rows > 1), examples[0])
