"""What the python-based backends share: many requests become one framework call, and one answer each.

Copied beside every backend's model.py with the other modules of this folder, so they import nothing but numpy. Inputs
are views on shared memory: nothing copies them but the join of a batch, and they must not outlive `execute`. Answers
are slices of the call's own outputs, copied once, by Triton, into shared memory.
"""

import itertools
import re
import time
from collections import defaultdict

import numpy as np
from batch_memory import HOST
from batch_settings import ModelError

OUT_OF_MEMORY = re.compile(r"out of memory|outofmemory|resource_?exhausted|bad_alloc|failed to allocate", re.IGNORECASE)
NOISE = re.compile(r"^(\[ONNXRuntimeError\] : \d+ : \w+ : |\w+(Error|Exception): )")
WORTH_ASKING_S = 0.001  # for each request: twenty times what it costs to ask whether it was cancelled


def execute(requests, settings, call, pb_utils, memory=None):
    """Answer ``requests`` in order. ``call({input: array}) -> [array per output]`` is made once per batch.

    Where a model allows ragged batches, shorter requests are padded as `padding` says, and all of them further to the
    next of `length_buckets`; without `padding`, each shape is one call. A failing call of several requests is repeated
    once for each of them, so that a bad one fails alone.
    ``memory(tensors)`` chooses the Host for one request's tensors: those that are joined must be in one place.
    """
    if len(requests) == 1:  # with nobody to share what a batch costs: the shortest way
        return [_answer_one(requests[0], settings, call, pb_utils, memory)]
    responses = [None] * len(requests)
    groups = defaultdict(list)
    for index, request in enumerate(requests):
        try:
            place, arrays = _read(request, settings, memory)
        except Exception as error:  # of this request only: a missing input, memory that cannot be read
            responses[index] = _failure(error, pb_utils)
            continue
        groups[place, _shape(index, arrays, settings)].append((index, arrays))
    started = time.monotonic()
    for (place, _), group in groups.items():
        # The server drops what is cancelled in its queue. Here each question is a message to it and back (measured:
        # 50 µs), so it is asked only where requests waited for longer: behind the last call, or in this very batch.
        if max(settings.call_s, time.monotonic() - started) > WORTH_ASKING_S * len(group):
            group = [item for item in group if not _drop(item, requests, responses, pb_utils)]
        _answer(group, settings, call, pb_utils, place, responses)
    return responses


def _answer_one(request, settings, call, pb_utils, memory):
    """The response to a request that came alone."""
    try:
        place, arrays = _read(request, settings, memory)
        if settings.call_s > WORTH_ASKING_S and request.is_cancelled():
            return _cancelled(pb_utils)
        results = _single(arrays, settings, call, place)
        return pb_utils.InferenceResponse(
            [place.answer(pb_utils, name, array) for name, array in zip(settings.outputs, results, strict=True)]
        )
    except Exception as error:  # the frameworks' own errors have no common base
        return _failure(error, pb_utils)


def _read(request, settings, memory):
    """Where the request's tensors are, and its inputs in the order of config.pbtxt.

    They are asked for once, since each list of them is made anew.
    """
    given = {tensor.name(): tensor for tensor in request.inputs()}
    try:
        tensors = [given[name] for name in settings.inputs]
    except KeyError as error:
        raise ValueError(f"input {error} is missing") from None
    place = memory(tensors) if memory else HOST
    return place, [place.read(tensor) for tensor in tensors]


def _shape(index, arrays, settings):
    """What requests must have in common to be one call: the shapes without the batch axis and the axes to be padded."""
    if not settings.batched:
        return index
    shapes = tuple(array.shape[1:] for array in arrays)
    if not settings.padding:
        return shapes
    return tuple(
        tuple(-1 if axis in settings.padding.get(name, ((),))[0] else size for axis, size in enumerate(shape, 1))
        for name, shape in zip(settings.inputs, shapes, strict=True)
    )


def _drop(item, requests, responses, pb_utils):
    """Whether the request was cancelled meanwhile; its answer is then written."""
    index, _ = item
    if not requests[index].is_cancelled():
        return False
    responses[index] = _cancelled(pb_utils)
    return True


def _cancelled(pb_utils):
    error = pb_utils.TritonError("the request was cancelled", pb_utils.TritonError.CANCELLED)
    return pb_utils.InferenceResponse(error=error)


def _answer(group, settings, call, pb_utils, place, responses):
    """Write the responses of a group that is one call, or one call each where that fails."""
    if not group:
        return
    try:
        if len(group) == 1:
            columns = [[array] for array in _single(group[0][1], settings, call, place)]
        else:
            columns = _run(group, settings, call, place)
        named = zip(settings.outputs, columns, strict=True)
        tensors = [[place.answer(pb_utils, name, array) for array in column] for name, column in named]
        for (index, _), answer in zip(group, zip(*tensors, strict=True), strict=True):
            responses[index] = pb_utils.InferenceResponse(list(answer))
    except Exception as error:  # the frameworks' own errors have no common base
        # No request is to blame where the model breaks its promise, and asking again would hide that.
        if len(group) > 1 and not isinstance(error, ModelError):
            for item in group:
                _answer([item], settings, call, pb_utils, place, responses)
            return
        for index, _ in group:
            responses[index] = _failure(error, pb_utils)


