"""The configuration files, read and validated: models, monitoring, batching.

Every complaint is a SetupError that names the file; the texts that scripts look for in the server's stderr
("Error parsing text-format tensorflow.serving.ModelServerConfig ...") are TensorFlow Serving's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from serving.tfserving.errors import SetupError, StatusError, invalid
from serving.tfserving.storage import ModelEntry, VersionPolicy
from serving.tfserving.text_protos import message

PROMETHEUS_PATH = "/monitoring/prometheus/metrics"


def read_models(path: Path) -> tuple[ModelEntry, ...]:
    """The models of a ModelServerConfig file."""
    config = model_server_config_pb2.ModelServerConfig()
    _read_text(path, config, "tensorflow.serving.ModelServerConfig")
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


def check_batching(path: Path) -> None:
    """Validate a BatchingParameters file, so that a mistake shows here and not on the real server."""
    parameters = message("BatchingParameters")
    _read_text(path, parameters, "tensorflow.serving.BatchingParameters")
    sizes = list(parameters.allowed_batch_sizes)
    if sizes != sorted(set(sizes)):
        raise SetupError(f"{path}: allowed_batch_sizes must increase from entry to entry, got {sizes}.")
    largest = parameters.max_batch_size.value
    splitting = parameters.enable_large_batch_splitting.value
    if sizes and parameters.HasField("max_batch_size") and not splitting and sizes[-1] != largest:
        raise SetupError(
            f"{path}: the last of allowed_batch_sizes must be max_batch_size, got {sizes[-1]} and {largest}."
        )
    for name in ("max_batch_size", "num_batch_threads"):
        if parameters.HasField(name) and getattr(parameters, name).value < 1:
            raise SetupError(f"{path}: {name} must be at least 1, got {getattr(parameters, name).value}.")


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


def _read_text(path: Path, into: Any, type_name: str) -> None:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"Could not read the {type_name} file {path}: {error}") from error
    try:
        text_format.Parse(text, into)
    except text_format.ParseError as error:
        raise SetupError(f"Error parsing text-format {type_name}: {error} (file {path})") from error
