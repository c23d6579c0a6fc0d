"""A served model that is exchanged for one that waits: later by the wait, with the same answers, and nobody alarmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.generators.waiting import wait
from bench.peers import protocols
from bench.peers.asking import Question, ask
from bench.preparing import one_row
from contract.compare import Tolerance
from contract.triton_control import TritonControl
from serving.watch.supervision import Supervisor
from tests.stage import TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Stage]:
    models = f"schema_version = 1\n{TORCH_ON_TRITON}"
    with served_on(Stage(tmp_path_factory.mktemp("waiting")), copy_zoo, models) as served:
        yield served


def test_a_model_that_waits_answers_later_and_the_same(stage: Stage) -> None:
    endpoint = next(item for item in stage.endpoints() if item.protocol == "http")
    protocol = protocols.triton("http", endpoint.served_name, endpoint.version, endpoint.outputs)
    question = Question(one_row(stage.workspace.artifacts / "torch" / "1"), Tolerance(endpoint.atol, endpoint.rtol))
    control, said = TritonControl(endpoint.address), list[str]()
    watcher = Supervisor(stage.workspace, most_restarts=3, say=said.append)
    watcher.look()
    for work_ms, instances in ((40.0, 4), (0.0, 1)):
        wait(stage.workspace, endpoint, endpoint.address, work_ms, rate=50.0)
        window = ask(question, protocol, endpoint.address, 1, 0.2, 1.0)  # compares the answers
        assert window.errors == 0 and window.kept
        assert window.p50_ms >= work_ms
        assert control.instances(endpoint.served_name) == instances
        watcher.look()
    assert said == [] and stage.events() == []