def _single(arrays, settings, call, place):
    """The model's outputs for one request, which is passed on as it is where no bucket is to be filled."""
    if settings.length_buckets:
        return [column[0] for column in _run([(0, arrays)], settings, call, place)]
    rows = arrays[0].shape[0] if settings.batched else None
    return _called(dict(zip(settings.inputs, arrays, strict=True)), rows, settings, call)


def _run(group, settings, call, place):
    """One call for a group; for each output a list of arrays, one per request. By columns, since that is faster."""
    columns = list(zip(*(arrays for _, arrays in group), strict=True))
    named = zip(settings.inputs, columns, strict=True)
    joined = {name: _join(name, column, settings, place) for name, column in named}
    ends = list(itertools.accumulate(array.shape[0] for array in columns[0]))
    results = _called(joined, ends[-1], settings, call)
    _check_lengths(joined, results, settings)
    parts = list(itertools.pairwise([0, *ends]))
    outputs = [[array[start:end] for start, end in parts] for array in results]
    for name, axes in settings.unpad.items():
        position = settings.outputs.index(name)
        cut = [_own_lengths(axes, arrays, settings) for _, arrays in group]
        outputs[position] = [array[own] for array, own in zip(outputs[position], cut, strict=True)]
    return outputs


def _called(inputs, rows, settings, call):
    """The call and what it returned, checked against config.pbtxt. Raises ModelError where they differ."""
    started = time.monotonic()
    arrays = call(inputs)
    settings.call_s = time.monotonic() - started
    if len(arrays) != len(settings.outputs):
        raise ModelError(f"the model returned {len(arrays)} outputs, config.pbtxt says {len(settings.outputs)}")
    for name, expected, array in zip(settings.outputs, settings.output_types, arrays, strict=True):
        if not _is_of(expected, array):
            raise ModelError(f"output '{name}' is {array.dtype}, config.pbtxt says {expected}")
        if rows is not None and (not array.shape or array.shape[0] != rows):
            raise ModelError(f"output '{name}' has shape {tuple(array.shape)} for a batch of {rows}")
    return arrays


def _is_of(expected, array):
    """Whether a numpy array, or a tensor of torch, has the dtype that numpy calls ``expected``."""
    return array.dtype == expected if isinstance(array, np.ndarray) else str(array.dtype) == f"torch.{expected}"


def _join(name, column, settings, place):
    """One array of many: the rows of all of them, padded to the longest or on to the next bucket."""
    shapes = {tuple(array.shape[1:]) for array in column}
    sizes = settings.padded(name, tuple(max(sizes) for sizes in zip(*shapes, strict=True)))
    if shapes == {sizes}:
        return place.join(column) if len(column) > 1 else column[0]
    joined = place.full((sum(array.shape[0] for array in column), *sizes), settings.padding[name][1], column[0])
    start = 0
    for array in column:
        end = start + array.shape[0]
        joined[(slice(start, end), *(slice(size) for size in array.shape[1:]))] = array
        start = end
    return joined


def _check_lengths(joined, results, settings):
    """Raise ModelError where an output is not as long as the padded input that it is cut by."""
    for name, axes in settings.unpad.items():
        for axis, source, source_axis in axes:
            shape, size = tuple(results[settings.outputs.index(name)].shape), joined[source].shape[source_axis]
            if axis >= len(shape) or shape[axis] != size:
                raise ModelError(
                    f"output '{name}' has shape {shape}: axis {axis} is not the {size} of input '{source}'"
                )


def _own_lengths(axes, arrays, settings):
    """Slices that cut an output to the lengths of a request's own inputs."""
    slices = [slice(None)] * (1 + max(axis for axis, _, _ in axes))
    for axis, source, source_axis in axes:
        slices[axis] = slice(arrays[settings.inputs.index(source)].shape[source_axis])
    return tuple(slices)


def _failure(error, pb_utils):
    """The response to a request that failed: the client's fault unless the error says otherwise."""
    codes = pb_utils.TritonError
    text = str(error).strip()
    if "Traceback of TorchScript" in text:  # the model's source, and the reason in the last line
        text = text.splitlines()[-1]
    message = NOISE.sub("", text) or type(error).__name__
    code = codes.INVALID_ARG
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search(f"{type(error).__name__}: {message}"):
        code, message = codes.UNAVAILABLE, f"not enough memory for this request: {message}"
    elif isinstance(error, ModelError) or "CUDA" in message:
        code = codes.INTERNAL
    return pb_utils.InferenceResponse(error=codes(message, code))
