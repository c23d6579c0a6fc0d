"""Models that run on a GPU: their answers, the memory they take, the work they make, TensorRT."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.compare import Tolerance, compare
from contract.errors import ServerError
from contract.golden import Example, read_examples
from contract.manifest import GOLDEN, Manifest
from contract.tensors import Tensors
from tests.gpu.asked import GpuTriton

# TensorFloat-32, which cuDNN, cuBLAS and ONNX Runtime may use for single precision, keeps 10 bits of a fraction.
GPU = Tolerance(atol=2e-3, rtol=2e-3)
HALF = Tolerance(atol=2e-2, rtol=2e-2)
METRICS_S = 2.0  # how often Triton reads NVML

Artifacts = dict[str, tuple[Path, Manifest]]


def admitted(triton: GpuTriton, name: str, folder: Path) -> list[Example]:
    """The golden requests that the server's batch limit admits."""
    most = int(triton.config(name)["max_batch_size"])
    return [example for example in read_examples(folder / GOLDEN) if example.rows <= most]


def answers(triton: GpuTriton, name: str, manifest: Manifest, examples: list[Example]) -> list[Tensors]:
    return [triton.ask(name, manifest.version, example.inputs, manifest.outputs) for example in examples]


def one_of(artifacts: Artifacts, form: str) -> str:
    """A model in this format."""
    found = [name for name in artifacts if name.endswith(f"__{form}")]
    assert found, f"the server's repository has no model as {form}"
    return found[0]


def until(holds: Callable[[], bool], seconds: float) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.2)
    return False


def test_every_golden_request_is_answered_as_the_trained_model_does(triton: GpuTriton, artifacts: Artifacts) -> None:
    for name, (folder, manifest) in artifacts.items():
        triton.load(name)
        record = manifest.formats[name.rpartition("__")[2]]
        tolerance = Tolerance(max(record.atol, GPU.atol), max(record.rtol, GPU.rtol), record.tolerance.agreement)
        examples = admitted(triton, name, folder)
        found = zip(examples, answers(triton, name, manifest, examples), strict=True)
        parity = compare([(example.key, example.outputs, answer) for example, answer in found], tolerance)
        assert parity.passed, f"{name}: {'; '.join(parity.reasons)}"


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_a_loaded_model_takes_memory_of_the_gpu(triton: GpuTriton, artifacts: Artifacts, form: str) -> None:
    name = one_of(artifacts, form)
    triton.load(name)
    folder, manifest = artifacts[name]
    answers(triton, name, manifest, admitted(triton, name, folder)[:4])
    time.sleep(2 * METRICS_S)
    loaded = triton.memory()
    triton.unload(name)
    freed = until(lambda: triton.memory() < loaded, 30)
    triton.load(name)
    assert freed, f"no byte of the GPU's memory came back when {name} was unloaded: it was not on the GPU"
    assert until(lambda: triton.memory() > 0, 2 * METRICS_S)


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_load_is_work_for_the_gpu(triton: GpuTriton, artifacts: Artifacts, form: str) -> None:
    name = one_of(artifacts, form)
    triton.load(name)
    folder, manifest = artifacts[name]
    example = max(admitted(triton, name, folder), key=lambda item: item.rows)
    stop = threading.Event()

    def user() -> None:
        while not stop.is_set():
            triton.ask(name, manifest.version, example.inputs, manifest.outputs)

    threads = [threading.Thread(target=user, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    busy = until(lambda: max(triton.metrics("nv_gpu_utilization").values()) > 0, 15)
    stop.set()
    for thread in threads:
        thread.join()
    assert busy, f"nv_gpu_utilization stayed at 0 while {name} was under load"


def with_tensorrt(config: dict[str, Any], precision: str) -> dict[str, Any]:
    accelerator = {"name": "tensorrt", "parameters": {"precision_mode": precision}}
    optimization = dict(config.get("optimization", {}))
    optimization["execution_accelerators"] = {"gpu_execution_accelerator": [accelerator]}
    return {**config, "optimization": optimization, "model_warmup": []}


def test_tensorrt_answers_within_half_precision_and_not_bit_for_bit(triton: GpuTriton, artifacts: Artifacts) -> None:
    """Half precision leaves its traces: answers equal to the last bit would be CUDA's own."""
    name = one_of(artifacts, "onnx")
    folder, manifest = artifacts[name]
    triton.load(name)
    config = triton.config(name)
    examples = admitted(triton, name, folder)[:8]
    cuda = answers(triton, name, manifest, examples)
    try:
        triton.load(name, with_tensorrt(config, "FP16"))
        tensorrt = answers(triton, name, manifest, examples)
    finally:
        triton.load(name)
    found = zip(examples, tensorrt, strict=True)
    parity = compare([(example.key, example.outputs, answer) for example, answer in found], HALF)
    assert parity.passed, "; ".join(parity.reasons)
    same = all(
        np.array_equal(one[output], other[output]) for one, other in zip(cuda, tensorrt, strict=True) for output in one
    )
    assert not same, "TensorRT in half precision gave CUDA's answers to the last bit: it was not used"


def test_a_precision_that_tensorrt_does_not_have_is_refused(triton: GpuTriton, artifacts: Artifacts) -> None:
    """A native backend that was built without TensorRT, or that runs on a CPU, would not even look."""
    name = one_of(artifacts, "onnx")
    triton.load(name)
    config = triton.config(name)
    try:
        with pytest.raises(ServerError, match="precision"):
            triton.load(name, with_tensorrt(config, "FP99"))
    finally:
        triton.load(name)
