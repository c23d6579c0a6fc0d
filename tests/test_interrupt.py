"""Ctrl-C in the middle of the load: it ends at once, leaves no process, and what was measured can be read."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from contract.files import read_model
from contract.records import Observation, read_records
from report.assemble import assemble
from tests.builders import wait_until
from tests.conftest import ROOT
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
        assert errors.rstrip().endswith("interrupted")
        assert f"of 1 of 1 variants, is kept in {known.newest()}; " in errors
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
    assert 1 <= len(observation.stages) <= len(known.plan().variants[0].stages)
    assert not observation.complete
    assert set(records.column("stage").to_pylist()) >= {seen.stage for seen in observation.stages}
    answered = {arrived for arrived, _ in known.ask("seen")["times"]}
    assert len(records) >= len(answered) - 4  # only what was in flight when it ended may be without a record
    report = assemble(folder)
    assert report.verdict == "INVALID"
    assert not report.variants[0].complete


def test_the_load_ends_when_the_command_is_killed_that_started_it(known: Known) -> None:
    """Nobody would be left to end it: a minute of requests that nobody counts, or a soak of hours."""
    process = known.start()
    session = process.pid
    try:
        stats = known.root / "results" / "latest" / f"server-stats-{VARIANT}.json"
        assert wait_until(stats.is_file, 20), "the first stage never ended"
        process.kill()
        process.communicate()
        assert wait_until(lambda: not of_session(session), 30)
    finally:
        for member in of_session(session):
            member.kill()
        process.wait(5)
    assert len(read_records(known.newest(), VARIANT))


def test_a_long_stage_that_is_interrupted_is_reported_as_far_as_it_came(known: Known) -> None:
    toml = known.root / "models.toml"
    stage = '{ shape = "steady", rate = 50, duration_s = 600, warmup_s = 0.1 }'
    toml.write_text(f"plans = {{ long = {{ stages = [{stage}] }} }}\n{toml.read_text()}")
    process = subprocess.Popen([*known.command(), "--plan", "long"], cwd=ROOT, start_new_session=True)
    counts: list[int] = []

    def answered() -> int:
        counts.append(len(known.ask("seen")["times"]))  # since it was asked last
        return sum(counts)

    try:
        assert wait_until(lambda: answered() > 100, 60)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(15) == 130
    finally:
        for member in of_session(process.pid):
            member.kill()
        process.wait(5)
    (seen,) = read_model(known.newest() / f"server-stats-{VARIANT}.json", Observation, "make loadtest").stages
    assert seen.interrupted and 0.5e9 <= seen.window_end_ns - seen.window_start_ns < 100e9
    report = assemble(known.newest())
    (told,) = report.variants[0].stages
    assert told.requests > 20 and told.errors == {}
    assert report.verdict == "INVALID" and not report.variants[0].complete
