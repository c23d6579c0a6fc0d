"""Each backend's own file: what it makes of config.pbtxt, and that it imports its framework only when it must."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import json_format

from contract.batching import Batching, Cuda, TensorRT, Triton
from serving.layout.triton_config import model_config
from tests.builders import LOGITS, TOKENS
from tests.conftest import ROOT
from tests.test_backends_batch import PB_UTILS, reading, settings

BACKENDS = ROOT / "serving" / "backends"
FRAMEWORKS = ("onnxruntime", "pytorch", "tensorflow")


def load(name: str) -> Any:
    """A backend's model.py, as Triton's stub imports it: beside batch.py and Triton's module."""
    spec = importlib.util.spec_from_file_location(f"{name}_model", BACKENDS / name / "model.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(BACKENDS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    pb_utils: Any = ModuleType("triton_python_backend_utils")
    vars(pb_utils).update(vars(PB_UTILS))
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", pb_utils)


def child(script: str) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own: torch and TensorFlow never share one."""
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_importing_a_backend_imports_no_framework(name: str) -> None:
    script = f"""
import sys, types
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
sys.path[:0] = [{str(BACKENDS)!r}, {str(BACKENDS / name)!r}]
import model
print({{"torch", "tensorflow", "onnxruntime"}} & set(sys.modules))
"""
    ended = child(script)
    assert ended.stdout.strip() == "set()", ended.stderr


def on_gpu(accelerators: list[dict[str, Any]], parameters: dict[str, str] | None = None) -> Any:
    """Settings of an instance on GPU 2."""
    return settings(
        model_instance_kind="GPU",
        model_instance_device_id="2",
        optimization={"execution_accelerators": {"gpu_execution_accelerator": accelerators}},
        parameters={key: {"string_value": text} for key, text in (parameters or {}).items()},
    )


def test_a_cpu_instance_has_the_cpus_provider_alone_whatever_the_gpu_would_get() -> None:
    accelerators = {"gpu_execution_accelerator": [{"name": "tensorrt", "parameters": {"precision_mode": "FP16"}}]}
    found = load("onnxruntime").providers(settings(optimization={"execution_accelerators": accelerators}))
    assert found == [("CPUExecutionProvider", {})]


def test_a_gpu_instance_tries_cuda_on_its_own_device() -> None:
    found = load("onnxruntime").providers(on_gpu([], {"gpu_mem_limit": "1000"}))
    cuda = {"device_id": "2", "gpu_mem_limit": "1000"}
    assert found == [("CUDAExecutionProvider", cuda), ("CPUExecutionProvider", {})]


def test_tensorrt_comes_before_cuda_with_the_providers_own_names() -> None:
    parameters = {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": "1073741824",
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": "/cache",
        "int8_use_native_calibration_table": "0",
    }
    found = load("onnxruntime").providers(on_gpu([{"name": "tensorrt", "parameters": parameters}]))
    assert [name for name, _ in found] == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ]
    assert found[0][1] == {
        "device_id": "2",
        "trt_fp16_enable": "1",
        "trt_max_workspace_size": "1073741824",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/cache",
        "trt_int8_use_native_calibration_table": "0",
    }


def test_numbers_that_mean_names_are_translated_for_cuda() -> None:
    parameters = {"cudnn_conv_algo_search": "1", "arena_extend_strategy": "kSameAsRequested"}
    (_, cuda), _ = load("onnxruntime").providers(on_gpu([{"name": "cuda", "parameters": parameters}]))
    assert cuda["cudnn_conv_algo_search"] == "HEURISTIC"
    assert cuda["arena_extend_strategy"] == "kSameAsRequested"


def test_what_models_toml_says_of_tensorrt_reaches_the_provider() -> None:
    profiles = {
        "trt_profile_min_shapes": "tokens:1x1",
        "trt_profile_opt_shapes": "tokens:8x16",
        "trt_profile_max_shapes": "tokens:32x64",
    }
    wanted = TensorRT(
        workspace_mib=1, engine_cache="/tmp/engines", options=profiles | {"trt_cuda_graph_enable": "true"}
    )
    made = model_config("words", "onnx", [TOKENS], [LOGITS], Batching(), [], "a" * 64, Triton(tensorrt=wanted))
    read = json_format.MessageToDict(made, preserving_proto_field_name=True)
    accelerators = read["optimization"]["execution_accelerators"]["gpu_execution_accelerator"]
    (_, tensorrt), _, _ = load("onnxruntime").providers(on_gpu(accelerators))
    assert tensorrt == {
        "device_id": "2",
        "trt_fp16_enable": "1",
        "trt_max_workspace_size": "1048576",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/tmp/engines",
        "trt_cuda_graph_enable": "1",
        **profiles,
    }


def test_what_models_toml_says_of_cuda_reaches_the_provider() -> None:
    wanted = Cuda(
        gpu_mem_limit_mib=2,
        cudnn_conv_algo_search="default",
        arena_extend_strategy="same-as-requested",
        options={"use_tf32": "0"},
    )
    made = model_config("words", "onnx", [TOKENS], [LOGITS], Batching(), [], "a" * 64, Triton(cuda=wanted))
    read = json_format.MessageToDict(made, preserving_proto_field_name=True)
    accelerators = read["optimization"]["execution_accelerators"]["gpu_execution_accelerator"]
    parameters = {name: value["string_value"] for name, value in read["parameters"].items()}
    (_, cuda), _ = load("onnxruntime").providers(on_gpu(accelerators, parameters))
    assert cuda == {
        "device_id": "2",
        "gpu_mem_limit": "2097152",
        "cudnn_conv_algo_search": "DEFAULT",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "1",
        "use_tf32": "0",
    }


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("openvino", {}, "unknown execution accelerator 'openvino'; one of tensorrt, cuda"),
        ("tensorrt", {"precision_mode": "FP8"}, "precision_mode is 'FP8'; one of FP32, FP16, BF16, INT8"),
        ("tensorrt", {"precision": "FP16"}, "unknown parameter 'precision'"),
        ("tensorrt", {"max_workspace_size_bytes": "1G"}, "max_workspace_size_bytes is '1G'; give a number of bytes"),
        ("tensorrt", {"trt_cuda_graph_enable": "sure"}, "trt_cuda_graph_enable is 'sure'; give 1 or 0"),
        ("cuda", {"cudnn_conv_algo_search": "3"}, "one of 0 (EXHAUSTIVE), 1 (HEURISTIC), 2 (DEFAULT)"),
    ],
)
def test_an_accelerator_that_is_not_understood_is_an_error_in_words(
    name: str, parameters: dict[str, str], words: str
) -> None:
    with pytest.raises(reading.ConfigError) as caught:
        load("onnxruntime").providers(on_gpu([{"name": name, "parameters": parameters}]))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "raised", "words"),
    [
        ("GPU", reading.ConfigError, r"INPUT_TENSORS is no: TensorFlow's .* leave that parameter out"),
        ("CPU", ImportError, "tensorflow"),  # it goes on: there the parameter is nothing
    ],
)
def test_tensorflow_refuses_to_leave_tensors_on_a_gpu_before_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, kind: str, raised: type[Exception], words: str
) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "TF_CPP_MIN_LOG_LEVEL"):  # which it sets, and which are put back
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # to import it would fail
    config = {
        "input": [{"name": "x", "data_type": "TYPE_FP32"}],
        "output": [{"name": "y", "data_type": "TYPE_FP32"}],
        "parameters": {"FORCE_CPU_ONLY_INPUT_TENSORS": {"string_value": "no"}},
    }
    instance = {"model_instance_kind": kind, "model_instance_device_id": "0"}
    with pytest.raises(raised, match=words):
        load("tensorflow").TritonPythonModel().initialize({"model_config": json.dumps(config), **instance})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["INPUT__1", "INPUT__0"], ["INPUT__0", "INPUT__1"]),
        (["b__10", "a__2"], ["a__2", "b__10"]),
        (["second", "first__0"], ["second", "first__0"]),
    ],
)
def test_torchs_tensors_are_ordered_by_their_index_where_all_have_one(names: list[str], expected: list[str]) -> None:
    assert load("pytorch").in_order(names) == expected


ON_DEVICE = f"""
import json, sys, types
import numpy as np, torch
sys.path[:0] = [{str(BACKENDS)!r}, {str(BACKENDS / "pytorch")!r}, {str(ROOT)!r}]
from tests.test_backends_batch import PB_UTILS, Request, settings
pb_utils = types.ModuleType("triton_python_backend_utils")
vars(pb_utils).update(vars(PB_UTILS))
class OnDevice:  # the machine's memory in the part of a GPU's
    def __init__(self, name, tensor): self.label, self.array = name, tensor
    def name(self): return self.label
    def is_cpu(self): return False
    def to_dlpack(self): return torch.utils.dlpack.to_dlpack(self.array)
    @staticmethod
    def from_dlpack(name, tensor): return OnDevice(name, tensor)
pb_utils.Tensor = Request.tensor = OnDevice
sys.modules["triton_python_backend_utils"] = pb_utils
import batch_memory as memory, model
backend = model.TritonPythonModel()
backend.torch, backend.device, backend.mode = torch, torch.device("cpu"), torch.inference_mode
backend.optimized, backend.clean, backend.inputs, backend.positions = True, False, ["x"], [0]
backend.settings = settings(parameters={{"padding": {{"string_value": json.dumps({{"x": {{"1": -1}}}})}}}})
calls = []
class Module:
    def forward(self, x):
        calls.append(x.tolist())
        return x.max(dim=1, keepdim=True).values * 2
backend.module = Module()
backend.on_gpu = memory.OnGpu(torch, backend.device)
requests = [Request(x=torch.tensor(rows)) for rows in ([[1.0, 2.0]], [[3.0], [4.0]])]
responses = backend.execute(requests)
assert all(isinstance(item.outputs["y"], torch.Tensor) for item in responses)
print(json.dumps([calls, [item.outputs["y"].tolist() for item in responses]]))
"""


def test_tensors_on_the_gpu_are_joined_padded_and_answered_there() -> None:
    ended = child(ON_DEVICE)
    assert ended.returncode == 0, ended.stderr
    calls, answers = json.loads(ended.stdout)
    assert calls == [[[1, 2], [3, -1], [4, -1]]]
    assert answers == [[[4]], [[6], [8]]]
