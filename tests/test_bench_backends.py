"""bench.backends' own parts: its grid, Triton's clocks, the bare calls, the peers' code, and its table."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2

from bench.backends import BATCHES, PROTOCOLS, Cell, Rig, plan, question, show, summary
from bench.generators.waiting import WAITING
from bench.hop.clocks import Counters, Split, between
from bench.hop.floor import Floor
from bench.hop.repository import EMBEDDED, FORMATS, PEERS, lay_out
from contract.errors import ServerError, UsageError
from contract.tensors import TensorSpec
from contract.workspace import Workspace
from tests.builders import example, write_artifacts

TOKENS = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int64)
CONFIG = {
    "input": [{"name": "tokens", "data_type": "TYPE_INT64", "dims": [-1]}],
    "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [2]}],
    "parameters": {"waits_s": {"string_value": "0.05"}},
}


def write_doubling(path: Path) -> None:
    """An ONNX model whose logits are the first two tokens, doubled."""
    nodes = [
        helper.make_node("Slice", ["tokens", "begin", "end", "axis"], ["two"]),
        helper.make_node("Add", ["two", "two"], ["twice"]),
        helper.make_node("Cast", ["twice"], ["logits"], to=TensorProto.FLOAT),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [1], [value])
        for name, value in (("begin", 0), ("end", 2), ("axis", 1))
    ]
    given = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["b", "l"])
    made = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])
    graph = helper.make_graph(nodes, "doubling", [given], [made], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> Any:
        return self.array


class Response:
    def __init__(self, output_tensors: list[Tensor]) -> None:
        self.outputs = {tensor.name: tensor.array for tensor in output_tensors}


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Triton's stub gives a model.py: its utilities, and a folder with the model."""
    utilities: Any = ModuleType("triton_python_backend_utils")
    utilities.Tensor, utilities.InferenceResponse = Tensor, Response
    utilities.get_input_tensor_by_name = lambda request, name: Tensor(name, request[name])
    utilities.triton_string_to_numpy = lambda kind: {"TYPE_FP32": np.float32}[kind]
    utilities.get_model_dir = lambda: str(tmp_path)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utilities)
    write_doubling(tmp_path / "model.onnx")
    return tmp_path


