"""A TF Serving that somebody else runs: what it holds besides ours is never unloaded; ours alone is rolled as usual."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from contract.files import sha256_tree, write_json
from contract.manifest import read_newest
from tests.builders import free_port
from tests.conftest import ROOT
from tests.open_loop import wait_for
from tests.stage import KERAS_ON_TFSERVING, Stage

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

THEIRS = 'config {{ name: "theirs" base_path: "{base}" model_platform: "tensorflow" }}'
READY_S = 120.0


class OnTheirs(Stage):
    """Our model, laid out, and a copy of its export that passes for somebody else's model."""

    @property
    def theirs(self) -> Path:
        return self.root / "theirs"

    def up(self, ports: tuple[int, int], *flags: str) -> None:
        self.do("serving", "up", "--place", f"rest://127.0.0.1:{ports[0]},grpc://127.0.0.1:{ports[1]}", *flags)

    def newer_export(self) -> None:
        """Version 2, which differs in a file that no engine reads."""
        folder, manifest = read_newest(self.workspace.artifacts / "keras")
        newer = folder.with_name("2")
        shutil.copytree(folder, newer)
        record = manifest.formats["savedmodel"]
        assert record.path
        (newer / record.path / "assets" / "note.txt").parent.mkdir(exist_ok=True)
        (newer / record.path / "assets" / "note.txt").write_text("newer")
        record = record.model_copy(update={"sha256": sha256_tree(newer / record.path)})
        write_json(
            newer / "manifest.json", manifest.model_copy(update={"version": 2, "formats": {"savedmodel": record}})
        )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, copy_zoo: Callable[[Path], None]) -> OnTheirs:
    stage = OnTheirs(tmp_path_factory.mktemp("theirs"))
    copy_zoo(stage.root)
    (stage.root / "models.toml").write_text(f"schema_version = 1\n{KERAS_ON_TFSERVING}")
    stage.export()
    stage.do("serving", "repository")
    shutil.copytree(stage.workspace.tfserving_repository / "keras" / "1", stage.theirs / "1")
    return stage


@contextmanager
def run_by_somebody(stage: OnTheirs, *, alone: bool) -> Iterator[tuple[int, int]]:
    """A server with our model, and with theirs unless ours is ``alone``; its ports for REST and gRPC."""
    tree, ports = stage.workspace.tfserving_repository, (free_port(), free_port())
    config = stage.root / "their_models.config"
    text = (tree / "models.config").read_text()
    if not alone:
        text = text.replace("{", f"{{ {THEIRS.format(base=stage.theirs)}", 1)
    config.write_text(text)
    command = [sys.executable, "-m", "serving.tfserving", f"--rest_api_port={ports[0]}", f"--port={ports[1]}"]
    command += [f"--model_config_file={config}", f"--monitoring_config_file={tree / 'monitoring.config'}"]
    with (stage.root / "their.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        names = ["keras"] if alone else ["keras", "theirs"]
        assert wait_for(lambda: server.poll() is not None or all(serves(ports, name) for name in names), READY_S)
        assert server.poll() is None, (stage.root / "their.log").read_text()
        yield ports
    finally:
        stage.run("serving", "stop")
        server.terminate()
        server.wait(60)


def serves(ports: tuple[int, int], name: str) -> bool:
    """Whether version 1 of a model answers, and no other."""
    return states(ports, name) == {1: "AVAILABLE"}


def states(ports: tuple[int, int], name: str) -> dict[int, str]:
    """version -> state of a model, as the server says it; nothing where it does not know it, or does not answer."""
    connection = HTTPConnection("127.0.0.1", ports[0], timeout=30)
    try:
        connection.request("GET", f"/v1/models/{name}")
        answer: Any = json.loads(connection.getresponse().read())
    except OSError:
        return {}
    finally:
        connection.close()
    return {int(item["version"]): item["state"] for item in answer.get("model_version_status", [])}


def test_a_server_with_somebody_elses_model_is_neither_reloaded_nor_rolled_and_goes_on(stage: OnTheirs) -> None:
    with run_by_somebody(stage, alone=False) as ports:
        stage.up(ports)
        seen = stage.run("serving", "reload", "keras")
        assert (seen.returncode, "--tfserving-ours" in seen.stderr) == (2, False)  # no word would help
        laid_out = (stage.workspace.tfserving_repository / "keras").stat().st_ino
        stage.up(ports, "--tfserving-ours")  # a mistake, which can be seen; nothing is laid out anew for a word
        assert (stage.workspace.tfserving_repository / "keras").stat().st_ino == laid_out
        refused = stage.run("serving", "reload", "keras")
        assert refused.returncode == 2
        assert f"has loaded {stage.theirs}/1 since it was started" in refused.stderr
        stage.newer_export()
        try:
            rolled = stage.run("serving", "roll")
        finally:
            shutil.rmtree(stage.workspace.artifacts / "keras" / "2")
        assert rolled.returncode == 3
        assert "version 2 of keras is refused, version 1 goes on: TF Serving at 127.0.0.1" in rolled.stderr
        assert "which is not ours" in stage.run("serving", "status").stdout
        assert serves(ports, "theirs")
        assert serves(ports, "keras")
        assert [child.name for child in (stage.workspace.tfserving_repository / "keras").iterdir()] == ["1"]


def test_a_server_that_has_ours_alone_is_reloaded_and_rolled_where_somebody_says_so(stage: OnTheirs) -> None:
    with run_by_somebody(stage, alone=True) as ports:
        stage.up(ports)
        refused = stage.run("serving", "reload", "keras")
        assert refused.returncode == 2
        assert "'python -m serving reload' take --tfserving-ours" in refused.stderr
        stage.do("serving", "reload", "keras", "--tfserving-ours")
        stage.newer_export()
        try:
            stage.do("serving", "roll", "--tfserving-ours")
        finally:
            shutil.rmtree(stage.workspace.artifacts / "keras" / "2")
        assert states(ports, "keras")[2] == "AVAILABLE"
        assert [event.what for event in stage.events()] == ["rolled"]
