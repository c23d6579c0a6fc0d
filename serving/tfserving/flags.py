"""The command line: tensorflow_model_server's flags, by the same names.

The defaults are its own too, but for one: there is no REST timeout until --rest_api_timeout_in_ms asks for
it. Only a run in a thread pool can be timed, and the pool costs a small model more than the model itself.

Both ``--flag=value`` and ``--flag value`` are understood. A flag that this server does not have is an error
that names the nearest one: a misspelt flag must not turn into a default.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from serving.tfserving.errors import SetupError

_TRUTH = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
# flags of tensorflow_model_server that this server deliberately lacks
_ELSEWHERE = frozenset(
    (
        "allow_version_labels_for_unavailable_models",
        "enable_grpc_healthcheck_service",
        "enable_model_warmup",
        "enable_per_model_batching_parameters",
        "enable_profiler",
        "enable_serialization_as_tensor_content",
        "enable_signature_method_name_check",
        "file_system_poll_wait_seconds",
        "flush_filesystem_caches",
        "grpc_channel_arguments",
        "load_retry_interval_micros",
        "max_num_load_retries",
        "mixed_precision",
        "model_config_file_poll_wait_seconds",
        "num_load_threads",
        "num_request_iterations_for_warmup",
        "num_tflite_interpreters",
        "num_tflite_pools",
        "num_unload_threads",
        "per_process_gpu_memory_fraction",
        "platform_config_file",
        "prefer_tflite_model",
        "remove_unused_fields_from_bundle_metagraph",
        "rest_api_enable_cors_support",
        "rest_api_num_threads",
        "skip_initialize_tpu",
        "ssl_config_file",
        "tensorflow_session_config_file",
        "tensorflow_session_parallelism",
        "thread_pool_factory_config_file",
        "use_alts_credentials",
        "version",
        "xla_cpu_compilation_enabled",
    )
)


def _flag(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Settings:
    """One field for each flag."""

    host: str = _flag("127.0.0.1", "address to listen on; nothing beyond this machine unless you say so")
    port: int = _flag(8500, "gRPC port; 0 turns it off")
    rest_api_port: int = _flag(0, "REST port; 0 turns it off")
    grpc_socket_path: str = _flag("", "also serve gRPC on this unix socket")
    model_config_file: str = _flag("", "ModelServerConfig in text format; then the two flags below are ignored")
    model_name: str = _flag("default", "name of the model in --model_base_path")
    model_base_path: str = _flag("", "absolute path of the directory that holds the version directories")
    saved_model_tags: str = _flag("serve", "tags of the MetaGraph to load, separated by commas")
    rest_api_timeout_in_ms: int = _flag(0, "a REST run that takes longer is a 504; 0 = no limit and less work per run")
    grpc_max_threads: int = _flag(4 * (os.cpu_count() or 1), "threads that answer gRPC")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads inside one op; 0 = TensorFlow decides")
    tensorflow_inter_op_parallelism: int = _flag(0, "ops that run side by side; 0 or 1 = in the request's thread")
    enable_batching: bool = _flag(False, "accepted; this server runs requests singly and says so")
    batching_parameters_file: str = _flag("", "BatchingParameters in text format: validated, then ignored")
    monitoring_config_file: str = _flag("", "MonitoringConfig in text format")


def usage() -> str:
    """The flags with their defaults, from the one place where they are written."""
    lines = ["usage: python -m serving.tfserving [flags]"]
    for flag in fields(Settings):
        lines.append(f"  --{flag.name}={flag.default}\n        {flag.metadata['help']}")
    return "\n".join(lines)


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from argv; SetupError (exit 2) with a next step for anything that is not understood."""
    kinds: dict[str, type] = {flag.name: type(flag.default) for flag in fields(Settings)}
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in kinds:
            raise SetupError(_not_a_flag(word, name, sorted(kinds)))
        if not equals:
            text = _next_value(name, kinds[name], rest)
        given[name] = _converted(name, kinds[name], text)
    return _checked(Settings(**given))


def _not_a_flag(word: str, name: str, known: list[str]) -> str:
    if not word.startswith("--"):
        return f"'{word}' is not a flag; flags begin with --. Use --help to see them."
    if name in _ELSEWHERE:
        return f"--{name} exists in tensorflow_model_server but not in the embedded server; leave it out."
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"unknown flag --{name}; the nearest flag is --{nearest}. Use --help to see all flags."


def _next_value(name: str, kind: type, rest: list[str]) -> str:
    if kind is bool:
        return rest.pop(0) if rest and rest[0].lower() in _TRUTH else "true"
    if not rest or rest[0].startswith("--"):
        raise SetupError(f"--{name} needs a value: --{name}=...")
    return rest.pop(0)


def _converted(name: str, kind: type, text: str) -> Any:
    if kind is bool:
        if text.lower() not in _TRUTH:
            raise SetupError(f"--{name} is true or false, got '{text}'.")
        return _TRUTH[text.lower()]
    if kind is int:
        try:
            return int(text)
        except ValueError:
            raise SetupError(f"--{name} is a whole number, got '{text}'.") from None
    return text


def _checked(settings: Settings) -> Settings:
    for name in ("port", "rest_api_port"):
        if not 0 <= getattr(settings, name) <= 65535:
            raise SetupError(f"--{name} is a port from 0 (off) to 65535, got {getattr(settings, name)}.")
    for flag in fields(Settings):
        value = getattr(settings, flag.name)
        if type(value) is int and value < 0:
            raise SetupError(f"--{flag.name} cannot be negative, got {value}.")
    if not settings.port and not settings.rest_api_port and not settings.grpc_socket_path:
        raise SetupError("Nothing to serve on: give --port, --rest_api_port or --grpc_socket_path.")
    if settings.port and settings.port == settings.rest_api_port:
        raise SetupError(
            f"--rest_api_port cannot be same as --port, both are {settings.port}. "
            "Please use a different port for HTTP/REST API."
        )
    if not settings.model_config_file and not settings.model_base_path:
        raise SetupError("No model: give --model_base_path or --model_config_file.")
    if settings.batching_parameters_file and not settings.enable_batching:
        raise SetupError("--batching_parameters_file is set without --enable_batching; add it, or leave both out.")
    if settings.grpc_max_threads < 1:
        raise SetupError("--grpc_max_threads must be at least 1.")
    return settings
