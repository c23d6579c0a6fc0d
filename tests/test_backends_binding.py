"""Tensors that are on the GPU already, bound to an ONNX model where they are.

This machine's memory plays the GPU's: torch, dlpack, onnxruntime and its io-binding are real, the device is "cpu". What
differs on a GPU, the name of the device and who waits for whom, is asked of fakes.
"""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.test_backends_batch import PB_UTILS, memory, reading, settings
from tests.test_backends_models import BACKENDS, child, load

STAY = {"FORCE_CPU_ONLY_INPUT_TENSORS": {"string_value": "no"}}
REAL = f"""
import gc, json, sys, types
import torch, onnx, onnxruntime
import numpy as np
from onnx import TensorProto, helper
sys.path[:0] = [{str(BACKENDS)!r}, {str(BACKENDS / "onnxruntime")!r}, {str(ROOT)!r}]
from tests.test_backends_batch import PB_UTILS, Request, settings
pb_utils = types.ModuleType("triton_python_backend_utils")
vars(pb_utils).update(vars(PB_UTILS))
class OnDevice:  # the machine's memory in the part of a GPU's
    def __init__(self, name, tensor): self.label, self.array = name, tensor
    def name(self): return self.label
    def is_cpu(self): return isinstance(self.array, np.ndarray)
    def as_numpy(self): return self.array
    def to_dlpack(self): return torch.utils.dlpack.to_dlpack(torch.as_tensor(self.array))
    @staticmethod
    def from_dlpack(name, tensor): return OnDevice(name, tensor)
pb_utils.Tensor = Request.tensor = OnDevice
sys.modules["triton_python_backend_utils"] = pb_utils
import batch_memory as memory, model

nodes = [
    helper.make_node("Add", ["tokens", "tokens"], ["twice"]),
    helper.make_node("Cast", ["twice"], ["scores"], to=TensorProto.FLOAT),
    helper.make_node("Equal", ["tokens", "twice"], ["empty"]),
]
given = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["b", "l"])]
made = [
    helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["b", "l"]),
    helper.make_tensor_value_info("empty", TensorProto.BOOL, ["b", "l"]),
]
graph = helper.make_graph(nodes, "twice", given, made)
whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
real = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])

class Session:  # the real one; keeps what was bound, and counts its other calls
    def __init__(self): self.bindings, self.runs = [], 0
    def io_binding(self):
        self.bindings.append(real.io_binding())
        return self.bindings[-1]
    def run_with_iobinding(self, binding, options): real.run_with_iobinding(binding, options)
    def run(self, *arguments):
        self.runs += 1
        return real.run(*arguments)

class Values:  # onnxruntime's OrtValue; keeps where its inputs are
    places = []
    @classmethod
    def from_dlpack(cls, tensor):
        value = onnxruntime.OrtValue.from_dlpack(tensor)
        cls.places.append(value.data_ptr())
        return value

def backend_of(**changes):
    backend = model.TritonPythonModel()
    backend.settings = settings(
        outputs={{"scores": "TYPE_FP32", "empty": "TYPE_BOOL"}} | changes.pop("outputs", {{}}),
        input=[{{"name": "tokens", "data_type": "TYPE_INT64"}}],
        **changes,
    )
    backend.texts, backend.run_options, backend.session = [], None, Session()
    backend.on_gpu = memory.OnGpu(torch, torch.device("cpu"))
    backend.bound = model.Bound(Values, backend.session, backend.settings, backend.on_gpu)
    Values.places.clear()  # of what was tried before the first request
    return backend
"""


