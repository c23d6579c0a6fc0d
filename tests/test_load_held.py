"""A server that stalls until the in-flight limit is reached: measured once, told, and in the latencies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from contract.endpoints import Endpoints
from contract.files import read_model, write_json
from contract.records import Observation
from report.assemble import assemble
from tests.builders import wait_until
from tests.conftest import ROOT
from tests.known_latency import VARIANT, Known, known_latency

pytestmark = [pytest.mark.e2e]

RATE, WINDOW_S, IN_FLIGHT = 200, 8.0, 8
STALL_MS = 1500  # 300 of 1,600 requests come due in it; 80 may be late before a stage is measured again
STAGE = f'{{ shape = "steady", rate = {RATE}, duration_s = {WINDOW_S}, warmup_s = 0.2, in_flight = {IN_FLIGHT} }}'


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The server is gone again, the results of one run are there."""
    with known_latency(tmp_path_factory.mktemp("held"), delay_ms=5.0) as known:
        known.configure(concurrency=[1], closed_s=1.0, open_s=1.0, rate=float(RATE))
        allow_late_sends(known)
        toml = known.root / "models.toml"
        text = toml.read_text().replace("attempts = 1", "attempts = 3")
        toml.write_text(f"plans = {{ crowded = {{ stages = [{STAGE}] }} }}\n{text}")
        load_once_with_a_stall(known)
        return known


def allow_late_sends(known: Known) -> None:
    """Of an objective of two seconds a send is late by 100 ms or more: a busy machine is not what is looked at."""
    file = known.root / "live" / "endpoints.json"
    running = read_model(file, Endpoints, "make serve")
    (item,) = running.endpoints
    patient = item.model_copy(update={"slo": item.slo.model_copy(update={"p99_ms": 2000.0})})
    write_json(file, running.model_copy(update={"endpoints": [patient]}))


def load_once_with_a_stall(known: Known) -> None:
    """The stall begins half a second after the first request of the warm-up has been seen."""
    process = subprocess.Popen(
        [*known.command(), "--plan", "crowded"], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert wait_until(lambda: bool(known.ask("seen")["times"]), 60)
        known.ask(f"stall/{STALL_MS}/500")
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def test_it_is_not_measured_again_until_the_server_does_not_stall(known: Known) -> None:
    (seen,) = observed(known.newest()).stages
    assert seen.attempt == 1
    assert 100 < seen.held < 400


def test_the_report_tells_it_beside_latencies_that_have_the_stall(known: Known) -> None:
    (stage,) = assemble(known.newest()).variants[0].stages
    assert stage.valid, stage.reasons
    (told,) = [check for check in stage.checks if check.name == "in flight"]
    assert f"by the limit of {IN_FLIGHT} in flight" in told.detail
    assert stage.latency_ms.p99.value is not None and stage.latency_ms.p99.value > STALL_MS / 2
    assert stage.service_ms.p90.value is not None and stage.service_ms.p90.value < STALL_MS / 2  # eight waited in it


def observed(folder: Path) -> Observation:
    return read_model(folder / f"server-stats-{VARIANT}.json", Observation, "make loadtest")
