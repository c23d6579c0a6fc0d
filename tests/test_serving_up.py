"""What `serving up` does to servers that run: nothing, where it was called wrongly or finds them as they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from contract.config import read_config
from contract.endpoints import Servers, Supervisor
from contract.errors import UsageError
from contract.files import write_json
from contract.workspace import Workspace
from serving import fleet
from serving.__main__ import main
from serving.choice import Choice, fingerprint, read_choice, write_choice
from serving.layout.repository import plan
from tests.builders import endpoint, endpoints, server, workspace, write_artifacts

MODELS = """
schema_version = 1

[models.words]
framework = "pytorch"
source = "zoo.somewhere:build"
engines = ["triton"]
formats = ["onnx"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""
ME = psutil.Process()  # a process that surely runs


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """One model that is exported and may be served."""
    made = workspace(tmp_path)
    (made.root / "models.toml").write_text(MODELS)
    write_artifacts(made, formats=("onnx",))
    return made


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops or starts a server fails the test."""
    for name in ("stop", "up"):
        monkeypatch.setattr(fleet, name, lambda *_, name=name: pytest.fail(f"fleet.{name} was called"))


def up(place: Workspace, *words: str) -> int:
    return main(["up", "--config", str(place.root / "models.toml"), "--workspace", str(place.root), *words])


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--triton", "podman"], "unknown Triton 'podman': one of process, docker"),
        (["--triton", "http://a:8000,grpc://b:8001"], "names two hosts, a and b"),
        (["--tfserving", "embeded"], "unknown TF Serving 'embeded': one of auto, binary, docker, embedded"),
        (["--tfserving", "rest://a:8501,grpc://b:8500"], "names two hosts, a and b"),
        (["--tfserving", "binary"], "is not on PATH; install it, or leave the choice with --tfserving auto"),
    ],
)
def test_a_flag_that_cannot_be_followed_is_refused_before_anything_is_stopped(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match=sentence):
        up(place, *words)


@pytest.mark.usefixtures("untouched")
def test_an_export_that_is_not_what_its_manifest_says_is_refused_before_anything_is_stopped(place: Workspace) -> None:
    (place.artifacts / "words" / "1" / "model.onnx").write_bytes(b"other bytes")
    with pytest.raises(UsageError, match=r"model.onnx is not what its manifest says; run 'make export' again"):
        up(place)


@pytest.mark.usefixtures("untouched")
def test_settings_that_do_not_fit_the_model_are_refused_before_anything_is_stopped(place: Workspace) -> None:
    options = "{ trt_profile_min_shapes = 'tokens:1x1' }"
    (place.root / "models.toml").write_text(f"{MODELS}\n[models.words.triton.tensorrt]\noptions = {options}\n")
    with pytest.raises(UsageError, match="trt_profile_min_shapes and no trt_profile_opt_shapes; give all three"):
        up(place)


def running(place: Workspace, choice: Choice) -> None:
    """The model runs as this choice asked for it, and is watched."""
    described = read_config(place.root / "models.toml")
    item = server(pid=ME.pid, pid_started=ME.create_time())
    wanted = fingerprint(described, plan(described, "default", place)[0], choice)
    known = endpoints(endpoint(), servers=[item], fingerprint=wanted, one_at_a_time=choice.one_at_a_time)
    watcher = Supervisor(pid=ME.pid, pid_started=ME.create_time(), log="supervisor.log")
    write_json(place.endpoints, known)
    write_json(place.servers, Servers(schema_version=1, servers=[item], supervisor=watcher))
    write_choice(choice, place)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--one-at-a-time", "--restarts", "7"], ""),
        (["--one-at-a-time", "--restarts", "1"], "they keep --restarts 7, as they were started; 'make stop' first"),
        (["--restarts", "7"], "they hold the formats of one model at a time, as they were started; 'make stop' first"),
        ([], "they keep --restarts 7 and hold the formats of one model at a time, as they were started"),
    ],
)
def test_what_servers_that_run_keep_although_something_else_is_asked_for_is_said(
    place: Workspace, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    choice = Choice(restarts=7, one_at_a_time=True)
    running(place, choice)
    assert up(place, *words) == 0
    said = capsys.readouterr().err
    assert "the servers already run with these models" in said
    assert sentence in said and ("as they were started" in said) == bool(sentence)
    assert read_choice(place) == choice