def real(script: str) -> Any:
    """What a script after REAL prints as JSON."""
    ended = child(REAL + script)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_requests_on_the_device_are_one_bound_call_with_the_answers_of_run() -> None:
    found = real("""
padding = {"padding": {"tokens": {"1": 0}}, "unpad": {name: {"1": ["tokens", 1]} for name in ("scores", "empty")}}
backend = backend_of(parameters={key: {"string_value": json.dumps(value)} for key, value in padding.items()})
asked = [[[1, 0, 3]], [[0, 5], [6, 7]], [[8]]]
responses = backend.execute([Request(tokens=torch.tensor(rows)) for rows in asked])
for rows, response in zip(asked, responses, strict=True):
    expected = real.run(["scores", "empty"], {"tokens": np.array(rows)})
    for name, array in zip(("scores", "empty"), expected, strict=True):
        assert isinstance(response.outputs[name], torch.Tensor)
        np.testing.assert_array_equal(response.outputs[name].numpy(), array, strict=True)
print(json.dumps([len(backend.session.bindings), backend.session.runs]))
""")
    assert found == [1, 0], "one call, and none through the host"


def test_neither_a_bound_input_nor_a_bound_answer_is_copied() -> None:
    inputs, outputs = real("""
backend = backend_of()
tokens = torch.tensor([[1, 2]])
response, = backend.execute([Request(tokens=tokens)])
values = backend.session.bindings[0].get_outputs()
bound = [value.data_ptr() for value in values]
answers = [response.outputs[name].data_ptr() for name in ("scores", "empty")]
print(json.dumps([[Values.places, [tokens.data_ptr()]], [answers, bound]]))
""")
    assert inputs[0] == inputs[1]
    assert outputs[0] == outputs[1]


def test_answers_outlive_their_call_and_the_session() -> None:
    first, again = real("""
backend = backend_of()
kept = backend.execute([Request(tokens=torch.tensor([[1, 2, 3]]))])[0].outputs["scores"]
first = kept.tolist()
for number in range(50):
    backend.execute([Request(tokens=torch.full((1, 3), number))])
backend.finalize()
del real, backend
gc.collect()
print(json.dumps([first, kept.tolist()]))
""")
    assert first == again == [[2, 4, 6]]


def test_requests_in_the_hosts_memory_are_run_as_ever_beside_those_on_the_device() -> None:
    host, device, bound, runs = real("""
backend = backend_of()
requests = [Request(tokens=np.array([[1, 2]])), Request(tokens=torch.tensor([[3, 4]]))]
host, device = backend.execute(requests)
kinds = [type(item.outputs["scores"]).__module__.split(".")[0] for item in (host, device)]
print(json.dumps([*kinds, len(backend.session.bindings), backend.session.runs]))
""")
    assert (host, device) == ("numpy", "torch")
    assert (bound, runs) == (1, 1)


def test_a_bound_answer_of_another_type_than_promised_is_the_servers_fault() -> None:
    message, code = real("""
backend = backend_of(outputs={"scores": "TYPE_FP64"})
response, = backend.execute([Request(tokens=torch.tensor([[1]]))])
print(json.dumps([response.error.message, response.error.code]))
""")
    assert message == "output 'scores' is torch.float32, config.pbtxt says float64"
    assert code == "internal"


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The backend's model.py, beside a fake of Triton's module."""
    pb_utils: Any = ModuleType("triton_python_backend_utils")
    vars(pb_utils).update(vars(PB_UTILS))
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", pb_utils)
    return load("onnxruntime")


class Gpu:
    """torch and onnxruntime as far as a bound call asks them, on GPU 2; what they were asked, in order."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.torch = SimpleNamespace(
            cuda=SimpleNamespace(current_stream=self.stream, device_count=lambda: 3),
            device=lambda kind, index: SimpleNamespace(type=kind, index=index),
            from_dlpack=lambda value: f"tensor of {value}",
        )

    def stream(self, device: Any) -> Any:
        return SimpleNamespace(synchronize=lambda: self.asked.append(("wait", device.index)))

    def from_dlpack(self, tensor: Any) -> Any:
        return f"value of {tensor}"

    def io_binding(self) -> Any:
        return self

    def bind_ortvalue_input(self, *arguments: Any) -> None:
        self.asked.append(arguments)

    def bind_output(self, *arguments: Any) -> None:
        self.asked.append(arguments)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.asked.append(("run", options))

    def synchronize_outputs(self) -> None:
        self.asked.append("ready")

    def get_outputs(self) -> list[str]:
        return ["y"]


