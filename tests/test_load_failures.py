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


def configure(known: Known, load_section: str = "", rate: float = 100.0, users: int = 4, open_s: float = 1.5) -> None:
    known.configure(concurrency=[users], closed_s=1.0, open_s=open_s, rate=rate)
    use(known, load_section)


def use(known: Known, load_section: str) -> None:
    """Let models.toml say these lines too."""
    toml = known.root / "models.toml"
    toml.write_text(toml.read_text().replace("[load]", f"[load]\n{load_section}"))


def move(known: Known, port: int) -> None:
    """Let the endpoint be at another port."""
    file = known.root / "live" / "endpoints.json"
    found = read_model(file, Endpoints, "make serve")
    moved = [item.model_copy(update={"address": f"127.0.0.1:{port}"}) for item in found.endpoints]
    write_json(file, found.model_copy(update={"endpoints": moved}))


def reported(known: Known) -> Report:
    """What the report command says of the newest run."""
    command = [sys.executable, "-m", "report", "--workspace", str(known.root), "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return Report.model_validate_json(ended.stdout)


def test_a_server_that_is_down_is_a_class_of_errors_and_an_invalid_verdict(known: Known) -> None:
    configure(known)
    move(known, free_port())
    seen, folder = load(known)
    assert seen.complete
    assert set(read_records(folder, VARIANT).column("error").to_pylist()) == {"refused"}
    report = reported(known)
    assert report.verdict == "INVALID"
    assert all(set(stage.errors) == {"refused"} for stage in report.variants[0].stages)
    assert "100.00% of the requests failed" in "; ".join(report.variants[0].stages[1].reasons)
    page = (known.root / "reports" / "latest" / "report.html").read_text()
    assert all(f"errors: refused {stage.requests:,}" in page for stage in report.variants[0].stages)


def test_a_stage_ends_by_itself_when_too_many_of_its_requests_fail(known: Known) -> None:
    configure(known, "abort_error_rate = 0.5", rate=400.0, open_s=60.0)
    move(known, free_port())
    seen, folder = load(known)
    opened = next(stage for stage in seen.stages if stage.stage == 1)
    assert opened.aborted
    assert opened.window_end_ns - opened.window_start_ns < 15e9  # of a minute
    records = read_records(folder, VARIANT)
    due = [row for row in records.to_pylist() if row["stage"] == 1]
    assert 200 <= len(due) < 400  # of 24,000: the window that is looked at, and what was on its way
    assert max(row["intended_ns"] for row in due) < opened.window_end_ns + 1e9


def test_a_stage_that_fails_in_its_warm_up_is_reported_as_one_in_which_nothing_was_measured(known: Known) -> None:
    configure(known, "abort_error_rate = 0.1\nin_flight = 500", rate=5_000.0, open_s=60.0)
    move(known, free_port())
    seen, _ = load(known)
    opened = next(stage for stage in seen.stages if stage.stage == 1)
    assert opened.aborted and 0 < opened.window_end_ns - opened.window_start_ns < 15e9  # of a minute
    assert reported(known).verdict == "INVALID"


def test_closed_loops_keep_below_the_ceiling_too(known: Known) -> None:
    configure(known, users=8, rate=20.0)
    known.ask("seen")
    seen, folder = load(known, "--max-rps", "40")
    closed = next(stage for stage in seen.stages if stage.stage == 0)
    rows = [row for row in read_records(folder, VARIANT).to_pylist() if row["stage"] == 0]
    inside = [row for row in rows if closed.window_start_ns <= row["intended_ns"] < closed.window_end_ns]
    assert 10 <= len(inside) <= 42  # in one second: 40 turns, and what is made up for


@pytest.mark.parametrize("processes", [1, 2])
def test_many_users_keep_below_a_low_ceiling_in_every_second_and_all_of_them_return_for_the_next_stage(
    known: Known, processes: int
) -> None:
    known.configure(concurrency=[32, 31], closed_s=3.0, open_s=0.5, rate=5.0)
    use(known, f"processes = {processes}")
    _, folder = load(known, "--max-rps", "10")
    rows = [row for row in read_records(folder, VARIANT).to_pylist() if row["stage"] < 2]
    moments = sorted(row["intended_ns"] for row in rows)
    most = max(sum(begin <= moment < begin + 10**9 for moment in moments) for begin in moments)
    assert most <= 12
    assert all(sum(row["stage"] == stage for row in rows) >= 15 for stage in (0, 1))  # of 32 in 3.2 s


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


def test_a_variant_that_cannot_be_loaded_leaves_the_others_their_report(known: Known) -> None:
    configure(known)
    file = known.root / "live" / "endpoints.json"
    found = read_model(file, Endpoints, "make serve")
    (item,) = found.endpoints
    # The first is on no Triton, and so is not loaded; where the second would be, nobody listens.
    well = item.model_copy(update={"engine": "kserve", "id": "words__onnx__kserve__http"})
    named = {"model": "gone", "served_name": "gone__onnx", "id": "gone__onnx__triton__http"}
    gone = item.model_copy(update=named | {"address": f"127.0.0.1:{free_port()}"})
    write_json(file, found.model_copy(update={"endpoints": [well, gone], "one_at_a_time": True}))
    ended = subprocess.run(known.command(), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"not measured: {gone.id}; the reason is in" in ended.stderr
    report = reported(known)
    measured = {item.id: item for item in report.variants}
    assert [stage.mode for stage in measured[well.id].stages] == ["closed", "open"]
    assert measured[gone.id].stages == [] and not measured[gone.id].rankable
    assert any(f"not measured: {gone.id}: " in said and "did not answer" in said for said in report.warnings)
