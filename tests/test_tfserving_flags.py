"""The command line: which flags there are, what they mean together, and what a wrong one says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields

import pytest

from serving.tfserving import flags
from serving.tfserving.__main__ import main
from serving.tfserving.errors import SetupError
from serving.tfserving.flags import Parallelism, Settings
from tests.conftest import ROOT

BASE = ("--model_base_path=/models/m",)
# Of tensorflow_model_server 2.20, but for --version, which is no setting.
ORIGINAL = """
allow_version_labels_for_unavailable_models batching_parameters_file enable_batching enable_grpc_healthcheck_service
enable_model_warmup enable_per_model_batching_parameters enable_profiler enable_serialization_as_tensor_content
enable_signature_method_name_check file_system_poll_wait_seconds flush_filesystem_caches grpc_channel_arguments
grpc_max_threads grpc_socket_path load_retry_interval_micros max_num_load_retries mixed_precision model_base_path
model_config_file model_config_file_poll_wait_seconds model_name monitoring_config_file num_load_threads
num_request_iterations_for_warmup num_tflite_interpreters_per_pool num_tflite_pools num_unload_threads
per_process_gpu_memory_fraction platform_config_file port prefer_tflite_model
remove_unused_fields_from_bundle_metagraph rest_api_enable_cors_support rest_api_num_threads rest_api_port
rest_api_timeout_in_ms saved_model_tags skip_initialize_tpu ssl_config_file tensorflow_inter_op_parallelism
tensorflow_intra_op_parallelism tensorflow_session_config_file tensorflow_session_parallelism
thread_pool_factory_config_file use_alts_credentials xla_cpu_compilation_enabled xla_gpu_compilation_enabled
"""


def test_both_spellings_of_a_flag_mean_the_same() -> None:
    joined = flags.parse([*BASE, "--port=1", "--enable_batching=true", "--model_name=a=b"])
    apart = flags.parse([*BASE, "--port", "1", "--enable_batching", "--model_name", "a=b"])
    assert joined == apart
    assert (joined.port, joined.rest_api_port, joined.host) == (1, 0, "127.0.0.1")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([*BASE, "--prot=1"], "the nearest flag is --port"),
        ([*BASE, "--rest_port=1"], "the nearest flag is --rest_api_port"),
        ([*BASE, "--enable_profiler"], "not in the embedded server; leave it out, or give --enable_profiler=false."),
        ([*BASE, "--enable_profiler=maybe"], "--enable_profiler is true or false, got 'maybe'"),
        ([*BASE, "--ssl_config_file=/etc/ssl.cfg"], "not in the embedded server; leave it out."),
        ([*BASE, "--num_tflite_pools"], "--num_tflite_pools needs a value"),
        ([*BASE, "--ssl_confg_file="], "unknown flag --ssl_confg_file"),
        ([*BASE, "8500"], "'8500' is not a flag"),
        ([*BASE, "--port=high"], "--port is a whole number, got 'high'"),
        ([*BASE, "--port=70000"], "--port is a port from 0 (off) to 65535, got 70000"),
        ([*BASE, "--enable_batching=maybe"], "--enable_batching is true or false"),
        ([*BASE, "--port", "--host=x"], "--port needs a value"),
        ([*BASE, "--port=0"], "Nothing to serve on"),
        ([*BASE, "--port=5", "--rest_api_port=5"], "--rest_api_port cannot be same as --port"),
        ([*BASE, "--batching_parameters_file=x"], "without --enable_batching"),
        ([*BASE, "--grpc_max_threads=0"], "--grpc_max_threads must be at least 1"),
        ([], "give --model_base_path or --model_config_file"),
    ],
)
def test_a_wrong_flag_is_a_sentence_with_a_next_step(arguments: list[str], text: str) -> None:
    with pytest.raises(SetupError) as caught:
        flags.parse(arguments)
    assert text in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ORIGINAL.split())
def test_a_flag_of_the_original_is_one_here_or_refused_as_one_of_its_own(name: str) -> None:
    if name in {flag.name for flag in fields(Settings)}:
        return
    with pytest.raises(SetupError, match=f"^--{name} exists in tensorflow_model_server but not in the embedded"):
        flags.parse([*BASE, f"--{name}=1"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--enable_profiler=false"],
        ["--enable_profiler", "false"],
        ["--enable_signature_method_name_check=0"],
        ["--prefer_tflite_model=F"],
        ["--rest_api_enable_cors_support=false"],
        ["--use_alts_credentials=false"],
        ["--xla_cpu_compilation_enabled=false", "--xla_gpu_compilation_enabled=false"],
        ["--ssl_config_file="],
        ["--ssl_config_file", ""],
        ["--mixed_precision=", "--platform_config_file=", "--thread_pool_factory_config_file="],
    ],
)
def test_to_ask_for_what_is_not_here_to_be_off_changes_nothing(arguments: list[str]) -> None:
    assert flags.parse([*BASE, *arguments, "--port=1"]) == flags.parse([*BASE, "--port=1"])


def test_help_lists_every_flag_with_its_default() -> None:
    assert "--rest_api_timeout_in_ms=30000" in flags.usage()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--file_system_poll_wait_seconds=-1"], "--file_system_poll_wait_seconds cannot be negative"),
        (["--grpc_channel_arguments=grpc.max_connection_age_ms"], "key=value,key=value"),
        (["--per_process_gpu_memory_fraction=2"], "from 0.0 to 1.0, got 2.0"),
        (["--per_process_gpu_memory_fraction=half"], "is a number, got 'half'"),
        (["--enable_per_model_batching_parameters"], "without --enable_batching"),
        (
            [
                "--tensorflow_session_parallelism=1",
                "--tensorflow_intra_op_parallelism=1",
                "--tensorflow_inter_op_parallelism=1",
            ],
            "You cannot configure all.",
        ),
    ],
)
def test_flags_that_contradict_each_other_or_make_no_sense_are_refused(arguments: list[str], text: str) -> None:
    with pytest.raises(SetupError) as caught:
        flags.parse([*BASE, *arguments])
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Parallelism(0, 0)),
        (["--tensorflow_session_parallelism=3"], Parallelism(3, 3)),
        (["--tensorflow_session_parallelism=3", "--tensorflow_intra_op_parallelism=2"], Parallelism(2, 0)),
        (["--tensorflow_inter_op_parallelism=4"], Parallelism(0, 4)),
    ],
)
def test_the_flag_for_both_kinds_of_parallelism_gives_way_to_those_for_one(
    arguments: list[str], expected: Parallelism
) -> None:
    assert flags.parallelism(flags.parse([*BASE, *arguments])) == expected


def test_channel_arguments_are_numbers_where_they_read_as_numbers() -> None:
    text = "grpc.max_connection_age_ms=2000,grpc.lb_policy_name=grpclb"
    assert flags.channel_arguments(text) == (
        ("grpc.max_connection_age_ms", 2000),
        ("grpc.lb_policy_name", "grpclb"),
    )
    assert flags.channel_arguments("") == ()


def test_a_channel_argument_is_a_number_only_where_grpc_can_hold_it() -> None:
    assert flags.channel_arguments("a=2147483647,b=-2147483648,c=2147483648") == (
        ("a", 2147483647),
        ("b", -2147483648),
        ("c", "2147483648"),
    )


def test_the_defaults_are_those_of_the_original() -> None:
    settings = flags.parse(BASE)
    assert settings.file_system_poll_wait_seconds == 1
    assert settings.rest_api_timeout_in_ms == 30_000
    assert settings.model_config_file_poll_wait_seconds == 0
    assert (settings.max_num_load_retries, settings.load_retry_interval_micros) == (5, 60_000_000)
    assert settings.enable_model_warmup and settings.flush_filesystem_caches
    assert not settings.enable_batching and not settings.enable_grpc_healthcheck_service


def test_a_retry_interval_may_be_negative() -> None:
    assert flags.parse([*BASE, "--load_retry_interval_micros=-1"]).load_retry_interval_micros == -1


@pytest.mark.parametrize(("argument", "words"), [("--help", b"--rest_api_port"), ("--version", b"TensorFlow Library")])
def test_who_asks_through_a_pipe_is_told(argument: str, words: bytes) -> None:
    command = [sys.executable, "-m", "serving.tfserving", argument]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # which would flush for it
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=60, check=True)
    assert words in done.stdout


def test_version_is_printed_without_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("TensorFlow ModelServer: ")
    assert second.startswith("TensorFlow Library: 2.")
