"""Our own servers as the benches start and ask them: gRPC answers are compared, and no server outlives its bench."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.load import served
from bench.peers import protocols
from bench.peers.asking import Question, ask
from bench.peers.protocols import Protocol
from bench.preparing import one_row
from contract.compare import Tolerance
from contract.endpoints import Endpoint, Servers
from contract.errors import ParityError, ServerError
from contract.files import read_model
from contract.golden import Example
from contract.workspace import Workspace
from tests.conftest import ROOT
from tests.stage import KERAS_ON_TFSERVING, TORCH_ON_TRITON, Stage
from tests.usual_ports import usual_ports_taken

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SPOKEN = {"triton": protocols.triton, "tfserving": protocols.tfserving}
USERS, GONE_S = 8, 90.0
# A benchmark that is up and waits to be killed.
BENCH = """
import sys
from pathlib import Path
from bench.load import served
from contract.workspace import Workspace
with served(Workspace(Path(sys.argv[1]))):
    print("up", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Stage:
    stage = Stage(tmp_path_factory.mktemp("served"))
    copy_zoo(stage.root)
    (stage.root / "models.toml").write_text(f"schema_version = 1\n{TORCH_ON_TRITON}{KERAS_ON_TFSERVING}")
    stage.do("export")
    return stage


@pytest.fixture(scope="module")
def endpoints(exported: Stage) -> Iterator[dict[str, Endpoint]]:
    """The gRPC endpoint of each engine."""
    with usual_ports_taken(), served(exported.workspace) as found:
        yield {item.engine: item for item in found if item.protocol == "grpc"}


def spoken(endpoint: Endpoint) -> Protocol:
    return SPOKEN[endpoint.engine]("grpc", endpoint.served_name, endpoint.version, endpoint.outputs)


def question(workspace: Workspace, endpoint: Endpoint) -> Question:
    artifacts = workspace.artifacts / endpoint.model / str(endpoint.version)
    return Question(one_row(artifacts), Tolerance(endpoint.atol, endpoint.rtol))


@pytest.mark.parametrize("engine", SPOKEN)
def test_sampled_answers_over_grpc_are_those_of_the_trained_model(
    exported: Stage, endpoints: dict[str, Endpoint], engine: str
) -> None:
    item = endpoints[engine]
    asked = question(exported.workspace, item)
    window = ask(asked, spoken(item), item.address, USERS, 0.2, 1.0)
    assert window.answers > USERS and window.errors == 0
    assert window.kept and 0 < window.p50_ms <= window.p99_ms
    wrong = {name: array + 1 for name, array in asked.example.outputs.items()}
    other = replace(asked, example=Example(asked.example.key, asked.example.inputs, wrong))
    with pytest.raises(ParityError, match="it answers wrongly"):
        ask(other, spoken(item), item.address, 1, 0.0, 0.5)


@pytest.mark.parametrize("engine", SPOKEN)
def test_a_model_that_the_server_does_not_have_is_an_error_with_its_status(
    exported: Stage, endpoints: dict[str, Endpoint], engine: str
) -> None:
    item = endpoints[engine]
    stranger = item.model_copy(update={"served_name": "nobody"})
    window = ask(question(exported.workspace, item), spoken(stranger), item.address, 1, 0.0, 0.5)
    assert window.answers == 0 and window.errors > 0
    assert window.first_error == "grpc NOT_FOUND"


def test_a_benchmark_that_is_killed_leaves_no_server(tmp_path: Path, exported: Stage) -> None:
    workspace = Workspace(tmp_path / "own")
    workspace.root.mkdir()
    (workspace.root / "models.toml").write_text((exported.root / "models.toml").read_text())
    workspace.artifacts.symlink_to(exported.workspace.artifacts)
    command = [sys.executable, "-c", BENCH, str(workspace.root)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as bench:
        assert bench.stdout and bench.stdout.readline() == "up\n"
        known = read_model(workspace.servers, Servers, "make serve")
        assert known.supervisor
        pids = [known.supervisor.pid, *(server.pid for server in known.servers if server.pid)]
        left = [psutil.Process(pid) for pid in pids]
        bench.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(left, timeout=GONE_S)
    assert len(left) == 3 and not alive


def test_what_does_not_come_up_is_told_with_the_commands_own_words(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text("schema_version = 1\nmodel = 1\n")
    with (
        pytest.raises(ServerError, match=r"python -m serving up died while starting(.|\n)*model"),
        served(Workspace(tmp_path)),
    ):
        pass