class Tensor:
    def contiguous(self) -> str:
        return "x"


def test_on_a_gpu_answers_are_made_there_and_torch_has_finished_before_onnxruntime_reads(backend: Any) -> None:
    gpu = Gpu()
    wanted = settings(model_instance_kind="GPU", model_instance_device_id="2", parameters=STAY)
    bound = backend.Bound(gpu, gpu, wanted, memory.OnGpu.of(gpu.torch, wanted), "options")
    assert bound({"x": Tensor()}) == ["tensor of y"]
    assert gpu.asked == [("x", "value of x"), ("y", "cuda", 2), ("wait", 2), ("run", "options"), "ready"]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("CPU", STAY), ("GPU", {}), ("GPU", {"FORCE_CPU_ONLY_INPUT_TENSORS": {"string_value": "yes"}})],
)
def test_where_triton_copies_to_the_host_torch_is_not_needed(
    backend: Any, monkeypatch: pytest.MonkeyPatch, kind: str, parameters: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert backend.on_gpu(settings(model_instance_kind=kind, parameters=parameters)) is None


def test_without_torch_tensors_cannot_stay_on_the_gpu(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(reading.ConfigError, match=r"FORCE_CPU_ONLY_INPUT_TENSORS is no: .* install it"):
        backend.on_gpu(settings(model_instance_kind="GPU", parameters=STAY))


def test_a_gpu_that_torch_does_not_see_is_refused() -> None:
    torch: Any = SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 1), __version__="2.14")
    wanted = settings(model_instance_kind="GPU", model_instance_device_id="1")
    with pytest.raises(reading.ConfigError, match=r"on GPU 1, torch 2\.14 sees none of that number"):
        memory.OnGpu.of(torch, wanted)


@pytest.mark.parametrize(
    "changes", [{"input": [{"name": "x", "data_type": "TYPE_STRING"}]}, {"outputs": {"x": "TYPE_STRING"}}]
)
def test_a_model_with_texts_is_refused_since_onnxruntime_binds_none(backend: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(reading.ConfigError, match=r"'x' is a text, .* leave out FORCE_CPU_ONLY_INPUT_TENSORS"):
        backend.Bound(Gpu(), None, settings(**changes), None)


@pytest.mark.parametrize("changes", ["inputs", "outputs"])
def test_a_model_with_booleans_is_refused_where_this_onnxruntime_passes_none(changes: str) -> None:
    booleans = {
        "inputs": 'input=[{"name": "x", "data_type": "TYPE_BOOL"}]',
        "outputs": 'outputs={"x": "TYPE_BOOL"}',
    }
    told = real(f"""
class Older:  # as 1.31 has it: no booleans in
    @staticmethod
    def from_dlpack(tensor):
        if tensor.dtype == torch.bool:
            raise RuntimeError("Unsupported code 6")
        return onnxruntime.OrtValue.from_dlpack(tensor)
class Oldest(Older):  # nor out of it
    from_dlpack = staticmethod(lambda tensor: onnxruntime.OrtValue.from_dlpack(tensor.view(torch.uint8)))
told = []
for values in (Older, Oldest):
    try:
        model.Bound(values, None, settings({booleans[changes]}), memory.OnGpu(torch, torch.device("cpu")))
    except Exception as error:
        told.append(f"{{type(error).__name__}}: {{error}}")
print(json.dumps(told))
""")
    sentence = "'x' is a boolean, which this onnxruntime does not pass by dlpack; install 1.32 or newer, or leave out "
    assert told == [f"ConfigError: {sentence}FORCE_CPU_ONLY_INPUT_TENSORS"] * 2


def test_an_onnxruntime_without_dlpack_is_refused(backend: Any) -> None:
    with pytest.raises(reading.ConfigError, match="takes no tensors by dlpack; install a newer one"):
        backend.Bound(object, None, settings(), None)
