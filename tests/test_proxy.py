"""The proxy before replicas: what it is told, that HAProxy takes it, and which HAProxy is run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from contract.endpoints import Protocol
from contract.errors import UsageError
from serving.replication import proxy
from serving.replication.proxy_config import BALANCES, Balance, check_of, render

PORTS: dict[str, dict[Protocol, int]] = {
    "triton": {"http": 18000, "grpc": 18001},
    "tfserving": {"grpc": 18500, "rest": 18501},
}


def replicas(engine: str, many: int) -> list[dict[str, int]]:
    """Ports of so many replicas."""
    return [{purpose: port + 100 * number for purpose, port in PORTS[engine].items()} for number in range(1, many + 1)]


def text(engine: str, many: int = 2, balance: Balance = "leastconn", threads: int = 1) -> str:
    check = check_of(engine, "words__onnx", 3)
    return render(PORTS[engine], replicas(engine, many), check, balance, threads)


def haproxy() -> Path:
    """The HAProxy of this machine; without one the test is skipped, and says how to get it."""
    try:
        return proxy.find()
    except UsageError as error:
        pytest.skip(f"NOT TESTED: {error}")


@pytest.mark.parametrize("engine", PORTS)
@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("many", [1, 3])
def test_haproxy_takes_what_is_rendered_without_a_warning(
    engine: str, balance: Balance, many: int, tmp_path: Path
) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(text(engine, many, balance, threads=2))
    done = subprocess.run([haproxy(), "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr and "ALERT" not in done.stderr


@pytest.mark.parametrize("engine", PORTS)
def test_every_protocol_has_a_frontend_on_loopback_and_every_replica_behind_it(engine: str) -> None:
    found = text(engine, many=3)
    assert set(re.findall(r"^ +bind (\S+):\d+", found, re.MULTILINE)) == {"127.0.0.1"}
    for protocol, port in PORTS[engine].items():
        assert f"frontend {protocol}\n    bind 127.0.0.1:{port}" in found
        for replica in replicas(engine, 3):
            assert f"127.0.0.1:{replica[protocol]}" in found
    assert len(re.findall(r"^ +server ", found, re.MULTILINE)) == 3 * len(PORTS[engine])


def test_grpc_is_http2_on_both_sides_and_its_replicas_are_checked_over_http1() -> None:
    _, _, behind = text("triton").partition("frontend grpc")
    assert "bind 127.0.0.1:18001 proto h2" in behind
    assert behind.count("proto h2 check port") == 2 and behind.count("check-proto h1") == 2
    assert "check port 18100 check-proto h1" in behind  # of replica 1: its HTTP port
    assert "proto h2" not in text("triton").partition("frontend grpc")[0]


@pytest.mark.parametrize(
    ("engine", "path", "words"),
    [
        ("triton", "GET /v2/models/words__onnx/versions/3/ready", None),
        ("tfserving", "GET /v1/models/words__onnx", "AVAILABLE"),
    ],
)
def test_a_replica_is_asked_for_the_model(engine: str, path: str, words: str | None) -> None:
    found = text(engine)
    assert found.count(path) == 2
    assert found.count("http-check expect string") == (2 if words else 0)
    assert words is None or words in found


def test_what_was_sent_is_not_sent_again_but_what_could_not_be_goes_to_another_replica() -> None:
    found = text("triton")
    assert "retry-on conn-failure\n" in found and "option redispatch 1" in found


def test_the_wheel_goes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "wheels" / "fake_haproxy" / "bin", "2.8.1")
    (tmp_path / "wheels" / "fake_haproxy" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "wheels")
    monkeypatch.setattr(proxy, "WHEEL", "fake_haproxy")
    monkeypatch.setenv("PATH", str(_program(tmp_path / "bin", "2.6.12-1+deb12u4").parent))
    assert proxy.version(proxy.find()) == "2.8.1"
    monkeypatch.setattr(proxy, "WHEEL", "nobody_has_this")
    assert proxy.version(proxy.find()) == "2.6.12"


def test_without_haproxy_the_sentence_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "WHEEL", "nobody_has_this")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt-get install haproxy"):
        proxy.find()


@pytest.mark.parametrize(
    ("output", "sentence"), [("2.4.22", "2.6 or newer is needed"), ("", "does not run"), (None, "does not run")]
)
def test_a_haproxy_that_is_too_old_or_broken_is_refused(tmp_path: Path, output: str | None, sentence: str) -> None:
    program = tmp_path / "absent" if output is None else _program(tmp_path, output)
    with pytest.raises(UsageError, match=sentence):
        proxy.version(program)


def _program(folder: Path, version: str) -> Path:
    """A haproxy that says its version, or nothing, and can do nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "haproxy"
    program.write_text(f"#!/bin/sh\n{f'echo HAProxy version {version} 2026/06/26' if version else 'exit 1'}\n")
    program.chmod(0o755)
    return program
