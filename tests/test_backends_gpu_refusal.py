"""The GPU suite refuses to pass without a GPU: on this machine, and before servers that answer as one without would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from serving.engines.device import device
from tests.conftest import ROOT

EXTENSIONS = ["model_repository", "model_configuration", "statistics"]
GPU = 'gpu_uuid="GPU-1"'
NVML = f"""# HELP nv_gpu_utilization GPU utilization rate
nv_gpu_utilization{{{GPU}}} 0.000000
nv_gpu_memory_total_bytes{{{GPU}}} 25757220864.000000
nv_gpu_memory_used_bytes{{{GPU}}} 1073741824.000000
nv_gpu_power_usage{{{GPU}}} 30.500000
nv_energy_consumption{{{GPU}}} 1234.000000
"""
ON_CPU = "nv_cpu_utilization 0.5\nnv_cpu_memory_total_bytes 8000000000\n"


def config(backend: str, runtime: str, kind: str) -> dict[str, Any]:
    gpus = [0] if kind == "KIND_GPU" else []
    return {"backend": backend, "runtime": runtime, "instance_group": [{"kind": kind, "gpus": gpus}], "parameters": {}}


def served(path: str, configs: dict[str, dict[str, Any]]) -> Any:
    """What Triton answers on its HTTP port."""
    if path == "/v2":
        return {"name": "triton", "version": "2.72.0", "extensions": EXTENSIONS}
    if path == "/v2/repository/index":
        return [{"name": name, "version": "1", "state": "READY"} for name in configs]
    match = re.fullmatch(r"/v2/models/(\w+)/config", path)
    return configs[match[1]] if match else None


@contextmanager
def listening(answer: Callable[[str], bytes | None]) -> Iterator[int]:
    """A server on a free port of loopback; ``None`` is a 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = answer(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def gpu_suite(target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on the suite as a person would, in a process of its own."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LOADPROOF_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", target, "-q", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def metadata_of(configs: dict[str, dict[str, Any]], metrics: str) -> subprocess.CompletedProcess[str]:
    """The checks that read metadata only, before a fake with these answers."""

    def triton(path: str) -> bytes | None:
        found = served(path, configs)
        return None if found is None else json.dumps(found).encode()

    with ExitStack() as stack:
        port = stack.enter_context(listening(triton))
        figures = stack.enter_context(listening(lambda path: metrics.encode() if path == "/metrics" else None))
        return gpu_suite(
            "tests/gpu/test_metadata.py",
            LOADPROOF_TRITON=f"127.0.0.1:{port}",
            LOADPROOF_TRITON_METRICS=str(figures),
        )


NATIVE = {
    "words__onnx": config("onnxruntime", "libtriton_onnxruntime.so", "KIND_GPU"),
    "words__torchscript": config("pytorch", "libtriton_pytorch.so", "KIND_GPU"),
    "words__savedmodel": config("tensorflow", "model.py", "KIND_GPU"),
}


@pytest.mark.skipif(device() != "cpu", reason="this machine has a GPU")
def test_without_a_gpu_the_suite_fails_with_a_sentence_and_skips_nothing() -> None:
    ended = gpu_suite("tests/gpu")
    assert ended.returncode == 1, ended.stdout
    assert "no NVIDIA GPU: this machine has none, and LOADPROOF_TRITON names no Triton that has one" in ended.stdout
    assert "passed" not in ended.stdout
    assert "skipped" not in ended.stdout


def test_a_triton_on_a_cpu_fails_every_check() -> None:
    ended = metadata_of({"words__onnx": config("onnxruntime", "model.py", "KIND_CPU")}, ON_CPU)
    assert ended.returncode == 1
    assert re.search(r"no NVIDIA GPU: Triton at 127\.0\.0\.1:\d+ has no nv_gpu_memory_total_bytes", ended.stdout)
    assert "passed" not in ended.stdout


def test_instances_on_the_cpu_of_a_machine_with_a_gpu_fail() -> None:
    configs = {"words__onnx": config("onnxruntime", "libtriton_onnxruntime.so", "KIND_CPU")}
    ended = metadata_of(configs, NVML)
    assert ended.returncode == 1
    assert "no NVIDIA GPU: an instance of words__onnx is KIND_CPU" in ended.stdout
    assert "1 failed" in ended.stdout


def test_python_based_backends_do_not_pass_for_native_ones() -> None:
    ended = metadata_of({"words__onnx": config("onnxruntime", "model.py", "KIND_GPU")}, NVML)
    assert ended.returncode == 1
    assert "words__onnx runs model.py and not libtriton_onnxruntime.so" in ended.stdout
    assert "1 failed" in ended.stdout


def test_a_triton_on_a_gpu_passes_the_checks_that_read_metadata() -> None:
    ended = metadata_of(NATIVE, NVML)
    assert ended.returncode == 0, ended.stdout
    assert "skipped" not in ended.stdout


def test_a_server_that_is_not_there_is_told_by_its_address() -> None:
    ended = gpu_suite("tests/gpu/test_metadata.py", LOADPROOF_TRITON="127.0.0.1:9")
    assert ended.returncode == 1
    assert "Triton at 127.0.0.1:11 did not answer GET /metrics" in ended.stdout


def test_an_ordinary_run_passes_the_suite_by() -> None:
    command = [sys.executable, "-m", "pytest", "tests", "--collect-only", "-q", "-p", "no:cacheprovider", "-k", "nvml"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "tests/gpu" not in listed.stdout
