"""models.config, batching.config and monitoring.config, which every way of running TF Serving takes alike.

Threads and batching are the server's, not a model's: of several models that say something else, the first is heard.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from contract.batching import Batching
from contract.versions import Versions
from serving.layout.version_policy import VersionPolicy, version_policy

MODELS_CONFIG, BATCHING_CONFIG, MONITORING_CONFIG = "models.config", "batching.config", "monitoring.config"
# The flags that a server is told its settings by.
BATCHES = "--enable_batching=true"
PARAMETERS = "--batching_parameters_file="
THREADS = "--tensorflow_intra_op_parallelism="
METRICS = "/monitoring/prometheus/metrics"
UNLIMITED = 100_000  # TF Serving has no word for it
PARAMETER = re.compile(r"^(\w+) \{ value: (\d+) \}$", re.MULTILINE)


def models_config(models: Iterable[tuple[str, Path, Versions]]) -> str:
    """A ModelServerConfig in text format: of each model its name, absolute base path, and which versions of it."""
    config = model_server_config_pb2.ModelServerConfig()
    for name, base, versions in models:
        version_policy(versions).write(add_model(config, name, base).model_version_policy)
    return str(text_format.MessageToString(config))


def add_model(config: Any, name: str, base: Path) -> Any:
    """A further entry of a ModelServerConfig, of whose versions the newest is served."""
    return config.model_config_list.config.add(name=name, base_path=str(base), model_platform="tensorflow")


def read_models(text: str) -> Any:
    """The ModelServerConfig that `models_config` wrote."""
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def policy_of(config: Any, name: str) -> Any:
    """Which versions of a model a ModelServerConfig has served."""
    (entry,) = (entry for entry in config.model_config_list.config if entry.name == name)
    return entry.model_version_policy


def keeping(text: str, name: str, policy: VersionPolicy) -> str:
    """The same configuration, with the versions of one model served that ``policy`` says."""
    config = read_models(text)
    policy.write(policy_of(config, name))
    return str(text_format.MessageToString(config))


def batching_config(batching: Batching, threads: int) -> str:
    """BatchingParameters in text format. The message is not in the API package; its fields are plain wrappers."""
    return "".join(f"{name} {{ value: {value} }}\n" for name, value in batching_parameters(batching, threads).items())


def batching_parameters(batching: Batching, threads: int) -> dict[str, int]:
    """BatchingParameters by name."""
    return {
        "max_batch_size": batching.max_batch_size,
        "batch_timeout_micros": batching.max_queue_delay_us,
        "max_enqueued_batches": _batches(batching),
        "num_batch_threads": threads,
    }


def read_batching(text: str) -> dict[str, int]:
    """BatchingParameters by name, from what `batching_config` wrote."""
    return {name: int(value) for name, value in PARAMETER.findall(text)}


def unheard(models: Mapping[str, Batching], joins: bool) -> list[str]:
    """A sentence for each model that one TF Serving cannot run as models.toml says; ``joins``: whether it batches."""
    settings = {name: _settings(batching, joins) for name, batching in models.items()}
    if not settings:
        return []
    first, heard = next(iter(settings.items()))
    return [
        f"TF Serving has one setting for all its models, that of {first}: {name} runs with {differing}; say the same "
        "of both in models.toml, or serve one of them alone"
        for name, own in settings.items()
        if (
            differing := ", ".join(f"{key} {heard[key]} instead of {own[key]}" for key in own if own[key] != heard[key])
        )
    ]


def _settings(batching: Batching, joins: bool) -> dict[str, int]:
    """What reaches the server, by the names of models.toml."""
    found = {"threads": batching.threads}
    if joins:
        found |= {
            "max_batch_size": batching.max_batch_size,
            "max_queue_delay_us": batching.max_queue_delay_us,
            "queue.max_size": batching.queue.max_size,
        }
    return found


def _batches(batching: Batching) -> int:
    """TF Serving limits its queue in whole batches; a limit in requests becomes the least that holds as many."""
    return -(-batching.queue.max_size // batching.max_batch_size) if batching.queue.max_size else UNLIMITED


MONITORING = f'prometheus_config {{ enable: true, path: "{METRICS}" }}\n'
