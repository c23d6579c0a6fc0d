"""config.pbtxt -> the configuration that a report names. Pure.

What is proven and what is deployed are read by this one function, so that the two can be compared.
"""

from __future__ import annotations

import hashlib
import json

from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2 as pb

from contract.endpoints import Configuration
from serving.layout.onnxruntime_config import GRAPH_LEVELS, PRECISION
from serving.layout.triton_config import ARTIFACT_SHA256, BACKENDS, LENGTH_BUCKETS, ONNX_RUNTIME

LEVELS = {0: "all"} | {level: name for name, level in GRAPH_LEVELS.items()}


def triton_configuration(config: pb.ModelConfig, form: str) -> Configuration:
    """What the message says of an artifact of format ``form``. Raises ValueError where it names no threads."""
    row = BACKENDS[form]
    dynamic, on_onnx = config.HasField("dynamic_batching"), row is ONNX_RUNTIME
    batching = config.dynamic_batching
    queue = batching.default_queue_policy
    return Configuration(
        # Without dynamic batching it only limits the rows of one request.
        max_batch_size=config.max_batch_size if dynamic else None,
        max_queue_delay_us=batching.max_queue_delay_microseconds if dynamic else None,
        instances=sum(group.count for group in config.instance_group),
        threads=int(_parameter(config, row.thread_parameter)),
        ragged=any(tensor.allow_ragged_batch for tensor in config.input),
        length_buckets=json.loads(_parameter(config, LENGTH_BUCKETS) or "[]"),
        preferred_batch_sizes=list(batching.preferred_batch_size),
        queue_max_size=queue.max_queue_size,
        queue_timeout_us=queue.default_timeout_microseconds,
        inter_op_threads=int(_parameter(config, row.inter_op_parameter) or 0),
        graph_level=LEVELS.get(config.optimization.graph.level, "unknown") if on_onnx else None,
        tensorrt=_tensorrt(config) if on_onnx else None,
        config_sha256=config_sha256(config),
    )


def config_sha256(config: pb.ModelConfig) -> str:
    """SHA-256 over everything that decides how the model runs.

    Buckets depend on the release that counts in them, warm-up on the golden batch; the artifact has a hash of its own.
    """
    bare = pb.ModelConfig()
    bare.CopyFrom(config)
    bare.ClearField("model_metrics")
    bare.ClearField("model_warmup")
    if ARTIFACT_SHA256 in bare.parameters:
        del bare.parameters[ARTIFACT_SHA256]
    # JSON with sorted keys: neither protobuf's text nor its bytes are the same in every version of the library.
    text = json_format.MessageToJson(bare, preserving_proto_field_name=True, indent=None, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _parameter(config: pb.ModelConfig, name: str) -> str:
    return config.parameters[name].string_value if name in config.parameters else ""


def _tensorrt(config: pb.ModelConfig) -> str:
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    found = (item.parameters.get(PRECISION, "") for item in accelerators if item.name == "tensorrt")
    return next((precision.lower() for precision in found), "off")
