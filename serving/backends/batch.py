"""What the python-based backends share: many requests become one framework call, and one answer each.

Copied beside every backend's model.py, so it imports nothing but numpy. Inputs are views on shared memory and must not
outlive `execute`; answers are copied by the caller's constructor of tensors.
"""

import json
from collections import defaultdict

import numpy as np

NUMPY_TYPES = {
    "TYPE_BOOL": np.bool_,
    "TYPE_UINT8": np.uint8,
    "TYPE_INT8": np.int8,
    "TYPE_INT16": np.int16,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_STRING": np.object_,
}


class Settings:
    """What a model's config.pbtxt and its instance say: names, batching, device, parameters."""

    def __init__(self, args):
        config = json.loads(args["model_config"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        self.output_types = {tensor["name"]: NUMPY_TYPES[tensor["data_type"]] for tensor in config["output"]}
        self.batched = config.get("max_batch_size", 0) > 0
        self.filename = config.get("default_model_filename", "")
        self.gpu = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        self._parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}

    def threads(self, *names):
        """The first of these parameters that is set, as a number of threads; 0 leaves it to the framework."""
        for name in names:
            text = self._parameters.get(name, "")
            if text:
                return int(text)
        return 0


def execute(requests, settings, call, pb_utils):
    """Answer ``requests`` in order. ``call({input: array}) -> [array per output]`` is made once per input shape.

    Triton's dynamic batcher only joins requests of one shape; where a model allows ragged batches, each shape is one
    call. A failing call fails the requests of that call and no others; cancelled requests are not computed.
    """
    responses = [None] * len(requests)
    groups = defaultdict(list)
    for index, request in enumerate(requests):
        if request.is_cancelled():
            error = pb_utils.TritonError("request was cancelled", pb_utils.TritonError.CANCELLED)
            responses[index] = pb_utils.InferenceResponse(error=error)
            continue
        arrays = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in settings.inputs]
        shape = tuple(array.shape[1:] if settings.batched else (index, *array.shape) for array in arrays)
        groups[shape].append((index, arrays))
    for group in groups.values():
        try:
            for index, outputs in _run(group, settings, call):
                tensors = [pb_utils.Tensor(name, outputs[name]) for name in settings.outputs]
                responses[index] = pb_utils.InferenceResponse(output_tensors=tensors)
        except Exception as error:  # the framework's own errors have no common base
            failure = pb_utils.TritonError(f"{type(error).__name__}: {error}", pb_utils.TritonError.INVALID_ARG)
            for index, _ in group:
                responses[index] = pb_utils.InferenceResponse(error=failure)
    return responses


def _run(group, settings, call):
    """One call for a group of one shape; yields (request index, {output: array})."""
    if len(group) == 1:
        index, arrays = group[0]
        results = _typed(call(dict(zip(settings.inputs, arrays, strict=True))), settings)
        yield index, results
        return
    columns = zip(*(arrays for _, arrays in group), strict=True)
    joined = {name: np.concatenate(column) for name, column in zip(settings.inputs, columns, strict=True)}
    results = _typed(call(joined), settings)
    rows = sum(arrays[0].shape[0] for _, arrays in group)
    for name, array in results.items():
        if array.shape[:1] != (rows,):
            raise ValueError(f"output '{name}' has shape {array.shape} for a batch of {rows}")
    start = 0
    for index, arrays in group:
        end = start + arrays[0].shape[0]
        yield index, {name: array[start:end] for name, array in results.items()}
        start = end


def _typed(arrays, settings):
    results = dict(zip(settings.outputs, arrays, strict=True))
    for name, array in results.items():
        expected = settings.output_types[name]
        if array.dtype != expected:
            raise TypeError(f"output '{name}' is {array.dtype}, config.pbtxt says {np.dtype(expected)}")
    return results
