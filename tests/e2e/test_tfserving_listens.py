"""Who can reach the embedded TF Serving: nobody beyond this machine, unless it is asked to, which it then warns of."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.builders import free_port
from tests.conftest import ROOT
from tests.open_loop import wait_for

pytestmark = [pytest.mark.e2e]

STARTS_S = 120.0
CONNECTS_S = 20.0
WARNING = "WARNING: listening on 0.0.0.0: whoever reaches this machine can call every model"
UNKNOWN = b"Could not find any versions of model nobody"


@pytest.fixture(scope="module")
def own_address() -> str:
    """An address of this machine that is not loopback, as its neighbours would name it."""
    states = psutil.net_if_stats()
    for name, addresses in psutil.net_if_addrs().items():
        for item in addresses:
            up = name in states and states[name].isup
            if up and item.family == socket.AF_INET and not ipaddress.ip_address(item.address).is_loopback:
                return str(item.address)
    pytest.skip("this machine has no address but loopback")


@contextmanager
def started(folder: Path, *flags: str) -> Iterator[tuple[dict[str, int], str]]:
    """A server without models; its ports by protocol, and all that it said until it was ready."""
    (folder / "models.config").write_text("model_config_list {}")
    ports, log = {"gRPC": free_port(), "REST": free_port()}, folder / "log"
    command = [sys.executable, "-m", "serving.tfserving", f"--port={ports['gRPC']}", f"--rest_api_port={ports['REST']}"]
    command += [f"--model_config_file={folder / 'models.config'}", *flags]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        assert wait_for(lambda: "stand-in ready" in log.read_text() or server.poll() is not None, STARTS_S)
        assert server.poll() is None, log.read_text()
        yield ports, log.read_text()
    finally:
        server.kill()
        server.wait()


def reached(address: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((address, port), CONNECTS_S).close()
    except ConnectionRefusedError:
        return False
    return True


def answer(address: str, port: int) -> bytes:
    """What REST says of a model that is not there."""
    connection = http.client.HTTPConnection(address, port, timeout=CONNECTS_S)
    try:
        connection.request("GET", "/v1/models/nobody")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_nothing_listens_beyond_loopback_unless_asked(tmp_path: Path, own_address: str) -> None:
    with started(tmp_path) as (ports, said):
        assert UNKNOWN in answer("127.0.0.1", ports["REST"])
        assert {protocol: reached("127.0.0.1", port) for protocol, port in ports.items()} == dict.fromkeys(ports, True)
        assert {protocol: reached(own_address, port) for protocol, port in ports.items()} == dict.fromkeys(ports, False)
    assert "WARNING: listening" not in said


def test_who_asks_for_every_address_gets_it_and_is_told_what_is_exposed(tmp_path: Path, own_address: str) -> None:
    with started(tmp_path, "--host=0.0.0.0") as (ports, said):
        assert UNKNOWN in answer(own_address, ports["REST"])
        assert {protocol: reached(own_address, port) for protocol, port in ports.items()} == dict.fromkeys(ports, True)
    assert WARNING in said
    assert "there is no authentication" in said
    assert f"ready: gRPC 0.0.0.0:{ports['gRPC']}, REST 0.0.0.0:{ports['REST']}" in said
