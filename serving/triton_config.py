"""config.pbtxt: a ModelConfig message, printed in protobuf's text format.

One file for the local server with python-based backends and for NVIDIA's container: KIND_AUTO (GPU where there is
one), an explicit count, explicit batching, inputs and outputs always given, warm-up from the golden batch.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.config import Batching
from contract.golden import Example
from contract.tensors import DTYPES, TensorSpec


@dataclass(frozen=True)
class Backend:
    """One row of the backend table."""

    backend: str
    platform: str
    filename: str
    thread_parameter: str


ONNX_RUNTIME = Backend("onnxruntime", "onnxruntime_onnx", "model.onnx", "intra_op_thread_count")
BACKENDS = {
    "torchscript": Backend("pytorch", "pytorch_libtorch", "model.pt", "INTRA_OP_THREAD_COUNT"),
    "onnx": ONNX_RUNTIME,
    "onnx-fp16": ONNX_RUNTIME,
    "onnx-int8": ONNX_RUNTIME,
    "savedmodel": Backend("tensorflow", "tensorflow_savedmodel", "model.savedmodel", "TF_NUM_INTRA_THREADS"),
}
WARM_UP_REQUESTS = 4


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
) -> pb.ModelConfig:
    """Build the message. ``dims`` leave out the batch axis, which max_batch_size implies."""
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
    config.dynamic_batching.SetInParent()  # without it Triton would not batch at all
    config.dynamic_batching.max_queue_delay_microseconds = batching.max_queue_delay_us
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_AUTO, count=batching.instances)
    config.version_policy.latest.num_versions = 1
    config.parameters[row.thread_parameter].string_value = str(batching.threads)
    config.parameters["artifact_sha256"].string_value = artifact_sha256
    for example in warm_up:
        entry = config.model_warmup.add(name=example.key, batch_size=example.rows)
        for spec in inputs:
            source = entry.inputs[spec.name]
            source.data_type = model_type(spec.dtype)
            source.dims.extend(example.inputs[spec.name].shape[1:] or (1,))
            source.input_data_file = warm_up_file(example, spec.name)
    return config


def to_text(config: pb.ModelConfig) -> str:
    """The text format, as Triton reads it."""
    return str(text_format.MessageToString(config))
