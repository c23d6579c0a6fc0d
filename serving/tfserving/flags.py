"""The command line: tensorflow_model_server's flags, by the same names and with the same defaults.

Only --host is ours: tensorflow_model_server listens on every address.

Both ``--flag=value`` and ``--flag value`` are understood. A flag that this server does not have is an error
that names the nearest one: a misspelt flag must not turn into a default.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from importlib import metadata
from typing import Any

from serving.tfserving.errors import SetupError

_INTEGER = re.compile(r"-?[0-9]{1,10}", re.ASCII)
_INT32 = range(-(2**31), 2**31)
_TRUTH = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
# Flags of tensorflow_model_server with nothing behind them here, and the value of each that asks for just that.
_LACKING: dict[str, bool | str | None] = {
    "enable_profiler": False,
    "enable_signature_method_name_check": False,
    "mixed_precision": "",
    "num_tflite_interpreters_per_pool": None,
    "num_tflite_pools": None,
    "platform_config_file": "",
    "prefer_tflite_model": False,
    "rest_api_enable_cors_support": False,
    "ssl_config_file": "",
    "thread_pool_factory_config_file": "",
    "use_alts_credentials": False,
    "xla_cpu_compilation_enabled": False,
    "xla_gpu_compilation_enabled": False,
}
_MAY_BE_NEGATIVE = frozenset(("load_retry_interval_micros",))


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
    rest_api_timeout_in_ms: int = _flag(
        30_000, "a REST run that takes longer is a 504, at its end unless this is below 30000; 0 = no limit"
    )
    rest_api_num_threads: int = _flag(4 * (os.cpu_count() or 1), "no effect: each REST connection has its own thread")
    grpc_max_threads: int = _flag(4 * (os.cpu_count() or 1), "gRPC calls that are answered at a time")
    grpc_channel_arguments: str = _flag("", "gRPC channel arguments: key=value,key=value")
    enable_grpc_healthcheck_service: bool = _flag(False, "also serve grpc.health.v1.Health")
    enable_serialization_as_tensor_content: bool = _flag(False, "answer Predict in tensor_content, not in typed fields")
    file_system_poll_wait_seconds: int = _flag(1, "look for new and vanished versions this often; 0 = only at start")
    model_config_file_poll_wait_seconds: int = _flag(0, "re-read --model_config_file this often; 0 = only at start")
    allow_version_labels_for_unavailable_models: bool = _flag(False, "a new label may wait for its version")
    max_num_load_retries: int = _flag(5, "how often a version that did not load is tried again")
    load_retry_interval_micros: int = _flag(60_000_000, "time between two of these tries; negative = at every look")
    num_load_threads: int = _flag(0, "versions that are loaded side by side; 0 = one after the other")
    num_unload_threads: int = _flag(0, "no effect: a version is unloaded in the thread of its last request")
    flush_filesystem_caches: bool = _flag(True, "no effect: there is no cache of the file system to flush")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(True, "no effect: they are always removed")
    enable_model_warmup: bool = _flag(True, "run the requests of assets.extra/tf_serving_warmup_requests at load time")
    num_request_iterations_for_warmup: int = _flag(0, "run each of them so often; 0 = once")
    tensorflow_session_parallelism: int = _flag(0, "sets both of the next two")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads inside one op; 0 = TensorFlow decides")
    tensorflow_inter_op_parallelism: int = _flag(0, "ops that run side by side; 0 or 1 = in the request's thread")
    tensorflow_session_config_file: str = _flag("", "ConfigProto in text format; flags take precedence over it")
    per_process_gpu_memory_fraction: float = _flag(0.0, "most of a GPU's memory to take, 0.0 to 1.0; 0 = no limit")
    skip_initialize_tpu: bool = _flag(False, "no effect: no TPU is ever initialised")
    enable_batching: bool = _flag(False, "join requests into batches")
    batching_parameters_file: str = _flag("", "BatchingParameters in text format; without it TensorFlow's defaults")
    enable_per_model_batching_parameters: bool = _flag(
        False, "batch only models that have a batching_params.pbtxt in their version directory, by that file"
    )
    monitoring_config_file: str = _flag("", "MonitoringConfig in text format")


@dataclass(frozen=True)
class Parallelism:
    """Threads of a Session inside an op and between ops; 0 leaves it to TensorFlow."""

    intra_op: int
    inter_op: int


def parallelism(settings: Settings) -> Parallelism:
    """What the three flags add up to."""
    intra, inter = settings.tensorflow_intra_op_parallelism, settings.tensorflow_inter_op_parallelism
    if intra or inter:
        return Parallelism(intra, inter)
    return Parallelism(settings.tensorflow_session_parallelism, settings.tensorflow_session_parallelism)


def channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """--grpc_channel_arguments as gRPC options: what reads as a number is one; SetupError without a '='."""
    options: list[tuple[str, int | str]] = []
    for pair in filter(None, text.split(",")):
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise SetupError(f"--grpc_channel_arguments is key=value,key=value, got '{pair}'.")
        number = int(value) if _INTEGER.fullmatch(value) else None
        options.append((key, value if number is None or number not in _INT32 else number))
    return tuple(options)


def usage() -> str:
    """The flags with their defaults, from the one place where they are written."""
    lines = ["usage: python -m serving.tfserving [flags]"]
    for flag in fields(Settings):
        lines.append(f"  --{flag.name}={flag.default}\n        {flag.metadata['help']}")
    return "\n".join(lines)


def version() -> str:
    """What --version prints: the two lines of tensorflow_model_server."""
    api, library = metadata.version("tensorflow-serving-api"), metadata.version("tensorflow")
    return f"TensorFlow ModelServer: embedded stand-in, API {api}\nTensorFlow Library: {library}"


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from argv; SetupError (exit 2) with a next step for anything that is not understood."""
    ours: dict[str, type] = {flag.name: type(flag.default) for flag in fields(Settings)}
    kinds = ours | {name: type(without) for name, without in _LACKING.items()}
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in kinds:
            raise SetupError(_not_a_flag(word, name, sorted(ours)))
        if not equals:
            text = _next_value(name, kinds[name], rest)
        value = _converted(name, kinds[name], text)
        if name in ours:
            given[name] = value
        elif value != _LACKING[name]:
            raise SetupError(_lacking(name))
    return _checked(Settings(**given))


