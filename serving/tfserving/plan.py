"""What to serve and where, known before anything slow happens.

TensorFlow takes seconds to import and models take longer to load; a misspelt configuration or a port that is
taken should not wait for either. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from serving.tfserving import config
from serving.tfserving.config import BatchingParameters
from serving.tfserving.errors import SetupError
from serving.tfserving.flags import Settings
from serving.tfserving.storage import ModelEntry


@dataclass(frozen=True)
class Plan:
    """What the files named by the flags ask for, read before anything slow happens."""

    settings: Settings
    models: tuple[ModelEntry, ...]
    metrics_path: str | None
    batching: BatchingParameters | None = None
    session_config: str = ""
    notes: list[str] = field(default_factory=list)


def read_plan(settings: Settings) -> Plan:
    """Read every file that the flags name; SetupError if one is wrong."""
    notes = []
    if settings.model_config_file:
        models = config.read_models(Path(settings.model_config_file))
    else:
        models = config.single_model(settings.model_name, settings.model_base_path)
    batching = None
    if settings.enable_batching:
        file = settings.batching_parameters_file
        batching = config.read_batching(Path(file)) if file else BatchingParameters()
        if batching.pool:
            notes.append(
                f"thread_pool_name '{batching.pool}' of {file} has no effect: all models share one pool of threads, "
                "as in TensorFlow Serving, and the metrics call it batch_threads"
            )
    session_config = ""
    if settings.tensorflow_session_config_file:
        session_config = config.read_text_file(Path(settings.tensorflow_session_config_file), "ConfigProto")
    metrics_path = None
    if settings.monitoring_config_file:
        metrics_path = config.read_prometheus_path(Path(settings.monitoring_config_file))
        if metrics_path is not None and not settings.rest_api_port:
            notes.append("metrics are served on the REST port, which is off; give --rest_api_port to see them")
    if not _is_loopback(settings.host):
        notes.append(
            f"WARNING: listening on {settings.host}: whoever reaches this machine can call every model, read "
            "the metrics and replace the models (HandleReloadConfigRequest); there is no authentication"
        )
    return Plan(settings, models, metrics_path, batching, session_config, notes)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_ports(settings: Settings) -> None:
    """Fail early if a TCP port is taken; SetupError (exit 3) names port and flag."""
    for port, flag in ((settings.port, "port"), (settings.rest_api_port, "rest_api_port")):
        if not port:
            continue
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as error:
                raise port_error(settings.host, port, flag, error) from error


def host_port(host: str, port: int) -> str:
    """An address as people and gRPC write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_error(host: str, port: int, flag: str, error: OSError) -> SetupError:
    """The sentence for a port that cannot be had."""
    return SetupError(
        f"Cannot listen on {host_port(host, port)}: {error.strerror}. "
        f"Stop what uses port {port}, or choose another with --{flag}.",
        exit_code=3,
    )
