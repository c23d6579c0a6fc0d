"""suite.json, golden.npz, edges.npz, validation.npz: what every artifact of a version is asked, how close it must be.

Made once by the trained model in its own framework; a verification needs these files and the artifact, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from contract.compare import Tolerance, compare
from contract.config import Model
from contract.errors import LoadproofError, UsageError
from contract.files import read_model, write_json
from contract.golden import Example, check_inputs, read_examples, write_examples
from contract.manifest import EDGES, GOLDEN, SUITE, VALIDATION, Entry
from contract.tensors import Tensors, TensorSpec
from contract.validation import read_validation, write_validation
from export.answers import small
from export.edges import extremes, joined, padded
from export.made_up import check_ranges, made_up, without_range
from export.refused import first_words
from export.trained import Trained, infer_outputs
from export.verification import Suite, batches, split


class Limits(Entry):
    """How close one format must be."""

    atol: float = Field(description="absolute tolerance")
    rtol: float = Field(description="relative tolerance")
    agreement: float = Field(description="least share of equal classes")


class SuiteFile(Entry):
    """suite.json."""

    schema_version: Literal[1]
    inputs: list[TensorSpec] = Field(description="tensors of the signature")
    outputs: list[TensorSpec] = Field(description="tensors of the signature")
    batched: bool = Field(description="every tensor has the same named first axis")
    batch_invariant: bool = Field(description="the trained model gives a row the same answer alone and in a batch")
    limits: dict[str, Limits] = Field(description="by format")
    notes: list[str] = Field(description="what was left out, what the proof can hardly tell, and why")


def make_suite(model: Model, trained: Trained, directory: Path) -> SuiteFile:
    """Let the trained model answer the examples, the edges and the labelled inputs, and write what it said."""
    examples = _examples(model, trained.inputs)
    answers = [_answer(trained, example) for example in examples]
    outputs = list(model.outputs) or infer_outputs(trained.inputs, examples, answers)
    golden = [
        Example(example.key, example.inputs, _checked(example.key, answer, outputs))
        for example, answer in zip(examples, answers, strict=True)
    ]
    resolved = model.model_copy(update={"inputs": trained.inputs, "outputs": outputs})
    full = resolved.tolerance("onnx", outputs)
    notes = [] if model.examples else without_range(trained.inputs)
    notes += [*_not_finite(golden), *small([example.outputs for example in golden], full.atol)]
    edges = [*_extremes(trained, golden, outputs, notes), *_padded(resolved, trained, golden, notes)]
    write_examples(directory / GOLDEN, golden)
    if edges:
        write_examples(directory / EDGES, edges)
    if model.validation:
        labelled = read_validation(model.validation, trained.inputs)
        decisions = labelled.judge([trained.answer(batch)[outputs[0].name] for batch in labelled.batches()])
        write_validation(directory / VALIDATION, labelled.inputs, labelled.labels, decisions)
    suite = SuiteFile(
        schema_version=1,
        inputs=trained.inputs,
        outputs=outputs,
        batched=resolved.batched,
        batch_invariant=resolved.batched and _batch_invariant(resolved, trained, [*golden, *edges], notes),
        limits={form: _limits(resolved.tolerance(form, outputs)) for form in {*model.formats, "onnx"}},
        notes=notes,
    )
    write_json(directory / SUITE, suite)
    return suite


def read_suite(directory: Path, form: str) -> Suite:
    """What an artifact of one format is asked."""
    suite = read_model(directory / SUITE, SuiteFile, "make export")
    if form not in suite.limits:
        raise UsageError(f"{directory / SUITE} has no limits for '{form}': one of {', '.join(sorted(suite.limits))}")
    validation = directory / VALIDATION
    return Suite(
        inputs=suite.inputs,
        outputs=suite.outputs,
        golden=read_examples(directory / GOLDEN),
        edges=read_examples(directory / EDGES) if (directory / EDGES).is_file() else [],
        validation=read_validation(validation, suite.inputs) if validation.is_file() else None,
        batch_invariant=suite.batch_invariant,
        tolerance=Tolerance(**suite.limits[form].model_dump()),
    )


def _examples(model: Model, inputs: list[TensorSpec]) -> list[Example]:
    check_ranges(inputs)
    if model.examples is None:
        return made_up(inputs)
    examples = read_examples(model.examples, "make zoo")
    check_inputs(examples, inputs, model.examples)
    return examples


def _answer(trained: Trained, example: Example) -> Tensors:
    """The trained model's answer to an example, which it has to give."""
    try:
        return trained.answer(example.inputs)
    except LoadproofError:
        raise
    except Exception as error:  # what a framework raises has no common base
        raise UsageError(
            f"the trained model refuses {example.key}: {first_words(error)}; "
            "correct examples, dims or range in models.toml"
        ) from error


