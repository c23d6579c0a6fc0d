"""What TF Serving serves beside the newest export, where `tfserving.versions` asks for it: each answers rightly.

The tests of this file go through one life of one server, in their order.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest

from contract.codecs import codec_for
from contract.compare import Tolerance, compare
from contract.endpoints import Endpoint, Servers
from contract.files import read_model, write_json
from contract.golden import Example, read_examples
from contract.manifest import Manifest
from serving.proof.probe import TRANSPORTS
from tests.open_loop import OpenLoop
from tests.stage import KERAS_ON_TFSERVING, Stage, served_on

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = f"schema_version = 1\n{KERAS_ON_TFSERVING}tfserving = {{ versions = 2 }}\n"
RATE = 40.0
WARMED_UP = re.compile(r'model_warmup_latency_count{model_path="[^"]*/keras/(\d+)",status="OK"} (\d+)')
OTHER_WEIGHTS = """
import keras, sys
model = keras.models.load_model(sys.argv[1])
model.set_weights([1.5 * values for values in model.get_weights()])
model.save(sys.argv[1])
"""


class Older(Stage):
    """The exports of one model, and which of them answer."""

    @property
    def exports(self) -> Path:
        return self.workspace.artifacts / "keras"

    def golden(self, version: int) -> list[Example]:
        return [example for example in read_examples(self.exports / str(version) / "golden.npz") if example.rows == 1]

    def laid_out(self) -> set[str]:
        return {child.name for child in (self.workspace.tfserving_repository / "keras").iterdir()}

    def answers(self, endpoint: Endpoint, asked: int, golden: int) -> bool:
        """Whether version ``asked``, named in the request, answers as the golden batch of version ``golden`` says."""
        codec = codec_for("tfserving", endpoint.protocol)
        send = TRANSPORTS[endpoint.protocol](endpoint.address, codec.target("keras", asked))
        pairs = []
        for example in self.golden(golden)[:3]:
            payload = codec.encode("keras", asked, example.inputs, endpoint.outputs)
            answer = codec.decode(*send(payload.body, payload.headers), endpoint.outputs)
            pairs.append((example.key, example.outputs, answer))
        return compare(pairs, Tolerance(endpoint.atol, endpoint.rtol)).passed

    def loads(self) -> dict[str, int]:
        """How often the server has warmed each version up, which it does once at every load."""
        (server,) = read_model(self.workspace.servers, Servers, "make serve").servers
        with urlopen(f"http://{server.host}:{server.ports['rest']}/monitoring/prometheus/metrics") as page:
            return {version: int(count) for version, count in WARMED_UP.findall(page.read().decode())}

    def load(self, endpoint: Endpoint) -> OpenLoop:
        """Requests that name no version."""
        golden = {f"v{version}": self.golden(version) for version in (1, 2)}
        return OpenLoop("tfserving", endpoint.protocol, endpoint.address, "keras", endpoint.outputs, golden, RATE)

    def export_like(self, version: int, copied: int) -> None:
        """A newer export with the bytes of an older one."""
        folder = self.exports / str(version)
        shutil.copytree(self.exports / str(copied), folder)
        manifest = read_model(folder / "manifest.json", Manifest, "make export")
        write_json(folder / "manifest.json", manifest.model_copy(update={"version": version}))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> Iterator[Older]:
    """Version 1 was served, and version 2 was exported since, with other weights."""
    place = Older(tmp_path_factory.mktemp("older_tfserving"))
    with served_on(place, copy_zoo, MODELS, "--tfserving", "embedded") as stage:
        trained = stage.root / "zoo/out/sentiment_keras/model.keras"
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
        subprocess.run(
            [sys.executable, "-c", OTHER_WEIGHTS, str(trained)], check=True, env=environment, capture_output=True
        )
        stage.do("export")
        yield stage


def each_answers_as_its_own_golden_batch_says(stage: Older) -> bool:
    endpoints = stage.endpoints()
    assert len(endpoints) == 2  # gRPC and REST
    return all(
        stage.answers(endpoint, asked, golden) == (asked == golden)
        for endpoint in endpoints
        for asked in (1, 2)
        for golden in (1, 2)
    )


def answered_during(stage: Older, act: Callable[[], None]) -> Counter[str]:
    """Which version answered who named none, over both protocols, before, during and after ``act``."""
    with ExitStack() as running:
        loads = [running.enter_context(stage.load(endpoint)) for endpoint in stage.endpoints()]
        time.sleep(0.5)
        act()
        time.sleep(0.5)
    return sum((load.counted() for load in loads), Counter())


def test_a_roll_leaves_the_version_before_and_the_newest_is_what_is_served_by_default(stage: Older) -> None:
    stage.do("serving", "roll")
    assert stage.laid_out() == {"1", "2"}
    assert each_answers_as_its_own_golden_batch_says(stage)
    assert set(answered_during(stage, lambda: None)) == {"v2"}


def test_a_start_serves_the_versions_that_a_roll_leaves_served(stage: Older) -> None:
    stage.do("serving", "stop")
    stage.do("serving", "up", "--tfserving", "embedded")
    assert each_answers_as_its_own_golden_batch_says(stage)
    assert {endpoint.version for endpoint in stage.endpoints()} == {2}  # what a load test asks for
    assert set(answered_during(stage, lambda: None)) == {"v2"}
    assert not list(stage.workspace.live.glob("payloads/tfserving/keras/*-1"))


def test_a_reload_loads_both_once_more_and_nobody_gets_the_older_meanwhile(stage: Older) -> None:
    before = stage.loads()
    assert set(before) == {"1", "2"}
    answered = answered_during(stage, lambda: stage.do("serving", "reload", "keras"))
    assert set(answered) == {"v2"}
    after = stage.loads()
    assert {version: after[version] - count for version, count in before.items()} == {"1": 1, "2": 1}
    assert stage.laid_out() == {"1", "2"}
    assert each_answers_as_its_own_golden_batch_says(stage)


def test_of_three_the_oldest_goes(stage: Older) -> None:
    stage.export_like(3, copied=1)
    stage.do("serving", "roll")
    assert stage.laid_out() == {"2", "3"}
    assert all(stage.answers(endpoint, 2, 2) and stage.answers(endpoint, 3, 1) for endpoint in stage.endpoints())
    for endpoint in stage.endpoints():
        with pytest.raises(Exception, match="not found"):
            stage.answers(endpoint, 1, 1)


def test_an_older_version_that_answers_otherwise_than_it_was_proven_ends_the_start(stage: Older) -> None:
    stage.do("serving", "stop")
    kept = stage.exports / "kept"
    (stage.exports / "2").rename(kept)
    try:
        stage.export_like(2, copied=1)  # these bytes
        shutil.copy2(kept / "golden.npz", stage.exports / "2")  # and those answers
        forged = read_model(stage.exports / "2" / "manifest.json", Manifest, "make export")
        truth = read_model(kept / "manifest.json", Manifest, "make export")
        write_json(
            stage.exports / "2" / "manifest.json",
            forged.model_copy(update={"golden_sha256": truth.golden_sha256}),
        )
        started = stage.run("serving", "up", "--tfserving", "embedded")
    finally:
        shutil.rmtree(stage.exports / "2")
        kept.rename(stage.exports / "2")
    assert started.returncode == 5
    assert "version 2 of keras, which is served beside version 3, does not agree" in started.stderr
    assert "nothing runs" in stage.run("serving", "status").stdout
