"""config.pbtxt: a ModelConfig message, printed in protobuf's text format.

One file for the local server with python-based backends and for NVIDIA's container: KIND_AUTO (GPU where there is
one) unless a device is named, an explicit count, explicit batching, inputs and outputs always given, warm-up from the
golden batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import Batching, Triton
from contract.golden import Example
from contract.tensors import DTYPES, TensorSpec
from serving.layout.latency_buckets import add_latency_buckets
from serving.layout.onnxruntime_config import cuda_parameters, optimise
from serving.layout.version_policy import version_policy


@dataclass(frozen=True)
class Backend:
    """One row of the backend table."""

    backend: str
    platform: str
    filename: str
    thread_parameter: str
    inter_op_parameter: str


ONNX_RUNTIME = Backend(
    "onnxruntime", "onnxruntime_onnx", "model.onnx", "intra_op_thread_count", "inter_op_thread_count"
)
BACKENDS = {
    "torchscript": Backend("pytorch", "pytorch_libtorch", "model.pt", "INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT"),
    "onnx": ONNX_RUNTIME,
    "onnx-fp16": ONNX_RUNTIME,
    "onnx-int8": ONNX_RUNTIME,
    "savedmodel": Backend(
        "tensorflow", "tensorflow_savedmodel", "model.savedmodel", "TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"
    ),
}
WARM_UP_REQUESTS = 4
KINDS = {
    "auto": pb.ModelInstanceGroup.KIND_AUTO,
    "cpu": pb.ModelInstanceGroup.KIND_CPU,
    "gpu": pb.ModelInstanceGroup.KIND_GPU,
}
TIMEOUT_ACTIONS = {"reject": pb.ModelQueuePolicy.REJECT, "delay": pb.ModelQueuePolicy.DELAY}
ARTIFACT_SHA256 = "artifact_sha256"  # parameter: the bytes that the file was written for
LENGTH_BUCKETS = "length_buckets"  # parameter of the python-based backends: lengths to pad to, as JSON
PYTHON_RUNTIME = "model.py"  # names the python-based backend where a native one would be taken
PADS = (  # what whoever lays out ragged batching should know
    "requests of different lengths are padded by the python-based backend (batching.ragged, length_buckets), which "
    "NVIDIA's native backend of this format cannot: that one is then what has to be deployed"
)


def model_type(dtype: str) -> int:
    """The DataType of config.pbtxt for a dtype of the project."""
    wire = DTYPES[dtype].triton
    return int(pb.DataType.Value("TYPE_STRING" if wire == "BYTES" else f"TYPE_{wire}"))


def warm_up_examples(examples: list[Example], max_batch_size: int) -> list[Example]:
    """A few golden requests of different shapes, the larger ones first, none over the batch limit."""
    by_shape = {
        tuple(array.shape for array in item.inputs.values()): item for item in examples if item.rows <= max_batch_size
    }
    ordered = sorted(by_shape.values(), key=lambda item: -sum(array.size for array in item.inputs.values()))
    step = max(1, len(ordered) // WARM_UP_REQUESTS)
    return ordered[::step][:WARM_UP_REQUESTS]


def warm_up_file(example: Example, name: str) -> str:
    """Name of the raw input below ``<model>/warmup/``."""
    return f"{example.key}.{name}"


def model_config(
    name: str,
    form: str,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    batching: Batching,
    warm_up: list[Example],
    artifact_sha256: str,
    triton: Triton = Triton(),  # noqa: B008 - frozen
    padding: dict[str, float] | None = None,
    latency_buckets: Sequence[float] = (),
    pad_with: dict[str, float] | None = None,
) -> pb.ModelConfig:
    """Build the message. ``dims`` leave out the batch axis, which max_batch_size implies.

    ``padding`` is the value of an axis, ``pad_with`` that of an input, which wins.
    ``latency_buckets`` are bounds in milliseconds; only a release that counts latency reads a message with them.
    """
    row = BACKENDS[form]
    config = pb.ModelConfig(
        name=name,
        backend=row.backend,
        platform=row.platform,
        default_model_filename=row.filename,
        max_batch_size=batching.max_batch_size,
    )
    for field, specs in ((config.input, inputs), (config.output, outputs)):
        for spec in specs:
            tensor = field.add(name=spec.name, data_type=model_type(spec.dtype))
            tensor.dims.extend(spec.shape[1:] or (1,))
            if len(spec.shape) == 1:  # a scalar per row: dims may not be empty
                tensor.reshape.SetInParent()
    _batch(config, batching)
    if batching.ragged:
        _pad(config, inputs, outputs, padding or {}, pad_with or {})
        _pad_to_buckets(config, batching.length_buckets)
    config.instance_group.add(kind=KINDS[triton.device], count=batching.instances, gpus=triton.gpus)
    version_policy(triton.versions).write(config.version_policy)
    parameters = {row.thread_parameter: str(batching.threads), ARTIFACT_SHA256: artifact_sha256}
    if triton.inter_op_threads:
        parameters[row.inter_op_parameter] = str(triton.inter_op_threads)
    if row is ONNX_RUNTIME and triton.cuda:
        parameters |= cuda_parameters(triton.cuda)
    for key, text in (parameters | triton.parameters.get(form, {})).items():
        config.parameters[key].string_value = text
    if form == "torchscript" and triton.device != "cpu":
        # Of the Python backend: tensors that are on a GPU stay there. The native backend does not know it.
        config.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value = "no"
    if row is ONNX_RUNTIME:
        optimise(config, triton)
    if latency_buckets:
        add_latency_buckets(config, latency_buckets)
    for example in warm_up:
        entry = config.model_warmup.add(name=example.key, batch_size=example.rows)
        for spec in inputs:
            source = entry.inputs[spec.name]
            source.data_type = model_type(spec.dtype)
            source.dims.extend(example.inputs[spec.name].shape[1:] or (1,))
            source.input_data_file = warm_up_file(example, spec.name)
    return config


def _batch(config: pb.ModelConfig, batching: Batching) -> None:
    if not batching.dynamic:
        return  # without the block Triton runs every request by itself
    config.dynamic_batching.SetInParent()
    config.dynamic_batching.max_queue_delay_microseconds = batching.max_queue_delay_us
    config.dynamic_batching.preferred_batch_size.extend(batching.preferred_batch_sizes)
    queue = batching.queue
    if queue.max_size or queue.timeout_us or queue.allow_timeout_override:
        policy = config.dynamic_batching.default_queue_policy
        policy.max_queue_size = queue.max_size
        policy.default_timeout_microseconds = queue.timeout_us
        policy.timeout_action = TIMEOUT_ACTIONS[queue.timeout_action]
        policy.allow_timeout_override = queue.allow_timeout_override


def _pad(
    config: pb.ModelConfig,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    padding: dict[str, float],
    pad_with: dict[str, float],
) -> None:
    """Let requests of different lengths be joined; the backend fills the shorter ones and cuts their answers back.

    A native backend would get all of them as one flat tensor, which no exported model takes: so the runtime is named.
    """
    config.runtime = PYTHON_RUNTIME
    fill: dict[str, dict[str, float]] = {}
    source: dict[str, tuple[str, int]] = {}  # axis -> the first input that has it, and where
    for tensor, spec in zip(config.input, inputs, strict=True):
        for number, dim in enumerate(spec.dims):
            if isinstance(dim, str) and dim in padding:
                tensor.allow_ragged_batch = True
                fill.setdefault(spec.name, {})[str(number)] = pad_with.get(spec.name, padding[dim])
                source.setdefault(dim, (spec.name, number))
    cut: dict[str, dict[str, tuple[str, int]]] = {}
    for spec in outputs:
        for number, dim in enumerate(spec.dims):
            if isinstance(dim, str) and dim in source:
                cut.setdefault(spec.name, {})[str(number)] = source[dim]
    config.parameters["padding"].string_value = json.dumps(fill)
    if cut:
        config.parameters["unpad"].string_value = json.dumps(cut)


def _pad_to_buckets(config: pb.ModelConfig, buckets: Sequence[int]) -> None:
    """Let the backend pad further, to one of few lengths: each shape is an engine, a graph or a compilation."""
    if buckets and any(tensor.allow_ragged_batch for tensor in config.input):
        config.parameters[LENGTH_BUCKETS].string_value = json.dumps(list(buckets))


def to_text(config: pb.ModelConfig) -> str:
    """The text format, as Triton reads it."""
    return str(text_format.MessageToString(config))
