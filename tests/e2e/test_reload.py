"""A served model that is loaded once more under open-loop load: nothing is lost, and what is broken never replaces it.

The tests of this file go through one life of one pair of servers, in their order.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from contract.endpoints import Endpoint, ServerRecord, Servers
from contract.files import read_model
from contract.golden import read_examples
from serving.engines.model_processes import model_processes
from serving.layout.laid_out import BRIDGE
from tests.open_loop import OpenLoop, wait_for
from tests.stage import KERAS_ON_TFSERVING, TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{TORCH_ON_TRITON}{KERAS_ON_TFSERVING}"
RATE = 60.0
NAMES = {"triton": "torch__onnx", "tfserving": "keras"}
FILES = {"triton": "1/model.onnx", "tfserving": "1/variables/variables.data-00000-of-00001"}
WARMED_UP = re.compile(r'model_warmup_latency_count{model_path="[^"]*/keras/1",status="OK"} (\d+)')


class Reloaded(Stage):
    """Both engines, and how often each has loaded its model."""

    def folder(self, engine: str) -> Path:
        return self.root / "model_repository" / engine / NAMES[engine]

    def load(self, endpoint: Endpoint) -> OpenLoop:
        golden = read_examples(self.root / endpoint.golden)
        where = (endpoint.engine, endpoint.protocol, endpoint.address, endpoint.served_name)
        return OpenLoop(*where, endpoint.outputs, {"v1": golden}, RATE)

    def server(self, engine: str) -> ServerRecord:
        servers = read_model(self.workspace.servers, Servers, "make serve").servers
        return next(server for server in servers if server.engine == engine)

    def loaded(self, engine: str) -> object:
        """What another load changes: Triton's process of the model, how often TF Serving has warmed its version up."""
        server = self.server(engine)
        if engine == "triton":
            # The process that was replaced lives on for a moment after the load is done.
            assert wait_for(lambda: len(model_processes(server)) == 1, 30.0)
            return sorted(model_processes(server))
        with urlopen(f"http://{server.host}:{server.ports['rest']}/monitoring/prometheus/metrics") as page:
            found = WARMED_UP.search(page.read().decode())
        assert found
        return int(found[1])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Reloaded]:
    with served_on(Reloaded(tmp_path_factory.mktemp("reload")), copy_zoo, MODELS) as stage:
        yield stage


def counted_during(stage: Reloaded, engine: str, act: Callable[[], None]) -> Counter[str]:
    """What came of the requests over every protocol of the engine, before, during and after ``act``."""
    with ExitStack() as running:
        loads = [
            running.enter_context(stage.load(endpoint)) for endpoint in stage.endpoints() if endpoint.engine == engine
        ]
        time.sleep(0.5)
        act()
        time.sleep(0.5)
    assert len(loads) == 2
    return sum((load.counted() for load in loads), Counter())


@pytest.mark.parametrize("engine", NAMES)
def test_a_reload_under_load_loads_the_model_once_more_and_loses_no_request(stage: Reloaded, engine: str) -> None:
    before = stage.loaded(engine)

    def reload() -> None:
        result = stage.run("serving", "reload", NAMES[engine])
        assert result.returncode == 0, result.stderr
        assert "loaded once more and answers rightly" in result.stdout

    counted = counted_during(stage, engine, reload)
    assert set(counted) == {"v1"}
    assert counted.total() > RATE
    assert stage.loaded(engine) != before
    assert [child.name for child in stage.folder(engine).iterdir() if child.name.isdigit()] == ["1"]
    assert stage.events() == []  # whoever watches took none of it for a death


def test_a_load_of_what_has_not_changed_is_nothing_to_triton(stage: Reloaded) -> None:
    """Which is why a reload gives the files a new time."""
    before = stage.loaded("triton")
    stage.do("serving", "load", NAMES["triton"])
    assert stage.loaded("triton") == before


@pytest.mark.parametrize("engine", NAMES)
def test_files_that_are_not_the_proven_ones_are_not_loaded(stage: Reloaded, engine: str) -> None:
    before = stage.loaded(engine)
    file = stage.folder(engine) / FILES[engine]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    try:
        result = stage.run("serving", "reload", NAMES[engine])
    finally:
        file.write_bytes(whole)
    assert result.returncode == 2
    assert "is not the export that was proven" in result.stderr
    assert stage.loaded(engine) == before


def test_what_triton_cannot_load_leaves_the_old_one_answering(stage: Reloaded) -> None:
    config = stage.folder("triton") / "config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace('backend: "onnxruntime"', 'backend: "nonesuch"'))

    def reload() -> None:
        result = stage.run("serving", "reload", NAMES["triton"])
        assert result.returncode == 3
        assert "nonesuch" in result.stderr

    try:
        counted = counted_during(stage, "triton", reload)
    finally:
        config.write_text(text)
    assert set(counted) == {"v1"}
    stage.do("serving", "reload", NAMES["triton"])


def test_what_an_interrupted_reload_left_on_tfserving_is_gone_after_the_next(stage: Reloaded) -> None:
    """The files that answered meanwhile are still there, and TF Serving may have found them."""
    folder = stage.folder("tfserving")
    shutil.copytree(folder / "1", folder / str(BRIDGE + 1))
    counted = counted_during(stage, "tfserving", lambda: stage.do("serving", "reload", NAMES["tfserving"]))
    assert set(counted) == {"v1"}
    assert [child.name for child in folder.iterdir()] == ["1"]


def test_only_what_is_served_is_reloaded_and_only_triton_loads_and_unloads(stage: Reloaded) -> None:
    unknown = stage.run("serving", "reload", "karas")
    assert (unknown.returncode, "did you mean 'keras'" in unknown.stderr) == (2, True)
    for what in ("load", "unload"):
        result = stage.run("serving", what, NAMES["tfserving"])
        assert (result.returncode, "it can only be reloaded" in result.stderr) == (2, True)
