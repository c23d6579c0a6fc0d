"""models.config, batching.config and monitoring.config, which every way of running TF Serving takes alike."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from contract.config import Batching


def models_config(models: dict[str, Path]) -> str:
    """A ModelServerConfig in text format: name -> absolute base path of the versions."""
    config = model_server_config_pb2.ModelServerConfig()
    for name, base in models.items():
        entry = config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")
        entry.model_version_policy.latest.num_versions = 1
    return str(text_format.MessageToString(config))


def batching_config(batching: Batching, threads: int) -> str:
    """BatchingParameters in text format. The message is not in the API package; its fields are plain wrappers."""
    values = {
        "max_batch_size": batching.max_batch_size,
        "batch_timeout_micros": batching.max_queue_delay_us,
        "max_enqueued_batches": 100,
        "num_batch_threads": threads,
    }
    return "".join(f"{name} {{ value: {value} }}\n" for name, value in values.items())


MONITORING_CONFIG = 'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'
