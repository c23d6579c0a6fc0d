"""A model that somebody else serves: which one, on which engine, at which pod, on which device."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from contract.errors import ServerError, UsageError
from contract.workspace import Workspace
from serving import attach
from tests.builders import config, endpoint, endpoints, free_port, model, write_artifacts
from tests.conftest import run_module

MODELS = {"words": model(formats=["torchscript", "savedmodel", "onnx"]), "other": model(formats=["onnx"])}
CONFIG = """
schema_version = 1

[models.words]
framework = "pytorch"
source = "somewhere:build"
formats = ["onnx"]
inputs = [{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }]
outputs = [{ name = "logits", dtype = "float32", dims = ["batch", 2] }]
"""


@pytest.mark.parametrize(
    ("address", "engine"),
    [
        ("http://triton:8000,grpc://triton:8001", "triton"),
        ("rest://tfserving:8501,grpc://tfserving:8500", "tfserving"),
    ],
)
def test_the_first_scheme_of_an_address_says_which_engine_it_is(address: str, engine: str) -> None:
    assert attach.engine_of(address)[0] == engine


@pytest.mark.parametrize("address", ["triton:8000", "grpc://triton:8001", "https://triton"])
def test_an_address_that_does_not_say_it_is_refused_with_both_forms(address: str) -> None:
    with pytest.raises(UsageError, match=r"http://HOST:8000,grpc://HOST:8001 for Triton, rest://HOST:8501"):
        attach.engine_of(address)


@pytest.mark.parametrize(
    ("served", "engine", "form"),
    [
        ("words__onnx", "triton", "onnx"),
        ("words__savedmodel", "triton", "savedmodel"),
        ("words", "tfserving", "savedmodel"),
    ],
)
def test_of_models_toml_only_what_is_served_is_left(served: str, engine: Any, form: str) -> None:
    left = attach.narrowed(config(MODELS), served, engine)
    assert list(left.models) == ["words"]
    assert (left.models["words"].serve, left.models["words"].engines) == ([form], [engine])


@pytest.mark.parametrize(
    ("served", "engine", "sentence"),
    [
        ("words__onxn", "triton", "no 'words__onxn'; did you mean 'words__onnx'?"),
        ("other", "tfserving", "no 'other'; tfserving would serve 1 of its models and formats$"),
    ],
)
def test_a_name_that_is_not_served_is_refused_with_the_nearest(served: str, engine: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        attach.narrowed(config(MODELS), served, engine)


def pods(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let a name have these addresses."""

    def getaddrinfo(host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_one_pod_behind_a_headless_service_is_asked_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pods(monkeypatch, "10.0.4.9", "10.0.3.7", "10.0.3.7")
    address = attach.one_pod("http://triton-headless:8000,grpc://triton-headless:8001")
    assert address == "http://10.0.3.7:8000,grpc://10.0.3.7:8001,metrics://10.0.3.7:8002"
    assert "triton-headless has 2 ready; 10.0.3.7 is asked, alone" in capsys.readouterr().err


def test_a_pod_with_an_address_of_the_sixth_version_is_written_with_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    pods(monkeypatch, "fd00::7")
    assert attach.one_pod("rest://t:8501") == "grpc://[fd00::7]:8500,rest://[fd00::7]:8501"


def test_a_service_without_a_ready_pod_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pods(monkeypatch)
    with pytest.raises(ServerError, match=r"triton-headless has no address \(Name or service not known\): is a pod"):
        attach.one_pod("http://triton-headless:8000")


def test_a_pod_that_is_not_ready_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "EVERY_S", 0.01)
    looks: list[str] = []

    def find() -> str:
        looks.append("look")
        if len(looks) < 3:
            raise ServerError("not there")
        return "http://10.0.3.7:8000"

    assert attach.patiently(find, 60) == "http://10.0.3.7:8000"
    with pytest.raises(ServerError, match="not there"):
        attach.patiently(find_nothing, 0)


def find_nothing() -> str:
    raise ServerError("not there")


def test_the_device_is_what_the_pods_asked_for() -> None:
    before = endpoints(endpoint(), endpoint(id="b"))
    assert {item.device for item in attach.on_device(before, "gpu:NVIDIA-L4").endpoints} == {"gpu:NVIDIA-L4"}


def command(root: Path, *more: str) -> tuple[int, str]:
    (root / "models.toml").write_text(CONFIG)
    write_artifacts(Workspace(root), "words", ("onnx",))
    words = ["--config", str(root / "models.toml"), "--workspace", str(root), "--model", "words__onnx"]
    result = run_module("serving.attach", *words, "--server", f"http://127.0.0.1:{free_port()}", *more)
    assert "Traceback" not in result.stderr
    return result.returncode, result.stderr


def test_a_device_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    code, said = command(tmp_path, "--device", "NVIDIA-L4")
    assert code == 2 and "--device is 'NVIDIA-L4'; it is cpu, unknown, or gpu:NAME" in said


def test_a_server_that_does_not_answer_is_a_sentence_and_nothing_is_left_to_be_loaded(tmp_path: Path) -> None:
    code, said = command(tmp_path)
    assert code == 3 and "nobody listens on 127.0.0.1:" in said
    assert not Workspace(tmp_path).endpoints.exists()


def test_other_bytes_than_the_manifests_are_not_asked(tmp_path: Path) -> None:
    write_artifacts(Workspace(tmp_path), "words", ("onnx",))
    (tmp_path / "artifacts" / "words" / "1" / "model.onnx").write_bytes(b"other")
    settings = attach.narrowed(config(), "words__onnx", "triton")
    with pytest.raises(UsageError, match=r"model\.onnx is not what its manifest says"):
        attach.attach(settings, "triton", "http://127.0.0.1:1", Workspace(tmp_path))


def test_a_workspace_that_has_servers_is_left_alone(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    place.live.mkdir()
    place.servers.write_text("{}")
    with pytest.raises(UsageError, match="has servers of its own; take another folder"):
        attach.attach(config(), "triton", "http://127.0.0.1:1", place)
    assert place.servers.read_text() == "{}"