def loaded(code: str, folder: Path) -> Any:
    """The model of a model.py with this code, initialised as the stub does."""
    (folder / "model.py").write_text(code)
    spec = spec_from_file_location("model", folder / "model.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    model.initialize({"model_config": json.dumps(CONFIG)})
    return model


def test_the_grid_has_every_way_to_a_call_at_every_batch_and_quick_is_a_part_of_it() -> None:
    whole, quick = plan(quick=False), plan(quick=True)
    assert {(cell.backend, cell.protocol) for cell in whole} == {(n, p) for n, ps in PROTOCOLS.items() for p in ps}
    assert {cell.rows for cell in quick} == set(BATCHES) and set(quick) < set(whole)
    assert set(PROTOCOLS) == {*FORMATS, EMBEDDED}


def test_what_a_request_took_is_the_difference_of_two_looks_at_the_servers_clocks() -> None:
    before = Counters(10, 80, 10, {"queue": 1000, "input": 0, "call": 5000, "output": 7})
    after = Counters(14, 112, 12, {"queue": 9000, "input": 4000, "call": 25000, "output": 7})
    assert between(before, after) == Split({"queue": 2.0, "input": 1.0, "call": 5.0, "output": 0.0}, 16.0)
    assert between(after, after).us["call"] == 0.0


def test_the_bare_call_answers_for_any_number_of_rows(tmp_path: Path) -> None:
    write_doubling(tmp_path / "model.onnx")
    np.savez(tmp_path / "asked.npz", tokens=TOKENS[:1])
    floor = Floor("onnxruntime", tmp_path / "model.onnx", tmp_path / "asked.npz", ["logits"])
    with closing(floor):
        floor.open()
        assert 0 < floor.us(1) < 1e6
        assert 0 < floor.us(31.6) < 1e6


def test_a_framework_that_cannot_open_its_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("no model")
    np.savez(tmp_path / "asked.npz", tokens=TOKENS)
    floor = Floor("onnxruntime", tmp_path / "model.onnx", tmp_path / "asked.npz", ["logits"])
    with closing(floor), pytest.raises(ServerError, match="onnxruntime without a server died at opening its file"):
        floor.open()


def test_the_simple_peer_gives_each_request_the_models_answer(stub: Path) -> None:
    one, two = loaded(PEERS["simple"], stub).execute([{"tokens": TOKENS[:1]}, {"tokens": TOKENS}])
    assert one.outputs["logits"].tolist() == [[2.0, 4.0]]
    assert two.outputs["logits"].tolist() == [[2.0, 4.0], [8.0, 10.0]]


def test_the_empty_peer_gives_zeros_of_the_right_shape(stub: Path) -> None:
    (response,) = loaded(PEERS["empty"], stub).execute([{"tokens": TOKENS}])
    assert response.outputs["logits"].dtype == np.float32
    assert response.outputs["logits"].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_waiting_model_waits_and_then_answers_rightly(stub: Path) -> None:
    model, started = loaded(WAITING, stub), time.perf_counter()
    (response,) = model.execute([{"tokens": TOKENS}])
    assert time.perf_counter() - started >= 0.05
    assert response.outputs["logits"].tolist() == [[2.0, 4.0], [8.0, 10.0]]


def test_every_backend_and_peer_is_laid_out_with_the_same_model(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    manifest = write_artifacts(workspace, formats=("torchscript", "onnx", "savedmodel"))
    lay_out(workspace.triton_repository, workspace.artifacts / "words" / "1", manifest)
    assert {folder.name for folder in workspace.triton_repository.iterdir()} == {*FORMATS, *PEERS}
    for name in PEERS:
        folder = workspace.triton_repository / name
        config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        assert (config.backend, config.platform) == ("python", "")
        assert (folder / "1" / "model.onnx").read_text() == "the bytes of words as onnx"


def test_a_model_whose_answers_shape_nobody_knows_beforehand_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    manifest = write_artifacts(workspace, formats=("torchscript", "onnx", "savedmodel"))
    tags = TensorSpec(name="tags", dtype="int64", dims=["batch", "length"])
    with pytest.raises(UsageError, match="output tags has more dynamic axes"):
        lay_out(tmp_path / "triton", tmp_path, manifest.model_copy(update={"outputs": [tags]}))


def test_everybody_is_asked_one_golden_request_repeated_and_empty_is_to_answer_zeros(tmp_path: Path) -> None:
    manifest = write_artifacts(Workspace(tmp_path), formats=("torchscript", "onnx", "savedmodel"))
    rig = Rig(example(0), manifest, {}, {}, 1.0)
    asked = question(rig, EMBEDDED, 8)
    assert asked.example.rows == 8 and asked.example.outputs["logits"].shape == (8, 2)
    assert not question(rig, "empty", 8).example.outputs["logits"].any()


def test_the_table_shows_medians_and_has_no_clocks_for_a_server_without_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clocks = {"queue_us": 1.0, "input_us": 2.0, "call_us": 3.0, "output_us": 4.0, "rest_us": 5.0, "rows_per_call": 6.0}
    common = {"rps": 100.0, "latency_us": 15.0, "client_cores": 0.1}
    inside = [{**common, **clocks, "of_bare": ratio, "call_over_floor": 1.5} for ratio in (0.1, 0.2, 0.9)]
    found = [
        summary(Cell("pytorch", "http", 8, 16), inside),
        summary(Cell(EMBEDDED, "rest", 8, 16), [{**common, "of_bare": 0.7}]),
    ]
    assert found[0]["of_bare"] == {"median": 0.2, "min": 0.1, "max": 0.9}
    show(found)
    *_, ours, embedded = capsys.readouterr().out.splitlines()
    assert "0.20x" in ours and ours.endswith("15 us: queue 1, input 2, call 3, output 4, rest 5")
    assert "0.70x" in embedded and embedded.endswith("15 us")
