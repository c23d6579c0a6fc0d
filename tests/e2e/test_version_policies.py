"""`versions = "all"` and lists of versions on real servers: what a start, a roll and control of one version serve.

The exports are one set of weights in different bytes, so that every version answers the same and is another to a roll.
The tests of this file go through one life of one pair of servers, in their order.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from contract.endpoints import Endpoint, ServerRecord, Servers
from contract.files import read_model, sha256_tree, write_json, write_text
from contract.golden import read_examples
from contract.manifest import Manifest
from contract.triton_control import TritonControl
from serving.engines.model_processes import model_processes
from serving.places.ports import host_port
from serving.proof.rechecking import recheck
from tests.open_loop import OpenLoop, wait_for
from tests.stage import KERAS_ON_TFSERVING, TORCH_ON_TRITON, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAMES = {"triton": "torch__onnx", "tfserving": "keras"}
FILES = {"torch": "model.onnx", "keras": "model.savedmodel"}
BROKEN = {"triton": "model.onnx", "tfserving": "variables/variables.data-00000-of-00001"}
RATE = 40.0
WARMED_UP = re.compile(r'model_warmup_latency_count{model_path="[^"]*/keras/(\d+)",status="OK"} (\d+)')


def models(versions: str) -> str:
    """models.toml with the same versions on both engines."""
    triton, tfserving = f"triton = {{ versions = {versions} }}\n", f"tfserving = {{ versions = {versions} }}\n"
    return f"schema_version = 1\n{TORCH_ON_TRITON}{triton}{KERAS_ON_TFSERVING}{tfserving}"


class Listed(Stage):
    """Both engines, the exports of their models, and which versions answer."""

    def say(self, versions: str) -> None:
        (self.root / "models.toml").write_text(models(versions))

    def export_again(self, version: int) -> None:
        """A newer export of both models, of the same weights in other bytes."""
        for model, file in FILES.items():
            folder = self.workspace.artifacts / model / str(version)
            shutil.copytree(folder.with_name("1"), folder)
            if model == "torch":
                _in_other_bytes(folder / file, version)
            else:
                write_text(folder / file / "assets.extra" / "export", str(version))
            self.rewrite(folder, version)

    def rewrite(self, folder: Path, version: int) -> None:
        """Let the manifest be that of the files."""
        manifest = read_model(folder / "manifest.json", Manifest, "make export")
        ((form, record),) = manifest.formats.items()
        record = record.model_copy(update={"sha256": sha256_tree(folder / str(record.path))})
        write_json(
            folder / "manifest.json", manifest.model_copy(update={"version": version, "formats": {form: record}})
        )

    def server(self, engine: str) -> ServerRecord:
        servers = read_model(self.workspace.servers, Servers, "make serve").servers
        return next(server for server in servers if server.engine == engine)

    def served(self) -> dict[str, list[int]]:
        """Engine -> the versions that answer."""
        triton, tfserving = self.server("triton"), self.server("tfserving")
        control = TritonControl(host_port(triton.host, triton.ports["http"]))
        with urlopen(f"http://{tfserving.host}:{tfserving.ports['rest']}/v1/models/keras") as page:
            states = json.loads(page.read())["model_version_status"]
        return {
            "triton": [version for version in range(1, 9) if control.ready(NAMES["triton"], version)],
            "tfserving": sorted(int(each["version"]) for each in states if each["state"] == "AVAILABLE"),
        }

    def serves(self, *versions: int) -> bool:
        """Whether both come to serve just these: what goes may go a moment after the command has ended."""
        wanted = {engine: list(versions) for engine in NAMES}
        return wait_for(lambda: self.served() == wanted, 30.0) and self.laid_out() == wanted

    def laid_out(self) -> dict[str, list[int]]:
        trees = {engine: self.root / "model_repository" / engine / name for engine, name in NAMES.items()}
        return {
            engine: sorted(int(child.name) for child in tree.iterdir() if child.name.isdigit())
            for engine, tree in trees.items()
        }

    def processes(self) -> dict[int, int]:
        """Version -> Triton's process of it, once those that were replaced, which live on for a moment, are gone."""
        found: list[tuple[int, int]] = []

        def settled() -> bool:
            found[:] = sorted((version, pid) for pid, (_, version) in model_processes(self.server("triton")).items())
            return len(found) == len(dict(found))

        assert wait_for(settled, 30.0)
        return dict(found)

    def loads(self) -> dict[int, int]:
        """How often TF Serving has warmed each version up, which it does once at every load."""
        server = self.server("tfserving")
        with urlopen(f"http://{server.host}:{server.ports['rest']}/monitoring/prometheus/metrics") as page:
            return {int(version): int(count) for version, count in WARMED_UP.findall(page.read().decode())}

    def load(self, endpoint: Endpoint) -> OpenLoop:
        """Requests that name no version."""
        golden = [example for example in read_examples(self.root / endpoint.golden) if example.rows == 1]
        where = (endpoint.engine, endpoint.protocol, endpoint.address, endpoint.served_name)
        return OpenLoop(*where, endpoint.outputs, {"right": golden}, RATE)

    def answered_during(self, act: Callable[[], None]) -> Counter[str]:
        """What came of requests that name no version, over every protocol, before, during and after ``act``."""
        with ExitStack() as running:
            loads = [running.enter_context(self.load(endpoint)) for endpoint in self.endpoints()]
            time.sleep(0.5)
            act()
            time.sleep(0.5)
        return sum((load.counted() for load in loads), Counter())


