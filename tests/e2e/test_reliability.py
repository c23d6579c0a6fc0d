"""What a production team fears, done to real servers: new versions under load, corrupt ones, processes that are killed.

The tests of this file go through one life of one pair of servers, in their order.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file, save_file

from contract.endpoints import Endpoint
from contract.files import sha256_tree, write_json
from contract.golden import read_examples
from contract.manifest import Manifest, read_newest
from tests.conftest import ROOT, run_module
from tests.open_loop import OpenLoop, wait_for
from tests.stage import KERAS_ON_TFSERVING, TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HEAD = """
schema_version = 1
target = "26.08"

[load]
concurrency = [2]
duration_s = 4.0
open_duration_s = 6.0
warmup_s = 0.2
rounds = 1
attempts = 1
"""
MODELS = f"{HEAD}{TORCH_ON_TRITON}{KERAS_ON_TFSERVING}"
OTHER_KERAS = """
import keras, sys
model = keras.models.load_model(sys.argv[1])
model.set_weights([1.5 * values for values in model.get_weights()])
model.save(sys.argv[1])
"""
RATE = 200.0
DEATHS = 9  # more than this file brings about, for each server
PROGRESS = ".progress.json"  # in the folder of a run, as long as it is under way
BACKOFF_S = 0.5  # a channel that could not connect waits so long before it tries again
SERVED = {"triton": ("torch", "torch__onnx"), "tfserving": ("keras", "keras")}


class Reliable(Stage):
    """What is asked of the servers."""

    def by_protocol(self) -> dict[tuple[str, str], Endpoint]:
        return {(item.engine, item.protocol): item for item in self.endpoints()}

    def pid(self, engine: str) -> int:
        servers = json.loads(self.workspace.servers.read_text())["servers"]
        return int(next(server["pid"] for server in servers if server["engine"] == engine))

    def serving(self, engine: str) -> str:
        """The label of the version that answers."""
        return f"v{next(item.version for item in self.endpoints() if item.engine == engine)}"

    def load(self, engine: str, protocol: str, rate: float = RATE) -> OpenLoop:
        endpoint = self.by_protocol()[engine, protocol]
        golden = sorted((self.workspace.artifacts / endpoint.model).glob("*/golden.npz"))
        versions = {f"v{path.parent.name}": read_examples(path) for path in golden if path.parent.name in ("1", "2")}
        return OpenLoop(engine, protocol, endpoint.address, endpoint.served_name, endpoint.outputs, versions, rate)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Reliable]:
    with served_on(Reliable(tmp_path_factory.mktemp("reliable")), copy_zoo, MODELS, "--restarts", str(DEATHS)) as stage:
        _train_again(stage.root)
        stage.do("export")
        yield stage


def _train_again(root: Path) -> None:
    """Other weights, which give other answers."""
    weights = root / "zoo/out/sentiment_torch/weights.safetensors"
    save_file({name: 1.5 * values for name, values in load_file(weights).items()}, weights)
    keras = root / "zoo/out/sentiment_keras/model.keras"
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run([sys.executable, "-c", OTHER_KERAS, str(keras)], check=True, env=environment, capture_output=True)


def test_a_roll_under_load_loses_no_request_and_gives_no_wrong_answer_on_either_engine(stage: Reliable) -> None:
    with stage.load("triton", "http") as triton, stage.load("tfserving", "grpc") as tfserving:
        time.sleep(1.0)
        result = stage.run("serving", "roll")
        assert result.returncode == 0, result.stderr
        rolled = time.monotonic()
        time.sleep(1.0)
    for load in (triton, tfserving):
        counted = load.counted()
        assert set(counted) == {"v1", "v2"}, (load.engine, counted)
        assert counted.total() > RATE * 3
        assert set(load.counted(since=rolled)) == {"v2"}
    assert [event.what for event in stage.events()] == ["rolled", "rolled"]
    for endpoint in stage.endpoints():
        assert endpoint.version == 2
        manifest = read_newest(stage.workspace.artifacts / endpoint.model)[1]
        assert endpoint.artifact_sha256 == manifest.formats[endpoint.format].sha256
        assert not list((stage.root / "model_repository" / endpoint.engine).glob("*candidate*"))


def test_after_a_roll_serving_again_keeps_the_servers_and_their_versions(stage: Reliable) -> None:
    before = {engine: stage.pid(engine) for engine in SERVED}
    result = stage.run("serving", "up")
    assert result.returncode == 0
    assert "already run" in result.stderr
    assert {engine: stage.pid(engine) for engine in SERVED} == before
    assert "already serves its newest export" in stage.run("serving", "roll").stdout


def _forge(stage: Reliable, model: str, version: int, spoil: Callable[[Path], None]) -> None:
    """A version whose manifest says that all is well."""
    folder, manifest = read_newest(stage.workspace.artifacts / model)
    forged = folder.with_name(str(version))
    shutil.copytree(folder, forged)
    ((form, record),) = manifest.formats.items()
    assert record.path
    spoil(forged / record.path)
    record = record.model_copy(update={"sha256": sha256_tree(forged / record.path)})
    changed: Manifest = manifest.model_copy(update={"version": version, "formats": {form: record}})
    write_json(forged / "manifest.json", changed)


def _truncate(path: Path) -> None:
    file = path if path.is_file() else path / "variables" / "variables.data-00000-of-00001"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _annotate(path: Path) -> None:
    """Other bytes that answer as before."""
    if path.is_dir():
        (path / "assets" / "note.txt").parent.mkdir(exist_ok=True)
        (path / "assets" / "note.txt").write_text("newer")
        return
    import onnx

    model = onnx.load(path)
    model.doc_string = "newer"
    onnx.save(model, path)


def _save_again(path: Path, code: str) -> None:
    """Load a SavedModel, do something to it, and put what is saved in its place."""
    fresh = path.with_name("spoiled")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run([sys.executable, "-c", code, str(path), str(fresh)], check=True, env=environment)
    shutil.rmtree(path)
    fresh.rename(path)


def _not_a_number(path: Path) -> None:
    """Weights that are no numbers."""
    if path.is_dir():
        code = (
            "import sys, tensorflow as tf; m = tf.saved_model.load(sys.argv[1]);"
            "[v.assign(v * float('nan')) for v in m.variables if v.dtype.is_floating];"
            "tf.saved_model.save(m, sys.argv[2], signatures=m.signatures)"
        )
        _save_again(path, code)
        return
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, np.nan), tensor.name))
    onnx.save(model, path)


def _other_signature(path: Path) -> None:
    """An input by another name."""
    if path.is_dir():
        code = (
            "import sys, tensorflow as tf; m = tf.saved_model.load(sys.argv[1]); old = m.signatures['serving_default'];"
            "f = tf.function(lambda words: old(tokens=words), "
            "input_signature=[tf.TensorSpec([None, None], tf.int64, name='words')]);"
            "m.renamed = f; tf.saved_model.save(m, sys.argv[2], signatures={'serving_default': f})"
        )
        _save_again(path, code)
        return
    import onnx

    model = onnx.load(path)
    old = model.graph.input[0].name
    model.graph.input[0].name = "words"
    for node in model.graph.node:
        for number, name in enumerate(node.input):
            if name == old:
                node.input[number] = "words"
    onnx.save(model, path)


@pytest.mark.parametrize("engine", SERVED)
def test_a_sound_version_that_takes_other_inputs_is_refused_before_a_client_meets_it(
    stage: Reliable, engine: str
) -> None:
    model, name = SERVED[engine]
    _forge(stage, model, 3, _annotate)
    file = stage.workspace.artifacts / model / "3" / "manifest.json"
    file.write_text(file.read_text().replace('"tokens"', '"words"'))
    try:
        assert stage.run("serving", "roll").returncode == 3
        refused = next(event for event in reversed(stage.events()) if event.model == name)
        assert refused.what == "refused"
        assert "its inputs are words int64 [batch, length] instead of tokens int64 [batch, length]" in refused.detail
        assert not (stage.root / "model_repository" / engine / name / "3").exists()
    finally:
        shutil.rmtree(stage.workspace.artifacts / model / "3")


@pytest.mark.parametrize("engine", SERVED)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [(_truncate, ""), (_not_a_number, "NaN"), (_other_signature, "tokens")],
    ids=["truncated", "not a number", "wrong signature"],
)
def test_a_corrupt_version_never_becomes_available_and_the_old_one_goes_on(
    stage: Reliable, engine: str, spoil: Callable[[Path], None], words: str
) -> None:
    model, name = SERVED[engine]
    _forge(stage, model, 3, spoil)
    protocol = {"triton": "http", "tfserving": "grpc"}[engine]
    try:
        with stage.load(engine, protocol, rate=50) as load:
            result = stage.run("serving", "roll")
        assert result.returncode == 3
        assert set(load.counted()) == {stage.serving(engine)}
        refused = stage.events()[-1]
        assert (refused.what, refused.model) == ("refused", name)
        assert "version 3" in refused.detail
        assert words in refused.detail
        assert refused.detail in stage.run("serving", "status").stdout
        tree = stage.root / "model_repository" / engine
        assert not (tree / name / "3").exists()
        assert not list(tree.glob("*candidate*"))
    finally:
        shutil.rmtree(stage.workspace.artifacts / model / "3")


def _stage_entered(stage: Reliable) -> int | None:
    """The number of the stage that the load test has come to; None before the first."""
    progress = stage.root / "results" / "latest" / PROGRESS
    try:
        return int(json.loads(progress.read_text())["stage"])
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _kill_model_process(stage: Reliable) -> None:
    (stub,) = [child for child in psutil.Process(stage.pid("triton")).children() if "stub" in child.cmdline()[0]]
    stub.kill()


@pytest.mark.parametrize(
    ("victim", "engine", "protocol", "back"),
    [
        ("a process of a model", "triton", "http", "reloaded"),
        ("tritonserver", "triton", "grpc", "restarted"),
        ("the embedded TF Serving", "tfserving", "rest", "restarted"),
    ],
)
def test_what_is_killed_is_noticed_told_and_back_with_right_answers(
    stage: Reliable, victim: str, engine: str, protocol: str, back: str
) -> None:
    before = len(stage.events())
    with stage.load(engine, protocol, rate=50) as load:
        time.sleep(0.5)
        killed = time.monotonic()
        if victim == "a process of a model":
            _kill_model_process(stage)
        else:
            os.kill(stage.pid(engine), signal.SIGKILL)
        assert wait_for(lambda: len(stage.events()) > before, 5.0), "not noticed within 5 s"
        assert wait_for(lambda: len(stage.events()) > before + 1, 60.0), "not brought back"
        returned = time.monotonic()
        time.sleep(1.5)
    died, again = stage.events()[before:]
    assert (died.what, died.engine, again.what, again.engine) == ("died", engine, back, engine)
    assert died.last_lines
    assert "wrong" not in load.counted()
    assert set(load.counted(since=returned + BACKOFF_S)) == {stage.serving(engine)}
    assert any(what.startswith("error") for what in load.counted(since=killed - 0.5))
    status = stage.run("serving", "status").stdout
    assert died.detail in status
    assert again.detail in status


@pytest.mark.parametrize(
    ("variant", "back"),
    [
        ("torch__onnx__triton__http", "restarted"),
        ("torch__onnx__triton__http", "reloaded"),  # the process of the model alone is killed
        ("keras__savedmodel__tfserving__grpc", "restarted"),
        ("keras__savedmodel__tfserving__rest", "restarted"),
    ],
)
def test_a_load_test_records_an_outage_as_errors_and_goes_on(stage: Reliable, variant: str, back: str) -> None:
    _, _, engine, _ = variant.split("__")
    before = len(stage.events())
    command = [sys.executable, "-m", "loadtest", *stage.flags, "--variant", variant, "--uncertified"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        # A model's process is back within a second or two, so it is killed where the load is sure to be on.
        assert wait_for(lambda: _stage_entered(stage) == (1 if back == "reloaded" else 0), 60.0)
        time.sleep(2.0)  # in the midst of the load
        if back == "reloaded":
            _kill_model_process(stage)
        else:
            os.kill(stage.pid(engine), signal.SIGKILL)
        _, errors = running.communicate(timeout=180)
    finally:
        running.kill()
    assert running.returncode == 0, errors
    assert wait_for(lambda: len(stage.events()) > before + 1, 60.0), "not brought back"
    died, again = stage.events()[before:]
    assert (died.what, died.engine, again.what, again.engine) == ("died", engine, back, engine)
    result = run_module("report", "--workspace", str(stage.root))
    assert result.returncode == 0, result.stderr
    report: Any = json.loads((stage.root / "reports/latest/report.json").read_text())
    (told,) = report["variants"]
    assert (told["id"], told["complete"]) == (variant, True)
    assert len(told["stages"]) == 2, "it went on to the last stage"
    assert sum(sum(item["errors"].values()) for item in told["stages"]) > 0
    assert all(item["wrong_answers"] == 0 for item in told["stages"])
    assert any(died.detail in sentence for sentence in report["warnings"])


@pytest.mark.parametrize(("engine", "protocol"), [("triton", "grpc"), ("tfserving", "grpc"), ("tfserving", "rest")])
def test_a_termination_drains_what_is_in_flight(stage: Reliable, engine: str, protocol: str) -> None:
    """The supervisor brings the server back: it was not asked to stop it."""
    before = len(stage.events())
    with stage.load(engine, protocol, rate=50) as load:
        time.sleep(1.0)
        os.kill(stage.pid(engine), signal.SIGTERM)
        ended = time.monotonic()
        assert wait_for(lambda: len(stage.events()) > before + 1, 60.0)
    early = [outcome.what for outcome in load.outcomes if outcome.due < ended - 0.05]
    assert set(early) == {stage.serving(engine)}
    assert "wrong" not in load.counted()


def test_a_terminated_triton_answers_http_until_its_clients_leave_and_loses_nothing(stage: Reliable) -> None:
    """It ends no connection that is kept: who goes on asking over one is answered until the exit timeout ends."""
    before = len(stage.events())
    with stage.load("triton", "http", rate=50) as load:
        time.sleep(1.0)
        os.kill(stage.pid("triton"), signal.SIGTERM)
        ended = time.monotonic()
        time.sleep(1.0)
        assert len(stage.events()) == before  # it is still there
    assert wait_for(lambda: len(stage.events()) > before + 1, 60.0)
    assert [event.what for event in stage.events()[before:]] == ["died", "restarted"]
    early = [outcome.what for outcome in load.outcomes if outcome.due < ended - 0.05]
    assert len(early) > 30
    assert set(early) == {stage.serving("triton")}
    assert "wrong" not in load.counted()


def test_after_all_of_this_stopping_leaves_no_process_no_port_and_no_shared_memory(stage: Reliable) -> None:
    servers = json.loads(stage.workspace.servers.read_text())
    sessions = {server["pid"] for server in servers["servers"]} | {servers["supervisor"]["pid"]}
    ports = {port for server in servers["servers"] for port in server["ports"].values()}
    prefixes = [server["shm_prefix"] for server in servers["servers"] if server["shm_prefix"]]
    assert stage.run("serving", "stop").returncode == 0
    assert [process.pid for process in psutil.process_iter() if os.getsid(process.pid) in sessions] == []
    assert not ports & {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    assert [file for prefix in prefixes for file in Path("/dev/shm").glob(f"{prefix}*")] == []