def _checked(key: str, answer: Tensors, outputs: list[TensorSpec]) -> Tensors:
    """The declared outputs of an answer. Raises UsageError where the model and models.toml disagree."""
    for spec in outputs:
        if spec.name not in answer:
            raise UsageError(f"the model has no output '{spec.name}'; it has {', '.join(answer)}")
        reason = spec.mismatch(answer[spec.name])
        if reason:
            raise UsageError(f"the trained model's own answer to {key}: {reason}; correct models.toml")
    return {spec.name: answer[spec.name] for spec in outputs}


def _finite(answer: Tensors) -> bool:
    return all(np.isfinite(array).all() for array in answer.values() if array.dtype.kind == "f")


def _not_finite(golden: list[Example]) -> list[str]:
    keys = [example.key for example in golden if not _finite(example.outputs)]
    return [f"the trained model's own answer to {keys[0]} and {len(keys) - 1} others is not finite"] if keys else []


def _extremes(
    trained: Trained, golden: list[Example], outputs: list[TensorSpec], notes: list[str]
) -> Iterator[Example]:
    for edge in (*extremes(trained.inputs, golden), *joined(trained.inputs, golden)):
        answer = _edge_answer(trained, edge, notes)
        if answer is None:
            continue
        if _finite(answer):
            yield Example(edge.key, edge.inputs, {spec.name: answer[spec.name] for spec in outputs})
        else:
            notes.append(f"{edge.key} is left out: the trained model's own answer is not finite")


def _edge_answer(trained: Trained, edge: Example, notes: list[str]) -> Tensors | None:
    """The trained model's answer to an edge; one that it refuses is none."""
    try:
        return trained.answer(edge.inputs)
    except Exception as error:  # what a framework raises has no common base
        notes.append(f"{edge.key} is left out: the trained model refuses it ({type(error).__name__})")
        return None


def _padded(model: Model, trained: Trained, golden: list[Example], notes: list[str]) -> Iterator[Example]:
    """Padded requests; their reference is the trained model's answer to the request as it was."""
    unknown = [axis for axis in model.padding if not any(axis in spec.dims for spec in trained.inputs)]
    if unknown:
        raise UsageError(f"padding names the axis '{unknown[0]}', which no input has")
    unknown = [name for name in model.pad_with if name not in {spec.name for spec in trained.inputs}]
    if unknown:
        raise UsageError(f"pad_with names '{unknown[0]}', which is no input")
    tolerance = model.tolerance("onnx", model.outputs)
    for example, longer in padded(trained.inputs, golden, model.padding, model.pad_with):
        whole = _edge_answer(trained, longer, notes)
        if whole is None:
            continue
        answer = {spec.name: whole[spec.name] for spec in model.outputs}
        if any(answer[name].shape != array.shape for name, array in example.outputs.items()):
            yield Example(
                longer.key, longer.inputs, answer
            )  # an output as long as the input: nothing to hold it against
            continue
        same = compare([(longer.key, example.outputs, answer)], tolerance)
        if not same.passed:
            raise UsageError(
                f"padding changes the trained model's own answer ({same.reasons[0]}): the model does not ignore it; "
                "correct 'padding' (and 'pad_with', of one input) in models.toml or mask the model's input"
            )
        yield Example(longer.key, longer.inputs, example.outputs)


def _batch_invariant(model: Model, trained: Trained, asked: list[Example], notes: list[str]) -> bool:
    rows = [row for batch in batches(asked) for row in split(batch)]
    if not rows:
        notes.append("batch invariance is not asked for: no request has more than one row")
        return False
    same = compare(
        [(row.key, row.outputs, trained.answer(row.inputs)) for row in rows], model.tolerance("onnx", model.outputs)
    )
    if not same.passed:
        notes.append(f"batch invariance is not asked for: the trained model itself has none ({same.reasons[0]})")
    return same.passed


def _limits(tolerance: Tolerance) -> Limits:
    return Limits(atol=tolerance.atol, rtol=tolerance.rtol, agreement=tolerance.agreement)