def _in_other_bytes(file: Path, version: int) -> None:
    model = onnx.load(file)
    model.doc_string = f"export {version}"
    onnx.save(model, file)


def _with_other_weights(file: Path) -> None:
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(2 * array, tensor.name))
    onnx.save(model, file)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Listed]:
    """Version 1 was served, and versions 2 to 4 were exported since."""
    place = Listed(tmp_path_factory.mktemp("policies"))
    with served_on(place, copy_zoo, models("[1]"), "--tfserving", "embedded") as stage:
        for version in (2, 3, 4):
            stage.export_again(version)
        yield stage


def test_a_newer_export_that_is_not_listed_is_told_and_not_rolled_to(stage: Listed) -> None:
    ended = stage.run("serving", "roll")
    assert ended.returncode == 0
    for where in ("torch__onnx on triton", "keras on tfserving"):
        assert f"version 4 of {where} is not served: the newest that models." in ended.stderr
    assert "already serves its newest export, or the newest that is listed" in ended.stdout
    assert stage.serves(1)
    assert stage.events() == []


def test_a_list_that_names_no_export_changes_nothing(stage: Listed) -> None:
    stage.say("[1, 7]")
    ended = stage.run("serving", "roll")
    assert ended.returncode == 2
    assert "models.torch.triton.versions lists version 7" in ended.stderr
    assert stage.serves(1)


def test_a_listed_version_that_answers_wrongly_beside_the_newest_is_refused_with_it(stage: Listed) -> None:
    stage.say("[3, 4]")
    folder = stage.workspace.artifacts / "torch" / "3"
    kept = shutil.copytree(folder, folder.with_name("kept"))
    _with_other_weights(folder / "model.onnx")
    stage.rewrite(folder, 3)
    try:
        ended = stage.run("serving", "roll")
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    assert ended.returncode == 3
    (why,) = [event.detail for event in stage.events() if event.what == "refused"]
    assert "version 3 of torch__onnx, which is served beside version 4" in why
    assert wait_for(lambda: stage.served() == {"triton": [1], "tfserving": [3, 4]}, 30.0)  # the other model rolled
    assert stage.laid_out() == {"triton": [1], "tfserving": [3, 4]}
    assert {endpoint.engine: endpoint.version for endpoint in stage.endpoints()} == {"triton": 1, "tfserving": 4}
    assert all(recheck(endpoint, stage.workspace).passed for endpoint in stage.endpoints())  # whose requests name it


def test_a_roll_serves_just_what_is_listed_and_loses_no_request(stage: Listed) -> None:
    assert set(stage.answered_during(lambda: stage.do("serving", "roll"))) == {"right"}
    assert stage.serves(3, 4)
    assert {endpoint.version for endpoint in stage.endpoints()} == {4}
    again = stage.run("serving", "up", "--tfserving", "embedded")
    assert "the servers already run with these models" in again.stderr  # a start would serve the same


def test_where_all_are_served_a_roll_brings_every_export_and_keeps_them(stage: Listed) -> None:
    stage.say('"all"')
    stage.export_again(5)
    assert set(stage.answered_during(lambda: stage.do("serving", "roll"))) == {"right"}
    assert stage.serves(1, 2, 3, 4, 5)
    assert {endpoint.version for endpoint in stage.endpoints()} == {5}


def test_one_version_of_triton_goes_and_comes_while_the_others_stay_as_they_are(stage: Listed) -> None:
    before = stage.processes()
    config = (stage.root / "model_repository/triton/torch__onnx/config.pbtxt").read_bytes()
    stage.do("serving", "unload", "torch__onnx", "--version", "2")
    assert stage.served()["triton"] == [1, 3, 4, 5]
    stage.do("serving", "load", "torch__onnx", "--version", "2")
    assert stage.served()["triton"] == [1, 2, 3, 4, 5]
    after = stage.processes()
    assert {version for version in after if after[version] != before[version]} == {2}
    assert (stage.root / "model_repository/triton/torch__onnx/config.pbtxt").read_bytes() == config


