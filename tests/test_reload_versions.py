"""Whoever has a whole model loaded has each of its versions checked: the files before, the answers afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.errors import ParityError, UsageError
from contract.workspace import Workspace
from serving.rolling import models
from serving.rolling.version import Version
from tests.builders import endpoint, server, workspace

CHECKED = ["files 3", "files 2", "files 1"]


class Engine:
    """Holds versions 1 to 3; plays the roller, and files and answers of the versions. What was done, in its order."""

    gap = "nothing was lost"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        self.done: list[str] = []
        self.broken = self.wrong = 0  # a version
        monkeypatch.setattr(models, "find", lambda *_: ([endpoint(version=3)], server(place=place)))
        monkeypatch.setattr(models, "roller_of", lambda *_: self)
        monkeypatch.setattr(Version, "insist_on_bytes", lambda version: self.look_at_files(version))
        monkeypatch.setattr(Version, "insist_on_answers", lambda version: self.ask(version))

    def look_at_files(self, version: Version) -> None:
        self.done.append(f"files {version.number}")
        if version.number == self.broken:
            raise UsageError("these are not the proven files")

    def ask(self, version: Version) -> None:
        self.done.append(f"answers {version.number}")
        if version.number == self.wrong:
            raise ParityError("they are wrong")

    def laid_out(self, name: str) -> list[int]:
        return [1, 2, 3]

    def renew(self, name: str, version: int) -> float:
        self.done.append(f"loads all again, {version} the newest")
        return 0.5

    def load(self, name: str) -> float:
        self.done.append("loads all")
        return 0.5

    def unload(self, name: str) -> None:
        self.done.append("unloads all")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return workspace(tmp_path)


def test_every_version_is_checked_before_a_reload_and_asked_after_it(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch, "process")
    models.reload("words__onnx", place)
    assert engine.done == [*CHECKED, "loads all again, 3 the newest", "answers 3", "answers 2", "answers 1"]


def test_every_version_is_checked_before_a_load_and_asked_after_it(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch, "process")
    models.load("words__onnx", place)
    assert engine.done == [*CHECKED, "loads all", "answers 3", "answers 2", "answers 1"]


@pytest.mark.parametrize("act", [models.load, models.reload], ids=lambda act: act.__name__)
def test_where_the_files_of_one_are_not_the_proven_ones_none_is_loaded(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, act: Callable[[str, Workspace], str]
) -> None:
    engine = Engine(monkeypatch, "process")
    engine.broken = 1
    with pytest.raises(UsageError, match="not the proven files"):
        act("words__onnx", place)
    assert engine.done == CHECKED


def test_where_an_older_version_answers_wrongly_after_a_load_all_are_unloaded_again(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch, "process")
    engine.wrong = 2
    with pytest.raises(ParityError, match="they are wrong; it was unloaded again"):
        models.load("words__onnx", place)
    assert engine.done[-2:] == ["answers 2", "unloads all"]


def test_of_a_server_at_an_address_which_may_have_its_own_choice_only_the_newest_is_asked(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(monkeypatch, "url")
    models.reload("words__onnx", place)
    assert engine.done == [*CHECKED, "loads all again, 3 the newest", "answers 3"]