def _not_a_flag(word: str, name: str, known: list[str]) -> str:
    if not word.startswith("--"):
        return f"'{word}' is not a flag; flags begin with --. Use --help to see them."
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return f"unknown flag --{name}; the nearest flag is --{nearest}. Use --help to see all flags."


def _lacking(name: str) -> str:
    off = f", or give --{name}=false" if _LACKING[name] is False else ""
    return f"--{name} exists in tensorflow_model_server but not in the embedded server; leave it out{off}."


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
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            word = "a whole number" if kind is int else "a number"
            raise SetupError(f"--{name} is {word}, got '{text}'.") from None
    return text


def _checked(settings: Settings) -> Settings:
    for name in ("port", "rest_api_port"):
        if not 0 <= getattr(settings, name) <= 65535:
            raise SetupError(f"--{name} is a port from 0 (off) to 65535, got {getattr(settings, name)}.")
    for flag in fields(Settings):
        value = getattr(settings, flag.name)
        if type(value) is int and value < 0 and flag.name not in _MAY_BE_NEGATIVE:
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
    if settings.enable_per_model_batching_parameters and not settings.enable_batching:
        raise SetupError("--enable_per_model_batching_parameters is set without --enable_batching; add it.")
    if settings.grpc_max_threads < 1:
        raise SetupError("--grpc_max_threads must be at least 1.")
    if not 0.0 <= settings.per_process_gpu_memory_fraction <= 1.0:
        raise SetupError(
            "--per_process_gpu_memory_fraction is a part from 0.0 to 1.0, "
            f"got {settings.per_process_gpu_memory_fraction}."
        )
    if (
        settings.tensorflow_session_parallelism
        and settings.tensorflow_intra_op_parallelism
        and settings.tensorflow_inter_op_parallelism
    ):
        raise SetupError(
            "Either configure --tensorflow_session_parallelism or (--tensorflow_intra_op_parallelism, "
            "--tensorflow_inter_op_parallelism) separately. You cannot configure all."
        )
    channel_arguments(settings.grpc_channel_arguments)
    return settings
