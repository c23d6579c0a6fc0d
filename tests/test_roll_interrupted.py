"""A roll that ends while the new version is proven, in whatever way, leaves served what was served before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelsFile
from contract.endpoints import Servers
from contract.errors import ServerError
from contract.files import write_json
from contract.workspace import Workspace
from serving.choice import Choice, write_choice
from serving.layout.repository import lay_out, plan
from serving.proof.payloads import PROTOCOLS, write_payloads
from serving.rolling import roll, tfserving, triton
from tests.builders import config, endpoint, endpoints, examples, model, server, workspace, write_artifacts

FORMATS = {"triton": "onnx", "tfserving": "savedmodel"}
PORTS = {"http": 8000, "grpc": 8001, "rest": 8501}


class Told:
    """A server of either engine that does what it is told, until it is to refuse it."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.refusal = ""

    def load(self, name: str) -> float:
        self._take(f"load {name}")
        return 0.1

    def unload(self, name: str) -> None:
        self._take(f"unload {name}")

    def configure(self, _: object) -> None:
        self._take("configure")

    def wait(self, *_: object, **__: object) -> None:
        pass

    def wait_for(self, _: object) -> None:
        pass

    def _take(self, order: str) -> None:
        if self.refusal:
            raise ServerError(self.refusal)
        self.orders.append(order)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The server behind both rollers; the candidate is right, and what comes after it is the test's to say."""
    fake = Told()
    monkeypatch.setattr(triton, "TritonControl", lambda _: fake)
    monkeypatch.setattr(tfserving, "TfServingControl", lambda _: fake)
    monkeypatch.setattr(tfserving, "TfServingState", lambda _: fake)
    monkeypatch.setattr(tfserving, "insist_on_ours_alone", lambda *_: None)
    monkeypatch.setattr(roll, "_insist_on_answers", lambda *_: None)
    return fake


def newer(place: Workspace, engine: str) -> ModelsFile:
    """Version 1 of `words` is served on this engine, and there is a version 2."""
    form = FORMATS[engine]
    described = config({"words": model(engines=[engine], formats=[form])})
    write_artifacts(place, formats=(form,), version=1)
    (old,), _ = plan(described, "all", place)
    lay_out([old], place)
    for protocol in PROTOCOLS[old.engine]:
        write_payloads(old, protocol, examples(), place.live)
    write_choice(Choice(), place)
    write_json(place.servers, Servers(schema_version=1, servers=[server(engine=engine, ports=PORTS)]))
    write_json(place.endpoints, endpoints(endpoint(engine=engine, format=form, served_name=old.name)))
    write_artifacts(place, formats=(form,), version=2)
    return described


def served(place: Workspace) -> dict[str, bytes]:
    """What servers, clients and load tests read: both trees, the requests, the endpoints."""
    folders = (place.triton_repository, place.tfserving_repository, place.live / "payloads")
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(place.root)): file.read_bytes() for file in (*files, place.endpoints)}


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
def test_ctrl_c_while_the_new_version_is_proven_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told, engine: str
) -> None:
    place = workspace(tmp_path)
    described = newer(place, engine)
    before = served(place)

    def interrupted(*_: Any) -> None:
        assert served(place) != before, "version 2 is published"
        told.orders.clear()
        raise KeyboardInterrupt

    monkeypatch.setattr(roll, "prove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        roll.roll(described, "all", place)
    assert served(place) == before
    assert told.orders == [{"triton": "load words__onnx", "tfserving": "configure"}[engine]]


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
def test_ctrl_c_while_the_new_version_is_copied_leaves_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told, engine: str
) -> None:
    place = workspace(tmp_path)
    described = newer(place, engine)
    before = served(place)
    copy, interrupted = shutil.copy2, []

    def copies(source: Path, target: Path) -> None:
        copy(source, target)
        if place.root / "model_repository" in Path(target).parents and roll.CANDIDATE not in str(target):
            interrupted.append(target)
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copy2", copies)
    with pytest.raises(KeyboardInterrupt):
        roll.roll(described, "all", place)
    assert len(interrupted) == 1 and served(place) == before


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
def test_a_new_version_that_is_not_proven_is_refused_and_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told, engine: str
) -> None:
    place = workspace(tmp_path)
    described = newer(place, engine)
    before = served(place)

    def fails(*_: Any) -> None:
        raise ServerError("it does not answer")

    monkeypatch.setattr(roll, "prove", fails)
    (event,) = roll.roll(described, "all", place)
    assert event.what == "refused" and "version 1 goes on: it does not answer" in event.detail
    after = served(place)
    for files in (before, after):
        files.pop("live/endpoints.json")  # which a roll that ends writes anew
    assert after == before


def test_an_interruption_remains_one_where_the_old_version_does_not_come_back_which_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    place = workspace(tmp_path)
    described = newer(place, "triton")

    def interrupted(*_: Any) -> None:
        told.refusal = "out of memory"
        raise KeyboardInterrupt

    monkeypatch.setattr(roll, "prove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        roll.roll(described, "all", place)
    sentence = "words__onnx on triton could not be brought back as it was: out of memory; 'make serve' starts it anew"
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("engine", ["triton", "tfserving"])
def test_a_version_of_which_nothing_came_is_not_taken_back(tmp_path: Path, told: Told, engine: str) -> None:
    place = workspace(tmp_path)
    described = newer(place, engine)
    before = served(place)
    roller = roll.roller_of(server(engine=engine, ports=PORTS), place)
    roller.take_back(plan(described, "all", place)[0][0])
    assert (served(place), told.orders) == (before, [])
