"""A trained model that answers in its own framework: the one reference of every proof."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from contract.config import Model
from contract.errors import UsageError
from contract.golden import Example, read_examples
from contract.tensors import Tensors, TensorSpec, dtype_of

NAMELESS = re.compile(r"^axis_\d+$")


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
    """The inputs in models.toml, or what the examples show, for a source that does not tell them itself."""
    if model.inputs:
        return list(model.inputs)
    if model.examples:
        return inputs_of(read_examples(model.examples, "make zoo"))
    raise UsageError(
        f"'{model.source}' does not tell its inputs; declare them in models.toml: "
        'inputs = [{ name = "x", dtype = "float32", dims = ["batch", 4] }], or with --input NAME:DTYPE:DIMS, '
        "or bring examples"
    )


def told_inputs(model: Model, told: list[TensorSpec]) -> list[TensorSpec]:
    """The inputs that a file tells, its nameless axes named by what the examples show, if there are any."""
    return apart(told, read_examples(model.examples, "make zoo") if model.examples else [])


def inputs_of(examples: Sequence[Example]) -> list[TensorSpec]:
    """Describe inputs from examples: the first axis is the batch, an axis that changes is dynamic, and axes that change
    together have one name."""
    names: dict[tuple[int, ...], str] = {}
    specs = []
    for name, first in examples[0].inputs.items():
        dims: list[int | str] = []
        for axis in range(first.ndim):
            seen = _seen(name, axis, examples)
            changes = len(set(seen)) > 1
            dims.append("batch" if axis == 0 else names.setdefault(seen, nameless(axis)) if changes else seen[0])
        specs.append(described(name, dtype_of(first), dims))
    return apart(specs, examples)


def nameless(axis: int) -> str:
    """The name of a dynamic axis to which nobody gave one."""
    return f"axis_{axis}"


def apart(specs: Sequence[TensorSpec], examples: Sequence[Example]) -> list[TensorSpec]:
    """Nameless axes that are of different sizes in the examples, each with a name of its own, after its input."""
    names: dict[str, dict[tuple[int, ...], str]] = {}  # nameless name -> sizes in the examples -> own name
    for spec in specs:
        for axis, dim in enumerate(spec.dims):
            if isinstance(dim, str) and NAMELESS.match(dim):
                names.setdefault(dim, {}).setdefault(_seen(spec.name, axis, examples), _own_axis(spec.name, axis))
    different = {dim: own for dim, own in names.items() if len(own) > 1}
    return [
        spec.model_copy(
            update={
                "dims": [
                    different[dim][_seen(spec.name, axis, examples)] if dim in different else dim
                    for axis, dim in enumerate(spec.dims)
                ]
            }
        )
        for spec in specs
    ]


def _seen(name: str, axis: int, examples: Sequence[Example]) -> tuple[int, ...]:
    """The sizes of one axis of an input, example by example. What does not fit the inputs is refused later."""
    shapes = [example.inputs[name].shape for example in examples if name in example.inputs]
    return tuple(shape[axis] for shape in shapes if axis < len(shape))


def _own_axis(name: str, axis: int) -> str:
    return f"{name.replace('.', '_').replace(':', '_')}_{axis}"


def infer_outputs(
    inputs: list[TensorSpec], examples: Sequence[Example], answers: Sequence[Tensors]
) -> list[TensorSpec]:
    """Describe the outputs from the answers: an axis that follows a named axis of the inputs has its name, one that
    never changes has its size, any other is dynamic and named after the output.

    Raises UsageError for an output that no signature can hold.
    """
    sizes = [_named_sizes(inputs, example) for example in examples]
    specs = []
    for name, first in answers[0].items():
        arrays = [answer[name] for answer in answers]
        dims: list[int | str] = []
        for axis in range(first.ndim):
            dims.append(_dim(name, axis, [array.shape[axis] for array in arrays], sizes, dims))
        specs.append(described(name, dtype_of(first), dims))
    return specs


def described(name: str, dtype: str, dims: list[int | str]) -> TensorSpec:
    """A TensorSpec of what a source tells about itself. Raises UsageError where no signature can hold it."""
    try:
        return TensorSpec(name=name, dtype=dtype, dims=dims)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"the model has a tensor '{name}' of dtype {dtype}, which no signature takes ({reason}); "
            "give it another name or dtype in the model"
        ) from None


def _named_sizes(inputs: list[TensorSpec], example: Example) -> dict[str, int]:
    return {
        dim: size
        for spec in inputs
        for dim, size in zip(spec.dims, example.inputs[spec.name].shape, strict=True)
        if isinstance(dim, str)
    }


def _dim(name: str, axis: int, seen: list[int], sizes: list[dict[str, int]], before: list[int | str]) -> int | str:
    """A named axis is followed if it really changed; the first axis is taken for the batch until something differs."""
    for candidate in sizes[0]:
        same = all(size[candidate] == actual for size, actual in zip(sizes, seen, strict=True))
        if same and candidate not in before and (len(set(seen)) > 1 or axis == 0):
            return candidate
    return seen[0] if len(set(seen)) == 1 and seen[0] > 0 else _own_axis(name, axis)


def traced(examples: Sequence[Example]) -> Example:
    """The request that shows shapes to an exporter: several rows, since sizes 0 and 1 are specialised."""
    return next((example for example in examples if example.rows > 1), examples[0])
