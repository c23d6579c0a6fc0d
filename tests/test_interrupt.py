"""Ctrl-C in the middle of the load: it ends at once, leaves no process, and what was measured can be read."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from contract.files import read_model
from contract.records import Observation, read_records
from report.assemble import assemble
from tests.builders import wait_until
from tests.known_latency import VARIANT, Known, known_latency

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Known]:
    with known_latency(tmp_path, delay_ms=5.0) as known:
        known.configure(concurrency=[1, 2], closed_s=0.5, open_s=60.0, rate=50.0)
        yield known


def of_session(session: int) -> list[psutil.Process]:
    """Every process of a session that still runs."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_an_interrupted_load_ends_with_130_leaves_no_process_and_keeps_its_records(
    known: Known, number: signal.Signals
) -> None:
    process = known.start()
    try:
        stats = known.root / "results" / "latest" / f"server-stats-{VARIANT}.json"
        assert wait_until(stats.is_file, 20), "the first stage never ended"
        assert any("locust" in " ".join(member.cmdline()) for member in of_session(process.pid))
        # A terminal sends Ctrl-C to the whole group; a supervisor ends the command alone.
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        _, errors = process.communicate(timeout=15)
        assert process.returncode == 130
        assert "interrupted" in errors
        assert "Traceback" not in errors
        assert of_session(process.pid) == []
    finally:
        for member in of_session(process.pid):
            member.kill()
        process.wait(5)
    folder = known.newest()
    parts = list(folder.glob("requests-*.parquet"))
    assert parts
    assert all(pq.read_table(part).num_rows for part in parts)
    assert list(folder.glob("*.tmp")) == []
    records = read_records(folder, VARIANT)
    observation = read_model(folder / f"server-stats-{VARIANT}.json", Observation, "make loadtest")
    assert 1 <= len(observation.stages) < len(known.plan().variants[0].stages)
    assert not observation.complete
    assert set(records.column("stage").to_pylist()) >= {seen.stage for seen in observation.stages}
    answered = {arrived for arrived, _ in known.ask("seen")["times"]}
    assert len(records) >= len(answered) - 4  # only what was in flight when it ended may be without a record
    report = assemble(folder)
    assert report.verdict == "INVALID"
    assert not report.variants[0].complete
