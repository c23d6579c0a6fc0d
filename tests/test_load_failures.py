"""A server that fails under the real load command: counted by class, reported, held back where it must be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.endpoints import Endpoints
from contract.files import read_model, write_json
from contract.records import Observation, read_records
from contract.verdict import Report
from tests.builders import free_port
from tests.conftest import ROOT
from tests.known_latency import VARIANT, Known, known_latency

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Known]:
    with known_latency(tmp_path_factory.mktemp("known"), 2.0) as known:
        yield known


def load(known: Known, *flags: str) -> tuple[Observation, Path]:
    ended = subprocess.run(
        [*known.command(), *flags], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    folder = known.newest()
    return read_model(folder / f"server-stats-{VARIANT}.json", Observation, "make loadtest"), folder


def configure(known: Known, load_section: str = "", rate: float = 100.0, users: int = 4) -> None:
    known.configure(concurrency=[users], closed_s=1.0, open_s=1.5, rate=rate)
    toml = known.root / "models.toml"
    toml.write_text(toml.read_text().replace("[load]", f"[load]\n{load_section}"))


def move(known: Known, port: int) -> None:
    """Let the endpoint be at another port."""
    file = known.root / "live" / "endpoints.json"
    found = read_model(file, Endpoints, "make serve")
    moved = [item.model_copy(update={"address": f"127.0.0.1:{port}"}) for item in found.endpoints]
    write_json(file, found.model_copy(update={"endpoints": moved}))


def test_a_server_that_is_down_is_a_class_of_errors_and_an_invalid_verdict(known: Known) -> None:
    configure(known)
    move(known, free_port())
    seen, folder = load(known)
    assert seen.complete
    assert set(read_records(folder, VARIANT).column("error").to_pylist()) == {"refused"}
    ended = subprocess.run(
        [sys.executable, "-m", "report", "--workspace", str(known.root), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    report = Report.model_validate_json(ended.stdout)
    assert report.verdict == "INVALID"
    assert all(set(stage.errors) == {"refused"} for stage in report.variants[0].stages)
    assert "100.00% of the requests failed" in "; ".join(report.variants[0].stages[1].reasons)
    page = (known.root / "reports" / "latest" / "report.html").read_text()
    assert all(f"errors: refused {stage.requests:,}" in page for stage in report.variants[0].stages)


def test_a_stage_ends_by_itself_when_too_many_of_its_requests_fail(known: Known) -> None:
    configure(known, "abort_error_rate = 0.5", rate=400.0)
    move(known, free_port())
    seen, folder = load(known)
    opened = next(stage for stage in seen.stages if stage.stage == 1)
    assert opened.aborted
    records = read_records(folder, VARIANT)
    due = [row for row in records.to_pylist() if row["stage"] == 1]
    assert 200 <= len(due) < 400  # of 600: the window that is looked at, and what was on its way


def test_closed_loops_keep_below_the_ceiling_too(known: Known) -> None:
    configure(known, users=8, rate=20.0)
    known.ask("seen")
    seen, folder = load(known, "--max-rps", "40")
    closed = next(stage for stage in seen.stages if stage.stage == 0)
    rows = [row for row in read_records(folder, VARIANT).to_pylist() if row["stage"] == 0]
    inside = [row for row in rows if closed.window_start_ns <= row["intended_ns"] < closed.window_end_ns]
    assert 10 <= len(inside) <= 48  # in one second; each of the eight users may be one request off, or held up


def test_what_is_sent_again_is_below_the_ceiling_with_all_the_rest(known: Known) -> None:
    configure(known, rate=30.0)
    toml = known.root / "models.toml"
    toml.write_text(toml.read_text().replace("[load]", "[client]\nretries = 5\n\n[load]"))
    known.ask("refuse/1")
    known.ask("seen")
    try:
        seen, folder = load(known, "--max-rps", "40")
        arrived = [arrival for arrival, _ in known.ask("seen")["times"]]
    finally:
        known.ask("refuse/0")
    records = read_records(folder, VARIANT).to_pylist()
    assert {row["error"] for row in records} == {"http 503"}
    assert len(arrived) == sum(1 + row["retries"] for row in records)  # what was sent is what was recorded
    opened = [row for row in records if row["stage"] == 1]
    assert sum(row["retries"] for row in opened) >= 5  # 30/s are planned, which leaves room for 10/s
    for stage in {row["stage"] for row in records}:
        window = next(item for item in seen.stages if item.stage == stage)
        begin, end = window.window_start_ns - 200_000_000, window.window_end_ns  # with its warm-up
        inside = sum(begin <= arrival < end for arrival in arrived)
        assert inside <= 1.25 * 40 * (end - begin) / 1e9  # random arrivals alone may be somewhat more than their rate


def test_a_rate_above_the_ceiling_is_refused_before_anything_is_sent(known: Known) -> None:
    configure(known, rate=100.0)
    known.ask("seen")
    ended = subprocess.run([*known.command(), "--max-rps", "40"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "plans 100 requests per second, the ceiling is 40" in ended.stderr
    assert known.ask("seen")["times"] == []


def test_a_run_whose_models_cannot_be_loaded_ends_with_a_sentence(known: Known) -> None:
    configure(known)
    move(known, free_port())
    file = known.root / "live" / "endpoints.json"
    found = read_model(file, Endpoints, "make serve")
    write_json(file, found.model_copy(update={"one_at_a_time": True}))
    ended = subprocess.run(known.command(), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert f"nothing was recorded for {VARIANT}" in ended.stderr
    assert "did not answer" in (known.newest() / "locust.log").read_text()
