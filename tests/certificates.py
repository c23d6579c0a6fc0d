"""Certificates with round figures for the tests."""

from __future__ import annotations

from typing import Any

from contract.certificate import Added, Certificate, Certificates, OpenCeiling, Setting
from contract.client import Client
from tests.builders import MACHINE


def setting(**changes: Any) -> Setting:
    """What a certificate depends on."""
    fields: dict[str, Any] = {
        "machine": MACHINE,
        "versions": {"locust": "2.47.0"},
        "code": "0123456789ab",
        "protocol": "http",
        "request_class": 512,
        "answer_class": 256,
        "client": Client(),
        "concurrency": 16,
        "processes": 1,
        "cores": [0, 1],
    }
    return Setting(**(fields | changes))


def certificate(of: Setting | None = None, **changes: Any) -> Certificate:
    """A client that can do ten thousand requests per second in a closed loop, and four thousand in an open one."""
    fields: dict[str, Any] = {
        "schema_version": 1,
        "measured": "2026-01-31T12:00:00+00:00",
        "setting": of or setting(),
        "request_bytes": 400,
        "answer_bytes": 150,
        "ceiling_rps": 10_000.0,
        "ceiling_of": "client",
        "client_cpu": 0.98,
        "server_cpu": 0.25,
        "open_ceiling": OpenCeiling(rps=4000.0, of="client", client_cpu=0.85, server_cpu=0.2),
        "added": Added(
            rate=200.0,
            requests=600,
            server_p50_ms=5.1,
            p50_ms=0.5,
            p99_ms=1.2,
            sent_late_p50_ms=0.2,
            sent_late_p99_ms=0.8,
        ),
    }
    return Certificate(**(fields | changes))


def certificates(*items: Certificate, **endpoints: str) -> Certificates:
    """Those of a run; by endpoint -> key."""
    return Certificates(schema_version=1, certificates={item.setting.key: item for item in items}, endpoints=endpoints)
