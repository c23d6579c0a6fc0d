"""A search goes no higher than the load generator may: its open loop's ceiling, and the processor of its processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract.certificate import Certificates
from contract.records import Stage, VariantPlan
from loadtest.master.asking import Measured
from tests.builders import endpoint, plan
from tests.certificates import certificate, certificates
from tune.search.command import NONE, _seeker
from tune.search.method import Method
from tune.search.seeking import Seeker

ENDPOINT = endpoint()
VARIANT = VariantPlan(id=ENDPOINT.id, endpoint=ENDPOINT, stages=[], repeat_of=None)
METHOD = Method()


class Server:
    """Answers whatever it is asked, at whatever rate; the load process uses that share of a core."""

    def __init__(self, client_cpu: float) -> None:
        self.client_cpu = client_cpu
        self.rates: list[float] = []

    def measure(self, variant_id: str, stage: Stage, early: bool = False) -> Measured:
        self.rates += [stage.rate] if stage.rate else []
        return Measured(
            stage=0,
            due=10_000,
            failed=0,
            over={"p99": 0},
            late=0,
            good=10_000,
            answered_rps=20_000.0,
            client_cpu=self.client_cpu if stage.rate else 1.0,  # a closed loop may use what there is
            lost=[],
            aborted=False,
            cut="",
            window_s=2.0,
            seconds=3.0,
        )


def seeker(results: Path, known: Certificates) -> Seeker:
    return _seeker(VARIANT, METHOD, plan(VARIANT), known, results, in_flight=64)


def certified(**changes: Any) -> Certificates:
    found = certificate(**changes)
    return certificates(found, **{ENDPOINT.id: found.setting.key})


@pytest.mark.parametrize(
    ("known", "highest"), [(certified(), 0.97 * 2800.0), (certified(open_ceiling=None), 0.97 * 7000.0)]
)
def test_no_rate_is_above_what_is_trusted_of_an_open_loop(tmp_path: Path, known: Certificates, highest: float) -> None:
    server, search = Server(client_cpu=0.5), seeker(tmp_path, known)
    for _ in METHOD.users:
        search.step(server)
    search.step(server)
    assert server.rates == [pytest.approx(highest)]


@pytest.mark.parametrize("known", [NONE, certified(), certified(open_ceiling=None)], ids=["no", "open", "closed"])
def test_a_load_process_that_is_too_busy_spoils_a_probe_certified_or_not(tmp_path: Path, known: Certificates) -> None:
    server, search = Server(client_cpu=0.95), seeker(tmp_path, known)
    for _ in METHOD.users:
        search.step(server)
    told, _ = search.step(server)
    assert "the busiest load process used 95 % of a core, 80 % allowed" in told
