"""The configuration files, read and validated: models, monitoring, batching.

Every complaint is a SetupError that names the file; the texts that scripts look for in the server's stderr
("Error parsing text-format tensorflow.serving.ModelServerConfig ...") are TensorFlow Serving's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.tfserving.errors import SetupError, StatusError, invalid
from serving.tfserving.storage import ModelEntry, VersionPolicy
from serving.tfserving.text_protos import message

PROMETHEUS_PATH = "/monitoring/prometheus/metrics"
_BATCHING_FIELDS = {
    "max_batch_size": "limit",
    "batch_timeout_micros": "timeout_micros",
    "max_enqueued_batches": "enqueued_batches",
    "num_batch_threads": "threads",
    "enable_large_batch_splitting": "splitting",
    "max_execution_batch_size": "execution",
}


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are joined; the defaults are TensorFlow's, and ``limit`` is its max_batch_size.

    A batch that runs has at most ``execution`` rows. Only with ``splitting`` may a request have more, up to
    ``limit``. ``pool`` is the name that a file gives the threads, "" without one.
    """

    limit: int = 1000
    timeout_micros: int = 0
    enqueued_batches: int = 10
    threads: int = os.cpu_count() or 1
    allowed_sizes: tuple[int, ...] = ()
    padding: bool = False
    splitting: bool = False
    execution: int = 1000
    pool: str = ""


def read_models(path: Path) -> tuple[ModelEntry, ...]:
    """The models of a ModelServerConfig file."""
    return _read_models(path) or ()


def reread_models(path: Path) -> tuple[ModelEntry, ...] | None:
    """The same for a file that may be being written at this moment: None while it says nothing at all."""
    return _read_models(path)


def _read_models(path: Path) -> tuple[ModelEntry, ...] | None:
    config = model_server_config_pb2.ModelServerConfig()
    _read_text(path, config, "tensorflow.serving.ModelServerConfig")
    if config.WhichOneof("config") is None:
        return None
    if config.WhichOneof("config") == "custom_model_config":
        raise SetupError(f"{path}: custom_model_config is not supported; list the models in model_config_list.")
    try:
        return model_entries(config)
    except StatusError as error:
        raise SetupError(f"{path}: {error.message}") from error


def single_model(name: str, base_path: str) -> tuple[ModelEntry, ...]:
    """The configuration that --model_name and --model_base_path stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    try:
        return model_entries(config)
    except StatusError as error:
        raise SetupError(f"--model_base_path: {error.message}") from error


def model_entries(config: Any) -> tuple[ModelEntry, ...]:
    """Validate a ModelServerConfig message; INVALID_ARGUMENT when it cannot be served."""
    entries: dict[str, ModelEntry] = {}
    for model in config.model_config_list.config:
        if not model.name:
            raise invalid(f"The model with base_path={model.base_path} has no name; give it one.")
        if model.name in entries:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        if not Path(model.base_path).is_absolute():
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        _check_platform(model)
        entries[model.name] = ModelEntry(
            name=model.name,
            base_path=Path(model.base_path),
            policy=_policy(model.model_version_policy),
            labels=tuple(sorted(model.version_labels.items())),
        )
    return tuple(entries.values())


def read_prometheus_path(path: Path) -> str | None:
    """Where metrics are served according to a MonitoringConfig file, or None when it does not enable them."""
    config = message("MonitoringConfig")
    _read_text(path, config, "tensorflow.serving.MonitoringConfig")
    if not config.prometheus_config.enable:
        return None
    return str(config.prometheus_config.path or PROMETHEUS_PATH)


def read_batching(path: Path) -> BatchingParameters:
    """The parameters of a BatchingParameters file."""
    message_read = message("BatchingParameters")
    _read_text(path, message_read, "tensorflow.serving.BatchingParameters")
    given = {
        field: getattr(message_read, name).value
        for name, field in _BATCHING_FIELDS.items()
        if message_read.HasField(name)
    }
    given.setdefault("limit", BatchingParameters.limit)
    given.setdefault("execution", given["limit"])
    if not given.get("splitting"):
        given["execution"] = given["limit"]
    parameters = BatchingParameters(
        **given,
        allowed_sizes=tuple(message_read.allowed_batch_sizes),
        padding=message_read.pad_variable_length_inputs,
        pool=message_read.thread_pool_name.value,
    )
    _check_batching(path, parameters)
    return parameters


def _check_batching(path: Path, parameters: BatchingParameters) -> None:
    for name, field in _BATCHING_FIELDS.items():
        least = 0 if name in ("batch_timeout_micros", "enable_large_batch_splitting") else 1
        value = getattr(parameters, field)
        if value < least:
            raise SetupError(f"{path}: {name} must be at least {least}, got {value}.")
    if parameters.execution > parameters.limit:
        raise SetupError(
            f"{path}: max_execution_batch_size must not exceed max_batch_size, got {parameters.execution}."
        )
    sizes = list(parameters.allowed_sizes)
    if sizes != sorted(set(sizes)):
        raise SetupError(f"{path}: allowed_batch_sizes must increase from entry to entry, got {sizes}.")
    if sizes and sizes[-1] not in (parameters.limit, parameters.execution):
        raise SetupError(
            f"{path}: Last entry in allowed_batch_sizes must match max_batch_size; "
            f"last entry was {sizes[-1]}; expected {parameters.limit}"
        )


def _check_platform(model: Any) -> None:
    if model.model_type and model.model_platform:
        raise invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform."
        )
    platform = "tensorflow" if model.model_type == model_server_config_pb2.TENSORFLOW else model.model_platform
    if not platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    if platform != "tensorflow":
        raise invalid(f"Model {model.name} requests unsupported platform {platform}")


def _policy(policy: Any) -> VersionPolicy:
    match policy.WhichOneof("policy_choice"):
        case "all":
            return VersionPolicy("all")
        case "specific":
            return VersionPolicy("specific", versions=tuple(policy.specific.versions))
        case _:
            return VersionPolicy("latest", count=max(policy.latest.num_versions, 1))


def read_text_file(path: Path, type_name: str) -> str:
    """The text of a file; SetupError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"Could not read the {type_name} file {path}: {error}") from error


def parse_text(text: str, into: Any, type_name: str, path: object) -> None:
    """Fill a message from text format; SetupError with line and column if it is not that."""
    try:
        text_format.Parse(text, into)
    except text_format.ParseError as error:
        raise SetupError(f"Error parsing text-format {type_name}: {error} (file {path})") from error


def _read_text(path: Path, into: Any, type_name: str) -> None:
    parse_text(read_text_file(path, type_name), into, type_name, path)
