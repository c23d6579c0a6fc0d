"""haproxy.cfg for the replicas of one served model: pure text.

Every protocol of the engine has a frontend on loopback. Requests are spread one by one and not by connection: a gRPC
client keeps a single connection, whose requests would otherwise all go to one replica.

A replica is asked for the model, not only whether it runs. What could not be sent to a replica goes to another; what
was sent and not answered is an error, which a measurement has to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from contract.endpoints import Protocol
from serving.places.ports import LOOPBACK

Balance = Literal["leastconn", "roundrobin"]
BALANCES: dict[Balance, str] = {
    "leastconn": "to the replica with the fewest on their way",
    "roundrobin": "to the replicas in turn",
}
HTTP2: dict[Protocol, bool] = {"http": False, "rest": False, "grpc": True}
MOST_CONNECTIONS = 4096


@dataclass(frozen=True)
class Check:
    """How a replica is asked for its model: over HTTP/1.1, on the port of one protocol, with words of a good answer."""

    protocol: Protocol
    path: str
    words: str = ""


def check_of(engine: str, served_name: str, version: int) -> Check:
    """The readiness of one version of a model, as each engine tells it."""
    name = quote(served_name, safe="")
    if engine == "triton":
        return Check("http", f"/v2/models/{name}/versions/{version}/ready")
    return Check("rest", f"/v1/models/{name}", "AVAILABLE")  # which answers 200 while it still loads


def render(
    ports: dict[Protocol, int],
    replicas: Sequence[dict[str, int]],
    check: Check,
    balance: Balance = "leastconn",
    threads: int = 1,
) -> str:
    """The whole file: ``ports`` of the proxy by protocol, and those of every replica."""
    parts = [GENERAL.format(threads=threads, connections=MOST_CONNECTIONS)]
    for protocol, port in ports.items():
        proto = " proto h2" if HTTP2[protocol] else ""
        parts.append(f"frontend {protocol}\n    bind {LOOPBACK}:{port}{proto}\n    default_backend {protocol}\n")
        parts.append(
            f"backend {protocol}\n    balance {balance}\n    option httpchk GET {check.path}\n{_expected(check)}"
        )
        parts[-1] += "".join(
            f"    server replica-{number} {LOOPBACK}:{replica[protocol]}{proto}"
            f" check port {replica[check.protocol]}{' check-proto h1' if proto else ''}\n"
            for number, replica in enumerate(replicas, 1)
        )
    return "\n".join(parts)


def _expected(check: Check) -> str:
    return "    http-check expect status 200\n" + (
        f"    http-check expect string {check.words}\n" if check.words else ""
    )


# One idle connection to a replica is as good as another (http-reuse always). The timeouts are longer than any request
# of a measurement, which has limits of its own. A replica is out after one failed check, and in again after one.
GENERAL = """\
global
    nbthread {threads}
    maxconn {connections}
    log stdout format raw local0 notice

defaults
    mode http
    log global
    http-reuse always
    retry-on conn-failure
    option redispatch 1
    timeout connect 2s
    timeout check 2s
    timeout client 10m
    timeout server 10m
    timeout http-keep-alive 10m
    default-server inter 500ms fall 1 rise 1
"""