@pytest.mark.parametrize("version", [3, 5])
def test_a_reload_of_one_version_of_triton_loads_it_alone_once_more(stage: Listed, version: int) -> None:
    before = stage.processes()
    answered = stage.answered_during(lambda: stage.do("serving", "reload", "torch__onnx", "--version", str(version)))
    assert set(answered) == {"right"}
    after = stage.processes()
    assert {each for each in after if after[each] != before[each]} == {version}


@pytest.mark.parametrize("version", [3, 5])
def test_a_reload_of_one_version_of_tf_serving_loads_it_alone_once_more(stage: Listed, version: int) -> None:
    before = stage.loads()
    answered = stage.answered_during(lambda: stage.do("serving", "reload", "keras", "--version", str(version)))
    assert set(answered) == {"right"}
    after = stage.loads()
    assert {each for each in before if after[each] != before[each]} == {version}
    assert stage.serves(1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("unload", "torch__onnx", "--version", "5"), "'python -m serving unload torch__onnx' unloads all"),
        (("unload", "torch__onnx", "--version", "6"), "version 6 of torch__onnx is not laid out for triton"),
        (("load", "keras", "--version", "2"), "it can only be reloaded"),
    ],
)
def test_what_cannot_be_done_to_one_version_is_refused(stage: Listed, words: tuple[str, ...], sentence: str) -> None:
    ended = stage.run("serving", *words)
    assert (ended.returncode, sentence in ended.stderr) == (2, True), ended.stderr


def test_a_version_that_was_unloaded_comes_back_with_a_load_of_the_model(stage: Listed) -> None:
    stage.do("serving", "unload", "torch__onnx", "--version", "1")
    assert stage.served()["triton"] == [2, 3, 4, 5]
    stage.do("serving", "load", "torch__onnx")
    assert stage.serves(1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "words", [("reload", "torch__onnx"), ("reload", "keras"), ("load", "torch__onnx")], ids=" ".join
)
def test_an_older_version_whose_files_are_not_the_proven_ones_is_not_loaded_with_the_others(
    stage: Listed, words: tuple[str, ...]
) -> None:
    engine = next(engine for engine, name in NAMES.items() if name == words[1])
    file = stage.workspace.root / "model_repository" / engine / words[1] / "2" / BROKEN[engine]
    whole, loads, processes = file.read_bytes(), stage.loads(), stage.processes()
    file.write_bytes(whole[: len(whole) // 2])
    try:
        ended = stage.run("serving", *words)
    finally:
        file.write_bytes(whole)
    assert (ended.returncode, "is not the export that was proven" in ended.stderr) == (2, True), ended.stderr
    assert (stage.loads(), stage.processes()) == (loads, processes)
    assert stage.serves(1, 2, 3, 4, 5)


def test_of_a_model_that_is_not_loaded_no_version_is_loaded_alone(stage: Listed) -> None:
    stage.do("serving", "unload", "torch__onnx")
    for what in ("load", "reload"):
        ended = stage.run("serving", what, "torch__onnx", "--version", "2")
        assert (ended.returncode, "torch__onnx is not loaded" in ended.stderr) == (2, True)
    stage.do("serving", "load", "torch__onnx")
    assert stage.serves(1, 2, 3, 4, 5)
    assert {event.what for event in stage.events()} == {"refused", "rolled"}  # whoever watches took none for a death


def test_a_start_serves_what_is_listed(stage: Listed) -> None:
    stage.say("[2, 4]")
    stage.do("serving", "up", "--tfserving", "embedded")
    assert stage.serves(2, 4)
    assert {endpoint.version for endpoint in stage.endpoints()} == {4}


@pytest.mark.parametrize("words", [("keras",), ("keras", "--version", "4"), ("torch__onnx",)], ids=" ".join)
def test_a_reload_where_versions_are_listed_loses_no_request(stage: Listed, words: tuple[str, ...]) -> None:
    before = stage.loads()
    assert set(stage.answered_during(lambda: stage.do("serving", "reload", *words))) == {"right"}
    assert stage.serves(2, 4)
    again = {"keras": {2, 4}, "keras --version 4": {4}, "torch__onnx": set()}[" ".join(words)]
    after = stage.loads()
    assert {version for version in (2, 4) if after[version] != before[version]} == again
