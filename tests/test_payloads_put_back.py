"""A change to what is served that fails leaves the requests of what goes on being served as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.endpoints import Protocol
from contract.workspace import Workspace
from serving.layout.repository import Served
from serving.proof.payloads import PROTOCOLS, put_back_where_it_fails, write_payloads
from tests.builders import examples, served, workspace


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return workspace(tmp_path)


@pytest.fixture
def old(place: Workspace) -> Served:
    """Version 1, whose requests are written for both protocols."""
    item = served(place, version=1)
    for protocol in PROTOCOLS["triton"]:
        write_payloads(item, protocol, examples(), place.live)
    return item


def files(place: Workspace) -> dict[str, bytes]:
    return {str(file.relative_to(place.live)): file.read_bytes() for file in place.live.rglob("*") if file.is_file()}


@pytest.mark.parametrize("protocols", [(), ("http",), ("http", "grpc")], ids=len)
def test_where_it_fails_every_request_is_there_as_before(
    place: Workspace, old: Served, protocols: tuple[Protocol, ...]
) -> None:
    before, new = files(place), served(place, version=2)
    with pytest.raises(OSError, match="full"), put_back_where_it_fails(new, place.live):
        _write_and_fail(new, protocols, place)
    assert files(place) == before


def _write_and_fail(new: Served, protocols: tuple[Protocol, ...], place: Workspace) -> None:
    for protocol in protocols:
        write_payloads(new, protocol, examples()[:1], place.live)
    raise OSError("full")


def test_where_it_succeeds_the_new_requests_stay_and_nothing_else(place: Workspace, old: Served) -> None:
    before, new = files(place), served(place, version=2)
    with put_back_where_it_fails(new, place.live):
        write_payloads(new, "http", examples(), place.live)
    after = files(place)
    assert after.keys() == before.keys()
    assert after["payloads/triton/words__onnx/http/index.json"] != before["payloads/triton/words__onnx/http/index.json"]


def test_where_they_cannot_be_kept_nothing_is_begun(
    place: Workspace, old: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = files(place)
    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(OSError, match="No space left"), put_back_where_it_fails(old, place.live):
        pytest.fail("it was begun")
    assert files(place) == before


def test_what_one_that_was_killed_left_behind_is_nothing_to_the_next(place: Workspace, old: Served) -> None:
    before = files(place)
    killed = place.live / "payloads/triton/words__onnx.before/http/of_a_version_long_gone.bin"
    killed.parent.mkdir(parents=True)
    killed.write_bytes(b"")
    with pytest.raises(OSError, match="full"), put_back_where_it_fails(old, place.live):
        raise OSError("full")
    assert files(place) == before
