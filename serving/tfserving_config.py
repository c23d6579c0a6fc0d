"""models.config, batching.config and monitoring.config, which every way of running TF Serving takes alike."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from contract.batching import Batching

UNLIMITED = 100_000  # TF Serving has no word for it


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
        "max_enqueued_batches": _batches(batching),
        "num_batch_threads": threads,
    }
    return "".join(f"{name} {{ value: {value} }}\n" for name, value in values.items())


def _batches(batching: Batching) -> int:
    """TF Serving limits its queue in whole batches; a limit in requests becomes the least that holds as many."""
    return -(-batching.queue.max_size // batching.max_batch_size) if batching.queue.max_size else UNLIMITED


MONITORING_CONFIG = 'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'
